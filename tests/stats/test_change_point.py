"""Hinges: exact on curves without noise, sign flips against all of them, size and coverage on planted truths."""

from __future__ import annotations

import itertools
import math
import os

import numpy as np
import pytest
from scipy import optimize

from benchmarks.validate_change_point import SCENARIOS, Scenario, measure
from capeval.stats.change_point import change_point

SIZES = [1e5, 3e5, 1e6, 3e6, 1e7, 3e7]
X = np.log10(SIZES)


def hinge(place: float, before: float = 0.1, slope: float = 0.3) -> np.ndarray:
    return before + slope * np.maximum(0, X - place)


def items(curve: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Right or wrong, hard items hard at all sizes."""
    rng = np.random.default_rng(seed)
    shared, own = rng.random((n, 1)), rng.random((n, len(curve)))
    return (np.where(rng.random(own.shape) < 0.5, shared, own) < curve).astype(float)


def test_a_curve_without_noise_is_found_where_it_bends():
    rng = np.random.default_rng(0)
    for place in (X[1], X[2], X[3]):
        found = change_point(hinge(place) + rng.normal(size=(40, 1)), SIZES)  # items differ in level only
        assert math.log10(found.change) == pytest.approx(place)
        assert (found.slope, found.p) == (pytest.approx(0.3), pytest.approx(1 / 2000))
        assert found.low <= found.change <= found.high


def test_the_estimate_is_least_squares():
    scores = items(hinge(X[2] + 0.1), 2_000)
    means = scores.mean(axis=0)

    def misfit(place: float) -> float:
        design = np.column_stack([np.ones(6), np.maximum(0, X - place)])
        return float(np.linalg.lstsq(design, means, rcond=None)[1][0])

    best = optimize.minimize_scalar(misfit, bounds=(X[1], X[4]), method="bounded").x
    step = (X[3] - X[2]) / 8
    found = change_point(scores, SIZES)
    assert math.log10(found.change) == pytest.approx(best, abs=step)
    assert found.low <= 10 ** (X[2] + 0.1) <= found.high


def test_the_p_is_that_of_all_sign_patterns():
    """Eight clusters have 2^8 patterns; drawn ones estimate the share of them."""
    rng = np.random.default_rng(3)
    scores = np.repeat(rng.normal(size=(8, 6)) + hinge(X[2], slope=1.0), 2, axis=0)
    clusters = np.repeat(np.arange(8), 2)
    sums = np.array([scores[clusters == c].sum(axis=0) for c in range(8)])
    line = np.linalg.qr(np.column_stack([np.ones(6), X]))[0]
    places = np.append(
        np.concatenate([np.linspace(a, b, 8, endpoint=False) for a, b in itertools.pairwise(X[:-1])]), X[4]
    )
    others = np.maximum(0, X[:, None] - places)
    rest = (others - line @ (line.T @ others))[:, 1:]
    contrasts = rest / np.linalg.norm(rest, axis=0)
    each = sums @ contrasts
    scale = np.sqrt((each**2).sum(axis=0))
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    largest = np.abs(signs @ each / scale).max(axis=1)
    exact = float((largest >= np.abs(each.sum(axis=0) / scale).max() - 1e-9).mean())
    assert change_point(scores, SIZES, clusters=clusters, draws=20_000).p == pytest.approx(exact, abs=0.01)


def test_a_straight_line_has_no_beginning_and_saturation_is_no_beginning_either():
    straight = change_point(items(0.1 + 0.25 * (X - X[0]), 400), SIZES)
    assert straight.p > 0.05 and math.isnan(straight.low) and math.isnan(straight.high)
    levels_off = change_point(items(np.minimum(0.1 + 0.5 * (X - X[0]), 0.6), 2_000), SIZES)
    assert levels_off.p < 0.01 and math.isnan(levels_off.low)


def test_a_rise_at_the_last_size_alone_may_begin_anywhere_after_the_one_before():
    found = change_point(items(np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.6]), 400), SIZES)
    assert found.change == pytest.approx(SIZES[4]) and found.high == pytest.approx(SIZES[5])
    assert found.low > SIZES[3] * 0.9


def test_clusters_are_flipped_as_one():
    articles = np.repeat(np.arange(40), 10)
    rng = np.random.default_rng(2)
    common = np.repeat(rng.normal(size=(40, 6)), 10, axis=0) * 0.3  # every article likes some sizes better
    alone = change_point(common, SIZES)
    together = change_point(common, SIZES, clusters=articles)
    assert (alone.n_clusters, together.n_clusters) == (400, 40)
    assert alone.p < together.p


def test_the_same_seed_gives_the_same_numbers_and_the_sign_of_scores_only_turns_the_slope():
    scores = items(hinge(X[2]), 200)
    one, again, turned = (change_point(s, SIZES, seed=5) for s in (scores, scores, -scores))
    assert one == again
    assert (turned.p, turned.low, turned.high) == (one.p, one.low, one.high)
    assert turned.slope == pytest.approx(-one.slope)


def test_what_can_not_be_told_is_refused():
    assert change_point(np.ones((10, 5)), SIZES[:5]).p == 1.0
    for scores, sizes, reason in (
        (np.ones((10, 4)), SIZES[:4], "takes 5 sizes; there are 4"),
        (np.ones((5, 6)), SIZES, "takes 6 items; there are 5"),
        (np.empty((0, 6)), SIZES, "takes 6 items; there are 0"),
        (np.ones((10, 6)), SIZES[::-1], "ascend"),
        (np.full((10, 6), math.nan), SIZES, "missing"),
    ):
        with pytest.raises(ValueError, match=reason):
            change_point(scores, sizes)
    with pytest.raises(ValueError, match="takes 6 clusters; there are 3"):
        change_point(np.ones((9, 6)), SIZES, clusters=np.repeat(np.arange(3), 3))


@pytest.mark.parametrize(
    "scenario",
    [Scenario(n=100), Scenario(n=100, level=0.02, rise=0.0), Scenario(n=100, place=2.0, rise=0.5, draws=499)],
    ids=str,
)
def test_size_and_coverage_on_planted_truths(scenario: Scenario):
    """A small version of `python -m benchmarks.validate_change_point`; the slow test runs it whole."""
    found = measure(scenario, reps=100)
    if scenario.place is None:
        assert found.rejects <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)
    else:
        assert found.rejects > 0.9 and found.covers >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 100)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("CAPEVAL_SLOW"), reason="minutes of simulation: set CAPEVAL_SLOW=1")
def test_size_and_coverage_everywhere():
    for scenario in SCENARIOS:
        found = measure(scenario, reps=600)
        noise = 3 * math.sqrt(0.05 * 0.95 / 600)
        if scenario.place is None:
            assert found.rejects <= 0.05 + noise, scenario
        else:
            assert found.covers >= 0.95 - noise, scenario
