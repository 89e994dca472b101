"""Are the answers the same? Only then does a ratio of times say anything.

Log-probabilities within 1e-4, the same verdict on greediness, the same texts. A text that differs where float32 can't
tell the two largest logits apart is a tie (`ties.py` shows it); anything else stops the benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capeval.core import Request
from capeval.digest import digest

TOLERANCE = 1e-4
"""Natural logarithms, absolute; of float32."""
RESOLUTION = 2.0**-23
"""Of float32, relative: lm-eval sums the tokens of a text in it, and a text of thousands has a sum of ten thousands."""


class DisagreementError(SystemExit):
    """An item to which the two programs say different things; no text of a benchmark is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How near the answers to some requests are to each other."""

    requests: int
    largest: float
    """Largest difference of two log-probabilities; 0 when none was asked for."""
    texts: int
    """Generated answers."""
    different: tuple[int, ...]
    """Positions of requests whose texts differ."""


def compare(
    requests: Sequence[Request], ours: Sequence[Mapping[str, Any]], theirs: Sequence[Any], strict: bool = True
) -> Agreement:
    """Hold every answer of capeval against lm-eval's.

    Args:
        requests: What was asked.
        ours: capeval's replies: text, logprob, greedy (None: not asked for), n_tokens, cut, error.
        theirs: lm-eval's: a text, a log-probability, or [log-probability, greedy].
        strict: float32; else differences are only reported.

    Raises:
        DisagreementError: a missing answer, a prompt that was cut, another log-probability or greediness.
    """
    if not len(requests) == len(ours) == len(theirs):
        raise DisagreementError(f"{len(requests)} requests, {len(ours)} answers of capeval, {len(theirs)} of lm-eval")
    largest, different = 0.0, []
    for position, (request, own, other) in enumerate(zip(requests, ours, theirs, strict=True)):
        if own["error"] or own["cut"]:
            raise DisagreementError(named(position, request) + (own["error"] or f"{own['cut']} tokens were cut"))
        if request.kind == "generate":
            if own["text"] != other:
                different.append(position)
            continue
        logprob, greedy = other if isinstance(other, list | tuple) else (other, None)
        apart = abs(own["logprob"] - logprob)
        if strict and not apart <= TOLERANCE + RESOLUTION * abs(logprob):  # NaN too
            raise DisagreementError(
                named(position, request) + f"log-probability {own['logprob']:.6f}, lm-eval says {logprob:.6f}"
            )
        if strict and greedy is not None and own["greedy"] is not None and bool(own["greedy"]) != bool(greedy):
            raise DisagreementError(named(position, request) + f"greedy {own['greedy']}, lm-eval says {greedy}")
        largest = max(largest, apart)
    texts = sum(request.kind == "generate" for request in requests)
    return Agreement(requests=len(requests), largest=largest, texts=texts, different=tuple(different))


def named(position: int, request: Request) -> str:
    """Which item is meant, without its text."""
    lengths = f"{len(request.text)} + {len(request.continuation)} characters"
    return f"request {position} ({request.kind}, {digest(request.text, request.continuation)}, {lengths}): "
