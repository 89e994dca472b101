"""Unlocked or injected: estimate and interval against other programs, the edges, and planted truth."""

from __future__ import annotations

import math
import os
from itertools import product

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from benchmarks.validate_unlock import GRID, World, rates
from capeval.stats.guessing import chance_by_exchange, chance_of_any, corrected_share
from capeval.stats.unlock import matched_difference, unlock_difference


def items(solved: int, n: int) -> list[int]:
    return [1] * solved + [0] * (n - solved)


def test_one_stratum_is_newcombes_interval() -> None:
    # Newcombe 1998 (Stat Med 17:873), table II, case (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339
    found = unlock_difference(items(56, 70), [1] * 70, items(48, 80), [2] * 80)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    low, high = confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    assert found.low == pytest.approx(low) and found.high == pytest.approx(high)
    assert (found.n_new, found.n_control, found.unmatched) == (70, 80, 0)


def test_strata_are_put_together_as_a_regression_with_fixed_effects_does() -> None:
    rng = np.random.default_rng(0)
    hard = rng.integers(0, 4, 300)
    new = rng.random(300) < 0.4
    y = (rng.random(300) < 0.2 + 0.1 * hard + 0.2 * new).astype(float)
    found = unlock_difference(y[new], hard[new], y[~new], hard[~new], child_tries=0)
    design = np.column_stack([new, *(hard == value for value in range(4))]).astype(float)
    slope = np.linalg.lstsq(design, y, rcond=None)[0][0]
    assert found.delta == pytest.approx(slope)
    assert matched_difference(y[new], hard[new], y[~new], hard[~new], child_tries=0) == pytest.approx(slope)


def test_the_childs_own_solves_count_in_the_matching() -> None:
    # nobody else solves the new items, one other model solves the controls: all are solved by one
    found = unlock_difference([1] * 12, [0] * 12, [0] * 12, [1] * 12)
    assert (found.n_new, found.n_control) == (12, 12)
    twice = unlock_difference([1] * 12, [0] * 12, [0] * 12, [1] * 12, child_tries=2)
    assert twice.n_control == 0


def test_guessing_is_taken_off() -> None:
    assert chance_of_any(0.25, 8) == pytest.approx(1 - 0.75**8)
    assert corrected_share(0.9, 0.9) == 0.0 and math.isnan(corrected_share(1.0, 1.0))
    # Abbott 1925: 26 % die anyway, 63 % with the poison: (0.63 - 0.26) / 0.74
    assert corrected_share(0.63, 0.26) == pytest.approx(0.5)
    plain = unlock_difference(items(15, 20), [0] * 20, items(10, 20), [1] * 20)
    found = unlock_difference(
        items(15, 20), [0] * 20, items(10, 20), [1] * 20, chance_new=0.5, chance_control=[0.5] * 20
    )
    assert (found.share_new, found.share_control) == (0.5, 0.0)
    assert found.delta == pytest.approx(2 * plain.delta) and found.high == pytest.approx(2 * plain.high)


def test_exchanged_golds_are_the_mean_over_all_permutations() -> None:
    rng = np.random.default_rng(1)
    golds = [str(rng.integers(0, 3)) for _ in range(7)]
    answers = [{str(one) for one in rng.integers(0, 4, 2)} for _ in golds]
    other = [(i, j) for i, j in product(range(7), repeat=2) if i != j]
    expected = [np.mean([golds[j] in answers[i] for k, j in other if k == i]) for i in range(7)]
    assert chance_by_exchange(answers, golds) == pytest.approx(expected)
    assert chance_by_exchange([{"a"}, {"a"}], ["", "a"]).tolist() == [1.0, 0.0]
    assert chance_by_exchange([{"a"}, {"a"}], ["a", "a"], ["x", "y"]).tolist() == [0.0, 0.0]


def test_without_controls_only_injection_can_be_shown() -> None:
    none = unlock_difference(items(0, 40), [0] * 40, [], [])
    assert (none.answer, none.n_control) == ("injected", 0)
    assert math.isnan(none.delta) and math.isnan(none.share_control) and math.isnan(none.p)
    assert unlock_difference(items(40, 40), [0] * 40, [], []).answer == "cant_tell"
    assert unlock_difference(items(0, 5), [0] * 5, [], []).answer == "cant_tell"
    assert unlock_difference(items(0, 40), [0] * 40, [0] * 9, [1] * 9).n_control == 0


def test_what_the_parent_can_do_like_others_as_hard_is_not_called_injected() -> None:
    found = unlock_difference(items(140, 200), [0] * 200, items(140, 200), [1] * 200)
    assert found.most < found.margin and found.answer == "cant_tell"
    assert unlock_difference(items(40, 200), [0] * 200, items(40, 200), [1] * 200).answer == "injected"


