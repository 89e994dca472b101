"""The sign-flip test against brute force, scipy's permutation test, and McNemar for clusters of one item."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from capeval.stats.discordant import mcnemar_exact
from capeval.stats.permutation import sign_flip, smallest_p


def brute_force(sums):
    observed = abs(sum(sums))
    patterns = list(itertools.product((-1, 1), repeat=len(sums)))
    return sum(abs(np.dot(signs, sums)) >= observed - 1e-9 for signs in patterns) / len(patterns)


@settings(max_examples=50)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_integer_sums_equal_brute_force(sums):
    assert sign_flip(sums) == pytest.approx(brute_force(sums))


@settings(max_examples=50)
@given(st.lists(st.floats(-2, 2).map(lambda x: round(x, 3)), min_size=1, max_size=9))
def test_fractional_sums_equal_brute_force(sums):
    assert sign_flip(sums) == pytest.approx(brute_force(sums))


def test_equals_scipy():
    sums = [0.31, -0.12, 0.55, 0.2, 0.41, -0.05, 0.6]
    oracle = stats.permutation_test((np.array(sums),), np.sum, permutation_type="samples", n_resamples=10**5)
    assert sign_flip(sums) == pytest.approx(oracle.pvalue)


@pytest.mark.parametrize(("b", "c"), [(5, 1), (30, 12), (0, 7)])
def test_clusters_of_one_binary_item_give_mcnemar(b, c):
    assert sign_flip([1] * b + [-1] * c + [0] * 20) == pytest.approx(mcnemar_exact(b, c))


def test_drawn_p_is_near_the_exact_one_seeded_and_never_zero():
    whole = np.random.default_rng(1).integers(-4, 7, 25)
    exact, drawn = sign_flip(whole), sign_flip(whole * 0.3, seed=5)
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 19_999) + 1e-4)
    assert drawn == sign_flip(whole * 0.3, seed=5)
    assert sign_flip(np.full(40, 1.5), draws=99) == pytest.approx(0.01)


def test_many_clusters_and_order():
    sums = np.random.default_rng(2).normal(0.3, 1, 60)
    assert sign_flip(sums, seed=3) == sign_flip(-sums[::-1], seed=3)


def test_edges():
    assert sign_flip([]) == 1.0
    assert sign_flip([0, 0, 0]) == 1.0
    assert sign_flip([4]) == 1.0
    assert sign_flip([1] * 5) == smallest_p(5) == 0.0625
    assert sign_flip([1] * 6) == smallest_p(6) == 0.03125
    assert smallest_p(0) == smallest_p(1) == 1.0
    with pytest.raises(ValueError, match="missing"):
        sign_flip([1.0, float("nan")])
