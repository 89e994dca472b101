"""Text → token ids as lm-eval counts them, so that scores agree item by item; and how rows are packed into batches.

Rules: the tokenizer decides whether a text begins with BOS, and there is never a second one; prompt and continuation
are encoded together and split where the prompt's own encoding ends, unless an encoder reads the one and a decoder the
other; what is too long loses tokens on its left, and says
so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Pair = tuple[list[int], list[int]]
"""(context, target) token ids: the target is what is scored."""


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids with the special tokens that the tokenizer adds; none when the text (a chat template's) brings its BOS."""
    bos = tokenizer.bos_token
    ids: list[int] = tokenizer.encode(text, add_special_tokens=not (bos and text.startswith(bos)), verbose=False)
    return ids


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
        target = tokenizer.encode(continuation, add_special_tokens=False, verbose=False)
        return (target[:1], target[1:]) if target[:1] == [prefix] else ([prefix], target)
    stripped = context.rstrip()
    continuation, context = context[len(stripped) :] + continuation, stripped
    context_ids = encode(tokenizer, context)
    if joined:
        target = encode(tokenizer, context + continuation)[len(context_ids) :]
    else:
        target = tokenizer.encode(continuation, add_special_tokens=False, verbose=False)
    return context_ids or [prefix], target


def encode_all(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """What `encode` gives for each text; equal ones are encoded once."""
    known = {text: encode(tokenizer, text) for text in dict.fromkeys(texts)}
    return [known[text] for text in texts]


def encode_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]], prefix: int, joined: bool = True) -> list[Pair]:
    """What `encode_pair` gives for each (context, continuation); equal texts are encoded once."""
    return [encode_pair(tokenizer, context, continuation, prefix, joined) for context, continuation in pairs]


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
    ids = tokenizer.encode(text, add_special_tokens=False, verbose=False)
    ids = ids[1:] if ids[:1] == [prefix] else ids
    pairs = [([prefix], ids[:window])] if ids else []
    for start in range(window, len(ids), window):
        end = min(start + window, len(ids))
        pairs.append((ids[end - window - 1 : start], ids[start:end]))
    return pairs


def pack(costs: Sequence[int], budget: int) -> Iterator[range]:
    """Split rows into batches of at most `budget` (or one row); every row costs as much as its batch's first.

    Args:
        costs: What each row takes, sorted from most to least.
        budget: In the same unit.
    """
    start = 0
    while start < len(costs):
        rows = max(1, budget // max(1, costs[start]))
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
