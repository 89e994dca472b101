"""Exact intervals of a rate, and flips between two runs of the same items."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from capeval.stats.rates import clopper_pearson
from capeval.stats.repeats import flips, within_repeats


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_clopper_pearson_is_scipys_and_statsmodels(n: int, rate: float, level: float) -> None:
    x = round(rate * n)
    found = clopper_pearson(x, n, level)
    exact = stats.binomtest(x, n).proportion_ci(level, method="exact")
    other = proportion_confint(x, n, alpha=1 - level, method="beta")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(np.nan_to_num(other, nan=0.0), abs=1e-9)


def test_its_edges() -> None:
    none, all_ = clopper_pearson(0, 100), clopper_pearson(100, 100)
    assert none.low == 0.0 and none.high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert (all_.low, all_.high) == (pytest.approx(1 - none.high), 1.0)
    assert clopper_pearson(0, 300, 0.90).high == pytest.approx(3 / 300, rel=0.01)  # one-sided 95 %: the rule of three
    assert clopper_pearson(1, 1).high == 1.0 and clopper_pearson(0, 1).low == 0.0
    assert math.isnan(clopper_pearson(0, 0).low)
    with pytest.raises(ValueError, match="3 successes among 2"):
        clopper_pearson(3, 2)


def test_flips_are_counted_either_way() -> None:
    found = flips([1, 1, 1, 0, 0, 0, 0, 1], [1, 0, 0, 1, 0, 0, 0, 1])
    assert (found.n, found.up, found.down, found.share) == (8, 1, 2, 3 / 8)
    assert (found.low, found.high) == pytest.approx(stats.binomtest(3, 8).proportion_ci(method="exact"))
    assert found.p == stats.binomtest(1, 3).pvalue
    assert flips([0] * 6, [1] * 6).p == pytest.approx(0.03125)


def test_flips_of_nothing_of_one_and_of_what_knows_degrees() -> None:
    nothing, one = flips([], []), flips([1], [1])
    assert nothing.n == 0 and math.isnan(nothing.share) and math.isnan(nothing.high) and nothing.p == 1.0
    assert (one.share, one.high, one.p) == (0.0, pytest.approx(0.975), 1.0)
    for a, b in (([0.5], [1.0]), ([1, 0], [1])):
        with pytest.raises(ValueError, match="flips are of scores that are 0 or 1"):
            flips(a, b)
    with pytest.raises(ValueError, match="missing"):
        flips([math.nan], [1.0])


def test_within_what_repeating_may_flip() -> None:
    assert within_repeats(5, 500, 0.01) and not within_repeats(6, 500, 0.01)
    assert not within_repeats(0, 0, 0.01) and not within_repeats(0, 10, math.nan)


def test_a_floor_of_no_training_rarely_leaves_an_effect_of_none_outside() -> None:
    """Both rates are the same noise: the comparison's flips exceed the upper end in few of the draws."""
    rng = np.random.default_rng(0)
    outside = []
    for rate in (0.002, 0.01, 0.05):
        for _ in range(400):
            high = clopper_pearson(int(rng.binomial(500, rate)), 500).high
            outside.append(not within_repeats(int(rng.binomial(500, rate)), 500, high))
    assert np.mean(outside) < 0.10


def test_even_noise_widens_a_paired_difference_and_does_not_bias_it() -> None:
    """Why nothing is subtracted: flips at both ends leave the mean of d and the test's level where they were."""
    from capeval.stats.paired import paired_difference

    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        truth = rng.random(200) < 0.5  # the same answers at both ends, each end flipped by numerics
        a, b = (np.where(rng.random(200) < 0.03, ~truth, truth).astype(float) for _ in "ab")
        found.append(paired_difference(b - a, binary=True))
    assert abs(np.mean([one.delta for one in found])) < 0.004
    assert np.mean([one.p <= 0.05 for one in found]) <= 0.05
    assert np.mean([one.high - one.low for one in found]) > paired_difference(np.zeros(200), binary=True).high * 2
