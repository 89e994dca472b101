"""Item by item: where the two ends of a contrast differ, why the worse one is worse, and what they said where known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from capeval.attribution.causes import READ, cause_of
from capeval.columns import FLIP_COLUMNS
from capeval.core import Contrast, TaskSpec

BIG = 0.5
"""A change of at least this much of a score between 0 and 1 is a flip; for 0/1 scores that is every change."""
_KEYS = ["task", "item"]
_SHOWN = ("score", "flag", "response", "length")


def flip_table(records: pd.DataFrame, contrasts: Iterable[Contrast], tasks: Iterable[TaskSpec]) -> pd.DataFrame:
    """Items whose score changed by at least half between parent and child; columns of `columns.FLIP_COLUMNS`.

    Samples are averaged inside the item, as in the ledger; the answer that is shown, and that a cause is read from, is
    the first of those nearest to that average: a right one where most are right.

    Args:
        records: Columns of `columns.RECORD_COLUMNS` with `node` in front.
        contrasts: Those of two cells are looked at, others are left out.
        tasks: Scores between 0 and 1 (`unit: points`) flip, others don't; what has no better end has no cause.
    """
    specs = {task.name: task for task in tasks if task.unit == "points"}
    wanted = records[records["task"].isin(specs.keys())]
    groups = wanted.groupby(["node", "setting"], sort=False, observed=True)
    ends = {(str(node), str(setting)): _one_per_item(rows) for (node, setting), rows in groups}
    parts = [part for contrast in contrasts for part in _flips(contrast, ends, specs)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(FLIP_COLUMNS))


def _flips(
    contrast: Contrast, ends: Mapping[tuple[str, str], pd.DataFrame], specs: Mapping[str, TaskSpec]
) -> list[pd.DataFrame]:
    """One frame for each setting that both nodes have, or for the two settings that the contrast names."""
    if len(contrast.cells) != 2:
        return []
    child, parent = contrast.cells
    found = []
    for node, setting in ends:
        if node != parent.node or parent.setting not in (None, setting):
            continue
        other = setting if child.setting is None else child.setting
        if (child.node, other) in ends:
            name = setting if other == setting else f"{other} − {setting}"
            shots = contrast.allow_different_shots or other != setting
            both = _both(ends[node, setting], ends[child.node, other], shots=shots)
            about = np.array([_asks(contrast, task) for task in both["task"]], dtype=bool)
            found.append(_table(contrast, name, both[about], specs))
    return [frame for frame in found if len(frame)]


def _asks(contrast: Contrast, task: str) -> bool:
    """Whether a contrast is about a task."""
    return not contrast.tasks or any(fnmatchcase(task, pattern) for pattern in contrast.tasks)


def _both(parent: pd.DataFrame, child: pd.DataFrame, *, shots: bool) -> pd.DataFrame:
    """Items of both ends that flipped, the ends' columns side by side."""
    both = parent.merge(child, on=_KEYS, suffixes=("_parent", "_child"))
    both = both[(both["score_child"] - both["score_parent"]).abs() >= BIG]
    return both if shots else both[both["shots_parent"] == both["shots_child"]]


def _table(contrast: Contrast, setting: str, both: pd.DataFrame, specs: Mapping[str, TaskSpec]) -> pd.DataFrame:
    turned = both["task"].map({name: spec.orientation for name, spec in specs.items()}).to_numpy(dtype=object)
    rise = (both["score_child"] - both["score_parent"]).to_numpy(float)
    lost = np.where(turned == "lower", rise > 0, rise < 0)
    worse = {name: np.where(lost, both[f"{name}_child"], both[f"{name}_parent"]) for name in READ}
    better = {name: np.where(lost, both[f"{name}_parent"], both[f"{name}_child"]) for name in READ}
    shown = {f"{end}_{what}": both[f"{what}_{end}"] for what in _SHOWN for end in ("parent", "child")}
    frame = pd.DataFrame(
        {
            "kind": contrast.kind, "parent": contrast.parent, "child": contrast.child,
            "task": both["task"], "setting": setting, "item": both["item"], "cluster": both["cluster_parent"],
            **shown, "cause": np.where(turned == "none", "", cause_of(worse, better)),
        }
    )  # fmt: skip
    return frame[list(FLIP_COLUMNS)]


def _one_per_item(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one node and setting with several samples of an item made one; no work where there is one each."""
    columns = [*_KEYS, "cluster", "shots", *dict.fromkeys((*_SHOWN, *READ))]
    rows = rows[columns]
    if not rows.duplicated(_KEYS).any():
        return rows
    mean = rows.groupby(_KEYS, sort=False, observed=True)["score"].transform("mean")
    nearest = (rows["score"] - mean).abs().sort_values(kind="stable").index
    return rows.assign(score=mean).loc[nearest].drop_duplicates(_KEYS).sort_index()
