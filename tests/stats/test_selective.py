"""Risk and coverage, against brute force and figures worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capeval.stats.rates import wilson
from capeval.stats.selective import aurc, excess_aurc, operating_point, risk_coverage

items = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=7)


def brute(confidence: list[int], wrong: list[int]) -> float:
    """Mean, over all orders that the confidences allow, of the mean risk of the first k."""
    n = len(confidence)
    orders = [
        order for order in itertools.permutations(range(n))
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]  # fmt: skip
    areas = [sum(sum(wrong[i] for i in order[:k]) / k for k in range(1, n + 1)) / n for order in orders]
    return sum(areas) / len(areas)


@given(items)
def test_the_area_is_the_mean_over_all_orders_of_ties(pairs: list[tuple[int, int]]) -> None:
    confidence, wrong = map(list, zip(*pairs, strict=True))
    assert aurc(confidence, wrong) == pytest.approx(brute(confidence, wrong))


@given(items)
def test_the_best_order_is_the_best(pairs: list[tuple[int, int]]) -> None:
    wrong = [w for _, w in pairs]
    best = min(brute(list(range(len(order), 0, -1)), list(order)) for order in set(itertools.permutations(wrong)))
    confidence = [c for c, _ in pairs]
    assert excess_aurc(confidence, wrong) == pytest.approx(aurc(confidence, wrong) - best)
    assert excess_aurc(confidence, wrong) > -1e-12


@given(items)
def test_only_the_order_counts(pairs: list[tuple[int, int]]) -> None:
    confidence, wrong = map(np.array, zip(*pairs, strict=True))
    shuffled = np.random.default_rng(1).permutation(len(wrong))
    assert aurc(np.exp(confidence)[shuffled], wrong[shuffled]) == pytest.approx(aurc(confidence, wrong))


def test_by_hand() -> None:
    curve = risk_coverage([0.6, 0.9, 0.8, 0.7, 0.8], [1, 0, 1, 0, 0])
    assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.coverage.tolist() == [0.2, 0.6, 0.8, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 3, 1 / 4, 2 / 5])
    assert aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    # the best order of these: right, right, wrong, wrong
    assert excess_aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]) == pytest.approx(1 / 3 - (1 / 3 + 1 / 2) / 4)


def test_the_best_area_is_near_its_published_approximation() -> None:
    """Geifman et al. 2019: of the best order the area is about r + (1 − r) ln(1 − r), r the error rate."""
    wrong = np.arange(20_000) < 6_000
    assert aurc(-wrong.astype(float), wrong) == pytest.approx(0.3 + 0.7 * math.log(0.7), abs=1e-4)


def test_edges() -> None:
    assert math.isnan(aurc([], [])) and len(risk_coverage([], []).coverage) == 0
    assert aurc([0.5], [1]) == 1.0 and aurc([0.5], [0]) == 0.0
    assert aurc([0.5] * 10, [1, 0, 0, 0, 0] * 2) == pytest.approx(0.2)  # no order: the error rate
    for bad in (([0.1], [1, 0]), ([math.nan], [1])):
        with pytest.raises(ValueError):
            aurc(*bad)


def test_an_operating_point() -> None:
    point = operating_point([1, 1, 0, 1, 0], [1, 0, 1, 0, 0])
    assert (point.n, point.answered, point.wrong, point.coverage, point.risk) == (5, 3, 1, 0.6, pytest.approx(1 / 3))
    assert point.coverage_interval == wilson(3, 5) and point.risk_interval == wilson(1, 3)
    silent = operating_point([0, 0], [1, 1])
    assert silent.coverage == 0.0 and math.isnan(silent.risk) and math.isnan(silent.risk_interval.low)
    assert math.isnan(operating_point([], []).coverage)
    with pytest.raises(ValueError, match="0 or 1"):
        operating_point([0.5], [1])
