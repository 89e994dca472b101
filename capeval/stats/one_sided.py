"""One-sided p against any threshold, from an interval that can be had at every level.

A claim is rarely "is there a difference at all": it is "more than nothing", "less than the margin". The p of such a
question is where the interval's end just reaches the threshold (test and interval are two views of one thing: Lehmann &
Romano 2005, Testing Statistical Hypotheses, section 3.5).

    python -c "from capeval.stats.one_sided import p_above; from capeval.stats.rates import wilson; \\
        print(p_above(lambda level: wilson(60, 100, level), 0.6, 0.5))"
"""

from __future__ import annotations

import math
from collections.abc import Callable

from capeval.stats.rates import Interval

_SMALLEST = 1e-12


def p_above(interval: Callable[[float], Interval], estimate: float, threshold: float) -> float:
    """p of "the truth is not above the threshold": small where it is shown to be above.

    Args:
        interval: Two-sided interval of the estimate at any level between 0 and 1.
        estimate: The point estimate.
        threshold: What the truth is held against.

    Returns:
        (1 − level)/2 for the level at which an end of the interval reaches the threshold; ½ where the estimate is the
        threshold, NaN where nothing is known.
    """
    if math.isnan(estimate) or math.isnan(interval(0.95).low):
        return math.nan
    if estimate == threshold:
        return 0.5
    tail = _tail(interval, threshold, lower=estimate > threshold)
    return tail if estimate > threshold else 1 - tail


def _tail(interval: Callable[[float], Interval], threshold: float, *, lower: bool) -> float:
    """The one-sided level at which the lower (upper) end is the threshold, at most ½."""

    def beyond(tail: float) -> float:
        ends = interval(1 - 2 * tail)
        return ends.low - threshold if lower else threshold - ends.high

    if beyond(_SMALLEST) >= 0:
        return _SMALLEST
    if beyond(0.5 - 1e-9) <= 0:
        return 0.5
    from scipy import optimize  # late: most runs ask for no such p

    return float(optimize.brentq(beyond, _SMALLEST, 0.5 - 1e-9, xtol=1e-10))
