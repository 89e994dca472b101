"""2 × 2: designs are found or what they lack is said; planted effects come out; what can't be known is not claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capeval.attribution.designs import designs_of, missing_cells
from capeval.attribution.factorial import factorial_table
from capeval.attribution.pairing import cells
from capeval.columns import FACTORIAL_COLUMNS
from capeval.core import Contrast, Factorial, Link, Stage, StageKind, TaskSpec, Tree
from capeval.zoo import load_tree
from tests.records import TASK, contrast, records

NODES = ("continued", "code", "continued-sft", "code-sft")
SFT = {"stage": "sft", "data": "lab/sft", "steps": 320}


def stage(name: str, kind: StageKind, parent: str | None, **more: Any) -> Stage:
    links = (Link(parent=parent, certainty="documented"),) if parent else ()
    return Stage(name=name, kind=kind, links=links, **more)


def crossed(recipe: Mapping[str, Any] = SFT, *more: Stage, **fields: Any) -> Tree:
    """Base with code and its control, both tuned; `recipe` is that of the control's tuning."""
    stages = (
        stage("base", "base", None),
        stage("continued", "continued", "base"),
        stage("code", "code", "base"),
        stage("continued-sft", "sft", "continued", recipe=recipe),
        stage("code-sft", "sft", "code", recipe=SFT),
        *more,
    )
    return Tree(name="crossed", stages=stages, tasks=(TASK,), **fields)


def asked(scores: np.ndarray, **columns: Any) -> list[pd.DataFrame]:
    return [records(node, scores[:, i], **columns) for i, node in enumerate(NODES)]


def planted(means: tuple[float, ...], n: int = 300, seed: int = 0) -> np.ndarray:
    """(n, 4) right or wrong; items differ in how hard they are."""
    rng = np.random.default_rng(seed)
    hard = rng.random((n, 1))
    return (0.8 * hard + 0.2 * rng.random((n, 4)) < np.array(means)).astype(float)


def table(tree: Tree, *runs: list[pd.DataFrame]) -> pd.DataFrame:
    found = [cells(pd.concat(frames, ignore_index=True)) for frames in runs]
    return factorial_table(tree, found, alpha=0.05, seed=0)


def effect(frame: pd.DataFrame, name: str, setting: str = "direct") -> pd.Series:
    return frame[(frame["effect"] == name) & (frame["setting"] == setting)].iloc[0]


def test_the_lab_holds_a_design_and_the_recorded_trees_say_what_they_lack() -> None:
    [design] = designs_of(load_tree("lab"))
    assert (design.nodes, design.factors) == (NODES, ("code", "instructions"))
    assert missing_cells(load_tree("lab")) == []
    said = missing_cells(load_tree("gpt-3.5"))
    assert (
        "code-davinci-002: missing a control (continued from unknown-base, as many tokens of something else), "
        "instruction tuning on that control by the recipe of text-davinci-002"
    ) in said
    assert "code-davinci-001: its parent is not known, so no control of it can start there" in said
    assert not any(sentence.startswith("code-cushman-001") for sentence in said)  # a later code stage on code
    [none] = missing_cells(load_tree("instructgpt"))
    assert none.startswith(
        "no stage is of kind code (sft-1.3b, sft-6b, sft-175b tune a base without code): missing, from "
    )


def test_a_design_takes_one_recipe_on_both_branches() -> None:
    assert [design.nodes for design in designs_of(crossed())] == [NODES]
    assert designs_of(crossed({**SFT, "seed": 3})) != ()
    other = crossed({**SFT, "data": "lab/cot"})
    assert designs_of(other) == ()
    assert missing_cells(other) == ["code: missing instruction tuning on continued by the recipe of code-sft"]
    tagged = crossed(SFT, stage("continued-cot", "sft", "continued", recipe=SFT, tags=("cot",)))
    assert [design.nodes for design in designs_of(tagged)] == [NODES]


def test_without_recipes_the_only_two_tunings_are_a_pair() -> None:
    bare = tuple(replace(one, recipe={}) for one in crossed().stages)
    tree = replace(crossed(), stages=bare)
    assert [design.nodes for design in designs_of(tree)] == [NODES]
    two = replace(tree, stages=(*bare, stage("another", "sft", "continued")))
    assert designs_of(two) == ()


def test_several_designs_are_told_apart_and_declared_ones_come_first() -> None:
    more = (
        stage("continued-sft-2", "sft", "continued", recipe={**SFT, "steps": 9}),
        stage("code-sft-2", "sft", "code", recipe={**SFT, "steps": 9}),
    )
    names = [design.name for design in designs_of(crossed(SFT, *more))]
    assert names == ["code × instructions (code-sft)", "code × instructions (code-sft-2)"]
    own = Factorial(
        name="mine", factors=("programs", "tuning"), neither="continued", first="code", second="continued-sft",
        both="code-sft",
    )  # fmt: skip
    assert designs_of(crossed(factorials=(own,))) == (own,)


def test_planted_effects_come_out() -> None:
    scores = planted((0.2, 0.4, 0.3, 0.8))
    frame = table(crossed(), asked(scores))
    assert list(frame.columns) == list(FACTORIAL_COLUMNS)
    assert frame["name"].tolist() == ["code", "instructions", "code × instructions"]
    together, code = effect(frame, "interaction"), effect(frame, "first")
    means = scores.mean(axis=0)
    assert together["delta"] == pytest.approx(means[3] - means[2] - means[1] + means[0])
    assert code["delta"] == pytest.approx((means[3] + means[1] - means[2] - means[0]) / 2)
    assert (together["answer"], code["answer"]) == ("gained", "gained")
    assert together[["score_neither", "score_first", "score_second", "score_both"]].tolist() == pytest.approx(means)
    assert "code × instructions on sums (direct): better together than their sum: +" in together["sentence"]
    assert "further training as well" in effect(frame, "second")["confounds"]
    assert "further training" not in together["confounds"] + code["confounds"]


