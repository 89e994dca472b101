"""Where two models part along a text that one of them wrote, from log-likelihood ratios of its steps.

With l_j = log P_child(step j | before) − log P_parent(step j | before), the sum L_j = l_1 + … + l_j is what a reader
knows by step j of who wrote the text. If the *parent* had drawn the text, exp(L_j) would be a non-negative
martingale of mean 1, so the chance that it ever reaches 20 is at most 1/20 (Ville 1939; the boundary of Wald's
sequential probability ratio test, 1945, Ann Math Stat 16:117). The text parts from the parent at the step where L_j
first reaches ln 20.

    python -c "from capeval.stats.parting import parting_place as p; print(p([0.1, 4.0, 0.2], [5, 5, 10]))"
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

BOUNDARY = math.log(20)
"""Nats: 20 to 1 that the child wrote it; by luck 1 text in 20 of the parent's own gets there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """The middle of values of which some lie beyond all others."""

    n: int
    value: float
    """NaN where at least half lie beyond."""
    low: float
    """Lower end of the distribution-free interval; NaN where n is too small for one."""
    high: float
    """Upper end; NaN where it lies beyond, or n is too small."""


def parting_place(ratios: ArrayLike, tokens: ArrayLike, *, boundary: float = BOUNDARY) -> float:
    """The middle of the step in which the sum of the ratios first reaches the boundary.

    Args:
        ratios: (steps,) log-likelihood ratios, child − parent, in nats.
        tokens: (steps,) how long each step is; none of them 0.
        boundary: In nats, above 0.

    Returns:
        Between 0 (the text's beginning) and 1 (its end); infinity where the two never part.

    Raises:
        ValueError: for steps without tokens, or arrays of different lengths.
    """
    found, lengths = _steps(ratios, tokens)
    beyond = np.flatnonzero(np.cumsum(found) >= boundary)
    if not len(beyond):
        return math.inf
    step = int(beyond[0])
    return float((lengths[:step].sum() + lengths[step] / 2) / lengths.sum())


def along(ratios: Sequence[ArrayLike], tokens: Sequence[ArrayLike], *, bins: int = 10) -> np.ndarray:
    """The ratio per token in each part of each text, as if every step had it spread evenly over its tokens.

    Args:
        ratios: Per text its (steps,) ratios.
        tokens: Per text its (steps,) lengths.
        bins: Equal parts into which each text is divided.

    Returns:
        (texts, bins), nats per token. The mean of a row is that text's ratio per token.
    """
    rows = []
    for one, length in zip(ratios, tokens, strict=True):
        found, lengths = _steps(one, length)
        ends = np.concatenate([[0.0], np.cumsum(lengths)])
        sums = np.concatenate([[0.0], np.cumsum(found)])
        cuts = np.linspace(0.0, ends[-1], bins + 1)
        rows.append(np.diff(np.interp(cuts, ends, sums)) / np.diff(cuts))
    return np.array(rows).reshape(len(rows), bins)


def median(values: ArrayLike, *, level: float = 0.95) -> Median:
    """The median with the interval between two order statistics (Thompson 1936, Ann Math Stat 7:122).

    Args:
        values: (n,) numbers; infinity for what lies beyond all others (texts that never part).
        level: Confidence, between 0 and 1; the interval has at least that.

    Returns:
        The median; all NaN for n = 0.

    Raises:
        ValueError: for missing values.
    """
    ordered = np.sort(np.asarray(values, float).ravel())
    if np.isnan(ordered).any():
        raise ValueError("values are missing")
    n = len(ordered)
    # so many values may lie below the median, with a chance of (1 − level) / 2 at most that there are no more
    rank = int((special.bdtr(np.arange(n), n, 0.5) <= (1 - level) / 2).sum())
    low, high = (ordered[rank - 1], ordered[n - rank]) if rank > 0 else (math.nan, math.nan)
    below, above = (ordered[(n - 1) // 2], ordered[n // 2]) if n else (math.nan, math.nan)
    middle = (below + above) / 2 if math.isfinite(above) else math.nan
    return Median(n=n, value=float(middle), low=_finite(low), high=_finite(high))


def _steps(ratios: ArrayLike, tokens: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    found, lengths = np.asarray(ratios, float).ravel(), np.asarray(tokens, float).ravel()
    if len(found) != len(lengths):
        raise ValueError(f"{len(found)} ratios of {len(lengths)} steps")
    if not len(found) or not (lengths > 0).all():
        raise ValueError("every step has at least one token")
    return found, lengths


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else math.nan
