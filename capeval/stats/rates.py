"""Intervals of one score: what a model's mean on a task could be.

A right-or-wrong score gets Wilson's interval, a continuous one Student's t, and items that come in clusters
(questions of one article) the cluster-robust error. Missing scores are dropped by the caller: NaN is refused.

    python -c "from capeval.stats.rates import wilson; print(wilson(63, 100))"
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from capeval.stats.standard_errors import Labels, cluster_codes, clustered_error, finite_vector, standard_error


@dataclass(frozen=True, slots=True)
class Interval:
    """Two ends, both NaN where the data can't give them."""

    low: float
    high: float


UNKNOWN = Interval(math.nan, math.nan)


def normal_quantile(probability: float) -> float:
    """The z below which a standard normal falls with this probability."""
    return float(special.ndtri(probability))


def t_quantile(probability: float, df: float) -> float:
    """The same for Student's t; the normal's where df is infinite."""
    return normal_quantile(probability) if math.isinf(df) else float(special.stdtrit(df, probability))


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Score interval of a rate (Wilson 1927, JASA 22:209), never of width 0 and never outside [0, 1].

    Args:
        successes: How often it was right; fractions are fine (several samples averaged inside an item).
        n: Items.
        level: Confidence, between 0 and 1.

    Returns:
        The interval; NaN for n = 0.

    Raises:
        ValueError: for successes outside 0..n.
    """
    if n == 0:
        return UNKNOWN
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes among {n} items")
    return wilson_at(successes, n, normal_quantile((1 + level) / 2))


def wilson_at(successes: float, n: float, z: float) -> Interval:
    """Wilson's interval at any quantile, on any number of items that the data are worth."""
    rate = min(1.0, max(0.0, successes / n))  # weighted successes may leave 0..n by rounding
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # at 0 and n the end is exactly the rate; the formula would leave it by rounding
    low = 0.0 if rate == 0 else min(max(0.0, centre - half), rate)
    high = 1.0 if rate == 1 else max(min(1.0, centre + half), rate)
    return Interval(low, high)


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval of a rate (Clopper & Pearson 1934, Biometrika 26:404): coverage is never below the level.

    For rare events, where Wilson's falls short of its level. With none in n its upper end is 1 − ((1 − level)/2)^(1/n);
    the rule of three, 3/n, is the one-sided 95 % end of the same (Hanley & Lippman-Hand 1983, JAMA 249:1743).

    Args:
        successes: How often it happened.
        n: Items.
        level: Confidence, between 0 and 1.

    Returns:
        The interval; NaN for n = 0.

    Raises:
        ValueError: for successes outside 0..n.
    """
    if n == 0:
        return UNKNOWN
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes among {n} items")
    tail = (1 - level) / 2
    low = float(special.betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return Interval(low, high)


def constant_interval(value: float, n: int, level: float, bounds: tuple[float, float]) -> Interval:
    """Interval of a bounded mean whose n observations are all equal, where a standard error would say 0.

    Of n observations that all equal `value`, the share of a population that differs may still be up to
    π = z² / (n + z²) (the Wilson limit at 0 of n); at worst that share sits at one end of the scale. This is Wilson's
    interval for scores that are all 0 or all 1, and Tango's for differences that are all −1, 0 or 1.

    Args:
        value: What all observations equal, within `bounds`.
        n: Independent observations (clusters, where items are clustered).
        level: Confidence, between 0 and 1.
        bounds: Smallest and largest possible value: (0, 1) for scores, (−1, 1) for differences.
    """
    if n == 0:
        return UNKNOWN
    z = normal_quantile((1 + level) / 2)
    unseen = z * z / (n + z * z)
    floor, ceiling = bounds
    return Interval(value - unseen * (value - floor), value + unseen * (ceiling - value))


def mean_interval(
    scores: ArrayLike,
    *,
    clusters: Labels | None = None,
    level: float = 0.95,
    binary: bool = False,
    bounded: bool = False,
) -> Interval:
    """Interval of a mean score.

    Independent items: Wilson where they are right or wrong, Student's t where they are continuous. Clustered items:
    `clustered_error` and its t, for right-or-wrong ones as Wilson's interval on the effective number of items,
    p(1 − p) / SE² (Korn & Graubard 1998, Survey Methodology 24:193; Dean & Pagano 2015, J Surv Stat Methodol 3:484),
    which keeps its coverage near 0 and 1. Where all items (or all clusters) agree, the error is 0 and
    `constant_interval` stands in, if the score is bounded.

    Args:
        scores: (n,) one score per item, none missing.
        clusters: (n,) labels of what the items share; an empty label is a cluster of its own.
        level: Confidence, between 0 and 1.
        binary: Whether every score is 0 or 1; the interval then stays inside [0, 1].
        bounded: Whether scores lie in [0, 1] (a binary score does); the interval then stays there too.

    Returns:
        The interval; NaN for no items, for one continuous item and for a single cluster.

    Raises:
        ValueError: for a missing score or labels of another length.
    """
    s = finite_vector(scores)
    n = len(s)
    codes = None if clusters is None else cluster_codes(clusters, n)
    grouped = codes is not None and n > 0 and int(codes.max()) + 1 < n
    if n == 0 or (binary and not grouped):
        return wilson(float(s.sum()), n, level)
    mean = float(s.mean())
    if grouped and codes is not None:
        se, units, df = clustered_error(s, codes)
    else:
        se, units, df = standard_error(s), n, n - 1.0
    if units == 1:
        return UNKNOWN
    if (binary or bounded) and is_zero(se, s):
        return constant_interval(mean, units, level, (0.0, 1.0))
    quantile = t_quantile((1 + level) / 2, df)
    if binary:
        worth = mean * (1 - mean) / (se * se)
        return wilson_at(mean * worth, worth, quantile)
    interval = Interval(mean - quantile * se, mean + quantile * se)
    return Interval(max(0.0, interval.low), min(1.0, interval.high)) if bounded else interval


def is_zero(se: float, values: np.ndarray | Sequence[float]) -> bool:
    """Whether a standard error is 0 but for rounding, on the scale of the values that it came from."""
    scale = float(np.max(np.abs(values))) if len(values) else 0.0
    return se <= 1e-12 * scale


def newcombe_independent(x1: float, n1: int, x2: float, n2: int, level: float = 0.95) -> Interval:
    """Interval of p1 − p2 for two independent rates: two published scores whose items can't be paired.

    Newcombe 1998 (Stat Med 17:873), method 10: the two Wilson intervals, squared and added.

    Args:
        x1: Successes behind the minuend.
        n1: Items behind it.
        x2: Successes behind the subtrahend.
        n2: Items behind it.
        level: Confidence, between 0 and 1.

    Returns:
        The interval; NaN when either side has no items.

    Raises:
        ValueError: for successes outside 0..n.
    """
    if n1 == 0 or n2 == 0:
        return UNKNOWN
    first, second = wilson(x1, n1, level), wilson(x2, n2, level)
    p1, p2 = x1 / n1, x2 / n2
    low = p1 - p2 - math.hypot(p1 - first.low, second.high - p2)
    high = p1 - p2 + math.hypot(first.high - p1, p2 - second.low)
    return Interval(max(-1.0, low), min(1.0, high))
