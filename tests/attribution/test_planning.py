"""What is missing: control branches, items by a pilot's spread, seeds by the spread of training runs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestPower

from capeval.attribution.effects import ledger
from capeval.attribution.pairing import cells
from capeval.attribution.planning import Aim, plan_table
from capeval.columns import CLAIM_COLUMNS, EFFECT_COLUMNS, PLAN_COLUMNS, REPLICA_COLUMNS
from capeval.core import Contrast, Link, Stage, Tree
from capeval.stats.power import items_for_effect, minimal_detectable_effect
from capeval.zoo import load_tree
from tests.records import TASK, chain, contrast, records

NO_EFFECTS = pd.DataFrame(columns=list(EFFECT_COLUMNS))
NO_REPLICAS = pd.DataFrame(columns=list(REPLICA_COLUMNS))
NO_CLAIMS = pd.DataFrame(columns=list(CLAIM_COLUMNS))


def plan(
    tree: Tree, effects=NO_EFFECTS, replicas=NO_REPLICAS, claims=NO_CLAIMS, aim: Aim | None = None
) -> pd.DataFrame:
    found = plan_table(tree, effects, replicas, claims, aim or Aim())
    assert list(found.columns) == list(PLAN_COLUMNS)
    return found


def pilot(n: int = 120, **columns) -> tuple[Tree, pd.DataFrame]:
    """Two nodes that differ on a fifth of the items, both ways."""
    rng = np.random.default_rng(0)
    base = [float(i % 2) for i in range(n)]
    flips = rng.permutation(n) % 5 == 0
    sft = [1 - s if flip else s for s, flip in zip(base, flips, strict=True)]
    spec = replace(TASK, cluster_role="sampled", cluster="article") if "cluster" in columns else TASK
    tree = chain("base", "sft", tasks=(spec,))
    rows = pd.concat([records("base", base, **columns), records("sft", sft, **columns)])
    return tree, ledger(tree, cells(rows), tree.edges())


def test_items_are_those_at_which_the_effect_is_detectable():
    tree, effects = pilot()
    row = plan(tree, effects).set_index("about").loc["items"]
    assert (row["have"], row["effect"], row["problem"]) == (120, TASK.margin, "can't tell")
    variance = 120 * effects["se"][0] ** 2
    assert variance == pytest.approx(0.2, rel=0.02)
    assert minimal_detectable_effect(math.sqrt(variance / row["need"])) <= TASK.margin
    assert minimal_detectable_effect(math.sqrt(variance / (row["need"] - 1))) > TASK.margin
    larger = plan(tree, effects, aim=Aim(effect=0.03, family=12)).set_index("about").loc["items"]
    assert larger["need"] == items_for_effect(variance, 0.03, alpha=0.05 / 12)
    assert not (plan(tree, effects, aim=Aim(effect=0.5))["about"] == "items").any()  # 120 are enough


def test_clusters_bring_their_design_effect_and_what_more_items_do_not_help_is_said():
    tree, effects = pilot(cluster=[f"c{i // 10}" for i in range(120)])
    row = plan(tree, effects).set_index("about").loc["items"]
    assert row["need"] == items_for_effect(120 * effects["se"][0] ** 2, TASK.margin)
    assert f"in {math.ceil(row['need'] / 10)} clusters like these" in row["remedy"]
    tree, effects = pilot(cluster=[f"c{i // 40}" for i in range(120)])
    row = plan(tree, effects).set_index("about").loc["items"]
    assert math.isnan(row["need"]) and "fewer than six clusters" in row["problem"] and "don't help" in row["remedy"]


def test_without_a_pilot_the_branches_are_planned_all_the_same():
    found = plan(load_tree("lab")).set_index("about")
    assert "capeval trace lab --limit 100" in found.loc["items", "remedy"]
    assert "capeval trace lab --seeds 3" in found.loc["seeds", "remedy"]
    missing = set(found.loc["control", "what"])
    assert "base → base-sft" in missing
    assert not {"base → code", "base → continued", "untrained → early"} & missing  # has one, is one, needs none
    recorded = plan(load_tree("instructgpt")).set_index("about")
    assert "no stage has a recipe" in recorded.loc["seeds", "problem"] and math.isnan(recorded.loc["seeds", "need"])


def test_what_a_crossing_of_code_and_instructions_lacks():
    designs = plan(load_tree("gpt-3.5")).set_index("about").loc[["design"]]
    assert designs["problem"].str.contains("missing a control").any() and set(designs["what"]) == {
        "code × instructions"
    }
    assert not (plan(load_tree("lab"))["about"] == "design").any()  # the lab holds one


def test_a_declared_control_is_enough():
    link = (Link(parent="base", certainty="documented"),)
    stages = (Stage(name="base", kind="base"), *(Stage(name=n, kind="code", links=link) for n in ("code", "more")))
    tree = Tree(name="t", stages=stages, tasks=(TASK,))
    assert list(plan(tree)[plan(tree)["about"] == "control"]["what"]) == ["base → code", "base → more"]
    control: Contrast = contrast("sibling", {("code", None): 1, ("more", None): -1}, control=True)
    assert not (plan(replace(tree, contrasts=(control,)))["about"] == "control").any()


def test_seeds_follow_from_the_spread_of_training_runs():
    tree, effects = pilot()
    rows = [{"replica": i, "kind": "edge", "contrast": "base → sft", "task": "sums", "setting": "direct", "n": 120,
             "delta": delta, "reason": ""} for i, delta in enumerate((0.0, 0.06, 0.12))]  # fmt: skip
    replicas = pd.DataFrame(rows, columns=list(REPLICA_COLUMNS))
    row = plan(tree, effects, replicas).set_index("about").loc["seeds"]
    expected = TTestPower().solve_power(TASK.margin / 0.06, alpha=0.05, power=0.8)
    assert (row["have"], row["need"]) == (3, math.ceil(expected))
    assert row["remedy"] == f"`capeval trace chain --seeds {math.ceil(expected)}`"
    assert not (plan(tree, effects, replicas.assign(delta=[0.05, 0.051, 0.052]))["about"] == "seeds").any()
    unread = replicas.assign(reason="extraction: 40% against 2%")
    assert not (plan(tree, effects, unread)["about"] == "seeds").any()


def test_claims_come_first_with_what_keeps_them_open():
    tree, effects = pilot()
    one = {
        "claim": "a",
        "test": "claim",
        "verdict": "untestable",
        "reason": "no stage is code",
        "n": 0,
        "n_needed": np.nan,
    }
    two = one | {"claim": "b", "verdict": "undecided", "reason": "open: x", "n": 120, "n_needed": 700.0}
    rest = [one | {"claim": "c", "verdict": "supported"}, two | {"test": "x"}]
    found = plan(tree, effects, claims=pd.DataFrame([one, two, *rest], columns=list(CLAIM_COLUMNS)))
    assert list(found["what"][:2]) == ["a", "b"] and (found["about"] == "claim").sum() == 2
    assert found["problem"][0] == "untestable: no stage is code" and found["need"][1] == 700
    assert found["remedy"][1] == "`capeval claims chain --claim b`"


def test_second_metrics_and_subsets_are_not_planned_for():
    tree, effects = pilot()
    quiet = replace(tree, tasks=(replace(TASK, headline=False),))
    assert not (plan(quiet, effects)["about"] == "items").any()
    assert not (plan(tree, effects.assign(task="sums:near"))["about"] == "items").any()
