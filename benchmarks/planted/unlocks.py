"""Unlocked or injected, where it is known which: errors of the answer, in the worlds of `benchmarks.validate_unlock`.

There difficulty is shared by all models, and guessing too; both would forge an answer. A world without either
truth (`null`) counts with the injected ones: what the child newly solves, the parent did not have.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.planted.shares import Share, share
from benchmarks.validate_unlock import GRID, draw

UNLOCK = "Unlocked or injected"


def unlock_errors(name: str, reps: int) -> Iterator[Share]:
    """Wrong and right answers in one world of `GRID`."""
    rng = np.random.default_rng([81, list(GRID).index(name)])
    said = np.array([draw(GRID[name], rng).answer for _ in range(reps)])
    right, wrong = ("unlocked", "injected") if name.startswith("unlocked") else ("injected", "unlocked")
    yield share(UNLOCK, name, f"said to be {wrong}", said == wrong, at_most=0.05)
    yield share(UNLOCK, name, f"said to be {right}", said == right)
