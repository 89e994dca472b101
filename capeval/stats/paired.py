"""The paired difference of two models on the same items: estimate, intervals, p, and what n could have shown.

One function holds the rules that choose the method; the methods live next door. With d = child − parent per item:

| items                        | p                        | interval                                              |
|------------------------------|--------------------------|-------------------------------------------------------|
| binary, independent          | exact McNemar            | Tango                                                 |
| continuous, independent      | paired t                 | the same t                                            |
| binary, in sampled clusters  | cluster sign-flip        | Tango on effective counts (clustered error, its t)    |
| continuous, in such clusters | cluster sign-flip        | clustered error, its t                                |
| binary, in fixed strata      | exact McNemar            | Tango on effective counts (stratified error)          |
| continuous, in fixed strata  | t of the stratified error| the same t                                            |

p and interval come from different methods, so that at the border one may exclude 0 and the other not. The answer
(`answers.decide`) follows p; the interval is for reading the size of the effect.

    python -c "from capeval.stats.paired import paired_difference as d; print(d([1, 0, 0, 1, -1, 0], binary=True))"
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from capeval.core import ClusterRole
from capeval.stats.discordant import mcnemar_exact, tango
from capeval.stats.error_intervals import effective_tango, t_interval
from capeval.stats.permutation import sign_flip, smallest_p
from capeval.stats.power import detectable_by_mcnemar, minimal_detectable_effect
from capeval.stats.rates import UNKNOWN, Interval, is_zero, t_quantile
from capeval.stats.standard_errors import (
    Labels,
    Vector,
    cluster_codes,
    clustered_error,
    collapse_singletons,
    finite_vector,
    standard_error,
    stratified_error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Child − parent over n shared items."""

    n: int
    delta: float
    """Mean of d (micro: every item counts once)."""
    se: float
    """Standard error that fits the role of the clusters; 0 when no item (or no cluster) differs from another."""
    low: float
    """Lower end of the interval at `level`."""
    high: float
    low_equivalence: float
    """Lower end of the 1 − 2α interval, for equivalence and for gates."""
    high_equivalence: float
    p: float
    """Two-sided, of no difference. 1 where one continuous item (or one cluster) can't say anything."""
    n_clusters: int
    """Clusters or strata; 0 when items are independent, also when every cluster is of one item."""
    low_clustered: float
    """For strata: lower end of the interval that generalises to other strata of the kind; else NaN."""
    high_clustered: float
    n_positive: int
    n_negative: int
    method: str
    """Test and interval used, for people."""
    mde: float
    """Smallest true difference that the test would have found with 80 % power; NaN where it can't be known, or where no
    difference could have been found."""
    detectable: Callable[[float], float] = field(repr=False, compare=False)
    """The same at another level than α: a family's adjustment judges each of its tests at a level of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What the methods say; an interval at any level."""

    se: float
    p: float
    interval: Callable[[float], Interval]
    method: str
    test: Literal["McNemar", "sign-flip", "t"]
    """Whose power the smallest detectable effect is about."""
    df: float = math.inf
    n_clusters: int = 0


