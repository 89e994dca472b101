"""Series of sizes: which nodes they hold, and what they say of planted truths and of the recorded InstructGPT."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capeval.attribution.curves import LOGPROB
from capeval.attribution.pairing import cells
from capeval.attribution.scaling import CURVED, NO_COMPANION, SLOPE_ONLY, THRESHOLD_ONLY, scaling_table
from capeval.attribution.series import series_of
from capeval.attribution.summaries import with_summaries
from capeval.columns import SCALING_COLUMNS
from capeval.core import Link, Series, Stage, TaskSpec, Tree
from capeval.store.runs import as_records, load_node_records, with_node
from capeval.zoo import load_tree
from tests.records import contrast

ITEMS = 300
X = np.log10([53408, 100080, 201152, 532320, 873600, 2834880])
"""The sizes of the lab's tree."""
SPEC = TaskSpec(name="sums", capability="cot", metric="exact_match", margin=0.05)
GRADED = TaskSpec(name="sums-f1", capability="cot", metric="f1", binary=False, margin=0.05, headline=False)


def lab(*tasks: TaskSpec, contrasts: tuple = ()) -> Tree:
    return replace(load_tree("lab-scale"), tasks=tasks or (SPEC,), contrasts=contrasts)


def skill(tree: Tree, kind: str, seed: int = 0) -> dict[str, np.ndarray]:
    """How near every item is to being solved by each node of a series: 0 to 1, hard items hard at all sizes."""
    rng = np.random.default_rng(seed)
    hard = rng.random(ITEMS)
    nodes = next(s for s in series_of(tree) if s.name == kind).nodes
    return {node: np.where(rng.random(ITEMS) < 0.5, hard, rng.random(ITEMS)) for node in nodes}


def rows(node: str, scores: np.ndarray, **more) -> pd.DataFrame:
    columns = {"task": "sums", "capability": "cot", "setting": "direct"} | more
    frame = pd.DataFrame({"item": [f"i{i}" for i in range(len(scores))], "score": scores, **columns})
    return with_node(as_records(frame), node)


def planted(tree: Tree, kind: str, curve: list[float], **more) -> pd.DataFrame:
    """Right where the item's difficulty is below the curve."""
    known = skill(tree, kind, more.pop("seed", 0))
    return pd.concat(
        [rows(n, (hard < p).astype(float), **more) for (n, hard), p in zip(known.items(), curve, strict=True)]
    )


def table(tree: Tree, *records: pd.DataFrame) -> pd.DataFrame:
    found = scaling_table(tree, with_summaries(tree, cells(pd.concat(records))), alpha=0.05, seed=0)
    assert list(found.columns) == list(SCALING_COLUMNS)
    return found.set_index("setting")


def test_sizes_make_series_by_themselves_and_a_tree_may_say_more():
    names = {series.name: tuple(series.nodes) for series in series_of(load_tree("lab-scale"))}
    assert names["base"] == tuple(f"base-{w}" for w in (32, 48, 64, 96, 128, 192)) and set(names) == {
        "untrained",
        "base",
        "sft",
    }
    assert [s.name for s in series_of(load_tree("instructgpt"))] == ["gpt", "sft", "ppo", "ppo-ptx"]
    [types] = series_of(load_tree("lab-instructions"))
    assert (types.axis, list(types.nodes.values())) == ("instruction types", [1, 2, 4, 8, 16, 26])
    assert series_of(load_tree("lab")) == ()


def test_two_nodes_of_one_size_make_no_series_and_a_declared_one_is_not_doubled():
    stages = [Stage(name=f"m{i}", kind="base", parameters=size) for i, size in enumerate((1e6, 2e6, 4e6, 4e6))]
    assert series_of(Tree(name="t", stages=tuple(stages))) == ()
    chosen = Series(name="mine", axis="parameters", nodes={"m0": 1e6, "m1": 2e6, "m2": 4e6})
    assert series_of(Tree(name="t", stages=tuple(stages), series=(chosen,))) == (chosen,)
    assert series_of(Tree(name="t", stages=tuple(stages[:3]), series=(chosen,))) == (chosen,)


