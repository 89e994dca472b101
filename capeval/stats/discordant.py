"""Two models, right or wrong on the same items: the exact McNemar test and Tango's interval.

Only discordant items tell: b that the child alone gets right, c that the parent alone does.

    python -c "from capeval.stats.discordant import tango; print(tango(b=16, c=8, n=86))"
"""

from __future__ import annotations

import math

from scipy import special

from capeval.stats.rates import UNKNOWN, Interval, normal_quantile

_HALVINGS = 40
"""Of an interval of at most 2: to 2e-12."""


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact McNemar p: min(1, 2 · P(X ≤ min(b, c))) with X binomial(b + c, ½) (McNemar 1947).

    Args:
        b: Items that only the child gets right.
        c: Items that only the parent gets right.

    Returns:
        The p; 1 when nothing is discordant.
    """
    if b + c == 0:
        return 1.0
    return min(1.0, 2.0 * float(special.bdtr(min(b, c), b + c, 0.5)))


def tango(b: float, c: float, n: float, level: float = 0.95) -> Interval:
    """Score interval of (b − c) / n, the difference of two rates on the same items.

    Tango 1998 (Stat Med 17:891): all δ that the score test with statistic
    (b − c − nδ) / √(n (2q + δ(1 − δ))) doesn't refuse, q being the restricted maximum-likelihood estimate of the
    probability behind c. Found by bisection; never of width 0, never outside [−1, 1].

    Args:
        b: Items that only the child gets right.
        c: Items that only the parent gets right.
        n: All items.
        level: Confidence, between 0 and 1.

    Returns:
        The interval; NaN for n = 0.

    Raises:
        ValueError: for negative counts or more discordant items than items.
    """
    if n == 0:
        return UNKNOWN
    if b < 0 or c < 0 or b + c > n * (1 + 1e-12):
        raise ValueError(f"{b} + {c} discordant items among {n}")
    return tango_at(b, c, n, normal_quantile((1 + level) / 2))


def tango_at(b: float, c: float, n: float, z: float) -> Interval:
    """Tango's interval at a critical value of the caller's: a t where the counts are effective ones."""
    # the lower limit is the upper one of the mirrored table
    return Interval(-_upper_limit(c, b, n, z), _upper_limit(b, c, n, z))


def _upper_limit(b: float, c: float, n: float, z: float) -> float:
    inside, outside = (b - c) / n, 1.0
    for _ in range(_HALVINGS):
        delta = (inside + outside) / 2
        if _refused(delta, b, c, n, z):
            outside = delta
        else:
            inside = delta
    return (inside + outside) / 2


def _refused(delta: float, b: float, c: float, n: float, z: float) -> bool:
    quadratic = 2 * n
    linear = (2 * n - b + c) * delta - b - c
    constant = -c * delta * (1 - delta)
    q = (math.sqrt(max(0.0, linear * linear - 4 * quadratic * constant)) - linear) / (2 * quadratic)
    variance = n * (2 * q + delta * (1 - delta))
    # squares instead of a quotient: the variance is 0 at δ = ±1
    return (b - c - n * delta) ** 2 > z * z * variance
