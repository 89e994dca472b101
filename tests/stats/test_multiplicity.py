"""Holm and Benjamini-Hochberg against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from capeval.stats.multiplicity import benjamini_hochberg, holm, levels

P = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0]))


@settings(max_examples=20)  # statsmodels takes 0.15 s
@given(st.lists(P, min_size=1, max_size=30))
def test_equal_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])


@given(st.lists(st.one_of(P, st.just(float("nan"))), max_size=20))
def test_missing_stays_missing_and_does_not_count(p):
    tested = ~np.isnan(p) if p else np.array([], dtype=bool)
    for adjust in (holm, benjamini_hochberg):
        adjusted = adjust(p)
        assert np.array_equal(np.isnan(adjusted), ~tested)
        assert adjusted[tested] == pytest.approx(adjust(np.array(p, dtype=float)[tested]))
        assert (adjusted[tested] >= np.array(p, dtype=float)[tested]).all()


def test_edges():
    assert holm([]).shape == benjamini_hochberg([]).shape == (0,)
    assert holm([0.03]).tolist() == benjamini_hochberg([0.03]).tolist() == [0.03]
    with pytest.raises(ValueError, match="outside"):
        holm([1.2])


def test_levels_are_those_that_decide():
    rng = np.random.default_rng(5)
    for _ in range(200):
        m = int(rng.integers(1, 12))
        p = np.where(rng.random(m) < 0.4, rng.random(m) * 0.05, rng.random(m))
        for i, level in enumerate(levels(p, 0.05)):
            for moved in (level * (1 - 1e-9), min(1.0, level * (1 + 1e-9) + 1e-12)):
                other = p.copy()
                other[i] = moved
                assert (benjamini_hochberg(other)[i] <= 0.05 * (1 + 1e-12)) == (moved <= level)


def test_levels_at_the_edges():
    assert levels([], 0.05).size == 0
    assert levels([0.7], 0.05).tolist() == [0.05]
    assert levels([0.5, 0.9, math.nan], 0.05)[:2] == pytest.approx([0.025, 0.025])
    assert math.isnan(levels([0.5, math.nan], 0.05)[1])
    assert levels([0.001, 0.002], 0.05) == pytest.approx([0.05, 0.05])
