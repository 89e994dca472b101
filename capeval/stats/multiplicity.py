"""Adjusted p for families of tests: Holm where a gate must not cry wolf, Benjamini-Hochberg for the exploratory matrix.

python -c "from capeval.stats.multiplicity import holm; print(holm([0.01, 0.04, 0.03]))"
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.standard_errors import Vector


def holm(p: ArrayLike) -> Vector:
    """Step-down p that hold the chance of any false alarm in the family (Holm 1979, Scand J Stat 6:65).

    Args:
        p: (m,) p values; NaN (nothing was tested) stays NaN and doesn't count.

    Returns:
        (m,) adjusted p, in the same order.

    Raises:
        ValueError: for p outside [0, 1].
    """
    return _stepwise(p, lambda ordered, m: np.maximum.accumulate(ordered * (m - np.arange(m))))


def benjamini_hochberg(p: ArrayLike) -> Vector:
    """Step-up p that hold the expected share of false finds (Benjamini & Hochberg 1995, JRSS B 57:289).

    Args:
        p: (m,) p values; NaN (nothing was tested) stays NaN and doesn't count.

    Returns:
        (m,) adjusted p, in the same order.

    Raises:
        ValueError: for p outside [0, 1].
    """
    return _stepwise(p, lambda ordered, m: np.minimum.accumulate((ordered * (m / (np.arange(m) + 1)))[::-1])[::-1])


def levels(p: ArrayLike, alpha: float = 0.05) -> Vector:
    """The level at which each test of a Benjamini-Hochberg family is in fact judged, given the others' p.

    Test i is told iff p_i ≤ α · R_i / m, R_i being how many would be told if p_i were 0: α itself where all are told,
    α / m where nothing else is (the count that the proof of Benjamini & Yekutieli 2001, Ann Stat 29:1165, rests on).
    What n items could have shown is about this level.

    Args:
        p: (m,) p values; NaN (nothing was tested) stays NaN and doesn't count.
        alpha: Level of the family.

    Returns:
        (m,) levels, in the same order.
    """
    values = np.asarray(p, dtype=np.float64)
    tested = values[~np.isnan(values)]
    m = len(tested)
    steps = alpha * np.arange(1, m + 1) / m if m else np.empty(0)
    below = np.searchsorted(np.sort(tested), steps, side="right")
    # (tests, r): the others at or below step r, and the test itself at 0
    others = below[None, :] - (tested[:, None] <= steps[None, :]) + 1
    told = (others >= np.arange(1, m + 1)[None, :]) * np.arange(1, m + 1)[None, :]
    result = values.copy()
    result[~np.isnan(values)] = alpha * told.max(axis=1, initial=0) / max(1, m)
    return result


def _stepwise(p: ArrayLike, step: Callable[[Vector, int], Vector]) -> Vector:
    """Adjust the tested p in ascending order (`step` gets them and their number) and put them back in their places."""
    values = np.asarray(p, dtype=np.float64)
    tested = ~np.isnan(values)
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise ValueError("a p value lies outside [0, 1]")
    order = np.argsort(values[tested], kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(step(values[tested][order], len(order)), 1.0)
    result = values.copy()
    result[tested] = adjusted
    return result
