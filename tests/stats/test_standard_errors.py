"""Errors of means against statsmodels' cluster-robust regression and formulas written out with matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import sqrtm

from capeval.stats.standard_errors import cluster_codes, clustered_error, standard_error, stratified_error

SIZES = (1, 2, 2, 3, 5, 8, 12)


def example():
    generator = np.random.default_rng(5)
    labels = np.repeat([f"c{i}" for i in range(len(SIZES))], SIZES)
    return generator.integers(-1, 2, len(labels)).astype(float), labels


def test_plain_error_equals_scipy():
    values, _ = example()
    assert standard_error(values) == pytest.approx(stats.sem(values))
    assert math.isnan(standard_error([1.0]))
    assert math.isnan(standard_error([]))


def test_equal_clusters_equal_statsmodels_and_miller():
    values = np.random.default_rng(6).normal(size=40)
    labels = np.repeat(np.arange(8), 5)
    fit = sm.OLS(values, np.ones(40)).fit(cov_type="cluster", cov_kwds={"groups": labels, "use_correction": False})
    error = clustered_error(values, labels)
    assert error.se == pytest.approx(float(fit.bse[0]) * math.sqrt(8 / 7))
    assert (error.n_clusters, error.df) == (8, pytest.approx(7.0))


def test_unequal_clusters_equal_bell_and_mccaffrey_with_matrices():
    values, labels = example()
    n = len(values)
    x = np.ones((n, 1))
    hat = x @ x.T / n
    residuals = values - values.mean()
    # column c: the quadratic form of cluster c as weights on the raw errors, under independence
    columns, meat = [], 0.0
    for label in dict.fromkeys(labels):
        rows = np.flatnonzero(labels == label)
        adjust = np.linalg.inv(np.real(sqrtm(np.eye(len(rows)) - hat[np.ix_(rows, rows)])))
        meat += float(np.ones(len(rows)) @ adjust @ residuals[rows]) ** 2
        columns.append((np.eye(n) - hat)[:, rows] @ adjust @ np.ones(len(rows)) / n)
    gram = np.array(columns) @ np.array(columns).T
    error = clustered_error(values, labels)
    assert error.se == pytest.approx(math.sqrt(meat) / n)
    assert error.df == pytest.approx(np.trace(gram) ** 2 / np.trace(gram @ gram))
    assert error.df < len(SIZES) - 1


def test_clusters_of_one_item_give_the_plain_error():
    values, _ = example()
    error = clustered_error(values, np.arange(len(values)))
    assert (error.se, error.df) == (pytest.approx(standard_error(values)), pytest.approx(len(values) - 1))


def test_clustered_edges():
    assert clustered_error([], [])[1] == 0
    alone = clustered_error([1.0, 0.0], ["a", "a"])
    assert (math.isnan(alone.se), alone.n_clusters) == (True, 1)
    with pytest.raises(ValueError, match="missing"):
        clustered_error([1.0, math.nan], ["a", "b"])


def test_empty_labels_are_clusters_of_their_own():
    codes = cluster_codes(["", "x", None, "x", math.nan, ""], 6)
    assert len(set(codes.tolist())) == 5
    assert codes[1] == codes[3]
    assert len(set(cluster_codes(["", "", ""], 3).tolist())) == 3


def test_stratified_error_is_the_weighted_sum_of_the_strata():
    values, labels = example()
    keep = labels != "c0"
    values, labels = values[keep], labels[keep]
    groups = [values[labels == label] for label in dict.fromkeys(labels)]
    variance = sum((len(g) / len(values)) ** 2 * stats.sem(g) ** 2 for g in groups)
    assert stratified_error(values, labels) == pytest.approx(math.sqrt(variance))


def test_one_stratum_is_a_simple_sample():
    values, _ = example()
    assert stratified_error(values, ["all"] * len(values)) == pytest.approx(standard_error(values))


def test_strata_of_one_item_are_joined():
    # two lone ones form a stratum; a single lone one joins the smallest other stratum
    assert stratified_error([0, 1, 0, 1], list("aabc")) == pytest.approx(stratified_error([0, 1, 0, 1], list("aabb")))
    values, lone = [0, 1, 1, 0, 1, 1], list("aaabbc")
    assert stratified_error(values, lone) == pytest.approx(stratified_error(values, list("aaabbb")))
    assert stratified_error([0, 1, 1], list("abc")) == pytest.approx(standard_error([0, 1, 1]))
    assert math.isnan(stratified_error([1.0], ["a"]))


@given(st.lists(st.tuples(st.integers(-1, 1), st.sampled_from("abcdef")), min_size=2, max_size=60), st.randoms())
def test_errors_do_not_depend_on_the_order_or_the_sign(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    for error in (lambda d, c: clustered_error(d, c).se, stratified_error):
        before = error([d for d, _ in pairs], [c for _, c in pairs])
        after = error([-d for d, _ in shuffled], [c for _, c in shuffled])
        assert after == pytest.approx(before, abs=1e-12, nan_ok=True)
