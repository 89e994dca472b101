"""Which items are compared, which settings count, and what the table says of planted truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from capeval.attribution.elicitation import GOLD, ask_again, groups, name_of, plain_settings, shows_the_way
from capeval.attribution.guessing import chance_of_guessing
from capeval.attribution.pairing import cells
from capeval.attribution.unlock import unlock_table
from capeval.columns import UNLOCK_COLUMNS
from capeval.core import Link, Stage, StageKind, TaskSpec, Tree
from tests.records import records

SUMS = TaskSpec(name="sums", capability="cot", metric="exact_match", margin=0.05)
N = 600


def stage(name: str, kind: StageKind, parent: str = "") -> Stage:
    return Stage(name=name, kind=kind, links=(Link(parent=parent, certainty="documented"),) if parent else ())


TREE = Tree(
    name="toy",
    tasks=(SUMS,),
    stages=(
        stage("early", "base"), stage("base", "base", "early"), stage("web", "continued", "base"),
        stage("code", "code", "base"), stage("sft", "sft", "base"), stage("ppo", "rlhf", "sft"),
        stage("web-sft", "sft", "web"),
    ),
)  # fmt: skip


def world(*, unlocked: bool, seed: int = 0) -> pd.DataFrame:
    """Items of shared difficulty; the stage adds half of them to sft, of which the base has all or none."""
    rng = np.random.default_rng(seed)
    hard, added = rng.normal(0, 1, N), rng.random(N) < 0.5
    has = added if unlocked else np.zeros(N, bool)

    def solves(skill: float) -> np.ndarray:
        return rng.random(N) < 1 / (1 + np.exp(-2 * (skill - hard)))

    parts = [records(node, solves(skill).astype(float), setting="zero-shot") for node, skill in
             {"early": -1.5, "base": -1.2, "web": -0.5, "code": 0.0}.items()]  # fmt: skip
    parts += [records(node, (solves(-1.0) | added).astype(float), setting="zero-shot") for node in ("sft", "ppo")]
    parts.append(records("base", (solves(-0.8) | has).astype(float), setting="few-shot"))
    return pd.concat(parts, ignore_index=True)


def table(found: pd.DataFrame, elicited: pd.DataFrame | None = None, tree: Tree = TREE) -> pd.DataFrame:
    return unlock_table(tree, cells(found), found, pd.DataFrame() if elicited is None else elicited, alpha=0.05)


@pytest.mark.parametrize(("unlocked", "answer"), [(True, "unlocked"), (False, "injected")])
def test_planted_truth_is_told_from_settings_that_were_asked_anyway(unlocked: bool, answer: str) -> None:
    found = table(world(unlocked=unlocked)).set_index("child").loc["sft"]
    assert (found["answer"], found["elicited"], found["setting"]) == (answer, "few-shot", "zero-shot")
    assert "examples may teach the form of the answer" in found["confounds"]
    assert found["sentence"].startswith(f"base → sft: {answer} on sums (zero-shot): asked otherwise (few-shot)")


def test_the_table_has_its_columns_also_where_nothing_can_be_compared() -> None:
    assert list(table(records("base", [0.0] * 3)).columns) == list(UNLOCK_COLUMNS)
    alone = world(unlocked=True).query("setting == 'zero-shot'")
    assert table(alone).empty  # the parent was asked in no other setting


def test_who_went_through_the_same_sort_of_stage_does_not_say_how_hard_an_item_is() -> None:
    frame = pd.concat([world(unlocked=True), records("web-sft", [1.0] * N, setting="zero-shot")])
    found = {one.edge.child: one for one in groups(TREE, cells(frame))}
    assert found["sft"].others == ("early", "web", "code")  # not ppo, which comes from it, nor web-sft
    assert found["web"].others == ("early", "code", "sft", "ppo")
    assert "base" not in found  # another pretraining


def test_settings_are_known_by_what_they_show() -> None:
    assert plain_settings(["0-shot", "8-shot", "corrected"]) == ["0-shot"]
    assert plain_settings(["greedy"]) == ["greedy"] and plain_settings(["5-shot"]) == []
    assert shows_the_way("zero-shot-cot") and not shows_the_way("wording-2")


@pytest.mark.parametrize("other", [{"orientation": "lower"}, {"orientation": "none"}, {"binary": False}])
def test_only_right_or_wrong_answers_are_solved(other: dict[str, Any]) -> None:
    spec = TaskSpec(name="sums", capability="cot", metric="exact_match", **other)
    tree = Tree(name="toy", tasks=(spec,), stages=TREE.stages)
    assert table(world(unlocked=True), tree=tree).empty


def test_a_wording_confirms_or_is_a_try() -> None:
    scores = {"wording-1": [1.0] * 20, "wording-2": [1.0] * 12 + [0.0] * 8, "wording-3": [0.0] * 20}
    child = [records("sft", given, setting=name) for name, given in scores.items()]
    parent = [records("base", [0.0] * 20, setting=name) for name in scores]
    frame = pd.concat([*child, *parent], ignore_index=True)
    one = next(one for one in groups(TREE, cells(frame)) if one.setting == "wording-1")
    assert (one.confirming, len(one.new), one.unconfirmed, one.child_tries) == ("wording-2", 12, 8, 2)
    found = table(frame).set_index("setting")
    assert found.loc["wording-1", "elicited"] == "wording-3"
    assert "left out as not confirmed: 8" in found.loc["wording-1", "confounds"]


def test_a_solve_in_some_samples_only_is_not_confirmed() -> None:
    child = pd.concat([records("sft", [1.0] * 20, sample=0), records("sft", [1.0] * 15 + [0.0] * 5, sample=1)])
    one = next(groups(TREE, cells(pd.concat([records("base", [0.0] * 20), child]))))
    assert (len(one.new), one.unconfirmed) == (15, 5)


def test_parents_are_asked_again_new_items_and_controls_as_hard() -> None:
    frame = world(unlocked=True)
    wanted = ask_again(TREE, cells(frame), controls=1)
    by_child = {one.edge.child: one for one in groups(TREE, cells(frame))}
    assert set(wanted["parent"]) == {one.edge.parent for one in by_child.values()} and not wanted.duplicated().any()
    for one in by_child.values():
        assert set(one.new) <= set(wanted.loc[wanted["parent"] == one.edge.parent, "item"])
    assert len(ask_again(TREE, cells(frame), controls=3)) >= len(wanted)
    assert (
        ask_again(TREE, cells(frame), controls=0)["item"]
        .isin(set().union(*(one.new for one in by_child.values())))
        .all()
    )


def test_what_was_elicited_counts_and_the_golds_probability_is_no_try() -> None:
    frame = world(unlocked=True).query("setting == 'zero-shot'")
    items = sorted(set(ask_again(TREE, cells(frame))["item"]))
    one = next(one for one in groups(TREE, cells(frame)) if one.edge.child == "sft")
    new = set(one.new)

    def asked(setting: str, **columns: Any) -> pd.DataFrame:
        found = records("base", [float(item in new) for item in items], setting=setting, **columns)
        return found.assign(item=items)

    gold = asked(name_of(GOLD, "zero-shot", several=False))
    gold["gold_logprob"] = [-1.0 if item in new else -3.0 for item in items]
    samples = [asked("best of 8 (elicited)", sample=number) for number in range(8)]
    found = table(frame, pd.concat([*samples, gold], ignore_index=True)).set_index("child").loc["sft"]
    assert (found["answer"], found["elicited"]) == ("unlocked", "best of 8 (elicited)")
    assert found["logprob"] == pytest.approx(2.0)
    only_gold = table(frame, gold)
    assert only_gold.empty
    other = asked("wording-9, best of 8 (elicited)")
    assert table(frame, other).empty  # grew from another plain setting


def test_many_guesses_are_corrected_by_what_they_earn_on_other_items() -> None:
    frame = world(unlocked=False).query("setting == 'zero-shot'")
    frame = frame.assign(response="x", finish="stop", extracted=[str(int(i[1:]) % 4) for i in frame["item"]])
    items = sorted(set(frame["item"]))
    guess = [records("base", [float(int(i[1:]) % 4 == k) for i in items], setting="best of 4 (elicited)", sample=k)
             .assign(item=items, response="x", finish="stop", extracted=str(k)) for k in range(4)]  # fmt: skip
    found = table(frame, pd.concat(guess, ignore_index=True)).set_index("child").loc["sft"]
    assert np.isnan(found["share_new"]) and found["answer"] == "cant_tell"  # four guesses of four hit everything


@pytest.mark.parametrize(
    ("finish", "response", "expected"),
    [("stop", "text", [0.5, 0.0]), ("", "[]", [0.25, 0.5]), ("", None, [0.4375, 0.4375])],
    ids=["generated", "choices", "not recorded"],
)
def test_chance_of_guessing(finish: str, response: str | None, expected: list[float]) -> None:
    spec = TaskSpec(name="sums", capability="cot", metric="acc", chance=0.25)
    everybody = pd.DataFrame({"item": ["a", "b", "c"], "extracted": ["3", "4", "3"], "score": 1.0, "cluster": ""})
    tries = pd.DataFrame(
        {"item": ["a", "a", "b", "b"], "extracted": ["3", "3 ", "9", "4"], "finish": finish, "response": response}
    )
    assert chance_of_guessing(tries, everybody, spec)[["a", "b"]].tolist() == expected
