"""Does a model's confidence say how often it is right? Brier score and calibration error, with what luck alone gives.

A measured calibration error is never 0: with few items in a bin, the share of right ones strays from the confidence by
luck. So the error comes with the value that a perfectly calibrated model of the same confidences would show on as many
items, and with an interval that allows for that luck.

    python -c "from capeval.stats.calibration import adaptive_ece as e; print(e([0.9, 0.9, 0.4, 0.4], [1, 1, 1, 0]))"
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.rates import UNKNOWN, Interval, normal_quantile
from capeval.stats.standard_errors import Labels, Vector, cluster_codes, finite_vector

BINS = 15
"""At most so many bins, as in most of the literature's figures."""
ITEMS_PER_BIN = 20
"""At least so many items in a bin (where there are as many): in a smaller one, the sample can't tell its own noise."""
RESAMPLES = 1000
_CHUNK = 2_000_000
"""Numbers that are drawn at once."""


def brier(probabilities: ArrayLike, right: int) -> float:
    """Brier score of one item with several answers, Σ (p − [right])², from 0 to 2 (Brier 1950, MWR 78:1).

    Args:
        probabilities: (k,) of the answers, summing to 1.
        right: Index of the right one.

    Raises:
        ValueError: for probabilities that don't sum to 1, or an index outside of them.
    """
    p = finite_vector(probabilities)
    if not 0 <= right < len(p) or not math.isclose(p.sum(), 1.0, abs_tol=1e-6):
        raise ValueError(f"answer {right} of {len(p)} probabilities that sum to {p.sum():g}")
    return float(((p - np.eye(len(p))[right]) ** 2).sum())


def top_label_brier(confidence: ArrayLike, right: ArrayLike) -> float:
    """Mean (confidence − right)² of the answers taken, from 0 to 1; NaN without items."""
    p, y = _pair(confidence, right)
    return float(((p - y) ** 2).mean()) if len(p) else math.nan


def adaptive_ece(confidence: ArrayLike, right: ArrayLike) -> float:
    """Calibration error over bins of equal mass, of the answers taken.

    Σ_b n_b/n · |share right − mean confidence|, the bins being the adaptive ranges of Nixon et al. 2019
    (arXiv:1904.01685); they average over all classes, this is about the one that was taken. Items of equal confidence
    that straddle bins belong to each in proportion, so the items' order decides nothing.

    Args:
        confidence: (n,) probabilities of the answers taken.
        right: (n,) 1 where the answer was right, else 0.

    Returns:
        The error, between 0 and 1; NaN without items.

    Raises:
        ValueError: for lengths that differ, or values outside [0, 1].
    """
    p, y = _pair(confidence, right)
    return float(np.abs((y - p) @ _bins(p)).sum() / len(p)) if len(p) else math.nan


def ece_if_calibrated(confidence: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The mean error that these confidences give when they are exactly true: how much of an error is luck.

    Outcomes are drawn from the confidences (consistency resampling; Bröcker & Smith 2007, Weather and Forecasting
    22:651), each item independently; NaN without items.
    """
    p, _ = _pair(confidence, confidence)
    return float(_calibrated(p, resamples, np.random.default_rng(seed)).mean()) if len(p) else math.nan


def ece_interval(
    confidence: ArrayLike,
    right: ArrayLike,
    *,
    clusters: Labels | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """A cautious bootstrap interval of the adaptive error, cut at 0 and 1.

    The error is a sum of absolute values, so luck pushes it up, and a bootstrap of it pushes it up a second time: in
    simulations (docs/statistics.md) the percentile interval never covered a calibrated model's 0, the basic one covered
    it the less the more items there were. Here the bins' gaps are resampled instead. Low end: the error less the
    upper quantile of Σ_b |resampled gap − gap|, by which luck can at most move it (triangle inequality). High end:
    the error plus z standard errors; its mean is never below the truth (Jensen). Neither allows for less luck than
    a calibrated model has: a handful of items that are all right resample to themselves.

    Args:
        confidence: (n,) probabilities of the answers taken.
        right: (n,) 1 where the answer was right, else 0.
        clusters: (n,) labels: whole clusters are drawn; None draws items.
        level: Confidence of the interval.
        resamples: How many.
        seed: Of the draws.

    Returns:
        The interval; NaN for fewer than two items or clusters.
    """
    p, y = _pair(confidence, right)
    codes = np.arange(len(p)) if clusters is None else cluster_codes(clusters, len(p))
    units = int(codes.max()) + 1 if len(codes) else 0
    if units < 2:
        return UNKNOWN
    gaps = np.zeros((units, _bins(p).shape[1]))
    np.add.at(gaps, codes, (y - p)[:, None] * _bins(p) / len(p))
    measured, rng = gaps.sum(axis=0), np.random.default_rng(seed)
    drawn = np.concatenate(
        [rng.multinomial(units, np.full(units, 1 / units), size=size) @ gaps for size in _sizes(resamples, units)]
    )
    lucky = _calibrated(p, resamples, rng)
    error, tail = float(np.abs(measured).sum()), (1 + level) / 2
    luck = max(np.quantile(np.abs(drawn - measured).sum(axis=1), tail), np.quantile(lucky, tail))
    spread = normal_quantile(tail) * max(np.abs(drawn).sum(axis=1).std(), lucky.std())
    return Interval(max(0.0, error - float(luck)), min(1.0, error + float(spread)))


def _pair(confidence: ArrayLike, right: ArrayLike) -> tuple[Vector, Vector]:
    p, y = finite_vector(confidence), finite_vector(right)
    if len(p) != len(y):
        raise ValueError(f"{len(p)} confidences for {len(y)} answers")
    if any(len(v) and not (v.min() >= 0 and v.max() <= 1) for v in (p, y)):
        raise ValueError("confidences and scores lie between 0 and 1")
    return p, y


def _bins(p: Vector) -> Vector:
    """(n, bins) how much of each item belongs to each bin of equal mass; rows sum to 1."""
    count = min(BINS, max(1, len(p) // ITEMS_PER_BIN))
    order = np.argsort(p, kind="stable")
    slots = np.zeros((len(p), count))
    slots[order, np.arange(len(p)) * count // len(p)] = 1.0
    _, group, sizes = np.unique(p, return_inverse=True, return_counts=True)
    shares = np.zeros((len(sizes), count))
    np.add.at(shares, group, slots)
    found: Vector = (shares / sizes[:, None])[group]
    return found


def _calibrated(p: Vector, resamples: int, rng: np.random.Generator) -> Vector:
    """(resamples,) errors of outcomes that are drawn from the confidences."""
    bins = _bins(p)
    return np.concatenate(
        [np.abs(((rng.random((size, len(p))) < p) - p) @ bins).sum(axis=1) for size in _sizes(resamples, len(p))]
    ) / len(p)  # fmt: skip


def _sizes(resamples: int, width: int) -> list[int]:
    """Chunks of resamples, so that not all of them have to be in memory."""
    size = max(1, _CHUNK // width)
    return [min(size, resamples - start) for start in range(0, resamples, size)]
