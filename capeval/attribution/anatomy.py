"""The difference of two nodes, split by why items flipped: what a stage took by format is no loss of capability.

Every item is counted for one cause (`causes.cause_of`), or for none where its score changed by less than a flip. What a
cause adds to the difference is the mean, over all paired items, of d on its items and 0 on the others, so the causes
(with `REST`) add up to the ledger's delta; its interval comes from the same estimator, clusters and all, and is
marginal: 95 % for one cause, not for all of them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.causes import CAUSES
from capeval.attribution.pairing import Cells, Pairs, estimate, pair
from capeval.attribution.questions import questions
from capeval.attribution.sentences import bare
from capeval.columns import ANATOMY_COLUMNS
from capeval.core import TaskSpec, Tree
from capeval.errors import PairingError

REST = "small changes"
"""Stands for all changes of a continuous score that are no flips."""
WHY: dict[str, tuple[str, str]] = {
    "format": ("format", "the right answer is in what was said, but not in the form that is scored"),
    "truncation": ("length", "the answer was cut, or never came to an end"),
    "refusal": ("refusal", "the answer declines, or says that it isn't known"),
    "empty": ("silence", "nothing was said"),
    "reasoning": ("missing reasoning", "the answer comes without the steps that the better one has"),
    "slip": ("arithmetic", "a calculation in it is wrong when computed again"),
    "answer": ("another answer", "nothing else is to be seen"),
    "unknown": ("unknown", "the text was never looked at, or nothing could be taken from it"),
    REST: ("small changes", "no item changed by half or more"),
}
"""Cause → its name as a tax, and what it means."""
_KEYS = ["kind", "parent", "child", "setting", "task", "cause"]


def anatomy_table(tree: Tree, cells: Cells, flips: pd.DataFrame, *, alpha: float, seed: int = 0) -> pd.DataFrame:
    """Split every difference of two cells with flips.

    Args:
        tree: Its edges and contrasts are looked at; its task specs say unit, orientation and clusters.
        cells: As `pairing.cells` makes them.
        flips: As `flips.flip_table` makes them, of those contrasts.
        alpha: Level of the ledger's decisions.
        seed: Of the cluster sign-flip test.

    Returns:
        Columns of `columns.ANATOMY_COLUMNS`; what has no better end (orientation `none`) has no rows.
    """
    specs = {task.name: task for task in tree.tasks}
    flips = flips[flips["cause"] != ""].drop_duplicates([*_KEYS, "item"])
    groups = flips.groupby(_KEYS[:-1], sort=False, observed=True)
    causes = {tuple(map(str, key)): part.set_index("item")["cause"] for key, part in groups}
    lengths = _lengths(flips, specs)
    rows: list[dict[str, Any]] = []
    for contrast in (*tree.edges(), *tree.contrasts):
        for question in questions(contrast, cells) if len(contrast.cells) == 2 else ():
            task, setting, name = question.task, question.setting, question.task.partition(":")[0]
            place = (contrast.kind, contrast.parent, contrast.child, setting, name)
            if place not in causes:
                continue
            try:
                pairs = pair(
                    [cells[key] for key in question.keys], question.settings,
                    allow_different_shots=contrast.allow_different_shots,
                )  # fmt: skip
            except PairingError:
                continue  # the ledger says why
            head = {
                "kind": contrast.kind, "contrast": contrast.name, "parent": contrast.parent, "child": contrast.child,
                "task": task, "setting": setting, "orientation": specs[name].orientation,
            }  # fmt: skip
            mine = causes[place].reindex(pairs.items).to_numpy(dtype=object)
            for row in split(pairs, mine, specs[name], alpha=alpha, seed=seed):
                known = lengths.get((*place, row["cause"]), {}) if task == name else {}
                rows.append(head | row | known)
    frame = pd.DataFrame(rows, columns=[c for c in ANATOMY_COLUMNS if c != "sentence"])
    frame["sentence"] = [sentence({str(k): v for k, v in row.items()}) for row in frame.to_dict("records")]
    return frame[list(ANATOMY_COLUMNS)]


def split(pairs: Pairs, causes: np.ndarray, spec: TaskSpec, *, alpha: float, seed: int = 0) -> Iterator[dict[str, Any]]:
    """A row for each cause that moved an item.

    Args:
        pairs: Items of two cells, the child's scores first.
        causes: (items,) one of `CAUSES` where the item flipped, anything else where it didn't.
        spec: Says which way is better, and what clusters are.
        alpha: As in `anatomy_table`.
        seed: As in `anatomy_table`.
    """
    d = pairs.scores[:, 0] - pairs.scores[:, 1]
    worse = d > 0 if spec.orientation == "lower" else d < 0
    flipped = np.isin(causes.astype(str), CAUSES)
    lost_in_all = int((worse & flipped).sum())
    for cause in (*CAUSES, REST):
        mine = (~flipped if cause == REST else causes == cause) & (d != 0)
        if not mine.any():
            continue
        masked = replace(pairs, scores=np.column_stack([np.where(mine, d, 0.0), np.zeros(len(d))]))
        found = estimate(masked, np.array([1.0, -1.0]), spec, alpha=alpha, seed=seed)
        lost = int((mine & worse).sum())
        flips = {"lost": lost, "gained": int(mine.sum()) - lost} if cause != REST else {"lost": 0, "gained": 0}
        yield {
            "cause": cause, "n": len(d), **flips, "delta": float(d.mean()),
            "net": found.delta, "low": found.low, "high": found.high, "unit": spec.unit,
            "share": flips["lost"] / lost_in_all if lost_in_all else float("nan"),
        }  # fmt: skip


def sentence(row: dict[str, Any]) -> str:
    """One row in words.

    >>> row = {"contrast": "base → sft", "task": "drop", "setting": "zero-shot", "delta": -0.21, "net": -0.18,
    ...        "low": -0.26, "high": -0.11, "cause": "refusal", "unit": "points"}
    >>> sentence(row).partition(", of which ")[2]
    "−18.0 [−26.0, −11.0] are refusal: the answer declines, or says that it isn't known."
    """
    unit = str(row["unit"])
    delta, net, low, high = (bare(row[key], unit) for key in ("delta", "net", "low", "high"))
    part = row["net"] * row["delta"] > 0 and abs(row["net"]) <= abs(row["delta"])
    name, meaning = WHY[str(row["cause"])]
    if row["cause"] == "format" and row["worse_length"] > row["better_length"]:
        meaning += f" (median {row['worse_length']:.0f} characters, {row['better_length']:.0f} in the better answers)"
    share = f"of which {net} [{low}, {high}] are {name}" if part else f"to which {name} adds {net} [{low}, {high}]"
    return f"{row['contrast']}, {row['task']} ({row['setting']}): {delta} {unit}, {share}: {meaning}."


def _lengths(flips: pd.DataFrame, specs: Mapping[str, TaskSpec]) -> dict[tuple[str, ...], dict[str, float]]:
    """By contrast, setting, task and cause: how long the worse answers are in the middle, and the better ones."""
    lower = flips["task"].map({name: spec.orientation == "lower" for name, spec in specs.items()}).astype(bool)
    child_worse = (flips["child_score"] > flips["parent_score"]) == lower
    frame = flips[_KEYS].assign(
        worse_length=flips["child_length"].where(child_worse, flips["parent_length"]).astype(float),
        better_length=flips["parent_length"].where(child_worse, flips["child_length"]).astype(float),
    )
    medians = frame.groupby(_KEYS, sort=False, observed=True).median().reset_index().to_dict("records")
    return {
        tuple(str(row[key]) for key in _KEYS): {name: float(row[name]) for name in ("worse_length", "better_length")}
        for row in medians
    }
