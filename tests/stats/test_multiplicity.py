"""Holm and Benjamini-Hochberg against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from capeval.stats.multiplicity import benjamini_hochberg, holm

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
