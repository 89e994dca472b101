"""Slopes within items against scipy and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from capeval.stats.paired import paired_difference
from capeval.stats.trend import slope_weights, trend

SIZES = [1e6, 3e6, 1e7, 1e8]
X = np.log10(SIZES)


def made(n: int = 80, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=(n, 1))
    return (hard + rng.normal(size=(n, 4)) < np.array([-1.0, -0.6, 0.0, 0.8])).astype(float)


def test_the_slope_is_that_of_the_means_and_its_t_that_of_the_items_slopes():
    scores = made()
    found = trend(scores, SIZES)
    assert found.delta == pytest.approx(stats.linregress(X, scores.mean(axis=0)).slope)
    each = [stats.linregress(X, row).slope for row in scores]
    assert found.p == pytest.approx(stats.ttest_1samp(each, 0).pvalue)
    ends = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_the_error_is_the_cluster_robust_one_of_a_regression_with_item_effects():
    scores = made()
    n, k = scores.shape
    y = (scores - scores.mean(axis=1, keepdims=True)).ravel()
    x = np.tile(X - X.mean(), n)
    fit = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(n), k), "use_correction": False})
    found = trend(scores, SIZES)
    assert found.delta == pytest.approx(fit.params[0])
    assert found.se == pytest.approx(fit.bse[0] * math.sqrt(n / (n - 1)))


def test_clusters_count_and_the_order_of_sizes_does_not():
    scores, articles = made(), np.repeat(np.arange(20), 4)
    each = scores @ slope_weights(SIZES)
    expected = paired_difference(each, clusters=articles, role="sampled", binary=False)
    found = trend(scores, SIZES, clusters=articles, role="sampled", span=None)
    assert (found.se, found.p, found.n_clusters) == (pytest.approx(expected.se), pytest.approx(expected.p), 20)
    other = trend(scores[:, ::-1], SIZES[::-1], clusters=articles, role="sampled")
    assert (other.delta, other.low) == (pytest.approx(found.delta), pytest.approx(found.low))


def test_where_nothing_varies_the_bound_of_the_scores_gives_the_interval():
    alike = trend(np.ones((50, 4)), SIZES)
    assert (alike.delta, alike.p) == (0.0, 1.0)
    steepest = slope_weights(SIZES).clip(min=0).sum()
    assert 0 < alike.high == pytest.approx(-alike.low)
    assert alike.high == pytest.approx(paired_difference(np.zeros(50), binary=False).high * steepest)
    assert trend(np.ones((50, 4)), SIZES, span=2.0).high == pytest.approx(2 * alike.high)
    unbounded = trend(np.ones((50, 4)), SIZES, span=None)
    assert (unbounded.low, unbounded.high) == (0.0, 0.0)


def test_what_is_no_series_is_refused():
    assert trend(np.empty((0, 3)), [1, 10, 100]).n == 0
    assert trend([[0, 0, 1]], [1, 10, 100]).p == 1.0
    for scores, sizes in (
        ([[0, 1]], [1, 10]),
        ([[0, 1, 1]], [1, 10, 10]),
        ([[0, 1, 1]], [0, 10, 20]),
        ([[0, math.nan, 1]], [1, 10, 100]),
        ([[0, 1]], [1, 10, 100]),
        ([0, 1, 1], [1, 10, 100]),
    ):
        with pytest.raises(ValueError):
            trend(scores, sizes)
