"""Intervals of one score against statsmodels and Newcombe's published table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from capeval.stats.rates import constant_interval, mean_interval, newcombe_independent, wilson, wilson_at


def ends(interval):
    return interval.low, interval.high


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (63, 100), (1, 1), (1, 3), (0.6, 7), (4321, 6510)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_equals_statsmodels(successes, n, level):
    interval = wilson(successes, n, level)
    assert (interval.low, interval.high) == pytest.approx(
        proportion_confint(successes, n, alpha=1 - level, method="wilson"), abs=1e-12
    )


def test_wilson_without_items_and_with_nonsense():
    assert math.isnan(wilson(0, 0).low)
    assert math.isnan(wilson(0, 0).high)
    with pytest.raises(ValueError, match="11 successes among 10"):
        wilson(11, 10)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_rate_has_width_and_mirrors(n, data):
    successes = data.draw(st.integers(0, n))
    interval, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert interval.high > interval.low
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((interval.low, interval.high), abs=1e-12)


# Newcombe 1998, Stat Med 17:873, table II, method 10
NEWCOMBE = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0)),
    ((10, 10, 0, 10), (0.6075, 1.0)),
]


@pytest.mark.parametrize(("counts", "published"), NEWCOMBE)
def test_newcombe_equals_the_published_table_and_statsmodels(counts, published):
    interval = newcombe_independent(*counts)
    assert (interval.low, interval.high) == pytest.approx(published, abs=5e-5)
    oracle = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    assert (interval.low, interval.high) == pytest.approx(oracle, abs=1e-9)


def test_newcombe_without_items():
    assert math.isnan(newcombe_independent(0, 0, 3, 10).low)
    assert math.isnan(newcombe_independent(3, 10, 0, 0).high)


def test_binary_independent_scores_get_wilson():
    scores = [1.0] * 63 + [0.0] * 37
    assert mean_interval(scores, binary=True) == wilson(63, 100)
    assert mean_interval(scores, clusters=[str(i) for i in range(100)], binary=True) == wilson(63, 100)


def test_continuous_independent_scores_get_t():
    scores = np.random.default_rng(3).random(17)
    interval = mean_interval(scores, level=0.9)
    oracle = stats.t.interval(0.9, 16, loc=scores.mean(), scale=stats.sem(scores))
    assert (interval.low, interval.high) == pytest.approx(oracle, rel=1e-10)


def test_clustered_scores_of_equal_clusters_follow_millers_formula():
    scores = np.random.default_rng(4).integers(0, 2, 60).astype(float)
    labels = np.repeat([f"article {i}" for i in range(12)], 5)
    sums = [(scores[labels == label] - scores.mean()).sum() for label in dict.fromkeys(labels)]
    se = math.sqrt(12 / 11 * np.square(sums).sum()) / 60
    t = stats.t.ppf(0.975, 11)
    interval = mean_interval(scores, clusters=list(labels))
    assert ends(interval) == pytest.approx((scores.mean() - t * se, scores.mean() + t * se), rel=1e-10)
    # right or wrong: the ends solve Wilson's equation with the effective number of items
    rate, binary = scores.mean(), mean_interval(scores, clusters=list(labels), binary=True)
    worth = rate * (1 - rate) / se**2
    for end in ends(binary):
        assert (end - rate) ** 2 == pytest.approx(t**2 * end * (1 - end) / worth, rel=1e-9)
    assert binary.low < rate < binary.high


def test_edges_of_mean_interval():
    assert math.isnan(mean_interval([]).low)
    assert math.isnan(mean_interval([], binary=True, clusters=[]).low)
    assert math.isnan(mean_interval([0.4]).low)
    assert mean_interval([1.0], binary=True) == wilson(1, 1)
    assert math.isnan(mean_interval([1.0, 0.0, 1.0], clusters=["a"] * 3, binary=True).high)
    with pytest.raises(ValueError, match="missing"):
        mean_interval([1.0, math.nan])
    with pytest.raises(ValueError, match="2 labels for 3 items"):
        mean_interval([1, 0, 1], clusters=["a", "b"])
    with pytest.raises(ValueError, match="one dimension"):
        mean_interval([[1.0, 0.0]])


def test_all_equal_scores_never_get_width_zero_where_the_scale_is_bounded():
    clusters = list("aabbccdd")
    assert mean_interval([1.0] * 8, clusters=clusters, binary=True).low == pytest.approx(wilson(4, 4).low)
    assert mean_interval([0.0] * 8, bounded=True).high == pytest.approx(wilson(0, 8).high)
    length = mean_interval([250.0] * 8)
    assert (length.low, length.high) == (250.0, 250.0)


@pytest.mark.parametrize("n", [1, 2, 10, 500])
def test_constant_interval_is_wilsons_at_the_ends_of_the_scale(n):
    for value in (0.0, 1.0):
        expected = wilson(value * n, n, 0.9)
        got = constant_interval(value, n, 0.9, (0.0, 1.0))
        assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_bounded_mean_s_interval_stays_between_the_bounds():
    scores = [1, 1, 1, 0.98, 1, 0.2]
    free, bounded = mean_interval(scores), mean_interval(scores, bounded=True)
    assert free.high == pytest.approx(1.204, abs=5e-4)
    assert bounded.high == 1.0
    assert bounded.low == free.low
    mirrored = mean_interval([1 - s for s in scores], bounded=True)
    assert mirrored.low == 0.0
    clustered = mean_interval(scores, clusters=["a", "a", "b", "b", "c", "c"], bounded=True)
    assert 0 <= clustered.low <= clustered.high <= 1


def test_weighted_successes_that_leave_the_scale_by_rounding_are_all_of_them():
    found = wilson_at(30.000000000000004, 30.0, 1e-9)
    assert (found.low, found.high) == (pytest.approx(1.0), 1.0)
    assert wilson_at(-1e-17, 30.0, 1.96).low == 0.0
