"""What this many items could have shown, and how many it takes: printed beside every "no change".

python -c "from capeval.stats.power import items_for_margin; print(items_for_margin(0.2, 0.02))"
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from capeval.stats.rates import normal_quantile, t_quantile

POWER = 0.8
"""Of every smallest detectable effect that is printed."""
_PRECISION = 1e-3
"""Of what is found by halving, relative: far finer than anybody reads it."""


def minimal_detectable_effect(
    se: float, *, alpha: float = 0.05, power: float = POWER, df: float | None = None
) -> float:
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


def detectable_by_mcnemar(n: int, discordant: int, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest true difference of two rates that the exact McNemar test finds with this power, counted out.

    2.80 · SE promises too much where few items are discordant: with fewer than six of them the exact test can't reach
    p ≤ .05 at all. So the test's own power is asked, averaged over how many items will be discordant (Duffy 1984,
    Biometrics 40:1005); the discordant share is the one that was seen, or the difference itself where that is larger.

    Args:
        n: Items.
        discordant: Items on which the two models differ, of either kind.
        alpha: Of the two-sided test.
        power: Chance of finding it.

    Returns:
        The difference, between 0 and 1; NaN where even n gains out of n items would not be found.
    """
    return _detectable_by_mcnemar(n, discordant, alpha, power)


@lru_cache(maxsize=4096)
def _detectable_by_mcnemar(n: int, discordant: int, alpha: float, power: float) -> float:
    if not n or mcnemar_power(n, 1.0, 0.0, alpha=alpha) < power:
        return math.nan
    share = discordant / n

    def found(delta: float) -> bool:
        both = max(share, delta)
        return mcnemar_power(n, (both + delta) / 2, (both - delta) / 2, alpha=alpha) >= power

    # the truth is most often a little above the normal's answer: there first, else anywhere
    guess = minimal_detectable_effect(math.sqrt(share / n), alpha=alpha, power=power)
    inside, outside = min(1.0, 0.9 * guess), min(1.0, 1.2 * guess)
    inside, outside = (inside if not found(inside) else 0.0), (outside if found(outside) else 1.0)
    while outside - inside > _PRECISION * outside:
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if found(middle) else (middle, outside)
    return outside


def mcnemar_power(n: int, gains: float, losses: float, *, alpha: float = 0.05) -> float:
    """Chance that the exact McNemar test on n items gives p ≤ α, in either direction.

    Args:
        n: Items.
        gains: Chance of an item that only the child gets right.
        losses: Chance of one that only the parent does.
        alpha: Of the two-sided test.
    """
    both = gains + losses
    if both <= 0:
        return 0.0
    # numbers of discordant items that can happen at all: six standard deviations around the mean
    reach = 6 * math.sqrt(n * both * (1 - both)) + 6
    m = np.arange(max(0, math.floor(n * both - reach)), min(n, math.ceil(n * both + reach)) + 1)
    log_ways = special.gammaln(n + 1) - special.gammaln(m + 1) - special.gammaln(n - m + 1)
    chances = np.exp(log_ways + special.xlogy(m, both) + special.xlog1py(n - m, -both))
    smaller = _refused_up_to(n, alpha)[m]
    told, m, smaller = chances[smaller >= 0], m[smaller >= 0], smaller[smaller >= 0]
    return float(told @ (special.bdtr(smaller, m, gains / both) + special.bdtr(smaller, m, losses / both)))


@lru_cache(maxsize=64)
def _refused_up_to(n: int, alpha: float) -> NDArray[np.float64]:
    """(n + 1,) for 0 … n discordant items the largest smaller count k with 2 · P(X ≤ k) ≤ α; −1 where there is none."""
    limit, k, found = alpha * (1 + 1e-12), -1, np.empty(n + 1)
    for m in range(n + 1):  # one item more raises it by one at most
        if 2 * float(special.bdtr(k + 1, m, 0.5)) <= limit:
            k += 1
        found[m] = k
    return found


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
    variance = _known(variance, alpha, n)
    z = normal_quantile(1 - alpha) + normal_quantile(1 - (1 - power) / 2)
    return math.ceil(z * z * variance * design_effect / (margin * margin))


def items_for_effect(
    variance: float, effect: float, *, alpha: float = 0.05, power: float = 0.8, n: int | None = None
) -> int:
    """Items at which a true difference of this size would be found with this power.

    n = (z_{1−α/2} + z_{power})² · variance / effect²: the detectable effect (`minimal_detectable_effect`) solved for n.

    Args:
        variance: Of d over items (n · SE² of a pilot's difference already holds the design effect of its clusters).
        effect: The true difference, in the score's unit.
        alpha: Of the two-sided test; α/m for the first step of Holm in a family of m.
        power: Chance of finding it.
        n: Items of the pilot, needed when `variance` is 0: the upper 1 − α limit on the discordant share stands in for
            it, as in `items_for_margin`.

    Raises:
        ValueError: for an effect that is not positive, for a variance that is negative or missing, and for a variance
            of 0 without `n`.
    """
    if not effect > 0:
        raise ValueError(f"the effect must be positive, not {effect}")
    variance = _known(variance, alpha, n)
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return math.ceil(z * z * variance / (effect * effect))


def _known(variance: float, alpha: float, n: int | None) -> float:
    """The variance to plan with: of nothing discordant among n items, the upper limit on the discordant share."""
    if not variance >= 0:
        raise ValueError(f"the variance must be 0 or more, not {variance}")
    if variance > 0:
        return variance
    if not n:
        raise ValueError("with a variance of 0, say on how many items it was observed (n)")
    return float(1 - alpha ** (1 / n))


def t_test_power(sd: float, effect: float, n: int, *, alpha: float = 0.05) -> float:
    """Chance that a two-sided t test on n values finds a true mean: by the noncentral t, both tails.

    Cohen 1988, Statistical Power Analysis, chapter 2; the same as statsmodels' TTestPower.

    Args:
        sd: Of the values.
        effect: The true mean.
        n: How many values; NaN for fewer than two.
        alpha: Of the test.
    """
    if n < 2:
        return math.nan
    if sd == 0:
        return 1.0 if effect else alpha
    df, away = n - 1, abs(effect) / sd * math.sqrt(n)
    border = t_quantile(1 - alpha / 2, df)
    # beyond −border lies next to nothing when the truth is far above: scipy then says NaN
    below = float(special.nctdtr(df, away, -border))
    return 1 - float(special.nctdtr(df, away, border)) + (0.0 if math.isnan(below) else below)


def seeds_for_effect(sd: float, effect: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Training runs at which their t interval would exclude 0 with this power, if the true effect has this size.

    The smallest n with `t_test_power` ≥ power. Two or three pilot runs know the sd badly (a 95 % interval of 0.5 to 6.3
    times it for three), so the number is an order of magnitude.

    Args:
        sd: Of the effect between training runs on the same items (`seeds.seed_interval`).
        effect: The true difference, in the score's unit.
        alpha: Of the two-sided test.
        power: Chance of finding it.

    Raises:
        ValueError: for an effect that is not positive, or an sd that is negative or missing.
    """
    if not effect > 0:
        raise ValueError(f"the effect must be positive, not {effect}")
    if not sd >= 0:
        raise ValueError(f"the standard deviation must be 0 or more, not {sd}")
    low, high = 1, 2
    while t_test_power(sd, effect, high, alpha=alpha) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = t_test_power(sd, effect, middle, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high