def paired_difference(  # noqa: PLR0913  the one place where the rules of all cases meet
    d: ArrayLike,
    *,
    clusters: Labels | None = None,
    role: ClusterRole = "none",
    binary: bool,
    bounded: bool = True,
    alpha: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Estimate child − parent from the per-item differences.

    Where nothing varies (a run against itself: all d = 0), the error is 0 but the interval of a bounded score is not:
    it is `constant_interval`, which for d = 0 is Tango's interval with nothing discordant, on n items or, for sampled
    clusters, on G clusters. An unbounded score (length) then gets (delta, delta). Where the error is 0 and
    delta is not, p is that of the sign test.

    Args:
        d: (n,) differences, none missing: several samples of an item are averaged first.
        clusters: (n,) labels of what items share; an empty label shares nothing.
        role: What clusters are: `sampled` from many, or the `strata` of a fixed benchmark.
        binary: Whether every d is −1, 0 or 1.
        bounded: Whether scores lie in [0, 1], so that |d| ≤ 1 (where a contrast of contrasts goes further, its largest
            |d| is the bound).
        alpha: Level of the decision: sets the equivalence interval (1 − 2α) and the MDE.
        level: Confidence of `low`..`high`.
        seed: Of the sign-flip test, where it draws.

    Returns:
        The estimate. All NaN for no items; for one continuous item, or one sampled cluster, p = 1 and no interval.

    Raises:
        ValueError: for missing values, a d that is not −1, 0 or 1 though `binary`, or labels of another length.
    """
    values = finite_vector(d)
    if binary and not np.isin(values, (-1.0, 0.0, 1.0)).all():
        raise ValueError("binary differences are −1, 0 or 1")
    n = len(values)
    codes = _grouping(clusters, role, n)
    if n == 0:
        return _nothing()
    limit = max(1.0, float(np.abs(values).max())) if binary or bounded else None
    if codes is None:
        judged = _independent(values, binary, limit)
    elif role == "sampled":
        judged = _sampled(values, codes, binary, limit, alpha, seed)
    else:
        judged = _stratified(values, codes, binary, limit)
    shown, equivalence = judged.interval(level), judged.interval(1 - 2 * alpha)
    beyond = UNKNOWN
    if codes is not None and role == "strata":
        beyond = _clustered_interval(values, codes, binary, limit)(level)
    detectable = partial(_detectable, judged, values, binary, limit is not None)
    return PairedDifference(
        n=n,
        delta=float(values.mean()),
        se=judged.se,
        low=shown.low,
        high=shown.high,
        low_equivalence=equivalence.low,
        high_equivalence=equivalence.high,
        p=judged.p,
        n_clusters=judged.n_clusters,
        low_clustered=beyond.low,
        high_clustered=beyond.high,
        n_positive=int(np.count_nonzero(values > 0)),
        n_negative=int(np.count_nonzero(values < 0)),
        method=judged.method,
        mde=detectable(alpha),
        detectable=detectable,
    )


def _grouping(clusters: Labels | None, role: ClusterRole, n: int) -> NDArray[np.intp] | None:
    """Codes of the clusters, or None where items are independent (no role, or one item in every cluster)."""
    if clusters is None or role == "none" or n == 0:
        return None
    codes = cluster_codes(clusters, n)
    return None if int(codes.max()) + 1 == n else codes


def _nothing() -> PairedDifference:
    nan = math.nan
    return PairedDifference(
        n=0, delta=nan, se=nan, low=nan, high=nan, low_equivalence=nan, high_equivalence=nan, p=nan, n_clusters=0,
        low_clustered=nan, high_clustered=nan, n_positive=0, n_negative=0, method="no items", mde=nan,
        detectable=lambda _: nan,
    )  # fmt: skip


def _independent(values: Vector, binary: bool, limit: float | None) -> _Judged:
    n, se = len(values), standard_error(values)
    b, c = int(np.count_nonzero(values > 0)), int(np.count_nonzero(values < 0))
    if binary:
        return _Judged(
            se=se,
            p=mcnemar_exact(b, c),
            interval=lambda level: tango(b, c, n, level),
            method="exact McNemar; Tango interval",
            test="McNemar",
        )
    return _by_t(values, se, n - 1, limit, "paired t")


def _by_t(values: Vector, se: float, df: float, limit: float | None, method: str) -> _Judged:
    """Student's t on the mean, or the sign test where nothing varies."""
    delta = float(values.mean())
    if math.isnan(se):
        p, method = 1.0, f"{method} (one item: no test)"
    elif is_zero(se, values):
        p = mcnemar_exact(int(np.count_nonzero(values > 0)), int(np.count_nonzero(values < 0)))
        method = "sign test (no spread)"
    else:
        p = 2 * float(special.stdtr(df, -abs(delta) / se))
    interval = t_interval(values, se, df, len(values), limit)
    return _Judged(se=se, p=p, interval=interval, method=method, test="t")


def _sampled(
    values: Vector, codes: NDArray[np.intp], binary: bool, limit: float | None, alpha: float, seed: int
) -> _Judged:
    se, groups, df = clustered_error(values, codes)
    interval = "no spread" if is_zero(se, values) else "Tango interval on effective counts" if binary else "t interval"
    method = f"cluster sign-flip; {interval} (clustered error)"
    if smallest_p(groups) > alpha:
        method += f"; {groups} cluster{'s' * (groups != 1)} can't reach p ≤ {alpha:g}"
    return _Judged(
        se=se,
        p=sign_flip(np.bincount(codes, weights=values), seed),
        interval=_clustered_interval(values, codes, binary, limit),
        method=method,
        test="sign-flip",
        df=df,
        n_clusters=groups,
    )


def _stratified(values: Vector, codes: NDArray[np.intp], binary: bool, limit: float | None) -> _Judged:
    n, groups, se = len(values), int(codes.max()) + 1, stratified_error(values, codes)
    if not binary:
        df = n - (int(collapse_singletons(codes).max()) + 1)
        return replace(_by_t(values, se, df, limit, "stratified t"), n_clusters=groups)
    return _Judged(
        se=se,
        p=mcnemar_exact(int(np.count_nonzero(values > 0)), int(np.count_nonzero(values < 0))),
        interval=effective_tango(values, se, math.inf),
        method="exact McNemar; Tango interval on effective counts (stratified error)",
        test="McNemar",
        n_clusters=groups,
    )


def _clustered_interval(
    values: Vector, codes: NDArray[np.intp], binary: bool, limit: float | None
) -> Callable[[float], Interval]:
    se, groups, df = clustered_error(values, codes)
    if not binary or math.isnan(se) or is_zero(se, values):
        return t_interval(values, se, df, groups, limit)
    # by chance, clusters may differ less than independent items would: that is no reason for a narrower interval
    return effective_tango(values, max(se, float(values.std()) / math.sqrt(len(values))), df)


def _detectable(judged: _Judged, values: Vector, binary: bool, bounded: bool, alpha: float) -> float:
    """What the test that decides would have found; docs/validation.md has how often it does.

    Where the error is 0 and the score bounded, half the width of the 1 − α interval stands in for it.
    """
    if judged.test == "McNemar":
        return detectable_by_mcnemar(len(values), int(np.count_nonzero(values)), alpha=alpha)
    df = None if math.isinf(judged.df) else judged.df
    if judged.test == "sign-flip":
        step = smallest_p(judged.n_clusters)
        if step > alpha:
            return math.nan
        alpha = step * math.floor(alpha / step)  # the levels that few clusters can have
    if is_zero(judged.se, values):
        if not bounded:
            return math.nan
        interval = judged.interval(1 - alpha)
        se = (interval.high - interval.low) / 2 / t_quantile(1 - alpha / 2, math.inf)
        return minimal_detectable_effect(se, alpha=alpha)
    found = minimal_detectable_effect(judged.se, alpha=alpha, df=df)
    # an effect larger than the share of items that differ makes more of them differ, and so its own error larger
    differing = float(np.count_nonzero(values)) / len(values)
    return min(1.0, found * max(1.0, found / differing)) if binary else found
