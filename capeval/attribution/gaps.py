"""Gaps to the benchmark that a task shifts (`TaskSpec.reference`): what a node loses out of distribution.

Within a node the gap is its score on the shifted items minus its score on the reference's, two sets of other items;
between a stage's ends the change of the gap is the paired difference on one set minus that on the other. Items that
were shifted one by one pair directly instead: see the summary `gap`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capeval.attribution.pairing import Cells, estimate, pair
from capeval.attribution.scores import score_of
from capeval.core import Cell, Contrast, TaskSpec, Tree
from capeval.errors import PairingError
from capeval.stats.independent import Side, independent_difference
from capeval.stats.paired import PairedDifference
from capeval.stats.rates import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One gap, or the change of one."""

    contrast: Contrast
    spec: TaskSpec
    setting: str
    estimate: PairedDifference
    shifted: float
    """Score on the shifted items (or the change of it)."""
    reference: float
    confounds: tuple[str, ...] = ()


def gaps(tree: Tree, cells: Cells, edges: Sequence[Contrast], *, alpha: float) -> Iterator[Gap]:
    """Every node's gap, and how every edge changes it, in the settings that both tasks have."""
    specs = {task.name: task for task in tree.tasks}
    for spec in tree.tasks:
        if not spec.reference or spec.reference not in specs:
            continue
        for node, task, setting in list(cells):
            if task == spec.name and (node, spec.reference, setting) in cells:
                yield _within(node, spec, specs[spec.reference], setting, cells, alpha)
        for edge in edges:
            yield from _changes(edge, spec, specs[spec.reference], cells, alpha)


def _within(node: str, spec: TaskSpec, reference: TaskSpec, setting: str, cells: Cells, alpha: float) -> Gap:
    sides = [score_of(cells[(node, task.name, setting)], task) for task in (spec, reference)]
    cell = (Cell(node=node, setting=setting, weight=1.0), Cell(node=node, setting=setting, weight=-1.0))
    return Gap(
        contrast=Contrast(name=f"{node}: {spec.name} − {reference.name}", kind="within", cells=cell),
        spec=spec, setting=f"{setting} − {reference.name}", estimate=independent_difference(*sides, alpha=alpha),
        shifted=sides[0].mean, reference=sides[1].mean, confounds=("other items",),
    )  # fmt: skip


def _changes(edge: Contrast, spec: TaskSpec, reference: TaskSpec, cells: Cells, alpha: float) -> Iterator[Gap]:
    for setting in dict.fromkeys(s for node, task, s in cells if node == edge.child and task == spec.name):
        keys = [[(n, task.name, setting) for n in (edge.child, edge.parent)] for task in (spec, reference)]
        if not all(key in cells for pair_ in keys for key in pair_):
            continue
        try:
            sides = [
                _change([cells[key] for key in ends], task, setting, edge.allow_different_shots, alpha)
                for ends, task in zip(keys, (spec, reference), strict=True)
            ]
        except PairingError:
            continue  # the edge's own rows say why these can't be compared
        cell = (Cell(node=edge.child, weight=1.0), Cell(node=edge.parent, weight=-1.0))
        yield Gap(
            contrast=Contrast(name=f"{edge.name}: gap to {reference.name}", kind="difference", cells=cell),
            spec=spec, setting=f"{setting} − {reference.name}", estimate=independent_difference(*sides, alpha=alpha),
            shifted=sides[0].mean, reference=sides[1].mean, confounds=edge.confounds,
        )  # fmt: skip


def _change(
    parts: Sequence[pd.DataFrame], spec: TaskSpec, setting: str, allow_different_shots: bool, alpha: float
) -> Side:
    pairs = pair(parts, [setting, setting], allow_different_shots=allow_different_shots)
    weights = np.array([1.0, -1.0])

    def interval(level: float) -> Interval:
        found = estimate(pairs, weights, spec, alpha=alpha, level=level)
        return Interval(found.low, found.high)

    n = len(pairs.items)
    return Side(mean=float((pairs.scores @ weights).mean()) if n else float("nan"), n=n, interval=interval)
