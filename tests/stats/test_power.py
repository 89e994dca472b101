"""Detectable effects and items needed against statsmodels and a simulation of the two one-sided tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower, normal_power

from capeval.stats.discordant import mcnemar_exact
from capeval.stats.power import (
    detectable_by_mcnemar,
    items_for_effect,
    items_for_margin,
    mcnemar_power,
    minimal_detectable_effect,
    seeds_for_effect,
    t_test_power,
)


def test_detectable_effect_is_found_with_the_stated_power():
    mde = minimal_detectable_effect(0.03)
    assert mde == pytest.approx(2.8016 * 0.03, rel=1e-4)
    assert normal_power(mde / 0.03, 1, 0.05) == pytest.approx(0.8, abs=1e-4)


def test_detectable_effect_with_few_clusters_is_larger():
    expected = (stats.t.ppf(0.975, 7) + stats.t.ppf(0.8, 7)) * 0.03
    assert minimal_detectable_effect(0.03, df=7) == pytest.approx(expected)
    assert math.isnan(minimal_detectable_effect(0.03, df=0))
    assert math.isnan(minimal_detectable_effect(math.nan))


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.025, 0.9)])
def test_items_for_margin_reach_the_power(alpha, power):
    n = items_for_margin(0.2, 0.05, alpha=alpha, power=power)
    means = np.random.default_rng(1).normal(0, math.sqrt(0.2 / n), 100_000)
    z = stats.norm.ppf(1 - alpha) * math.sqrt(0.2 / n)
    assert np.mean((means - z > -0.05) & (means + z < 0.05)) == pytest.approx(power, abs=0.01)


def test_items_scale_with_variance_design_and_margin():
    n = items_for_margin(0.2, 0.02)
    assert n == 4282
    assert items_for_margin(0.2, 0.02, design_effect=2.0) == pytest.approx(2 * n, abs=1)
    assert items_for_margin(0.2, 0.04) == pytest.approx(n / 4, abs=1)


def test_nothing_discordant_uses_the_upper_limit_of_the_share():
    # 1 − 0.05^(1/100) = 2.95 %: the rule of three
    assert items_for_margin(0.0, 0.02, n=100) == items_for_margin(1 - 0.05**0.01, 0.02)
    assert items_for_margin(0.0, 0.02, n=1000) < items_for_margin(0.0, 0.02, n=100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0.2, 0.0), "margin"), ((0.2, math.nan), "margin"), ((-0.1, 0.02), "variance"), ((math.nan, 0.02), "variance"),
     ((0.0, 0.02), "on how many")],
)  # fmt: skip
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        items_for_margin(*arguments)


def test_items_for_an_effect_are_the_detectable_effect_solved_for_n():
    n = items_for_effect(0.2, 0.03)
    assert minimal_detectable_effect(math.sqrt(0.2 / n)) <= 0.03 < minimal_detectable_effect(math.sqrt(0.2 / (n - 1)))
    assert items_for_effect(0.2, 0.03, alpha=0.05 / 10) > n
    assert items_for_effect(0.0, 0.03, n=100) == items_for_effect(1 - 0.05**0.01, 0.03)
    for bad in ({"variance": 0.2, "effect": 0.0}, {"variance": math.nan, "effect": 0.1}, {"variance": 0, "effect": 1}):
        with pytest.raises(ValueError):
            items_for_effect(**bad)


@pytest.mark.parametrize(("sd", "effect"), [(0.02, 0.05), (0.02, 0.02), (0.05, 0.02), (0.01, 0.2)])
def test_seeds_for_an_effect_agree_with_statsmodels(sd: float, effect: float):
    oracle = TTestPower()
    for n in (2, 3, 5, 20):
        expected = oracle.power(effect / sd, n, 0.05)  # NaN where its lower tail underflows: one tail is all then
        if math.isnan(expected):
            expected = oracle.power(effect / sd, n, 0.025, alternative="larger")
        assert t_test_power(sd, effect, n) == pytest.approx(expected, abs=1e-6)
    n = seeds_for_effect(sd, effect)
    assert t_test_power(sd, effect, n) >= 0.8
    assert n == 2 or t_test_power(sd, effect, n - 1) < 0.8
    if n > 2:
        assert n == math.ceil(oracle.solve_power(effect / sd, alpha=0.05, power=0.8) - 1e-6)


def test_seeds_for_an_effect_at_the_edges():
    assert seeds_for_effect(0.0, 0.01) == 2
    assert math.isnan(t_test_power(0.1, 0.1, 1))
    assert seeds_for_effect(0.02, 0.02, alpha=0.005) > seeds_for_effect(0.02, 0.02)
    for sd, effect in ((math.nan, 0.1), (-1.0, 0.1), (0.1, 0.0)):
        with pytest.raises(ValueError):
            seeds_for_effect(sd, effect)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.03125])
@pytest.mark.parametrize(
    ("n", "gains", "losses"), [(30, 0.2, 0.0), (60, 0.3, 0.05), (12, 0.9, 0.1), (40, 0.02, 0.02), (5, 1.0, 0.0)]
)
def test_power_of_exact_mcnemar_is_the_sum_over_all_tables(n, gains, losses, alpha):
    both = gains + losses
    summed = sum(
        stats.binom.pmf(m, n, both) * stats.binom.pmf(b, m, gains / both)
        for m in range(n + 1)
        for b in range(m + 1)
        if mcnemar_exact(b, m - b) <= alpha
    )
    assert mcnemar_power(n, gains, losses, alpha=alpha) == pytest.approx(summed, abs=1e-8)


def test_nothing_discordant_has_no_power():
    assert mcnemar_power(100, 0.0, 0.0) == 0.0


@pytest.mark.parametrize(("n", "discordant"), [(6, 0), (30, 0), (30, 3), (100, 2), (100, 30), (1319, 26), (6510, 2000)])
def test_what_mcnemar_detects_has_the_stated_power(n, discordant):
    delta = detectable_by_mcnemar(n, discordant)
    both = max(delta, discordant / n)
    assert mcnemar_power(n, (both + delta) / 2, (both - delta) / 2) == pytest.approx(0.8, abs=0.01)


def test_exact_mcnemar_detects_what_the_normal_says_where_many_items_are_discordant_and_less_where_few_are():
    normal = [2.8016 * math.sqrt(discordant) / n for n, discordant in ((6510, 2000), (30, 3))]
    assert detectable_by_mcnemar(6510, 2000) == pytest.approx(normal[0], rel=0.01)
    assert detectable_by_mcnemar(30, 3) > 1.5 * normal[1]


def test_five_items_can_show_nothing():
    assert math.isnan(detectable_by_mcnemar(5, 3))
    assert math.isnan(detectable_by_mcnemar(0, 0))
