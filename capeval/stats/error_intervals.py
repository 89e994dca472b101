"""Intervals of a mean difference, built on a standard error that knows about clusters or strata.

    python -c "import numpy as np; from capeval.stats.error_intervals import effective_tango as e; \\
               print(e(np.array([1.0, 0, 0, -1, 1, 1]), 0.3, 5)(0.95))"
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from capeval.stats.discordant import tango_at
from capeval.stats.rates import UNKNOWN, Interval, constant_interval, is_zero, t_quantile
from capeval.stats.standard_errors import Vector


def t_interval(values: Vector, se: float, df: float, units: int, limit: float | None) -> Callable[[float], Interval]:
    """Mean ± t · SE, inside ±limit; where nothing varies and the score is bounded, `constant_interval`.

    Args:
        values: (n,) differences.
        se: Standard error of their mean.
        df: Degrees of freedom of the t.
        units: Independent units: items, or clusters.
        limit: Largest |d| that is possible; None where there is none.

    Returns:
        The interval at a level; NaN where the error is.
    """
    delta = float(values.mean())
    bound = math.inf if limit is None else limit

    def interval(level: float) -> Interval:
        if limit is not None and (not values.any() or is_zero(se, values)):
            return constant_interval(delta, units, level, (-limit, limit))
        if math.isnan(se):
            return UNKNOWN
        half = t_quantile((1 + level) / 2, df) * se
        return Interval(max(-bound, delta - half), min(bound, delta + half))

    return interval


def effective_tango(values: Vector, se: float, df: float) -> Callable[[float], Interval]:
    """Tango's interval on as many independent items as would tell as much: Var d / SE² instead of n.

    The idea of Korn & Graubard (1998, Survey Methodology 24:193) for rates, with Tango's interval in the place of
    theirs. Mean ± t · SE covers too little where one model merely loses (docs/statistics.md has the numbers); this one
    has the score interval's shape there.

    Args:
        values: (n,) differences, each −1, 0 or 1.
        se: Standard error of their mean, which clusters raise and strata lower. Where it is 0 (strata
            that agree inside), n itself counts.
        df: Degrees of freedom of the error; infinite for the normal.

    Returns:
        The interval at a level.
    """
    n = len(values)
    worth = 1.0 if is_zero(se, values) else float(values.var()) / (n * se * se)
    b, c = float(np.count_nonzero(values > 0)), float(np.count_nonzero(values < 0))
    return lambda level: tango_at(b * worth, c * worth, n * worth, t_quantile((1 + level) / 2, df))
