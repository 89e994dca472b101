"""What is missing to identify what a tree is asked: branches, items, training seeds.

    capeval plan instructgpt

Items come by power from the pilot's own spread: n · SE² of each difference, which holds the design effect of its
clusters, never from the difference that happened to be seen. Seeds come from the spread between training runs, by the
noncentral t (`stats.power`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capeval.attribution.designs import missing_cells
from capeval.attribution.grades import SEEDS, controls_of
from capeval.columns import PLAN_COLUMNS
from capeval.core import Tree
from capeval.stats.power import items_for_effect, seeds_for_effect

UNTRAINED = "untrained"
"""A stage on random weights needs no control: there is nothing that more of its parent's training could have given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a study should be able to find."""

    effect: float | None = None
    """True difference, of scores between 0 and 1 (0.05 = 5 points); None, and for other units: each task's margin."""
    alpha: float = 0.05
    power: float = 0.8
    family: int = 1
    """Tests that share alpha: the first step of Holm asks alpha / family of the smallest p."""

    @property
    def level(self) -> float:
        """Of one test."""
        return self.alpha / self.family

    def size(self, row: Mapping[str, Any]) -> float:
        """The effect looked for, in the row's unit."""
        return float(row["margin"]) if self.effect is None or row["unit"] != "points" else self.effect


def plan_table(
    tree: Tree, effects: pd.DataFrame, replicas: pd.DataFrame, claims: pd.DataFrame, aim: Aim
) -> pd.DataFrame:
    """What is missing, the claims first.

    Args:
        tree: Its stages and declared controls.
        effects: The ledger of a pilot; empty where there is none.
        replicas: `columns.REPLICA_COLUMNS`; empty with one training run.
        claims: `columns.CLAIM_COLUMNS`.
        aim: What is to be found, and how surely.

    Returns:
        Columns of `columns.PLAN_COLUMNS`.
    """
    headline = effects[~_second(effects, tree)]
    rows = [
        *_claims(tree, claims, pilot=not effects.empty),
        *_designs(tree),
        *_controls(tree),
        *([] if not effects.empty else [_no_pilot(tree)]),
        *_items(tree, headline, aim),
        *_seeds(tree, headline, replicas, aim),
    ]
    return pd.DataFrame(rows, columns=list(PLAN_COLUMNS))


def _second(effects: pd.DataFrame, tree: Tree) -> pd.Series:
    """Second metrics, settings that a summary stands for, and subsets."""
    second = tree.second_metrics()
    task = effects["task"].astype(str)
    both = task + " " + effects["setting"].astype(str)
    return task.isin(second) | both.isin(second) | task.str.contains(":", regex=False)


def _claims(tree: Tree, claims: pd.DataFrame, *, pilot: bool) -> Iterator[dict[str, Any]]:
    if not pilot:
        return  # all are untestable for want of answers
    for row in claims[claims["test"] == "claim"].to_dict("records"):
        if row["verdict"] in ("untestable", "undecided"):
            yield {
                "about": "claim", "what": row["claim"], "task": row["task"], "setting": row["setting"],
                "problem": f"{row['verdict']}: {row['reason']}", "have": row["n"] or math.nan, "need": row["n_needed"],
                "unit": row["unit"], "remedy": f"`capeval claims {tree.name} --claim {row['claim']}`",
            }  # fmt: skip


def _designs(tree: Tree) -> Iterator[dict[str, Any]]:
    """What a 2 × 2 of code and instructions still takes."""
    for sentence in missing_cells(tree):
        yield {
            "about": "design", "what": "code × instructions", "problem": sentence,
            "remedy": "these branches in the tree's file; `factorials:` names a 2 × 2 of other stages",
        }  # fmt: skip


