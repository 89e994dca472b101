"""Along a path of models: what each step adds above a guesser's score, how often it adds the most, what is left of it.

The models of a path answered the same items, so the first mean and all differences add up to the last mean exactly. A
capability begins at chance: what lies below it (no answer could be read, say) counts as chance, and the first model's
own score above chance competes with the steps. Which one adds the most is a maximum over estimates, for which no
standard error is at hand; so the items are drawn again (the bootstrap: Efron & Tibshirani 1993, An Introduction to the
Bootstrap, chapters 6 and 13), whole clusters where these stand for more of their kind, items inside their stratum where
the strata are the benchmark.

    python -c "from capeval.stats.path import path_gains as g; print(g([[0, 1, 1], [0, 1, 0], [0, 1, 1]], floor=0.0))"
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capeval.core import ClusterRole
from capeval.stats.standard_errors import Labels, Vector, cluster_codes

DRAWS = 2_000
"""A share of 95 % is then known to ±1 point (two standard errors)."""
_TIE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class PathGains:
    """One number per model of a path, the first model first; all NaN for no items."""

    n: int
    gains: Vector
    """(k,) what the model adds above the floor to the one before it; the first: its own score above the floor, NaN
    where there is no floor. Without a floor they are plain differences."""
    support: Vector
    """(k,) share of draws in which it adds the most. Models that tie share a draw; one in which none adds is none's."""
    left: Vector
    """(k,) share of its gain that is left at the end, between 0 and 1; NaN where it adds nothing."""
    left_low: Vector
    """(k,) percentile interval of it."""
    left_high: Vector


def gains_above(means: ArrayLike, floor: float | None) -> Vector:
    """What each model adds above the floor; scores are such that more is better.

    Args:
        means: (..., k) score of every model of the path.
        floor: Score of a guesser; None where there is none: then the first model's is NaN.

    Returns:
        (..., k); with a floor they add up to what the last model has above it.
    """
    values = np.asarray(means, dtype=np.float64)
    first = np.full_like(values[..., :1], math.nan)
    if floor is not None:
        values = np.maximum(values, floor) - floor
        first = values[..., :1]
    found: Vector = np.concatenate([first, np.diff(values, axis=-1)], axis=-1)
    return found


def largest(gains: ArrayLike) -> Vector:
    """(..., k) 1 for who adds the most, shared by those who tie; all 0 where nobody adds anything."""
    values = np.nan_to_num(np.asarray(gains, dtype=np.float64), nan=-math.inf)
    top = values.max(axis=-1, keepdims=True)
    first = (values >= top - _TIE) & (values > _TIE)
    shared: Vector = first / np.maximum(first.sum(axis=-1, keepdims=True), 1)
    return shared


def path_gains(  # noqa: PLR0913  scores, what their items share, and how to draw them
    scores: ArrayLike,
    *,
    floor: float | None,
    clusters: Labels | None = None,
    role: ClusterRole = "none",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> PathGains:
    """Gains of a path with how often each is the largest.

    Args:
        scores: (n, k) of n items under k models, in the path's order, none missing; more is better.
        floor: Score of a guesser; None where the metric has none.
        clusters: (n,) labels of what items share.
        role: What clusters are: `sampled` ones are drawn whole, in `strata` items are drawn.
        level: Confidence of the interval of what is left.
        draws: How many.
        seed: Of the draws.

    Raises:
        ValueError: for missing scores, or fewer than two models.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise ValueError("one row per item and one column per model is needed, two or more, without missing scores")
    n, k = table.shape
    nothing = np.full(k, math.nan)
    if not n:
        return PathGains(n=0, gains=nothing, support=nothing, left=nothing, left_low=nothing, left_high=nothing)
    drawn = _drawn_means(table, clusters, role, draws, seed)
    drawn_gains = gains_above(drawn, floor)
    gains = gains_above(table.mean(axis=0), floor)
    low, high = _interval(_left(drawn_gains), (1 - level) / 2)
    return PathGains(
        n=n,
        gains=gains,
        support=largest(drawn_gains).mean(axis=0),
        left=_left(gains),
        left_low=low,
        left_high=high,
    )


def _left(gains: Vector) -> Vector:
    """(..., k) of each gain the share that is left at the end: what it and all later ones amount to, over it."""
    later = np.cumsum(gains[..., ::-1], axis=-1)[..., ::-1]
    share = np.full_like(gains, math.nan)
    np.divide(later, gains, out=share, where=gains > _TIE)
    found: Vector = np.clip(share, 0.0, 1.0)
    return found


def _interval(shares: Vector, tail: float) -> tuple[Vector, Vector]:
    """Percentiles over the draws in which there is a share; NaN without one."""
    ends = []
    for column in shares.T:
        known = column[~np.isnan(column)]
        ends.append(np.quantile(known, [tail, 1 - tail]) if len(known) else np.full(2, math.nan))
    low, high = np.array(ends).T
    return low, high


def _drawn_means(table: Vector, clusters: Labels | None, role: ClusterRole, draws: int, seed: int) -> Vector:
    """(draws, k) means of the models on items, or clusters, that are drawn again."""
    n = len(table)
    codes = None if clusters is None or role == "none" else cluster_codes(clusters, n)
    if codes is None:
        units, sizes, blocks = table, np.ones(n), (n,)
    elif role == "strata":
        order = np.argsort(codes, kind="stable")
        units, sizes, blocks = table[order], np.ones(n), tuple(np.bincount(codes).tolist())
    else:
        units = np.stack([np.bincount(codes, weights=column) for column in table.T], axis=1)
        sizes = np.bincount(codes).astype(np.float64)
        blocks = (len(sizes),)
    counts = _counts(blocks, draws, seed)
    sums = counts @ np.column_stack([units, sizes]).astype(np.float32)  # whole numbers of items stay exact
    found: Vector = sums[:, :-1].astype(np.float64) / sums[:, -1:].astype(np.float64)
    return found


@lru_cache(maxsize=8)
def _counts(blocks: tuple[int, ...], draws: int, seed: int) -> NDArray[np.float32]:
    """(draws, units) how often each unit is drawn, inside its block; the same for all tables of one shape."""
    rng = np.random.default_rng(seed)
    each = [rng.multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float32) for size in blocks]
    return np.concatenate(each, axis=1)
