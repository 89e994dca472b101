"""What this many items could have shown, and how many it takes: printed beside every "no change".

python -c "from capeval.stats.power import items_for_margin; print(items_for_margin(0.2, 0.02))"
"""

from __future__ import annotations

import math

from capeval.stats.rates import normal_quantile, t_quantile


def minimal_detectable_effect(se: float, *, alpha: float = 0.05, power: float = 0.8, df: float | None = None) -> float:
    """The smallest true difference that would have been found with this power: (q_{1−α/2} + q_{power}) · SE.

    2.80 · SE for independent items at the usual α and power (Bloom 1995, Evaluation Review 19:547; Miller 2024,
    arXiv 2411.00640).

    Args:
        se: Standard error of the difference; NaN gives NaN.
        alpha: Of the two-sided test.
        power: Chance of finding it.
        df: Degrees of freedom, where the test is a t (clusters − 1); None for the normal.
    """
    freedom = math.inf if df is None else df
    if freedom <= 0:
        return math.nan
    return (t_quantile(1 - alpha / 2, freedom) + t_quantile(power, freedom)) * se


def items_for_margin(
    variance: float,
    margin: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    design_effect: float = 1.0,
    n: int | None = None,
) -> int:
    """Items at which two models that truly don't differ would be called equivalent within ±margin.

    n = (z_{1−α} + z_{1−(1−power)/2})² · variance · design effect / margin²: power of the two one-sided tests at a true
    difference of 0 (Chow, Shao & Wang 2008, Sample Size Calculations, chapter 3). From the observed spread, never from
    the observed difference.

    Args:
        variance: Of d over items (n · SE² of the difference already holds the design effect).
        margin: Half-width of the equivalence region, in the score's unit.
        alpha: Of each one-sided test.
        power: Chance of the answer "equivalent".
        design_effect: Clustered over independent variance.
        n: Items of which not one was discordant, needed when `variance` is 0: then the variance is taken to be the
            upper 1 − α limit on the discordant share, 1 − α^(1/n) ("rule of three", Hanley & Lippman-Hand 1983).

    Raises:
        ValueError: for a margin that is not positive, for a variance that is negative or missing, and for a variance
            of 0 without `n`.
    """
    if not margin > 0:
        raise ValueError(f"the margin must be positive, not {margin}")
    if not variance >= 0:
        raise ValueError(f"the variance must be 0 or more, not {variance}")
    if variance == 0:
        if not n:
            raise ValueError("with a variance of 0, say on how many items it was observed (n)")
        variance = 1 - alpha ** (1 / n)
    z = normal_quantile(1 - alpha) + normal_quantile(1 - (1 - power) / 2)
    return math.ceil(z * z * variance * design_effect / (margin * margin))