def _controls(tree: Tree) -> Iterator[dict[str, Any]]:
    """Stages whose effect can't be told from that of as much other training; what is a control itself needs none."""
    controls = {contrast.parent for contrast in tree.contrasts if contrast.control}
    for edge in tree.edges():
        stage, parent = tree.stage(edge.child), tree.stage(edge.parent)
        if stage.kind == "reward" or stage.name in controls or UNTRAINED in parent.tags:
            continue
        if not controls_of(tree, {"kind": "edge", "contrast": edge.name, "child": edge.child, "parent": edge.parent}):
            declared = f"{{kind: sibling, child: {edge.child}, parent: …, control: true}}"
            yield {
                "about": "control", "what": edge.name, "problem": "no token-matched control branch",
                "remedy": f"another child of {edge.parent} that reads as many tokens of something else, "
                          f"and the contrast {declared}",
            }  # fmt: skip


def _no_pilot(tree: Tree) -> dict[str, Any]:
    return {
        "about": "items", "what": tree.name, "problem": "unknown: no pilot, so nobody knows how items vary", "have": 0,
        "remedy": _pilot(tree),
    }  # fmt: skip


def _items(tree: Tree, effects: pd.DataFrame, aim: Aim) -> Iterator[dict[str, Any]]:
    for row in _rows(effects[effects["answer"] == "cant_tell"]):
        size, n = aim.size(row), int(row["n"])
        common = {
            "about": "items", "what": row["contrast"], "task": row["task"], "setting": row["setting"], "have": n,
            "effect": size, "unit": row["unit"],
        }  # fmt: skip
        if row["reason"]:
            yield common | {"problem": row["reason"], "remedy": "more items of the same kind don't help"}
        elif n < 2 or not math.isfinite(row["se"]):
            yield common | {"problem": "too few items to know how they vary", "remedy": _pilot(tree)}
        elif (need := items_for_effect(n * row["se"] ** 2, size, alpha=aim.level, power=aim.power, n=n)) > n:
            groups = math.ceil(need * row["n_clusters"] / n)
            more = f"more items, in {groups:,} clusters like these" if groups else "more items"
            yield common | {"problem": "can't tell", "need": need, "remedy": more}


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _pilot(tree: Tree) -> str:
    if tree.records:
        return f"`capeval trace {tree.name}`"
    trained = any(stage.recipe for stage in tree.stages)
    return f"`capeval trace {tree.name}{'' if trained else ' --suite SUITE'} --limit 100`, then plan again"


def _seeds(tree: Tree, effects: pd.DataFrame, replicas: pd.DataFrame, aim: Aim) -> Iterator[dict[str, Any]]:
    """Training runs that it takes for their own interval to exclude 0."""
    if replicas.empty or replicas["replica"].nunique() < 2:
        trained = any(stage.recipe for stage in tree.stages)
        yield {
            "about": "seeds", "what": tree.name, "have": 1, "need": SEEDS if trained else math.nan,
            "problem": "unknown: one training run says nothing of how much runs differ" if trained else
                       "unknown: no stage has a recipe, so no run can be repeated here",
            "remedy": f"train 2 more replicas: `capeval trace {tree.name} --seeds {SEEDS}`" if trained else
                      "a tree with recipes, or released checkpoints of several seeds",
        }  # fmt: skip
        return
    key = ["kind", "contrast", "task", "setting"]
    known = replicas[replicas["delta"].notna() & (replicas["reason"] == "")]
    spread = known.groupby(key, sort=False, observed=True)["delta"].agg(["std", "count"])
    for row in _rows(effects):
        place = tuple(row[k] for k in key)
        if row["kind"] == "within" or place not in spread.index:
            continue
        sd, runs = (float(x) for x in spread.loc[place])
        if runs < 2:
            continue
        need = seeds_for_effect(sd, aim.size(row), alpha=aim.level, power=aim.power)
        if need > runs:
            yield {
                "about": "seeds", "what": row["contrast"], "task": row["task"], "setting": row["setting"],
                "have": runs, "need": need, "effect": aim.size(row), "unit": row["unit"],
                "problem": "training runs differ too much for so few of them",
                "remedy": f"`capeval trace {tree.name} --seeds {need}`",
            }  # fmt: skip
