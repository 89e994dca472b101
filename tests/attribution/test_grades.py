"""Grades and seeds: planted effects of trained trees get the evidence that they have, and are told what they lack."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from capeval.assembly import assemble
from capeval.core import Cell, Contrast, Link, Stage, Tree
from capeval.store.traces import Trace
from tests.records import TASK, records

SKILL = {"base": 0.30, "continued": 0.32, "code": 0.60, "lone": 0.60}
N = 300


def stage(name: str, parent: str | None = "base", *, tokens: float = 1e6, trained: bool = True) -> Stage:
    links = (Link(parent=parent, certainty="documented"),) if parent else ()
    recipe = {"stage": "language-model", "data": name} if trained else {}
    return Stage(name=name, kind="base", links=links, tokens=tokens, recipe=recipe)


CONTROL = Contrast(
    name="continued → code", kind="sibling", control=True,
    cells=(Cell(node="code", weight=1), Cell(node="continued", weight=-1)),
)  # fmt: skip
TREE = Tree(
    name="t", tasks=(TASK,), contrasts=(CONTROL,),
    stages=(stage("base", None), stage("continued"), stage("code"), stage("lone")),
)  # fmt: skip


def answers(seed: int, **skill: float) -> pd.DataFrame:
    """One training run: every node answers N items, some of them easy for all."""
    rng = np.random.default_rng(seed)
    ease = np.random.default_rng(0).normal(0, 0.1, N)
    return pd.concat(
        [records(node, (rng.random(N) < share + ease).astype(float)) for node, share in (SKILL | skill).items()]
    )


def traced(tree: Tree = TREE, runs: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    return whole(tree, runs).effects.set_index("contrast")


def whole(tree: Tree, runs: Sequence[pd.DataFrame]) -> Trace:
    first, *others = runs
    return assemble(tree, first, replicas=others, provenance={})


RUNS = [answers(seed) for seed in (1, 2, 3)]


def test_an_effect_that_three_runs_and_the_control_bear_out_is_graded_a() -> None:
    frame = traced(runs=RUNS)
    assert frame.loc["base → code", ["grade", "grade_reason", "seeds"]].tolist() == ["A", "", 3]
    assert frame.loc["continued → code", "grade"] == "A"  # it is the contrast with the control
    row = frame.loc["base → code"]
    assert row["seed_low"] < row["seed_delta"] < row["seed_high"] and row["seed_low"] > 0
    assert 0 <= row["seed_share"] < 1


def test_one_run_is_b_and_so_are_two() -> None:
    one = traced(runs=RUNS[:1]).loc["base → code"]
    assert (one["grade"], one["grade_reason"], one["seeds"]) == ("B", "one training run", 1)
    assert np.isnan([one["seed_delta"], one["seed_low"], one["seed_high"], one["seed_share"]]).all()
    assert traced(runs=RUNS[:2]).loc["base → code", "grade_reason"] == "2 training runs"


def test_without_a_control_it_stays_b() -> None:
    row = traced(runs=RUNS).loc["base → lone"]
    assert (row["grade"], row["grade_reason"]) == ("B", "no control branch")


def test_more_training_of_any_sort_is_no_a() -> None:
    same = [answers(seed, continued=0.60) for seed in (1, 2, 3)]
    row = traced(runs=same).loc["base → code"]
    assert (row["grade"], row["grade_reason"]) == ("B", "against continued: seed interval includes 0")
    # a control that gains even more points the other way
    better = [answers(seed, continued=0.90) for seed in (1, 2, 3)]
    frame = traced(runs=better)
    assert frame.loc["continued → code", "grade"] == "A"
    assert frame.loc["base → code", "grade_reason"] == "against continued: seed interval includes 0"


def test_runs_that_disagree_are_no_a() -> None:
    runs = [answers(1), answers(2, code=0.25), answers(3, code=0.65)]
    row = traced(runs=runs).loc["base → code"]
    assert row["grade"] == "B" and "seed interval includes 0" in row["grade_reason"]
    assert row["seed_low"] < 0 < row["seed_high"] and row["seed_share"] > 0.8


def test_what_no_recipe_makes_was_not_trained_again() -> None:
    tree = replace(TREE, stages=(stage("base", None, trained=False), *TREE.stages[1:]))
    assert traced(tree, RUNS).loc["base → code", "grade_reason"].startswith("base was not trained again")
    # the reward model that PPO is trained with counts
    judged = replace(TREE.stages[2], recipe={"stage": "ppo", "reward": "judge"})
    tree = replace(TREE, stages=(*TREE.stages[:2], judged, TREE.stages[3], stage("judge", trained=False)))
    assert traced(tree, RUNS).loc["base → code", "grade_reason"].startswith("judge was not trained again")


def test_a_control_of_other_size_is_no_match() -> None:
    tree = replace(TREE, stages=(*TREE.stages[:2], stage("code", tokens=5e4), TREE.stages[3]))
    row = traced(tree, RUNS).loc["base → code"]
    assert (row["grade"], row["grade_reason"]) == ("B", "continued is no match in tokens (50k against 1M)")
    nearly = replace(TREE, stages=(*TREE.stages[:2], stage("code", tokens=9e5), TREE.stages[3]))
    assert traced(nearly, RUNS).loc["base → code", "grade"] == "A"


def test_a_control_that_was_not_asked_is_said() -> None:
    runs = [frame[frame["node"] != "continued"] for frame in RUNS]
    assert traced(runs=runs).loc["base → code", "grade_reason"] == "continued was not asked this"
    runs = [RUNS[0], *runs[1:]]
    assert traced(runs=runs).loc["base → code", "grade_reason"] == "against continued: one training run"


def test_a_control_beside_another_parent_is_not_the_stages_own() -> None:
    far = replace(TREE.stages[1], links=())
    tree = replace(TREE, stages=(TREE.stages[0], far, *TREE.stages[2:]))
    assert traced(tree, RUNS).loc["base → code", "grade_reason"] == "no control branch"


def test_a_run_of_which_nothing_can_be_told_is_no_a() -> None:
    broken = RUNS[2].copy()
    broken.loc[(broken["node"] == "code") & (broken["score"] == 0), "flag"] = "truncated"
    row = traced(runs=[*RUNS[:2], broken]).loc["base → code"]
    assert row["grade_reason"].startswith("nothing can be told in 1 of 3 training runs")


def test_what_cant_be_told_is_d_whatever_its_p() -> None:
    first = RUNS[0].copy()
    first.loc[(first["node"] == "code") & (first["score"] == 0), "flag"] = "truncated"
    row = traced(runs=[first, *RUNS[1:]]).loc["base → code"]
    assert (row["answer"], row["grade"], row["grade_reason"]) == ("cant_tell", "D", "nothing can be told")


def test_c_is_before_adjustment_and_d_is_nothing() -> None:
    gains = {"strong": 12, "weak": 6} | {f"idle {i}": 2 for i in range(40)}
    frames = [
        records(node, np.r_[np.ones(gained * (node == "code")), np.zeros(100 - gained * (node == "code"))], setting=how)
        for how, gained in gains.items()
        for node in ("base", "code")
    ]
    frame = assemble(TREE, pd.concat(frames), provenance={}).effects.set_index("setting")
    assert frame.loc[["strong", "weak", "idle 0"], "grade"].tolist() == ["B", "C", "D"]
    assert frame.loc["weak", "p"] <= 0.05 < frame.loc["weak", "p_adjusted"]


def test_a_tiny_effect_may_have_the_best_grade_and_a_huge_one_none() -> None:
    rng = np.random.default_rng(5)
    n = 4000
    ease = rng.random(n)
    runs = []
    for seed in (1, 2, 3):
        noise = np.random.default_rng(seed)
        scores = {"base": ease < 0.50, "continued": ease < 0.50, "code": ease < 0.515 + noise.normal(0, 0.001)}
        runs.append(pd.concat([records(node, own.astype(float)) for node, own in scores.items()]))
    row = traced(runs=runs).loc["base → code"]
    assert row["grade"] == "A" and row["reason"] == "negligible" and abs(row["delta"]) < TASK.margin


def test_within_a_node_no_control_is_needed() -> None:
    inside = Contrast(
        name="code: cot − direct", kind="within",
        cells=(Cell(node="code", setting="cot", weight=1), Cell(node="code", setting="direct", weight=-1)),
    )  # fmt: skip
    cot = [
        pd.concat([run, records("code", (np.random.default_rng(9 + i).random(N) < 0.9).astype(float), setting="cot")])
        for i, run in enumerate(RUNS)
    ]
    tree = replace(TREE, contrasts=(*TREE.contrasts, inside))
    assert traced(tree, cot).loc["code: cot − direct", "grade"] == "A"


def test_every_run_is_kept_and_the_interval_is_theirs() -> None:
    found = whole(TREE, RUNS)
    edge = found.replicas[found.replicas["contrast"] == "base → code"]
    assert edge["replica"].tolist() == [0, 1, 2] and edge["n"].tolist() == [N] * 3
    row = found.effects.set_index("contrast").loc["base → code"]
    assert edge["delta"].tolist()[0] == row["delta"] and edge["delta"].mean() == pytest.approx(row["seed_delta"])
    means = [run.groupby("node")["score"].mean() for run in RUNS]
    assert edge["delta"].tolist() == pytest.approx([mean["code"] - mean["base"] for mean in means])
    assert whole(TREE, RUNS[:1]).replicas.empty


def test_the_estimate_of_these_weights_stays() -> None:
    about_seeds = ["grade", "grade_reason", "seeds", "seed_delta", "seed_low", "seed_high", "seed_share"]
    alone, several = (traced(runs=runs).drop(columns=about_seeds) for runs in (RUNS[:1], RUNS))
    pd.testing.assert_frame_equal(alone, several)


def test_replicas_with_the_same_seeds_give_the_same_numbers() -> None:
    pd.testing.assert_frame_equal(whole(TREE, RUNS).replicas, whole(TREE, RUNS).replicas)
