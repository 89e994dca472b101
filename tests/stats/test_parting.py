"""Where two models part along a text: planted places, Ville's bound by simulation, the median against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from capeval.stats.parting import BOUNDARY, along, median, parting_place


def test_the_planted_step_is_found() -> None:
    ratios, tokens = [0.1, -0.4, 5.0, 0.2], [10, 10, 20, 10]
    assert parting_place(ratios, tokens) == pytest.approx(30 / 50)
    assert parting_place([9.0], [4]) == 0.5
    assert parting_place([1.0, 1.0, 1.0], [1, 1, 1]) == pytest.approx(2.5 / 3)  # it is the sum that counts
    assert parting_place([BOUNDARY], [1]) == 0.5


def test_a_model_against_itself_never_parts() -> None:
    assert parting_place(np.zeros(12), np.ones(12)) == math.inf
    assert parting_place([-50.0, 3.0], [1, 1]) == math.inf  # the parent would rather have written it


@pytest.mark.parametrize("tokens", [[], [1], [1, 0]])
def test_steps_have_tokens_and_ratios(tokens: list[int]) -> None:
    with pytest.raises(ValueError):
        parting_place([0.1, 0.2] if tokens else [], tokens)


def test_texts_that_the_parent_drew_part_by_luck_in_one_of_twenty_at_most() -> None:
    """Ville's inequality, with a child that differs much from the parent."""
    rng = np.random.default_rng(0)
    parent, child = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    draws = rng.choice(3, size=(4000, 30), p=parent)
    ratios = np.log(child / parent)[draws]
    parted = np.mean([math.isfinite(parting_place(row, np.ones(30))) for row in ratios])
    assert 0.01 < parted <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    drawn_by_child = np.log(child / parent)[rng.choice(3, size=(400, 30), p=child)]
    assert np.mean([math.isfinite(parting_place(row, np.ones(30))) for row in drawn_by_child]) > 0.9


def test_the_curve_holds_the_whole_ratio() -> None:
    ratios, tokens = [np.array([1.0, 5.0]), np.array([2.0, 0.0, 4.0])], [np.array([5, 5]), np.array([1, 3, 16])]
    table = along(ratios, tokens)
    assert table.shape == (2, 10)
    assert table[0] == pytest.approx([0.2] * 5 + [1.0] * 5)
    for row, one, length in zip(table, ratios, tokens, strict=True):
        assert row.mean() == pytest.approx(one.sum() / length.sum())
    assert along([], []).shape == (0, 10)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 7, 20, 101])
def test_the_median_has_scipys_interval(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    found = median(values)
    if not n:
        assert math.isnan(found.value) and math.isnan(found.low)
        return
    assert found.value == pytest.approx(np.median(values))
    oracle = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [oracle.low, oracle.high])


def test_what_lies_beyond_counts_in_the_median() -> None:
    assert median([0.1, 0.2, math.inf]).value == pytest.approx(0.2)
    assert math.isnan(median([0.1, math.inf]).value)
    found = median([0.3] * 8 + [math.inf] * 3)
    assert (found.value, found.low) == (0.3, 0.3) and math.isnan(found.high)
    with pytest.raises(ValueError):
        median([0.1, math.nan])
