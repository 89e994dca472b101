"""What the two processes say to each other over a pipe. Plain data: the engine's process imports vLLM, ours does not.

Ours sends a `Load`, a `Swap`, a `Score` or a `Write`; the other answers with `Progress`, `Scored` and `Written` as
things get done, then `Done`, or with `Failed`, after which it is of no more use.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Ids = tuple[int, ...]
Pair = tuple[float, bool]
"""(log-probability, whether greedy)."""
Canary = tuple[float, ...]
"""Log-probabilities of fixed tokens after fixed prompts: the checksum of loaded weights."""
FORCED = "capeval_forced"
"""Key of `SamplingParams.extra_args`: token ids that the engine is made to say."""


def packed(ids: Sequence[int]) -> bytes:
    """Token ids as 4 bytes each: quick to compare, to hash and to send; equal beginnings stay equal beginnings."""
    return array("i", ids).tobytes()


def unpacked(ids: bytes) -> Ids:
    """The same as numbers."""
    found = array("i")
    found.frombytes(ids)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Load:
    """Start the engine."""

    engine: Mapping[str, Any]
    """Arguments of `vllm.LLM`."""
    scoring: str = ""
    """The way of scoring to take (`ways.WAYS`); empty: the first that works."""
    rows: int = 0
    """Tokens that the model knows."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Put the weights of another checkpoint of the same architecture into the engine."""

    folder: str
    repack: bool
    """Whether the head is tied to the embeddings, so that a packed copy of it has to be made again."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and all that is to be scored behind it."""

    context: Ids
    targets: tuple[Ids, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Score questions, which are in an order that keeps equal beginnings together."""

    questions: tuple[tuple[bytes, tuple[Ids, ...]], ...]
    """(packed context, targets)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One answer that is wanted."""

    prompt: bytes
    """Packed."""
    sampling: int
    """Which of the message's."""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """Write answers."""

    asks: tuple[Ask, ...]
    samplings: tuple[Mapping[str, Any], ...]
    """Arguments of `vllm.SamplingParams`."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The engine is at work: a step has ended."""


@dataclass(frozen=True, slots=True)
class Scored:
    """(question, scores of its targets)."""

    found: tuple[tuple[int, tuple[Pair, ...]], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """(answer, its token ids)."""

    found: tuple[tuple[int, Ids], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """A message was carried out."""

    canary: Canary = ()
    """After `Load` and `Swap`."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What was chosen, in words."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """tokens: of prompts, as the engine was given them; cached: of those, read from its cache; requests."""
    difference: float = 0.0
    """The largest difference between a score and the same score without any cache, of those that were done twice."""
    twice: int = 0
    """How many were."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine can't go on."""

    why: str
    """The error's first lines."""
    fault: str = ""
    """`model`: this checkpoint can't be run by vLLM; `memory`; `scores`: what the cache gives is wrong; `request`: the
    engine refuses what was asked; `nan`; else unknown: a fresh engine may do better."""
