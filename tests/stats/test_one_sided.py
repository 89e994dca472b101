"""One-sided p from intervals: against the tests that the intervals belong to."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportions_ztest

from capeval.stats.one_sided import p_above
from capeval.stats.paired import paired_difference
from capeval.stats.rates import UNKNOWN, Interval, wilson


@pytest.mark.parametrize(("k", "threshold"), [(60, 0.5), (40, 0.5), (60, 0.65), (99, 0.9)])
def test_wilson_belongs_to_the_score_test(k: int, threshold: float) -> None:
    z = proportions_ztest(k, 100, threshold, alternative="larger", prop_var=threshold)
    assert p_above(lambda level: wilson(k, 100, level), k / 100, threshold) == pytest.approx(z[1], abs=1e-6)


def test_t_interval_belongs_to_the_t_test() -> None:
    d = np.random.default_rng(0).normal(0.1, 1, 50)

    def interval(level: float) -> Interval:
        found = paired_difference(d, binary=False, bounded=False, level=level)
        return Interval(found.low, found.high)

    for threshold in (-0.2, 0.0, 0.4):
        expected = stats.ttest_1samp(d, threshold, alternative="greater").pvalue
        assert p_above(interval, float(d.mean()), threshold) == pytest.approx(expected, abs=1e-6)


def test_edges() -> None:
    assert math.isnan(p_above(lambda _: UNKNOWN, 0.5, 0.0))
    assert math.isnan(p_above(lambda level: wilson(0, 0, level), math.nan, 0.0))
    assert p_above(lambda level: wilson(100, 100, level), 1.0, 1.0) == pytest.approx(0.5)
    assert p_above(lambda _: Interval(1.0, 1.0), 1.0, 0.0) < 1e-9, "no width: certain"