def test_tokens_are_an_axis_among_nodes_of_one_size():
    root = Stage(name="root", kind="base", parameters=1e6)
    link = (Link(parent="root", certainty="documented"),)
    more = [Stage(name=f"t{n}", kind="continued", parameters=1e6, tokens=n, links=link) for n in (1e6, 2e6, 4e6)]
    [series] = series_of(Tree(name="t", stages=(root, *more)))
    assert (series.axis, list(series.nodes.values())) == ("tokens", [1e6, 2e6, 4e6])


def test_a_planted_beginning_is_found_with_its_interval():
    tree = lab()
    found = table(tree, planted(tree, "base", [0.1, 0.1, 0.1, 0.4, 0.6, 0.9])).loc["direct"]
    assert found["n"] == ITEMS and found["p_adjusted"] < 0.001 and found["low"] > 0
    assert found["change_low"] < 201_152 * 1.2 < found["change_high"] < 532_320
    assert "begins to rise at" in found["sentence"] and NO_COMPANION in found["warning"]
    points = json.loads(found["curve"])
    assert [p[0] for p in points] == pytest.approx([float(s) for s in found["sizes"].split(", ")])
    assert all(low <= mean <= high for _, mean, low, high in points)


def test_a_straight_line_has_a_slope_and_no_beginning_and_a_ceiling_is_no_beginning():
    tree = lab()
    straight = table(tree, planted(tree, "base", list(0.1 + 0.3 * (X - X[0])))).loc["direct"]
    assert straight["slope"] == pytest.approx(0.3, abs=0.08) and math.isnan(straight["change"])
    levels_off = table(tree, planted(tree, "base", [0.1, 0.5, 0.9, 0.9, 0.9, 0.9])).loc["direct"]
    assert math.isnan(levels_off["change"]) and CURVED in levels_off["warning"]


def test_a_jump_that_only_the_threshold_makes_is_told():
    """Every item comes nearer by even steps; right it is only above 0.75 (Schaeffer et al. 2023)."""
    tree = lab(replace(SPEC, continuous="sums-f1"), GRADED)
    near = {n: np.clip(0.1 + 0.45 * (s - X[0]) + 0.15 * (hard - 0.5), 0, 1)
            for (n, hard), s in zip(skill(tree, "base").items(), X, strict=True)}  # fmt: skip
    exact = [rows(node, (f1 > 0.75).astype(float)) for node, f1 in near.items()]
    graded = [rows(node, f1, task="sums-f1") for node, f1 in near.items()]
    found = table(tree, *exact, *graded).reset_index().set_index("task")
    row = found.loc["sums"]
    assert row["change"] > 201_152 and row["continuous"] == "sums-f1"
    assert row["continuous_slope"] == pytest.approx(0.45, abs=0.02) and row["continuous_p_change"] > 0.05
    assert row["warning"].startswith(THRESHOLD_ONLY) and THRESHOLD_ONLY in row["sentence"]
    assert found.loc["sums-f1", "warning"] == ""  # knows degrees itself


def test_a_slope_that_only_the_threshold_shows_is_told():
    tree = lab(replace(SPEC, continuous="sums-f1"), GRADED)
    rng = np.random.default_rng(0)
    exact = planted(tree, "base", list(0.1 + 0.25 * (X - X[0])))
    graded = [rows(node, rng.random(ITEMS), task="sums-f1") for node in exact["node"].unique()]
    row = table(tree, exact, *graded).reset_index().set_index("task").loc["sums"]
    assert row["warning"].startswith(SLOPE_ONLY) and row["p_adjusted"] < 0.05


def test_the_log_probability_of_the_gold_is_a_companion_where_records_know_it():
    tree = lab()
    curve = [0.1, 0.1, 0.1, 0.4, 0.6, 0.9]
    right = planted(tree, "base", curve)
    right["gold_logprob"] = right["node"].map(dict(zip(right["node"].unique(), curve, strict=True))) * 4 - 5
    right["gold_logprob"] += np.tile(np.random.default_rng(0).normal(size=ITEMS) * 0.1, 6)
    found = table(tree, right).loc["direct"]
    assert (found["continuous"], found["continuous_unit"]) == (LOGPROB, "nats")
    assert found["continuous_p_change"] < 0.05 and THRESHOLD_ONLY not in found["warning"]
    right.loc[right["node"] == "base-192", "gold_logprob"] = np.nan  # one size that lacks it: no companion
    assert table(tree, right).loc["direct", "continuous"] == ""


