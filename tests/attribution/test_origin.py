"""Origin: the stage that was planted is named, sums are exact, and what can't be known is not claimed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capeval.attribution.origin import origin_table
from capeval.attribution.pairing import cells
from capeval.attribution.paths import root_to_leaf
from capeval.attribution.summaries import with_summaries
from capeval.columns import ORIGIN_COLUMNS
from capeval.core import Link, Stage, TaskSpec, Tree
from tests.records import TASK, chain, records


def trace(tree: Tree, *runs: Sequence[pd.DataFrame], alpha: float = 0.05, seed: int = 0) -> pd.DataFrame:
    """The table of one or more training runs, each the records of its nodes."""
    found = [with_summaries(tree, cells(pd.concat(frames, ignore_index=True))) for frames in runs]
    return origin_table(tree, found, alpha=alpha, seed=seed)


def answers(node: str, right: int, n: int = 100, **columns: Any) -> pd.DataFrame:
    """The first `right` of n items right."""
    return records(node, [1.0] * right + [0.0] * (n - right), **columns)


def tree_of(parents: dict[str, str | None], *tasks: TaskSpec, **more: Any) -> Tree:
    """A tree from {node: parent}; nodes whose name begins with 'reward' are reward models."""
    stages = tuple(
        Stage(
            name=name,
            kind="base" if parent is None else "reward" if name.startswith("reward") else "sft",
            links=(Link(parent=parent, certainty="documented"),) if parent else (),
        )
        for name, parent in parents.items()
    )
    return Tree(name="tree", stages=stages, tasks=tasks or (TASK,), **more)


def role(table: pd.DataFrame, leaf: str | None = None) -> dict[str, str]:
    mine = table if leaf is None else table[table["leaf"] == leaf]
    return dict(zip(mine["node"], mine["role"], strict=True))


def test_the_stage_that_was_planted_is_the_origin_and_others_took_and_gave_back() -> None:
    table = trace(
        chain("a", "b", "c", "d", "e"),
        [answers("a", 2), answers("b", 3), answers("c", 80), answers("d", 40), answers("e", 70)],
    )
    assert list(table.columns) == list(ORIGIN_COLUMNS)
    assert role(table) == {"a": "root", "b": "none", "c": "origin", "d": "took", "e": "gave"}
    row = table[table["node"] == "c"].iloc[0]
    assert (row["parent"], row["contribution"], row["n"], row["support"]) == ("b", pytest.approx(0.77), 100, 1.0)
    assert row["left"] == pytest.approx((0.70 - 0.03) / 0.77)
    assert row["left_low"] < row["left"] < row["left_high"]
    assert row["sentence"].startswith("sums (direct) up to e: given by b → c +77.0 points [")
    assert "taken back by d −40.0 points" in row["sentence"] and "added to by e +30.0 points" in row["sentence"]
    assert (table["sentence"] != "").sum() == 1


SCORES = st.lists(st.tuples(*[st.floats(0, 1) | st.none()] * 4), min_size=2, max_size=25)


@settings(max_examples=30, deadline=None)
@given(SCORES, st.sampled_from(["higher", "lower"]))
def test_first_score_and_contributions_add_up_on_the_items_that_the_path_shares(rows: list[Any], way: Any) -> None:
    spec = TaskSpec(name="sums", capability="cot", metric="f1", binary=False, orientation=way)
    tree = chain("a", "b", "c", "d", tasks=[spec])
    table = trace(tree, [records(node, [row[i] for row in rows]) for i, node in enumerate("abcd")])
    whole = [row for row in rows if None not in row]
    if not len(table):
        return
    if list(table["node"]) == list("abcd"):
        assert (table["n"] == len(whole)).all()
    if table["n"].iloc[0]:
        assert table["contribution"].sum() == pytest.approx(table["score"].iloc[-1], abs=1e-12)
    if whole and list(table["node"]) == list("abcd"):
        assert table["score"].to_numpy(float) == pytest.approx(np.array(whole, dtype=float).mean(axis=0))


def test_what_the_first_node_had_no_stage_gave() -> None:
    table = trace(chain("a", "b", "c"), [answers("a", 60), answers("b", 75), answers("c", 30)])
    assert role(table) == {"a": "origin", "b": "gave", "c": "took"}
    row = table.iloc[0]
    assert row["sentence"].startswith("sums (direct) up to c: a has it already, 60.0 points [")
    assert row["left"] == pytest.approx(0.5)


def test_below_and_at_chance_there_is_no_capability() -> None:
    spec = TaskSpec(name="sums", capability="cot", metric="acc", chance=0.25, margin=0.05)
    guess = trace(chain("a", "b", tasks=[spec]), [answers("a", 0), answers("b", 28)])
    assert role(guess) == {"a": "root", "b": "gave"}  # the score rose, to chance
    assert "no stage is its origin: nothing is added beyond the margin" in guess["sentence"].iloc[0]
    # reading answers at all is worth 25 points of chance; knowing them is worth more
    table = trace(chain("a", "b", "c", tasks=[spec]), [answers("a", 0), answers("b", 36), answers("c", 60)])
    assert role(table) == {"a": "root", "b": "gave", "c": "origin"}
    assert table["contribution"].tolist() == pytest.approx([0, 0.36, 0.24])
    certain = trace(chain("a", "b", tasks=[spec]), [answers("a", 2), answers("b", 33)])
    assert certain["sentence"].iloc[0].endswith("nothing that gains stands certainly above chance; n = 100.")


def test_lower_is_better_is_turned_but_not_the_numbers() -> None:
    spec = TaskSpec(name="sums", capability="style", metric="tox", binary=False, orientation="lower")
    noise = np.random.default_rng(0).normal(0, 0.02, 80)
    table = trace(
        chain("a", "b", "c", tasks=[spec]),
        [records("a", 0.6 + noise), records("b", 0.2 - noise), records("c", 0.3 + noise)],
    )
    assert role(table) == {"a": "root", "b": "origin", "c": "took"}
    assert table["contribution"].iloc[1] < 0 and math.isnan(table["chance"].iloc[1])
    assert table["left"].iloc[1] == pytest.approx(0.75, abs=0.03)
    declared = TaskSpec(name="sums", capability="style", metric="tox", binary=False, orientation="lower", chance=0.5)
    bad = trace(chain("a", "b", tasks=[declared]), [records("a", 0.9 + noise), records("b", 0.5 + noise)])
    assert "origin" not in set(bad["role"])


def test_a_metric_without_a_better_end_stays_out() -> None:
    spec = TaskSpec(name="sums", capability="style", metric="length", binary=False, orientation="none", unit="words")
    assert trace(chain("a", "b", tasks=[spec]), [answers("a", 3), answers("b", 90)]).empty


def test_of_settings_the_area_counts_and_the_slope_does_not() -> None:
    spec = TaskSpec(
        name="sums", capability="icl", metric="acc", settings=("0-shot", "4-shot"), summaries=("slope", "area")
    )
    frames = [answers(n, k, setting=s) for n, k in (("a", 5), ("b", 90)) for s in spec.settings]
    table = trace(chain("a", "b", tasks=[spec]), frames)
    assert set(table["setting"]) == {"0-shot", "4-shot", "area"}


def test_a_gain_that_is_not_certain_names_nobody() -> None:
    table = trace(chain("a", "b"), [answers("a", 0, 12), answers("b", 3, 12)])
    assert set(table["role"]) == {"root", "none"}
    assert "no gain is certain" in table["sentence"].iloc[0]


def test_two_stages_that_give_alike_are_told_as_likely_only() -> None:
    # b and c give 30 items each, other ones
    a, b, c = [0.0] * 100, [1.0] * 30 + [0.0] * 70, [1.0] * 60 + [0.0] * 40
    table = trace(chain("a", "b", "c"), [records("a", a), records("b", b), records("c", c)])
    assert role(table) == {"a": "root", "b": "origin", "c": "gave"}  # of equals the first
    row = table.iloc[1]
    assert row["support"] == pytest.approx(0.5, abs=0.05)
    assert "most likely given by a → b" in row["sentence"] and "of the draws)" in row["sentence"]


def test_nodes_that_were_not_asked_are_passed_over_and_said_so() -> None:
    table = trace(chain("a", "b", "c", "d"), [answers("a", 1), answers("d", 90)])
    assert table["path"].unique().tolist() == ["a → d"]
    row = table.iloc[1]
    assert row["role"] == "origin"
    assert row["confounds"] == "b was not asked; c was not asked; 3 stages together"


def test_reward_models_stand_on_no_path_and_make_no_leaf_of_their_parent() -> None:
    tree = tree_of({"a": None, "b": "a", "reward": "b", "c": "b", "reward-2": "c"})
    assert root_to_leaf(tree) == [("a", "b", "c")]


def test_a_path_that_is_the_beginning_of_another_is_left_out() -> None:
    tree = tree_of({"a": None, "b": "a", "c": "b", "d": "b"})
    table = trace(tree, [answers("a", 1), answers("b", 50), answers("c", 60)])  # d was not asked
    assert table["path"].unique().tolist() == ["a → b → c"]


def test_examples_that_differ_end_the_path_unless_the_tree_allows_it() -> None:
    frames = [answers("a", 1, shots="x"), answers("b", 50, shots="x"), answers("c", 90, shots="y")]
    tree = tree_of({"a": None, "b": "a", "c": "b"})
    table = trace(tree, frames)
    assert table["path"].unique().tolist() == ["a → b"]
    assert table["ended"].unique().tolist() == ["b → c: different shots"]
    assert "the path ends here: b → c: different shots" in " ".join(table["sentence"])
    allowed = tree_of({"a": None, "b": "a", "c": "b"}, edge_notes={"b -> c": {"allow_different_shots": True}})
    table = trace(allowed, frames)
    assert table["path"].unique().tolist() == ["a → b → c"]
    assert table["confounds"].iloc[2] == "different shots on 100 items"


def test_a_stage_that_changed_only_what_can_be_read_is_no_origin() -> None:
    unread = ["unextracted"] * 60 + [""] * 40
    table = trace(chain("a", "b", "c"), [answers("a", 0, flag=unread), answers("b", 60), answers("c", 75)])
    assert "origin" not in set(table["role"])
    assert table["reason"].iloc[1].startswith("extraction")
    assert math.isnan(table["p_adjusted"].iloc[1])
    assert "b adds the most, and can't be told: extraction: 60% against 0%" in table["sentence"].iloc[0]


def test_a_path_that_shares_few_items_says_so() -> None:
    few = records("c", [1.0] * 20)
    table = trace(chain("a", "b", "c"), [answers("a", 5), answers("b", 30), few])
    assert (table["n"] == 20).all()
    assert table["confounds"].iloc[1] == "the path shares 20 of the 100 items that these two share"
    assert table["confounds"].iloc[2] == ""


@pytest.mark.parametrize("n", [0, 1])
def test_no_item_and_one_claim_nothing(n: int) -> None:
    table = trace(chain("a", "b"), [records("a", [None] + [0.0] * n), records("b", [1.0] + [1.0] * n)])
    assert "origin" not in set(table["role"])
    assert len(table) == (2 if n else 0)


def test_a_stage_counts_once_however_many_paths_share_it() -> None:
    """A certain stage on ten paths must not make room for a doubtful one (1 and 10 hypotheses, not 10 and 10)."""
    leaves = {f"leaf{i}": "b" for i in range(10)}
    tree = tree_of({"a": None, "b": "a", **leaves})
    same = [answers("a", 0), answers("b", 60)]
    doubtful = [records(leaf, [1.0] * 60 + [0.0] * 40) for leaf in leaves if leaf != "leaf0"]
    table = trace(tree, [*same, *doubtful, answers("leaf0", 67)])
    row = table[table["node"] == "leaf0"].iloc[0]
    # p = 2 · 2^-7; second of eleven hypotheses
    assert row["p"] == pytest.approx(2 * 0.5**7)
    assert row["p_adjusted"] == pytest.approx(2 * 0.5**7 * 11 / 2)


def test_another_path_with_other_items_takes_its_own_p_into_the_family() -> None:
    tree = tree_of({"a": None, "b": "a", "c": "b", "d": "b"})
    table = trace(tree, [answers("a", 0), answers("b", 9), answers("c", 9), records("d", [1.0] * 9)])
    rows = table[table["node"] == "b"].set_index("leaf")
    assert (rows.loc["c", "n"], rows.loc["d", "n"]) == (100, 9)
    assert rows.loc["c", "p"] == rows.loc["d", "p"] == pytest.approx(2 * 0.5**9)  # McNemar: the nine that changed
    few = trace(tree, [answers("a", 0), answers("b", 9), answers("c", 9), records("d", [1.0] * 5)])
    rows = few[few["node"] == "b"].set_index("leaf")
    assert rows.loc["c", "p_adjusted"] == pytest.approx(2 * 0.5**9 * 3)
    assert rows.loc["d", "p_adjusted"] == pytest.approx(2 * 0.5**5 * 3)


def test_training_runs_vote() -> None:
    tree = chain("a", "b", "c")
    first = [answers("a", 0), answers("b", 70), answers("c", 80)]
    other = [answers("a", 0), answers("b", 20), answers("c", 80)]
    table = trace(tree, first, first, other)
    assert table["seeds"].tolist() == [3, 3, 3]
    assert table["seed_support"].tolist() == pytest.approx([0, 2 / 3, 1 / 3])
    alone = trace(tree, first, other[:2])  # the second run was not asked the whole path
    assert alone["seeds"].tolist() == [1, 1, 1]


def test_planted_origins_are_named_and_chance_names_none() -> None:
    """Of sixty tasks half were given 30 points by one stage of four, beside small gains; half by nobody."""
    rng = np.random.default_rng(11)
    truth: dict[str, str] = {}
    frames = []
    for place in range(60):
        task, planted = f"task{place}", place % 2 == 0
        gains = np.array([0.05, *([0.03] * 4)]) if planted else np.zeros(5)
        if planted:
            truth[task] = "bcde"[place // 2 % 4]
            gains["abcde".index(truth[task])] = 0.35
        hard = rng.random((150, 1)) - (0 if planted else 0.1)
        scores = (hard + rng.normal(0, 0.05, (150, 5)) < np.cumsum(gains)).astype(float)
        frames += [records(node, scores[:, i], task=task) for i, node in enumerate("abcde")]
    tasks = [TaskSpec(name=f"task{place}", capability="cot", metric="exact_match") for place in range(60)]
    table = trace(chain(*"abcde", tasks=tasks), frames)
    told = table[(table["role"] == "origin") & (table["support"] >= 0.95) & (table["parent"] != "")]
    assert sum(truth.get(task) == node for task, node in zip(told["task"], told["node"], strict=True)) >= 28
    assert all(task in truth and truth[task] == node for task, node in zip(told["task"], told["node"], strict=True))


def test_the_same_seed_gives_the_same_table() -> None:
    frames = [answers("a", 10), answers("b", 45), answers("c", 80)]
    once, again = (trace(chain("a", "b", "c"), frames) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)
