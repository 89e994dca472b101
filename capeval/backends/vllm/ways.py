"""Ways to have vLLM score what follows a prompt, from the fastest to the one that every version has.

    replay   the engine is made to say the target (vLLM's own trace replay; its second model runner)
    forced   the same by a logits processor (`force.py`; its first runner)
    steps    one request for every beginning of the targets, asked for the tokens that may follow it
    whole    the prompt again with every target, none of it from the cache: always right, and what lm-eval does

All but the last read the head, and the question before its second choice, from the prefix cache, and all compute the
last token of the prompt, so no target's probability ever comes out of the cache. Choices of one token are one request
in every way: `steps` of one beginning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from capeval.backends.vllm.engine import Want
from capeval.backends.vllm.messages import FORCED, Ids, Pair, Question

IDS = 128
"""Tokens that one request can be asked for: `vllm.sampling_params.MAX_LOGPROB_TOKEN_IDS`."""
LONG = 32
"""A target above so many tokens is read at once, not token by token: a step of decoding has a price of its own."""


class Way(Protocol):
    """How one question's targets are asked for."""

    def wants(self, question: Question) -> list[Want]:
        """The requests."""
        ...

    def read(self, question: Question, outputs: Sequence[Any]) -> tuple[Pair, ...]:
        """Their outputs, in the same order → a score for each target."""
        ...


class _Asked(NamedTuple):
    """One request of `Steps`: what may follow a beginning."""

    beginning: Ids
    tokens: tuple[int, ...]


class Steps:
    """One request for every distinct beginning of the targets."""

    def wants(self, question: Question) -> list[Want]:
        """See `Way`."""
        return [Want(question.context + asked.beginning, _asking_for(asked.tokens)) for asked in self._asked(question)]

    def read(self, question: Question, outputs: Sequence[Any]) -> tuple[Pair, ...]:
        """See `Way`."""
        found: dict[tuple[Ids, int], Pair] = {}
        for asked, output in zip(self._asked(question), outputs, strict=True):
            [row], said = output.outputs[0].logprobs, output.outputs[0].token_ids[0]
            found |= {(asked.beginning, token): (row[token].logprob, said == token) for token in asked.tokens}
        steps = ([found[target[:i], token] for i, token in enumerate(target)] for target in question.targets)
        return tuple(map(_sum, steps))

    def _asked(self, question: Question) -> list[_Asked]:
        following: dict[Ids, dict[int, None]] = {}
        for target in question.targets:
            for i, token in enumerate(target):
                following.setdefault(target[:i], {})[token] = None
        return [
            _Asked(beginning, tuple(tokens)[start : start + IDS])
            for beginning, tokens in following.items()
            for start in range(0, len(tokens), IDS)
        ]


class Said:
    """The engine says each target after the prompt; the way of making it do so is the only difference."""

    def __init__(self, key: str) -> None:
        """Choose the way: `forced` or `replay`."""
        self._key = key

    def wants(self, question: Question) -> list[Want]:
        """See `Way`."""
        return [
            Want(question.context, _params(max_tokens=len(target), logprobs=1, ignore_eos=True, **self._make(target)))
            for target in question.targets
        ]

    def read(self, question: Question, outputs: Sequence[Any]) -> tuple[Pair, ...]:
        """See `Way`."""
        rows = (output.outputs[0].logprobs for output in outputs)
        return tuple(
            _sum([_greedy(at, token) for at, token in zip(row, target, strict=True)])
            for row, target in zip(rows, question.targets, strict=True)
        )

    def _make(self, target: Ids) -> dict[str, Any]:
        if self._key == "replay":
            return {"trace_decode_token_ids": list(target)}
        return {"extra_args": {FORCED: list(target)}}


