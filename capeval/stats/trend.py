"""A score against size: the slope per tenfold size, item by item.

The same items asked at several sizes are repeated measures. Each item gets its own least-squares slope on log10 of the
size; the mean of these is the slope of the means, and items (or their clusters) are the only noise: how hard an item is
cancels, as in a paired difference (summary measures: Matthews, Altman, Campbell & Royston 1990, BMJ 300:230).

    python -c "from capeval.stats.trend import trend; print(trend([[0, 0, 1], [0, 1, 1], [0, 0, 0]], [1, 10, 100]))"
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capeval.core import ClusterRole
from capeval.stats.paired import PairedDifference, paired_difference
from capeval.stats.standard_errors import Labels, Vector

MIN_SIZES = 3
"""Two sizes are a difference, no trend."""


def slope_weights(sizes: ArrayLike) -> Vector:
    """What each size's score counts in the least-squares slope on log10 of the size.

    Args:
        sizes: (k,) above 0, at least two of them different; in any order.

    Returns:
        (k,) weights that sum to 0.

    Raises:
        ValueError: for sizes that are not above 0, or all alike.
    """
    x = log_sizes(sizes)
    centred = x - x.mean()
    squares = float((centred**2).sum())
    if not squares > 0:
        raise ValueError("a slope takes two different sizes")
    weights: Vector = centred / squares
    return weights


def log_sizes(sizes: ArrayLike) -> Vector:
    """log10 of the sizes.

    Raises:
        ValueError: for another shape than (k,), or a size that is not above 0.
    """
    values = np.asarray(sizes, dtype=np.float64)
    if values.ndim != 1 or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("sizes are positive numbers, in one dimension")
    return np.log10(values)


def matrix(scores: ArrayLike, k: int) -> NDArray[np.float64]:
    """Scores as (n, k) floats.

    Raises:
        ValueError: for another shape, or a missing score: an item that lacks a size is dropped (and counted) before.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != k:
        raise ValueError(f"scores must have a row for each item and a column for each of the {k} sizes")
    if not np.isfinite(values).all():
        raise ValueError("missing or infinite scores: drop (and count) items that lack a size before the statistics")
    return values


def trend(  # noqa: PLR0913  as paired_difference, which it puts the slopes to
    scores: ArrayLike,
    sizes: ArrayLike,
    *,
    clusters: Labels | None = None,
    role: ClusterRole = "none",
    span: float | None = 1.0,
    alpha: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Score gained per tenfold size, with the interval and p of the paired difference.

    Args:
        scores: (n, k) one row per item, one column per size, none missing.
        sizes: (k,) in the columns' order.
        clusters: (n,) labels of what items share.
        role: What clusters are (`paired.paired_difference`).
        span: Largest minus smallest score that an item can have: 1 for points, 2 for a difference of two such scores;
            None where there is no bound. An item's slope is then bounded too, which gives the interval its width where
            no item varies.
        alpha: Level of the decision: sets the equivalence interval and the MDE.
        level: Confidence of the interval.
        seed: Of the cluster sign-flip test.

    Returns:
        `delta` is the slope; every length is in score per tenfold size.

    Raises:
        ValueError: for missing scores, shapes that don't fit, sizes that are not above 0 or fewer than `MIN_SIZES`.
    """
    weights = slope_weights(sizes)
    if len(np.unique(np.asarray(sizes, dtype=np.float64))) < MIN_SIZES:
        raise ValueError(f"a trend takes {MIN_SIZES} different sizes")
    steepest = 1.0 if span is None else span * float(weights[weights > 0].sum())
    values = matrix(scores, len(weights))
    slopes = values @ weights / steepest
    # an item that scores alike at all sizes has a slope of 0, not of what rounding leaves of it
    slopes[values.max(axis=1, initial=-np.inf) == values.min(axis=1, initial=np.inf)] = 0.0
    found = paired_difference(
        slopes,
        clusters=clusters, role=role, binary=False, bounded=span is not None, alpha=alpha, level=level, seed=seed,
    )  # fmt: skip
    lengths = ("delta", "se", "low", "high", "low_equivalence", "high_equivalence", "low_clustered", "high_clustered",
               "mde")  # fmt: skip
    return replace(found, **{name: getattr(found, name) * steepest for name in lengths})
