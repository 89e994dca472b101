"""Differences between two sets of other items: a shifted benchmark against the one that it shifts.

Nothing can be paired then, so what is known of each side is put together: the ends of the two intervals, squared and
added ("MOVER": Zou & Donner 2008, Stat Med 27:1693; for two rates it is Newcombe's 1998 method 10). It takes whatever
interval suits each side (Wilson, clustered, Tango on paired differences) and keeps a width where one of them has no
spread.

>>> x, y = (Side(mean=m, n=100, interval=lambda level, k=k: wilson(k, 100, level)) for m, k in ((0.4, 40), (0.6, 60)))
>>> found = independent_difference(x, y)
>>> round(found.low, 3), round(found.high, 3), round(found.p, 3)
(-0.328, -0.061, 0.005)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special

from capeval.stats.paired import PairedDifference
from capeval.stats.power import minimal_detectable_effect
from capeval.stats.rates import UNKNOWN, Interval, t_quantile
from capeval.stats.standard_errors import Labels, cluster_codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is known of one of the two."""

    mean: float
    """A score, or a paired difference; NaN without items."""
    n: int
    interval: Callable[[float], Interval]
    """Its interval at any level."""
    clusters: Labels | None = None
    """(n,) labels where items stand for more of their kind: they decide how far the tails reach."""

    @property
    def df(self) -> float:
        """Degrees of freedom of its error: of its items, or of its clusters."""
        return max(1.0, float(self.groups - 1))

    @property
    def groups(self) -> int:
        """Independent pieces: clusters, or items."""
        return self.n if self.clusters is None or not self.n else int(cluster_codes(self.clusters, self.n).max()) + 1


def mover(x: float, x_ends: Interval, y: float, y_ends: Interval) -> Interval:
    """Interval of x − y from the intervals of independent x and y, each at the level that is wanted."""
    delta = x - y
    return Interval(
        delta - math.hypot(x - x_ends.low, y_ends.high - y), delta + math.hypot(x_ends.high - x, y - y_ends.low)
    )


def independent_difference(x: Side, y: Side, *, alpha: float = 0.05, level: float = 0.95) -> PairedDifference:
    """Estimate x − y.

    p is that of a t whose error is the distance from the estimate to the end that lies towards 0, so p ≤ 1 − level
    exactly where the interval leaves 0 out; its degrees of freedom are put together from both sides (Welch 1947,
    Biometrika 34:28). With a normal, few clusters would give small p too often.

    Args:
        x: The minuend.
        y: The subtrahend.
        alpha: Level of the decision: sets the equivalence interval (1 − 2α) and the MDE.
        level: Confidence of `low`..`high`.

    Returns:
        The estimate, with the items of both sides as `n`; NaN where one has none, p = 1 where one has no interval.
    """

    def at(wanted: float) -> Interval:
        ends = x.interval(wanted), y.interval(wanted)
        known = not any(math.isnan(value) for end in ends for value in (end.low, end.high))
        return mover(x.mean, ends[0], y.mean, ends[1]) if known and x.n and y.n else UNKNOWN

    def detectable(level: float) -> float:
        return minimal_detectable_effect(se, alpha=level, df=df) if se > 0 else math.nan

    delta = x.mean - y.mean
    shown, equivalence = at(level), at(1 - 2 * alpha)
    df = _welch(x, y, level)
    q = t_quantile((1 + level) / 2, df)
    se = (shown.high - shown.low) / 2 / q
    towards = (delta - shown.low if delta > 0 else shown.high - delta) / q
    p = 1.0 if math.isnan(towards) else 2 * float(special.stdtr(df, -abs(delta) / towards)) if towards else 1.0
    clustered = [side.groups for side in (x, y) if side.clusters is not None]
    return PairedDifference(
        n=x.n + y.n,
        delta=delta,
        se=se,
        low=shown.low,
        high=shown.high,
        low_equivalence=equivalence.low,
        high_equivalence=equivalence.high,
        p=p if x.n and y.n else math.nan,
        n_clusters=min(clustered, default=0),
        low_clustered=math.nan,
        high_clustered=math.nan,
        n_positive=0,
        n_negative=0,
        method="independent items; MOVER interval, Welch's t",
        mde=detectable(alpha),
        detectable=detectable,
    )


def _welch(x: Side, y: Side, level: float) -> float:
    """Degrees of freedom of the two errors together; those of the smaller side where neither has a width."""
    variances = []
    for side in (x, y):
        ends = side.interval(level)
        se = (ends.high - ends.low) / 2 / t_quantile((1 + level) / 2, side.df)
        variances.append(0.0 if math.isnan(se) else se * se)
    spread = sum(v * v / side.df for v, side in zip(variances, (x, y), strict=True))
    return sum(variances) ** 2 / spread if spread else min(x.df, y.df)