class Whole:
    """Prompt and target read at once, nothing from the cache."""

    def wants(self, question: Question) -> list[Want]:
        """See `Way`."""
        # the last token is predicted and not read: it may stand behind the last position that the model has
        return [
            Want(
                question.context + target[:-1],
                _params(
                    max_tokens=1, logprob_token_ids=[target[-1]], skip_reading_prefix_cache=True,
                    prompt_logprobs=1 if len(target) > 1 else None,
                ),
            )
            for target in question.targets
        ]  # fmt: skip

    def read(self, question: Question, outputs: Sequence[Any]) -> tuple[Pair, ...]:
        """See `Way`."""
        return tuple(map(self._one, question.targets, outputs))

    def _one(self, target: Ids, output: Any) -> Pair:
        [row], said = output.outputs[0].logprobs, output.outputs[0].token_ids[0]
        last = (row[target[-1]].logprob, said == target[-1])
        inner = output.prompt_logprobs[-(len(target) - 1) :] if len(target) > 1 else ()
        return _sum([*(_greedy(at, token) for at, token in zip(inner, target[:-1], strict=True)), last])


WAYS: Mapping[str, Way] = {"replay": Said("replay"), "forced": Said("forced"), "steps": Steps(), "whole": Whole()}


@dataclass(slots=True)
class Planned:
    """One question on its way: each target in the way that suits its length."""

    question: Question
    parts: list[tuple[Way, Question, list[int], int]]
    """(way, the targets that go it, their numbers, its requests)."""
    wants: list[Want]
    outputs: list[Any]
    """One for each of them, None until it is there."""
    missing: int

    def put(self, place: int, output: Any) -> bool:
        """Keep the output of one request; whether it was the last."""
        self.outputs[place] = output
        self.missing -= 1
        return not self.missing

    def read(self) -> tuple[Pair, ...]:
        """A score for each target."""
        found: dict[int, Pair] = {}
        start = 0
        for way, part, numbers, n in self.parts:
            found |= dict(zip(numbers, way.read(part, self.outputs[start : start + n]), strict=True))
            start += n
        return tuple(found[number] for number in range(len(self.question.targets)))


def plan(question: Question, name: str) -> Planned:
    """The requests of a question.

    Args:
        question: What is to be scored.
        name: The way that targets of a few tokens go.
    """
    groups: dict[str, list[int]] = {}
    for number, target in enumerate(question.targets):
        groups.setdefault(_way(name, len(target)), []).append(number)
    parts, wants = [], []
    for way_name, numbers in groups.items():
        part = Question(question.context, tuple(question.targets[number] for number in numbers))
        asked = WAYS[way_name].wants(part)
        parts.append((WAYS[way_name], part, numbers, len(asked)))
        wants += asked
    return Planned(question, parts, wants, [None] * len(wants), len(wants))


def _way(name: str, length: int) -> str:
    if name == "whole" or length > LONG:
        return "whole"
    return "steps" if length == 1 else name


def broken(found: Sequence[Pair]) -> bool:
    """Whether any is NaN: weights are damaged, or overflow."""
    return any(math.isnan(logprob) for logprob, _ in found)


def _params(**settings: Any) -> Any:
    """Equal settings share their parameters: the engine takes a copy of its own."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    kind = RequestOutputKind.FINAL_ONLY
    return SamplingParams(temperature=0.0, detokenize=False, output_kind=kind, skip_clone=True, **settings)


@lru_cache(maxsize=1024)
def _asking_for(tokens: tuple[int, ...]) -> Any:
    return _params(max_tokens=1, logprob_token_ids=list(tokens))


def _greedy(at: Mapping[int, Any], token: int) -> Pair:
    """By its rank, or by value: of two tokens that are equally probable both are the most probable one.

    A step that also serves requests with `logprob_token_ids` leaves no room for the most probable token of the others:
    token 0 stands there with −∞ and rank 1. The rank of the said token is right all the same.
    """
    logprob = at[token].logprob
    return logprob, any(other.rank == 1 and other.logprob == logprob for other in at.values())


def _sum(steps: Sequence[Pair]) -> Pair:
    return math.fsum(logprob for logprob, _ in steps), all(greedy for _, greedy in steps)