def test_edges() -> None:
    nothing = unlock_difference([], [], [], [])
    assert nothing.n_new == 0 and math.isnan(nothing.share_new) and nothing.answer == "cant_tell"
    sure = unlock_difference([1] * 30, [0] * 30, [1] * 30, [1] * 30, chance_new=1.0, chance_control=1.0)
    assert math.isnan(sure.low) and sure.answer == "cant_tell"
    one = unlock_difference(
        [0] * 30, [0] * 30, [0] * 30, [1] * 30, clusters_new=["a"] * 30, clusters_control=["a"] * 30
    )
    assert math.isnan(one.low) and one.answer == "cant_tell"
    same = unlock_difference([0] * 200, [0] * 200, [0] * 200, [1] * 200)
    assert same.delta == 0 and same.low < 0 < same.high and same.answer == "injected"
    with pytest.raises(ValueError, match="2 new items with 1 difficulties"):
        unlock_difference([1, 0], [1], [0], [1])
    with pytest.raises(ValueError, match="must be 0 or 1"):
        unlock_difference([0.5], [1], [0], [1])
    with pytest.raises(ValueError, match="labels"):
        unlock_difference([1], [1], [0], [1], clusters_new=["a", "b"])


def test_p_is_where_the_interval_reaches_the_margin() -> None:
    found = unlock_difference(items(18, 30), [0] * 30, items(6, 60), [1] * 60)
    assert 0 < found.p < 0.05 and found.answer == "unlocked"
    at = unlock_difference(items(18, 30), [0] * 30, items(6, 60), [1] * 60, level=1 - found.p)
    assert at.low == pytest.approx(found.margin, abs=1e-6)
    assert unlock_difference(items(6, 30), [0] * 30, items(6, 60), [1] * 60).p == 1.0


def test_clusters_that_agree_inside_widen_the_interval() -> None:
    y, labels = np.repeat(items(8, 20), 5), np.repeat(np.arange(20), 5)
    apart = unlock_difference(y, [0] * 100, [0] * 100, [1] * 100)
    together = unlock_difference(y, [0] * 100, [0] * 100, [1] * 100, clusters_new=labels, clusters_control=labels + 100)
    assert together.high - together.low > 1.8 * (apart.high - apart.low)
    assert (together.n_clusters, apart.n_clusters) == (40, 0)
    alone = unlock_difference(y, [0] * 100, [0] * 100, [1] * 100, clusters_new=range(100))
    assert (alone.low, alone.high) == (apart.low, apart.high)


SLOW = bool(os.environ.get("CAPEVAL_SLOW"))
QUICK = (
    "null: difficulty shared, Rasch",
    "null: confirmed by a second wording",
    "null: guesses of one in four, eight tries",
)


@pytest.mark.parametrize("name", [n for n in GRID if n.startswith("null")] if SLOW else QUICK)
def test_shared_difficulty_alone_is_not_called_unlocked(name: str) -> None:
    reps = 2000 if SLOW else 150
    assert rates(GRID[name], reps=reps).unlocked <= 0.05 + (0.0 if SLOW else 0.02)


@pytest.mark.parametrize(
    "name", [n for n in GRID if not n.startswith("null")] if SLOW else ["unlocked: four in ten items"]
)
def test_planted_truth_is_never_called_its_opposite(name: str) -> None:
    found = rates(GRID[name], reps=1000 if SLOW else 100)
    wrong = found.injected if name.startswith("unlocked") else found.unlocked
    assert wrong <= 0.05


def test_intervals_cover_and_at_the_margin_neither_answer_is_given_often() -> None:
    found = rates(GRID["unlocked: a difference of about the margin"], reps=1000 if SLOW else 200)
    assert found.delta == pytest.approx(0.2, abs=0.02)
    room = 0.015 if SLOW else 0.03
    assert found.unlocked <= 0.05 + room and found.injected <= 0.05 + room and found.covered >= 0.95 - room


def test_planted_truths_are_found() -> None:
    assert rates(World(unlocked=0.4), reps=100).unlocked > 0.8
    assert rates(World(injected=0.4, items=600), reps=100).injected > 0.8
    assert rates(GRID["injected: all items, no controls left"], reps=100).injected > 0.8


def test_the_null_is_exact_and_would_not_be_without_the_childs_own_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(items=1500, spread=2.5)
    assert abs(rates(world, reps=60).delta) < 0.02
    naive = unlock_difference
    monkeypatch.setattr("benchmarks.validate_unlock.unlock_difference",
                        lambda *args, child_tries, **more: naive(*args, child_tries=0, **more))  # fmt: skip
    assert rates(world, reps=60).delta > 0.08
