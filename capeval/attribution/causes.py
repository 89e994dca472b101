"""Why the worse of two answers to one item is worse, read from stored numbers; docs/flips.md has the error rates.

Causes are asked in an order, and the first that holds is the cause:

1. `empty`: nothing was said.
2. `refusal`: the answer declines. What it goes on to say is not judged.
3. `format`: the right answer is in it, and only its form cost the score. It comes before the causes that explain a
   wrong answer, because there is none: an answer that is right, and then cut, is right.
4. `truncation`: cut by the length limit, or reasoning from which no answer could be taken: it never came to one.
5. `slip`: a calculation in it is wrong when computed again. Before `reasoning`, since a wrong sum is seen, and that
   shorter reasoning matters is inferred.
6. `reasoning`: no reasoning, or much less than in the better answer.
7. `answer`: another answer, with nothing else to be seen. That is the change of capability.
8. `unknown`: the text was never looked at, or nothing could be taken from it and nobody knows why.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from capeval.columns import NO_RUNG

CAUSES = ("format", "truncation", "refusal", "empty", "reasoning", "slip", "answer", "unknown")
READ = ("score", "flag", "finish", "rung", "length", "lenient", "steps", "slips", "declined")
"""Columns of a record that a cause is read from."""
FORGIVEN = 0.5
"""An answer that gains at least this by forgiving its form lost its score to it."""
REASONING_STEPS = 2
"""Steps from which an answer is said to reason: one sentence before the final one may be anything."""

Columns = Mapping[str, NDArray[np.generic]]


def cause_of(worse: Columns, better: Columns) -> NDArray[np.object_]:
    """The cause of each flip, one of `CAUSES`; what was gained has the cause by which the parent was worse.

    Args:
        worse: Columns of `READ`, (flips,) each: the answers with the worse score.
        better: Likewise, of the other ends.
    """
    flag, steps = worse["flag"], _numbers(worse["steps"])
    lenient, score = _numbers(worse["lenient"]), _numbers(worse["score"])
    nothing = (flag == "unextracted") | (worse["rung"] == NO_RUNG)
    read = ~np.isnan(steps) | ~np.isnan(_numbers(worse["declined"]))
    # a choice by log-probability has no text, and no length of one: it can only be another choice
    chosen = ~read & np.isnan(_numbers(worse["length"])) & (worse["finish"] == "") & (flag == "")
    rules = {
        "empty": (flag == "empty") | (_numbers(worse["length"]) == 0),
        "refusal": (flag == "refused") | (_numbers(worse["declined"]) >= 0.5),
        "format": lenient - score >= FORGIVEN,
        "truncation": (flag == "truncated") | (worse["finish"] == "length") | (nothing & (steps >= 1)),
        "slip": _numbers(worse["slips"]) >= 1,
        "reasoning": (steps == 0) & (_numbers(better["steps"]) >= REASONING_STEPS),
        "answer": (read & ~nothing) | chosen,
    }
    return np.select(list(rules.values()), list(rules), default="unknown").astype(object)


def _numbers(column: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(column, dtype=float)
