"""Text → token ids as lm-eval counts them, so that scores agree item by item; and how rows are packed into batches.

Rules: the tokenizer decides whether a text begins with BOS, and there is never a second one; prompt and continuation
are encoded together and split where the prompt's own encoding ends, unless an encoder reads the one and a decoder the
other; what is too long loses tokens on its left, and says
so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from capeval.backends import Piece
from capeval.backends.encoding import Text, encoder_of
from capeval.backends.trie.budget import Budget
from capeval.errors import BadFileError

Pair = tuple[list[int], list[int]]
"""(context, target) token ids: the target is what is scored."""


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids with the special tokens that the tokenizer adds; none when the text (a chat template's) brings its BOS."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=_text(tokenizer, text)[1], verbose=False)
    return ids


def _text(tokenizer: Any, text: str) -> Text:
    """A text, and whether the tokenizer adds its special tokens to it."""
    bos = tokenizer.bos_token
    return text, not (bos and text.startswith(bos))


def pieces_of(tokenizer: Any, text: str) -> list[Piece]:
    """A text as the model reads it: see `Backend.pieces`."""
    special = set(tokenizer.all_special_ids)
    found = []
    for is_special, run in groupby(encode(tokenizer, text), key=special.__contains__):
        for ids in [[token] for token in run] if is_special else [list(run)]:
            said = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            found.append(Piece(said, is_special, len(ids)))
    return found


def prefix_of(tokenizer: Any, name: str) -> int:
    """The token that stands for an empty prompt: BOS, else end of text.

    Raises:
        BadFileError: it names neither.
    """
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if prefix is None:
        raise BadFileError(f"the tokenizer of {name} names neither a BOS nor an end-of-text token, so it can't score")
    return int(prefix)


def encode_pair(tokenizer: Any, context: str, continuation: str, prefix: int, joined: bool = True) -> Pair:
    """Ids of a prompt and of what follows it.

    Spaces at the prompt's end move to the continuation, because most tokenizers join them with the next word; an empty
    prompt becomes `prefix` (BOS). After lm-eval's `TemplateLM._encode_pair`.

    Args:
        tokenizer: A transformers tokenizer.
        context: The prompt.
        continuation: What is scored.
        prefix: Token that stands for an empty prompt.
        joined: Encode both as one text and split it; False encodes each by itself, for an encoder and a decoder.
    """
    if not context:
        return _alone(tokenizer.encode(continuation, add_special_tokens=False, verbose=False), prefix)
    context, continuation = _spaces_moved(context, continuation)
    context_ids = encode(tokenizer, context)
    if joined:
        target = encode(tokenizer, context + continuation)[len(context_ids) :]
    else:
        target = tokenizer.encode(continuation, add_special_tokens=False, verbose=False)
    return context_ids or [prefix], target


def _alone(target: list[int], prefix: int) -> Pair:
    return (target[:1], target[1:]) if target[:1] == [prefix] else ([prefix], target)


def _spaces_moved(context: str, continuation: str) -> tuple[str, str]:
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation


def encode_all(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """What `encode` gives for each text, tokenised together and once; equal texts share a list, so don't change it."""
    distinct = list(dict.fromkeys(texts))
    encoded = encoder_of(tokenizer)([_text(tokenizer, text) for text in distinct])
    known = {text: ids.tolist() for text, ids in zip(distinct, encoded, strict=True)}
    return [known[text] for text in texts]


def encode_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]], prefix: int, joined: bool = True) -> list[Pair]:
    """What `encode_pair` gives for each (context, continuation), tokenised together and once.

    The pairs of one context share its list, so don't change it.
    """
    encoder = encoder_of(tokenizer)
    alone = list(dict.fromkeys(pair for pair in pairs if not pair[0]))
    targets = [ids.tolist() for ids in encoder([(continuation, False) for _, continuation in alone])]
    known = {pair: _alone(target, prefix) for pair, target in zip(alone, targets, strict=True)}
    others = {pair: _spaces_moved(*pair) for pair in pairs if pair[0]}
    begins = list(dict.fromkeys(context for context, _ in others.values()))
    contexts = dict(zip(begins, encode_all(tokenizer, begins), strict=True))
    halves = list(dict.fromkeys(others.values()))
    if joined:
        wholes = [(_text(tokenizer, context), _text(tokenizer, context + rest)) for context, rest in halves]
        tails = encoder.tails(wholes, [len(contexts[context]) for context, _ in halves])
    else:
        tails = encoder([(rest, False) for _, rest in halves])
    behind = {half: ids.tolist() for half, ids in zip(halves, tails, strict=True)}
    known |= {pair: (contexts[half[0]] or [prefix], behind[half]) for pair, half in others.items()}
    return [known[pair] for pair in pairs]


def rolling_windows(tokenizer: Any, text: str, prefix: int, window: int) -> list[Pair]:
    """Pairs whose targets, put together, are the whole text; each but the first has all the context that fits.

    Departure from lm-eval 0.4.13, which puts its own prefix before a text that the tokenizer has already given a BOS,
    and so scores the second BOS: here there is one. The numbers agree for tokenizers that add none.

    Args:
        tokenizer: A transformers tokenizer.
        text: What is scored from its first token on.
        prefix: Token that the first one follows (BOS).
        window: Tokens that the model can read.
    """
    ids = encoder_of(tokenizer)([(text, False)])[0].tolist()
    ids = ids[1:] if ids[:1] == [prefix] else ids
    pairs = [([prefix], ids[:window])] if ids else []
    for start in range(window, len(ids), window):
        end = min(start + window, len(ids))
        pairs.append((ids[end - window - 1 : start], ids[start:end]))
    return pairs


def pack(costs: Sequence[int], budget: Budget) -> Iterator[range]:
    """Split rows into batches of at most the budget's tokens (or one row); every row costs what its batch's first does.

    Args:
        costs: What each row takes, sorted from most to least.
        budget: Read before each batch: it may have been halved.
    """
    start = 0
    while start < len(costs):
        rows = max(1, budget.tokens // max(1, costs[start]))
        yield range(start, min(start + rows, len(costs)))
        start += rows


def window_of(config: Any, tokenizer: Any) -> int:
    """Tokens that a model can read: its configuration's limit, else the tokenizer's, else 2048 (lm-eval's order)."""
    config = getattr(config, "text_config", None) or config
    for name in ("n_positions", "max_position_embeddings", "n_ctx"):
        if (value := getattr(config, name, None)) is not None:
            return int(value)
    limit = getattr(tokenizer, "model_max_length", None)
    # tokenizers without a limit report about 1e30
    return int(limit) if limit is not None and limit < 10**18 else 2048
