"""Sums of what is known of sets of other items: a shifted benchmark against the one that it shifts, a mean over tasks.

Nothing can be paired then, so what is known of each side is put together: the ends of the intervals, squared and
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy import special

from capeval.stats.paired import PairedDifference
from capeval.stats.power import minimal_detectable_effect
from capeval.stats.rates import UNKNOWN, Interval, t_quantile
from capeval.stats.standard_errors import Labels, cluster_codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is known of one of the sets."""

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


def mover(values: Sequence[float], ends: Sequence[Interval], weights: Sequence[float]) -> Interval:
    """Interval of a weighted sum of independent estimates, from their intervals at the level that is wanted."""
    below = [w * (v - e.low) if w > 0 else w * (v - e.high) for v, e, w in zip(values, ends, weights, strict=True)]
    above = [w * (e.high - v) if w > 0 else w * (e.low - v) for v, e, w in zip(values, ends, weights, strict=True)]
    total = sum(w * v for v, w in zip(values, weights, strict=True))
    return Interval(total - math.hypot(*below), total + math.hypot(*above))


def independent_difference(x: Side, y: Side, *, alpha: float = 0.05, level: float = 0.95) -> PairedDifference:
    """Estimate x − y; as `independent_sum` of weights 1 and −1."""
    return independent_sum([x, y], [1.0, -1.0], alpha=alpha, level=level)


def independent_sum(
    sides: Sequence[Side], weights: Sequence[float], *, alpha: float = 0.05, level: float = 0.95
) -> PairedDifference:
    """Estimate Σ w·side, for sets of items of which none is shared.

    p is that of a t whose error is the distance from the estimate to the end that lies towards 0, so p ≤ 1 − level
    exactly where the interval leaves 0 out; its degrees of freedom are put together from all sides (Welch 1947,
    Biometrika 34:28). With a normal, few clusters would give small p too often.

    Args:
        sides: What is known of each set.
        weights: (sides,) 1 and −1 for a difference, 1/k each for a mean.
        alpha: Level of the decision: sets the equivalence interval (1 − 2α) and the MDE.
        level: Confidence of `low`..`high`.

    Returns:
        The estimate, with the items of all sides as `n`; NaN where one has none, p = 1 where one has no interval.
    """

    def at(wanted: float) -> Interval:
        return sum_interval(sides, weights, wanted)

    def detectable(level: float) -> float:
        return minimal_detectable_effect(se, alpha=level, df=df) if se > 0 else math.nan

    delta = sum(w * side.mean for w, side in zip(weights, sides, strict=True))
    shown, equivalence = at(level), at(1 - 2 * alpha)
    df = _welch(sides, weights, level)
    q = t_quantile((1 + level) / 2, df)
    se = (shown.high - shown.low) / 2 / q
    towards = (delta - shown.low if delta > 0 else shown.high - delta) / q
    p = 1.0 if math.isnan(towards) else 2 * float(special.stdtr(df, -abs(delta) / towards)) if towards else 1.0
    clustered = [side.groups for side in sides if side.clusters is not None]
    return PairedDifference(
        n=sum(side.n for side in sides),
        delta=delta,
        se=se,
        low=shown.low,
        high=shown.high,
        low_equivalence=equivalence.low,
        high_equivalence=equivalence.high,
        p=p if all(side.n for side in sides) else math.nan,
        n_clusters=min(clustered, default=0),
        low_clustered=math.nan,
        high_clustered=math.nan,
        n_positive=0,
        n_negative=0,
        method="independent items; MOVER interval, Welch's t",
        mde=detectable(alpha),
        detectable=detectable,
    )


def sum_interval(sides: Sequence[Side], weights: Sequence[float], level: float) -> Interval:
    """The interval of Σ w·side; NaN where a side has no items or no interval."""
    ends = [side.interval(level) for side in sides]
    known = all(side.n and not math.isnan(end.low + end.high) for side, end in zip(sides, ends, strict=True))
    return mover([side.mean for side in sides], ends, weights) if known else UNKNOWN


def _welch(sides: Sequence[Side], weights: Sequence[float], level: float) -> float:
    """Degrees of freedom of the errors together; those of the smallest side where none has a width."""
    variances = []
    for side, weight in zip(sides, weights, strict=True):
        ends = side.interval(level)
        se = weight * (ends.high - ends.low) / 2 / t_quantile((1 + level) / 2, side.df)
        variances.append(0.0 if math.isnan(se) else se * se)
    spread = sum(v * v / side.df for v, side in zip(variances, sides, strict=True))
    return sum(variances) ** 2 / spread if spread else min(side.df for side in sides)
