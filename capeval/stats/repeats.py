"""The same weights, asked the same items twice: how many right-or-wrong scores flip although nothing was trained.

Sums of floats depend on their order, and bfloat16 keeps eight bits of each, so another batch, number format or engine
turns close calls (Yuan et al. 2025, arXiv 2506.09501: up to 9 points of accuracy under bfloat16 on long answers).

    python -c "from capeval.stats.repeats import flips; print(flips([1, 1, 0, 1], [1, 0, 0, 1]))"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.discordant import mcnemar_exact
from capeval.stats.rates import clopper_pearson
from capeval.stats.standard_errors import finite_vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Scores of 0 or 1 that differ between two runs of the same items."""

    n: int
    up: int
    """From 0 to 1."""
    down: int
    """From 1 to 0."""
    share: float
    """(up + down) / n; NaN for no items."""
    low: float
    """Lower end of its exact interval."""
    high: float
    """Upper end: what the share may be where none was seen."""
    p: float
    """Exact McNemar: small where flips go one way, so that they move the score and don't only scatter it."""


def flips(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Flips:
    """Count the flips from one run to another and bound their share (`rates.clopper_pearson`).

    Args:
        first: (n,) scores, each 0 or 1.
        second: (n,) scores of the same items.
        level: Confidence of the interval.

    Raises:
        ValueError: for scores that are not 0 or 1, or of another number.
    """
    a, b = finite_vector(first), finite_vector(second)
    if a.shape != b.shape or not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise ValueError("flips are of scores that are 0 or 1, of the same items")
    n, up, down = len(a), int((b > a).sum()), int((b < a).sum())
    bounds = clopper_pearson(up + down, n, level)
    share = (up + down) / n if n else float("nan")
    return Flips(n=n, up=up, down=down, share=share, low=bounds.low, high=bounds.high, p=mcnemar_exact(up, down))


def within_repeats(discordant: int, n: int, high: float) -> bool:
    """Whether a comparison's discordant items are no more than repeating alone may give.

    It compares numbers of flips, whichever way they go, with the upper end of the share that was measured. It is no
    test of the difference: flips of repeating fall on both sides, so they widen a paired difference (its interval and
    exact p, from the discordant items, have them in already) and don't shift it, and nothing is to be subtracted.

    Args:
        discordant: Items that only one end gets right.
        n: Items of the comparison.
        high: Upper end of the interval of the share that flips without any training.
    """
    return n > 0 and discordant <= high * n
