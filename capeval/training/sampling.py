"""Answers sampled from a model in training: prompts padded on the left, one token at a time, from a seed.

Written by hand because it is faster for tiny models than transformers' `generate` (copies of a prompt are read once, and
ended answers leave the batch), and because an answer's random numbers depend on the seed and its place alone, never on
the other answers of its batch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
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


def _continue(model: Any, prompts: list[list[int]], uniform: Any, temperature: float, ends: Sequence[int]) -> Any:
    """Tokens for each row; what stands after a row's first end token means nothing."""
    import torch

    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
    rows = torch.tensor([distinct[tuple(prompt)] for prompt in prompts], device=model.device)
    ids, mask = _left_padded(list(distinct), model.device)
    position, cache = (mask.cumsum(1) - 1).clamp(min=0), None
    stops = torch.tensor(ends, device=model.device)
    said = torch.zeros(uniform.shape, dtype=torch.long, device=model.device)
    going = torch.arange(len(prompts), device=model.device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)
    for step in range(uniform.shape[1]):
        out = model(
            input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        logits, cache = out.logits[:, -1].float(), out.past_key_values
        if rows is not None:  # copies of a prompt were read once; or ended answers leave
            ...
    return said.tolist()
