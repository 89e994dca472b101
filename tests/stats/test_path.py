"""Gains along a path: they add up, the draws are those of the items, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capeval.stats.path import gains_above, largest, path_gains

SCORES = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(2, 6)), elements=st.floats(0, 1))


@given(SCORES, st.floats(0, 1))
def test_gains_above_a_floor_add_up_to_what_the_last_has_above_it(scores, floor):
    found = path_gains(scores, floor=floor, draws=20)
    assert found.gains.sum() == pytest.approx(max(scores[:, -1].mean(), floor) - floor)
    assert 0 <= found.support.sum() <= 1 + 1e-9
    assert ((found.left >= 0) & (found.left <= 1) | np.isnan(found.left)).all()


@given(SCORES)
def test_without_a_floor_they_are_the_differences_and_the_first_is_out(scores):
    found = path_gains(scores, floor=None, draws=20)
    assert np.isnan(found.gains[0]) and found.support[0] == 0
    assert found.gains[1:] == pytest.approx(np.diff(scores.mean(axis=0)))


def test_what_lies_below_chance_counts_as_chance():
    assert gains_above([0.0, 0.25, 0.6], 0.25) == pytest.approx([0.0, 0.0, 0.35])
    assert gains_above([-0.9, -0.4], -0.5) == pytest.approx([0.0, 0.1])  # lower is better, turned


def test_ties_share_and_who_takes_is_no_giver():
    assert largest([0.3, 0.3, -0.2]) == pytest.approx([0.5, 0.5, 0.0])
    assert largest([-0.3, 0.0]) == pytest.approx([0.0, 0.0])
    alike = np.tile([0.0, 0.5, 1.0], (50, 1))
    assert path_gains(alike, floor=0.0).support == pytest.approx([0, 0.5, 0.5])


def test_support_is_the_share_of_bootstrap_draws():
    generator = np.random.default_rng(3)
    scores = (generator.random((40, 3)) < [0.1, 0.45, 0.8]).astype(float)
    wins = []
    for _ in range(4000):
        mean = scores[generator.integers(0, 40, 40)].mean(axis=0)
        gains = [mean[0], mean[1] - mean[0], mean[2] - mean[1]]
        best = np.isclose(gains, max(gains))
        wins.append(best / best.sum())
    found = path_gains(scores, floor=0.0)
    assert found.support == pytest.approx(np.mean(wins, axis=0), abs=0.035)
    assert path_gains(scores, floor=0.0).support == pytest.approx(
        found.support, abs=0
    )  # the same seed, the same numbers
    assert path_gains(scores, floor=0.0, seed=1).support != pytest.approx(found.support, abs=0)


def test_sampled_clusters_are_drawn_whole_and_strata_keep_their_sizes():
    # one article of two decides which of the two stages adds the most
    scores = np.array([[0, 1, 1]] * 10 + [[0, 0, 1]] * 10, dtype=float)
    labels = ["a"] * 10 + ["b"] * 10
    assert path_gains(scores, floor=0.0, clusters=labels, role="sampled").support[1] == pytest.approx(0.5, abs=0.03)
    strata = path_gains(scores, floor=0.0, clusters=labels, role="strata")
    assert strata.support == pytest.approx([0, 0.5, 0.5])  # nothing varies inside a stratum: always a tie
    items = path_gains(scores, floor=0.0)
    assert 0.4 < items.support[1] < 0.6 and items.left[1] == 1


def test_what_is_left_and_its_interval():
    scores = np.array([[0, 1, 1]] * 60 + [[0, 1, 0]] * 20 + [[0, 0, 0]] * 20, dtype=float)
    found = path_gains(scores, floor=0.0)
    assert found.left[1] == pytest.approx(0.75)
    assert found.left_low[1] == pytest.approx(0.75 - 1.96 * np.sqrt(0.75 * 0.25 / 80), abs=0.02)
    assert found.left_high[1] == pytest.approx(0.75 + 1.96 * np.sqrt(0.75 * 0.25 / 80), abs=0.02)
    assert np.isnan(found.left[2])  # it took


@pytest.mark.parametrize("n", [0, 1])
def test_no_item_and_one(n):
    found = path_gains(np.ones((n, 3)) * [0, 1, 1], floor=0.0)
    assert found.n == n
    assert np.isnan(found.support).all() if n == 0 else found.support == pytest.approx([0, 1, 0])


@pytest.mark.parametrize("scores", [[[1.0]], [[np.nan, 1.0]], [1.0, 0.0]])
def test_other_shapes_and_missing_scores_are_refused(scores):
    with pytest.raises(ValueError, match="without missing scores"):
        path_gains(scores, floor=0.0)