def test_effects_that_add_up_are_equivalent_with_enough_items() -> None:
    scores = np.repeat(np.array([[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=float), 300, axis=0)
    row = effect(table(crossed(), asked(scores)), "interaction")
    assert (row["delta"], row["answer"]) == (0, "equivalent")
    assert "they add up" in row["sentence"]


def test_the_end_of_the_scale_is_named() -> None:
    row = effect(table(crossed(), asked(planted((0.1, 0.8, 0.8, 0.95)))), "interaction")
    assert row["answer"] == "lost"
    assert "the scale ends: both effects added up would make 1" in row["confounds"]
    assert "scale" not in effect(table(crossed(), asked(planted((0.1, 0.3, 0.3, 0.4)))), "interaction")["confounds"]


def test_lower_is_better_is_turned() -> None:
    spec = TaskSpec(name="sums", capability="style", metric="tox", orientation="lower")
    tree = replace(crossed(), tasks=(spec,))
    row = effect(table(tree, asked(planted((0.9, 0.7, 0.8, 0.2)))), "interaction")
    assert row["delta"] < 0 and row["answer"] == "gained"
    neutral = replace(crossed(), tasks=(replace(spec, orientation="none"),))
    assert (
        "less together than their sum"
        in effect(table(neutral, asked(planted((0.9, 0.7, 0.8, 0.2)))), "interaction")["sentence"]
    )


def pair_of(*nodes: str) -> tuple[Contrast, ...]:
    return tuple(contrast("within", {(node, "cot"): 1, (node, "direct"): -1}) for node in nodes)


def test_code_gives_chain_of_thought_is_a_difference_of_differences() -> None:
    direct, cot = planted((0.3, 0.3, 0.3, 0.3)), planted((0.3, 0.3, 0.3, 0.7))
    frames = [*asked(direct), *asked(cot, setting="cot")]
    frame = table(crossed(contrasts=pair_of("code")), frames)
    assert set(frame["setting"]) == {"direct", "cot", "cot − direct"}
    row = effect(frame, "interaction", "cot − direct")
    gain = (cot - direct).mean(axis=0)
    assert row["delta"] == pytest.approx(gain[3] - gain[2] - gain[1] + gain[0])
    assert row["answer"] == "gained" and row["score_both"] == pytest.approx(gain[3])
    assert set(table(crossed(), frames)["setting"]) == {"direct", "cot"}  # nobody declared the pair
    assert set(table(crossed(contrasts=pair_of("elsewhere")), frames)["setting"]) == {"direct", "cot"}


def test_a_node_that_was_not_asked_leaves_no_row() -> None:
    assert table(crossed(), asked(planted((0.2,) * 4))[:3]).empty
    assert len(table(crossed(), asked(planted((0.2,) * 4)))) == 3


def test_other_examples_or_unreadable_answers_cant_be_told() -> None:
    frames = asked(planted((0.2, 0.4, 0.3, 0.8)))
    other = frames[3].assign(shots="others")
    row = effect(table(crossed(), [*frames[:3], other]), "interaction")
    assert (row["answer"], row["n"], row["reason"]) == ("cant_tell", 0, "different shots")
    assert "can't tell: different shots" in row["sentence"]
    unread = frames[0].assign(flag=["unextracted"] * 60 + [""] * 240)
    row = effect(table(crossed(), [unread, *frames[1:]]), "interaction")
    assert row["answer"] == "cant_tell" and row["reason"].startswith("extraction") and math.isnan(row["p_adjusted"])


@pytest.mark.parametrize("n", [0, 1])
def test_no_item_and_one_claim_nothing(n: int) -> None:
    scores = np.array([[np.nan, 1, 1, 1]] + [[0, 0, 0, 1]] * n, dtype=float)
    frame = table(crossed(), asked(scores))
    assert (frame["n"] == n).all() and (frame["answer"] == "cant_tell").all()


def test_clusters_and_one_family() -> None:
    spec = replace(TASK, cluster_role="sampled")
    scores = planted((0.2, 0.4, 0.3, 0.8))
    labels = [f"article {i // 6}" for i in range(300)]
    frame = table(replace(crossed(), tasks=(spec,)), asked(scores, cluster=labels))
    alone = table(crossed(), asked(scores))
    wide, narrow = (effect(one, "interaction") for one in (frame, alone))
    assert wide["high"] - wide["low"] != pytest.approx(narrow["high"] - narrow["low"])
    assert (frame["p_adjusted"] >= frame["p"]).all()


def test_training_runs_give_their_own_interval() -> None:
    runs = [asked(planted((0.2, 0.4, 0.3, high), seed=i)) for i, high in enumerate((0.8, 0.75, 0.85))]
    frame = table(crossed(), *runs)
    row = effect(frame, "interaction")
    assert row["seeds"] == 3 and row["seed_low"] < row["delta"] < row["seed_high"]
    assert "; over 3 training runs [" in row["sentence"]
    one = effect(table(crossed(), runs[0]), "interaction")
    assert one["seeds"] == 1 and math.isnan(one["seed_low"]) and one["delta"] == row["delta"]
    lacking = effect(table(crossed(), runs[0], runs[1][:3]), "interaction")
    assert lacking["seeds"] == 1
