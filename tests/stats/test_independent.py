from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from capeval.stats.independent import Side, independent_difference, mover
from capeval.stats.rates import UNKNOWN, Interval, mean_interval, newcombe_independent, t_quantile, wilson


def rate(k: int, n: int) -> Side:
    return Side(mean=k / n if n else math.nan, n=n, interval=lambda level: wilson(k, n, level))


def test_of_two_rates_it_is_newcombes_method_10() -> None:
    # Newcombe 1998, Stat Med 17:873, table II: 56/70 against 48/80, method 10
    found = independent_difference(rate(56, 70), rate(48, 80))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    for k1, n1, k2, n2 in ((9, 10, 3, 10), (0, 20, 0, 30), (10, 10, 0, 20), (6, 7, 2, 7)):
        expected = newcombe_independent(k1, n1, k2, n2)
        found = independent_difference(rate(k1, n1), rate(k2, n2))
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_p_agrees_with_the_interval_that_is_shown() -> None:
    for k in range(31):
        found = independent_difference(rate(k, 30), rate(15, 30))
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize(("x", "y"), [(rate(0, 0), rate(3, 5)), (rate(3, 5), rate(0, 0))])
def test_a_side_without_items_tells_nothing(x: Side, y: Side) -> None:
    found = independent_difference(x, y)
    assert math.isnan(found.p) and math.isnan(found.low)


def test_a_side_without_an_interval_decides_nothing() -> None:
    alone = Side(mean=1.0, n=1, interval=lambda level: UNKNOWN)
    found = independent_difference(alone, rate(3, 5))
    assert found.p == 1 and math.isnan(found.low)


def test_sides_that_never_vary_keep_a_width() -> None:
    same = independent_difference(rate(20, 20), rate(20, 20))
    assert same.p == 1 and same.low < 0 < same.high
    apart = independent_difference(rate(20, 20), rate(0, 20))
    assert apart.p < 1e-4 and apart.low > 0.7


def test_coverage_and_false_alarms() -> None:
    rng = np.random.default_rng(0)
    covered = alarms = 0
    for _ in range(1500):
        x, y = rng.random(40) ** 2, (rng.random(60) < 1 / 3).astype(float)  # both have mean 1/3
        sides = [
            Side(mean=float(v.mean()), n=len(v),
                 interval=lambda level, v=v, b=b: mean_interval(v, level=level, binary=b, bounded=True))
            for v, b in ((x, False), (y, True))
        ]  # fmt: skip
        found = independent_difference(*sides)
        covered += found.low <= 0 <= found.high
        alarms += found.p <= 0.05
    assert 0.93 < covered / 1500 < 0.97
    assert alarms == 1500 - covered


def test_mover_of_equal_errors_is_the_usual_sum_of_squares() -> None:
    found = mover([1.0, 0.5], [Interval(0.7, 1.3), Interval(0.1, 0.9)], [1.0, -1.0])
    assert (found.low, found.high) == pytest.approx((0.0, 1.0))


def test_few_clusters_have_the_tails_of_a_t() -> None:
    labels = np.repeat(np.arange(6), 10)

    def side(mean: float) -> Side:
        return Side(mean=mean, n=60, clusters=labels,
                    interval=lambda level: Interval(mean - t_quantile((1 + level) / 2, 5), mean + t_quantile((1 + level) / 2, 5)))  # fmt: skip # noqa: E501

    found = independent_difference(side(5.0), side(0.0))
    # two errors of 1 with five degrees of freedom each: Welch gives ten
    expected = 2 * stats.t.sf(5.0 / (np.sqrt(2) * t_quantile(0.975, 5) / t_quantile(0.975, 10)), 10)
    assert found.p == pytest.approx(expected) and found.n_clusters == 6
    assert found.p > 2 * stats.norm.sf(5.0 / np.sqrt(2))
