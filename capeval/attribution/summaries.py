"""What several settings of a task amount to, item by item: a slope over shots, a spread over wordings, a gap.

In-context learning is no score at one k: it is how much examples help. So an item's scores at k = 0, 1, 2, 4, 8 become
one number, which pairs between nodes like any other score; its mean over items is the slope of the means.

>>> weights("slope", ["0-shot", "1-shot", "2-shot"]).round(2)     # least squares on log2(1 + k)
array([-0.67,  0.11,  0.56])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import WHY_WRONG
from capeval.core import TaskSpec, Tree
from capeval.digest import digest
from capeval.suites import shots_of


def with_summaries(tree: Tree, cells: Cells) -> dict[tuple[str, str, str], pd.DataFrame]:
    """The cells, and for every node that was asked all settings of a task one more for each summary of them.

    An item that lacks a score in any setting has none in a summary.
    """
    found = dict(cells)
    specs = {task.name: task for task in tree.tasks if task.summaries}
    for node, task in dict.fromkeys((node, task) for node, task, _ in cells):
        spec = specs.get(task.partition(":")[0])
        parts = [cells.get((node, task, setting)) for setting in spec.settings] if spec else []
        known = [part for part in parts if part is not None]
        if spec is None or len(known) < len(parts):
            continue
        for summary in spec.summaries:
            found[(node, task, summary)] = _summary(summary, spec.settings, known)
    return found


def spec_in(spec: TaskSpec, setting: str) -> TaskSpec:
    """The spec under which a setting is read: a summary is no rate.

    Area and mean are as good or bad as the scores. A slope, a spread and a gap are 0 for who is always wrong and for
    who is always right: neither way is better by itself, so they increase and decrease.
    """
    if setting not in spec.summaries:
        return spec
    spec = replace(spec, binary=False, metric=f"{setting} of {spec.metric}")
    if setting in ("slope", "gap", "spread"):
        spec = replace(spec, chance=0.0, orientation="none")
    if setting == "slope":  # the margin of the scores, over the whole width of the ladder
        places = _places(spec.settings)
        return replace(spec, margin=spec.margin / float(places.max() - places.min()))
    return spec


def weights(summary: str, settings: Sequence[str]) -> np.ndarray:
    """What each setting's score counts in a summary that is a weighted sum of them.

    Args:
        summary: slope, area, mean or gap (the first setting minus the second).
        settings: In the task's order; k-shot ones for slope and area.

    Returns:
        (settings,) weights: they sum to 0 for slope and gap, to 1 for area and mean.
    """
    if summary == "mean":
        return np.full(len(settings), 1 / len(settings))
    if summary == "gap":
        return np.array([1.0, -1.0])
    x = _places(settings)
    if summary == "slope":
        centred = x - x.mean()
        slope: np.ndarray = centred / float((centred**2).sum())
        return slope
    order = np.argsort(x)
    steps = np.diff(x[order])
    area = np.zeros(len(x))
    area[order[:-1]] += steps / 2
    area[order[1:]] += steps / 2
    whole: np.ndarray = area / steps.sum()
    return whole


def _places(settings: Sequence[str]) -> np.ndarray:
    places: np.ndarray = np.log2(1 + np.array([float(shots_of(setting) or 0) for setting in settings]))
    return places


def _summary(summary: str, settings: Sequence[str], parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    shared = parts[0].index
    for part in parts[1:]:
        shared = shared[shared.isin(part.index)]
    aligned = [part.loc[shared] for part in parts]
    if any(part["lenient"].notna().any() for part in aligned):  # a setting without a lenient reading is read as scored
        aligned = [part.assign(lenient=part["lenient"].fillna(part["score"])) for part in aligned]
    numbers = ("score", "gold_logprob", "lenient")
    values = {column: _together_of(summary, settings, aligned, column) for column in numbers}
    marks = (*WHY_WRONG, "form")
    flags = {mark: np.mean([part[mark].to_numpy(float) for part in aligned], axis=0) for mark in marks}
    # the cells of two nodes pair only if every setting was shown alike
    alike = {column: _together(aligned, column) for column in ("shots", "presentation", "prompt_digest")}
    return aligned[0].assign(rung="", **values, **flags, **alike)


def _together_of(summary: str, settings: Sequence[str], parts: Sequence[pd.DataFrame], column: str) -> np.ndarray:
    """A number of each item over all settings."""
    each = np.column_stack([part[column].to_numpy(float) for part in parts])
    found: np.ndarray = (
        each.max(axis=1) - each.min(axis=1) if summary == "spread" else each @ weights(summary, settings)
    )
    return found


def _together(parts: Sequence[pd.DataFrame], column: str) -> list[str]:
    known: dict[tuple[str, ...], str] = {}
    rows = list(zip(*(part[column] for part in parts), strict=True))
    for row in set(rows):
        # what one setting does not know, nobody knows of all
        known[row] = "" if "" in row else row[0] if len(set(row)) == 1 else digest(list(row))
    return [known[row] for row in rows]