def test_the_gain_of_reasoning_is_a_difference_item_by_item():
    node = "base-192"
    asked = contrast("within", {(node, "cot"): 1, (node, "direct"): -1})
    tree = lab(contrasts=(asked,))
    direct = planted(tree, "base", [0.2] * 6)
    gain = 0.6 * np.maximum(0, X - math.log10(4e5)) / (X[-1] - math.log10(4e5))
    cot = planted(tree, "base", list(0.2 + gain), setting="cot")
    found = table(tree, direct, cot)
    row = found.loc["cot − direct"]
    assert 201_152 < row["change_low"] < 4e5 < row["change_high"] < 873_600
    means = [found.loc[s, "curve"] for s in ("cot", "direct")]
    apart = np.array([p[1] for p in json.loads(means[0])]) - [p[1] for p in json.loads(means[1])]
    assert [p[1] for p in json.loads(row["curve"])] == pytest.approx(list(apart))


def test_clusters_reach_slope_and_beginning_and_few_of_them_are_refused():
    tree = lab(replace(SPEC, cluster_role="sampled", cluster="article"))
    curve = [0.1, 0.1, 0.1, 0.4, 0.6, 0.9]
    many = table(tree, planted(tree, "base", curve, cluster=[f"c{i % 30}" for i in range(ITEMS)])).loc["direct"]
    assert many["change"] > 0
    few = table(tree, planted(tree, "base", curve, cluster=[f"c{i % 4}" for i in range(ITEMS)])).loc["direct"]
    assert math.isnan(few["p_change"]) and "4 clusters" in few["warning"]


def test_fewer_than_five_sizes_are_refused_and_what_can_not_pair_says_why():
    tree = lab()
    four = planted(tree, "base", [0.1, 0.1, 0.4, 0.5, 0.6, 0.9])
    four = four[~four["node"].isin(["base-32", "base-48"])]
    found = table(tree, four).loc["direct"]
    assert math.isnan(found["p_change"]) and "4 sizes: where a rise begins takes 5" in found["warning"]
    two = four[four["node"].isin(["base-64", "base-96"])]
    assert table(tree, two).empty
    four["shots"] = np.where(four["node"] == "base-64", "a", "b")
    found = table(tree, four).loc["direct"]
    assert (found["n"], found["warning"]) == (0, "different shots") and "can't tell" in found["sentence"]
    assert table(tree, four[four["node"] == "none"]).empty


def test_answers_that_only_some_sizes_give_readably_are_told():
    tree = lab()
    found = planted(tree, "base", [0.1, 0.1, 0.1, 0.4, 0.6, 0.9])
    small = (found["node"] == "base-32") & (found["score"] == 0)
    found["flag"] = np.where(small, "unextracted", "")
    assert "unextracted answers: from 0% to" in table(tree, found).loc["direct", "warning"]


def test_false_beginnings_are_rare_over_many_tasks():
    """Straight curves on 24 tasks: Benjamini-Hochberg over them lets hardly any bend through."""
    specs = tuple(replace(SPEC, name=f"t{i}") for i in range(24))
    tree = lab(*specs)
    curve = list(0.1 + 0.25 * (X - X[0]))
    parts = [planted(tree, "base", curve, task=spec.name, seed=i) for i, spec in enumerate(specs)]
    assert table(tree, *parts)["change"].notna().sum() <= 1


def test_instructgpt_has_slopes_beside_their_continuous_metric():
    tree = load_tree("instructgpt")
    records = load_node_records(
        Path(tree.records), nodes={s.name for s in tree.stages}, tasks={t.name for t in tree.tasks}, specs=tree.tasks
    )
    found = table(tree, records).reset_index().set_index(["series", "task", "setting"])
    exact = found.loc[("sft", "drop_em", "few-shot")]
    assert (exact["continuous"], exact["n"]) == ("drop", 100)
    assert exact["continuous_slope"] == found.loc[("sft", "drop", "few-shot"), "slope"]
    assert found.loc[("gpt", "squadv2:answerable", "few-shot"), "continuous"] == "squadv2_f1"
    assert found["p_change"].isna().all() and found["warning"].str.contains("3 sizes").all()
    gain = found.loc[("gpt", "squadv2", "few-shot − zero-shot")]
    assert gain["slope"] == pytest.approx(
        found.loc[("gpt", "squadv2", "few-shot"), "slope"] - found.loc[("gpt", "squadv2", "zero-shot"), "slope"]
    )
