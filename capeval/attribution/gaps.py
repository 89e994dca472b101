"""Gaps to the benchmark that a task shifts (`TaskSpec.reference`): what a node loses out of distribution.

Within a node the gap is its score on the shifted items minus its score on the reference's, two sets of other items;
between a stage's ends the change of the gap is the paired difference on one set minus that on the other. Items that
were shifted one by one pair directly instead: see the summary `gap`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.pairing import Cells, Pairs, complete, estimate, marks, pair
from capeval.attribution.scores import score_of
from capeval.core import SUMMARIES, Cell, Contrast, TaskSpec, Tree
from capeval.errors import PairingError
from capeval.stats.independent import Side, independent_difference
from capeval.stats.paired import PairedDifference
from capeval.stats.rates import Interval

GAP = ": gap to "
"""Between a node or stage and a reference, in the names of such contrasts."""


def is_gap(contrasts: pd.Series) -> pd.Series:
    """Which names of contrasts are those of gaps to other items."""
    return contrasts.astype(str).str.contains(GAP, regex=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One gap, or the change of one."""

    contrast: Contrast
    spec: TaskSpec
    setting: str
    estimate: PairedDifference
    compared: tuple[tuple[pd.DataFrame, ...], ...]
    """Cells that must be readable alike: both sets of a node, or both ends of a stage on each set."""
    paired: tuple[tuple[pd.DataFrame, ...], ...] = ()
    """Those of them that hold the same items."""
    shifted: float = float("nan")
    """A node's score on the shifted items; NaN for a change, of which no two scores make the difference."""
    reference: float = float("nan")
    dropped: int = 0
    completers: float = float("nan")
    """The same on items that nobody left truncated, unextracted, refused or empty."""
    n_completers: int = 0
    confounds: tuple[str, ...] = ()


def gaps(tree: Tree, cells: Cells, edges: Sequence[Contrast], *, alpha: float) -> Iterator[Gap]:
    """Every node's gap, and how every edge changes it, in the settings that both tasks have (summaries left out)."""
    specs = {task.name: task for task in tree.tasks}
    for spec in tree.tasks:
        if not spec.reference or spec.reference not in specs:
            continue
        reference = specs[spec.reference]
        settings = dict.fromkeys(s for _, task, s in cells if task == spec.name and s not in SUMMARIES)
        for setting in settings:
            for node in dict.fromkeys(node for node, _, _ in cells):
                if {(node, spec.name, setting), (node, reference.name, setting)} <= cells.keys():
                    yield _within(node, spec, reference, setting, cells, alpha)
            for edge in edges:
                found = _change(edge, (spec, reference), setting, cells, alpha)
                if found:
                    yield found


def _within(node: str, spec: TaskSpec, reference: TaskSpec, setting: str, cells: Cells, alpha: float) -> Gap:
    parts = tuple(cells[(node, task.name, setting)] for task in (spec, reference))
    sides = [score_of(part, task) for part, task in zip(parts, (spec, reference), strict=True)]
    cell = (Cell(node=node, setting=setting, weight=1.0), Cell(node=node, setting=setting, weight=-1.0))
    clean = [part["score"].to_numpy(float)[part["score"].notna().to_numpy() & complete([part])] for part in parts]
    return Gap(
        contrast=Contrast(name=f"{node}{GAP}{reference.name}", kind="within", cells=cell),
        spec=spec, setting=f"{setting} − {reference.name}", estimate=independent_difference(*sides, alpha=alpha),
        compared=(parts,), shifted=sides[0].mean, reference=sides[1].mean, confounds=("other items",),
        **_completers(clean),
    )  # fmt: skip


def _change(edge: Contrast, tasks: tuple[TaskSpec, TaskSpec], setting: str, cells: Cells, alpha: float) -> Gap | None:
    """How a stage changes the gap; None where cells lack, or can't be paired: the edge's own rows say why."""
    keys = [[(node, task.name, setting) for node in (edge.child, edge.parent)] for task in tasks]
    if not all(key in cells for ends in keys for key in ends):
        return None
    ends = tuple(tuple(cells[key] for key in pair_) for pair_ in keys)
    try:
        pairs = [pair(e, [setting, setting], allow_different_shots=edge.allow_different_shots) for e in ends]
    except PairingError:
        return None
    sides = [_side(found, task, alpha) for found, task in zip(pairs, tasks, strict=True)]
    spec, reference = tasks
    cell = (Cell(node=edge.child, weight=1.0), Cell(node=edge.parent, weight=-1.0))
    return Gap(
        contrast=Contrast(
            name=f"{edge.name}{GAP}{reference.name}", kind="difference", cells=cell, confounds=edge.confounds
        ),
        spec=replace(spec, orientation="none"), setting=f"{setting} − {reference.name}",
        estimate=independent_difference(*sides, alpha=alpha), compared=ends, paired=ends,
        dropped=sum(found.dropped for found in pairs), confounds=tuple(marks(pairs, shots=edge.allow_different_shots)),
        **_completers([found.scores[found.complete] @ np.array([1.0, -1.0]) for found in pairs]),
    )  # fmt: skip


def _completers(values: Sequence[np.ndarray]) -> dict[str, Any]:
    """Mean on the one set minus mean on the other, with the number of items."""
    known = all(map(len, values))
    delta = float(values[0].mean() - values[1].mean()) if known else float("nan")
    return {"completers": delta, "n_completers": sum(map(len, values))}


def _side(pairs: Pairs, spec: TaskSpec, alpha: float) -> Side:
    """The paired difference on one set."""
    weights = np.array([1.0, -1.0])

    def interval(level: float) -> Interval:
        found = estimate(pairs, weights, spec, alpha=alpha, level=level)
        return Interval(found.low, found.high)

    n = len(pairs.items)
    clusters = pairs.clusters if spec.cluster_role == "sampled" else None
    delta = float((pairs.scores @ weights).mean()) if n else float("nan")
    return Side(mean=delta, n=n, interval=interval, clusters=clusters)
