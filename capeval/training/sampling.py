"""Answers sampled from a model in training: prompts padded on the left, one token at a time, from a seed.

Written by hand because it is faster for tiny models than transformers' `generate` (copies of a prompt are read once,
and ended answers leave the batch), and because an answer's random numbers depend on the seed and its place alone, never
on the other answers of its batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from capeval.errors import BadFileError, UsageError
from capeval.training.data import Document, Encoder, Source
from capeval.training.loop import autocast

_TOKENS = 16384
"""Tokens of a batch, those to come included."""
_LEFT = 0.8
"""Once fewer than this share of a batch's answers go on, the ended ones leave it."""
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be answered."""

    document: Document
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered."""

    ids: list[int]
    """Without the end token."""
    end: int | None
    """The end token; None when the answer was cut."""

    @property
    def tokens(self) -> list[int]:
        """All that the model said."""
        return self.ids if self.end is None else [*self.ids, self.end]


def answer_ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Tokens that end an answer: those of the generation config, and the tokenizer's end of text.

    Raises:
        BadFileError: there is none.
    """
    given = model.generation_config.eos_token_id if model.generation_config else None
    ends = given if isinstance(given, list) else [given]
    found = tuple(dict.fromkeys(end for end in (*ends, tokenizer.eos_token_id) if end is not None))
    if not found:
        raise BadFileError("neither generation_config.json nor the tokenizer names a token that ends an answer")
    return found


def longest_prompt(model: Any, max_new_tokens: int) -> int:
    """Tokens that leave room for an answer in the model's window."""
    return int(getattr(model.config, "max_position_embeddings", None) or 2**31) - max_new_tokens


def draw_prompt(data: Source, encoder: Encoder, rng: random.Random, longest: int, progress: float = 0.0) -> Prompt:
    """One prompt of at most `longest` tokens; longer ones are passed over.

    Raises:
        UsageError: data that holds no prompts.
        BadFileError: prompts that are all too long.
    """
    for _ in range(_TRIES):
        document = data.draw(rng, progress)
        messages = document.get("messages")
        if not messages or messages[-1]["role"] == "assistant":
            raise UsageError(f"'{data.name}' holds no prompts: conversations that end with the user's message")
        if len(ids := encoder.prompt(messages)) <= longest:
            return Prompt(document, ids)
    raise BadFileError(f"the prompts of '{data.name}' leave no room for an answer: {longest} tokens would fit")


def sample(
    model: Any, prompts: Sequence[list[int]], *, max_new_tokens: int, temperature: float, ends: Sequence[int], seed: int
) -> list[Answer]:
    """Answer every prompt.

    Args:
        model: A causal language model.
        prompts: Tokens, without padding.
        max_new_tokens: Tokens after which an answer is cut, its end token counted.
        temperature: 0 takes the likeliest token.
        ends: Tokens that end an answer.
        seed: Of the random numbers, which are the same on every device.

    Returns:
        One answer for each prompt, in order.
    """
    import torch

    numbers = torch.Generator().manual_seed(seed)
    uniform = torch.rand((len(prompts), max_new_tokens), generator=numbers, dtype=torch.float64)
    order = sorted(range(len(prompts)), key=lambda place: (len(prompts[place]), prompts[place]))
    found: dict[int, Answer] = {}
    with torch.no_grad(), _masked_attention(model), autocast(model):
        while order:
            rows = _batch(order, prompts, max_new_tokens)
            del order[len(order) - len(rows) :]
            own = uniform[rows].to(model.device)
            said = _continue(model, [prompts[row] for row in rows], own, temperature, ends)
            found.update(zip(rows, (_cut(tokens, ends) for tokens in said), strict=True))
    return [found[place] for place in range(len(prompts))]


def _batch(order: list[int], prompts: Sequence[list[int]], more: int) -> list[int]:
    """The longest prompts that are left."""
    width = len(prompts[order[-1]]) + more
    return order[-max(1, _TOKENS // width) :]


def _cut(tokens: Sequence[int], ends: Sequence[int]) -> Answer:
    for place, token in enumerate(tokens):
        if token in ends:
            return Answer(list(tokens[:place]), token)
    return Answer(list(tokens), None)


def _continue(
    model: Any, prompts: list[list[int]], uniform: Any, temperature: float, ends: Sequence[int]
) -> list[list[int]]:
    """Tokens for each row; what stands after a row's first end token means nothing."""
    import torch

    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
    rows = torch.tensor([distinct[tuple(prompt)] for prompt in prompts], device=model.device)
    ids, mask = _left_padded(list(distinct), model.device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits, cache = _read(model, ids, mask, places, None)
    cache.batch_select_indices(rows)  # copies of a prompt were read once
    logits, mask, places = logits[rows], mask[rows], places[rows, -1:]
    stops = torch.tensor(ends, device=model.device)
    said = torch.zeros(uniform.shape, dtype=torch.long, device=model.device)
    going = torch.arange(len(prompts), device=model.device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)
    for step in range(uniform.shape[1]):
        token = _choose(logits, uniform[going, step], temperature)
        said[going, step] = token
        ended = ended | torch.isin(token, stops)
        left = int((~ended).sum())
        if not left or step + 1 == uniform.shape[1]:
            break
        if left < _LEFT * len(going):
            stay = (~ended).nonzero()[:, 0]
            cache.batch_select_indices(stay)
            token, mask, places, going, ended = (each[stay] for each in (token, mask, places, going, ended))
        places, mask = places + 1, torch.cat([mask, mask.new_ones(len(going), 1)], 1)
        logits, cache = _read(model, token[:, None], mask, places, cache)
    found: list[list[int]] = said.tolist()
    return found


def _left_padded(prompts: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask


def _read(model: Any, ids: Any, mask: Any, places: Any, cache: Any) -> tuple[Any, Any]:
    """Logits of the next token (rows × vocabulary, float32), and the cache with what was read."""
    out = model(
        input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    return out.logits[:, -1].float(), out.past_key_values


def _choose(logits: Any, uniform: Any, temperature: float) -> Any:
    """The likeliest token at temperature 0, else the one whose share of the distribution holds the random number."""
    import torch

    if not temperature:
        return logits.argmax(-1)
    # float64: in float32 a tail could round away, and a token that can't occur be taken
    cumulative = (logits / temperature).softmax(-1).double().cumsum(-1)
    found = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1)


@contextmanager
def _masked_attention(model: Any) -> Iterator[None]:
    """Inside, attention sees padding, without dropout; on a CPU by plain products, faster at short contexts."""
    before, training = model.config._attn_implementation, model.training
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")
    model.eval()
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        model.train(training)
