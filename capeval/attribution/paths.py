"""Paths of a tree from root to leaf, and the items that all their asked nodes share.

A path runs over the nodes that were asked. A node in between that was not asked is passed over: then one step mixes
several stages, and says so. Two nodes that may not be paired (other examples were shown, and the tree does not allow
it) end the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from capeval.attribution.pairing import Cells, Pairs, pair
from capeval.core import Cell, Contrast, Tree
from capeval.errors import PairingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Two neighbours on a path, with all items that they share."""

    contrast: Contrast
    pairs: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The asked nodes of a path on one task and setting."""

    task: str
    setting: str
    nodes: tuple[str, ...]
    steps: tuple[Step, ...]
    """One less than nodes."""
    items: pd.Index
    """That all nodes have a score for."""
    scores: np.ndarray
    """Shape (items, nodes)."""
    clusters: np.ndarray | None
    """One label per item; None when the task has no clusters."""
    ended: str
    """Why it ends before the last node that was asked, or nothing."""


def root_to_leaf(tree: Tree) -> list[tuple[str, ...]]:
    """Every path in the drawn reading; reward models are judges and stand on none."""
    models = {stage.name: stage for stage in tree.stages if stage.kind != "reward"}
    inner = {stage.parent for stage in models.values()}
    found = []
    for leaf in models:
        if leaf in inner:
            continue
        path: list[str] = []
        name: str | None = leaf
        while name is not None:
            path.append(name)
            name = tree.stage(name).parent
        found.append(tuple(node for node in reversed(path) if node in models))
    return found


class Walker:
    """Finds paths in the cells of one training run; what two nodes share is looked up once."""

    def __init__(self, tree: Tree, cells: Cells) -> None:
        self._tree, self._cells = tree, cells
        self._paths = root_to_leaf(tree)
        self._steps: dict[tuple[str, str, str, str], Step | str] = {}

    def paths(self, task: str, setting: str) -> list[Path]:
        """All different paths of two asked nodes or more; one that is the beginning of another is left out."""
        found: dict[tuple[str, ...], Path] = {}
        for whole in self._paths:
            path = self._walk(whole, task, setting)
            if path is not None:
                known = found.get(path.nodes)
                reasons = dict.fromkeys(filter(None, [known.ended if known else "", path.ended]))
                found[path.nodes] = replace(path, ended="; ".join(reasons))
        return [
            path
            for nodes, path in found.items()
            if not any(len(other) > len(nodes) and other[: len(nodes)] == nodes for other in found)
        ]

    def _walk(self, whole: Sequence[str], task: str, setting: str) -> Path | None:
        asked = [node for node in whole if (node, task, setting) in self._cells]
        steps: list[Step] = []
        ended = ""
        for parent, child in pairwise(asked):
            step = self._step(whole, (parent, child), task, setting)
            if isinstance(step, str):
                ended = step
                break
            steps.append(step)
        if not steps:
            return None
        shared = steps[0].pairs.items
        for step in steps[1:]:
            shared = shared if step.pairs.items.equals(shared) else shared[shared.isin(step.pairs.items)]
        places = [step.pairs.items.get_indexer(shared) for step in steps]
        first = steps[0].pairs.scores[places[0], :1]
        rest = [step.pairs.scores[place, 1:] for step, place in zip(steps, places, strict=True)]
        return Path(
            task=task,
            setting=setting,
            nodes=tuple(asked[: len(steps) + 1]),
            steps=tuple(steps),
            items=shared,
            scores=np.column_stack([first, *rest]),
            clusters=_labels(steps, places, len(shared)),
            ended=ended,
        )

    def _step(self, whole: Sequence[str], ends: tuple[str, str], task: str, setting: str) -> Step | str:
        """Two asked nodes as a contrast with its pairs, or why they have none."""
        key = (*ends, task, setting)
        if key not in self._steps:
            contrast = _contrast(self._tree, whole[whole.index(ends[0]) : whole.index(ends[1]) + 1])
            parts = [self._cells[(node, task, setting)] for node in ends]
            try:
                pairs = pair(parts, (setting, setting), allow_different_shots=contrast.allow_different_shots)
                self._steps[key] = Step(contrast=contrast, pairs=pairs) if len(pairs.items) else "no shared items"
            except PairingError as error:
                self._steps[key] = error.reason or str(error)
            if isinstance(self._steps[key], str):
                self._steps[key] = f"{ends[0]} → {ends[1]}: {self._steps[key]}"
        return self._steps[key]


def _contrast(tree: Tree, nodes: Sequence[str]) -> Contrast:
    """Neighbours, or the ends of a stretch whose inner nodes were not asked."""
    notes = [tree.edge_notes.get(f"{a} -> {b}", {}) for a, b in pairwise(nodes)]
    passed = [f"{node} was not asked" for node in nodes[1:-1]]
    return Contrast(
        name=f"{nodes[0]} → {nodes[-1]}",
        kind="path" if passed else "edge",
        cells=(Cell(node=nodes[-1], weight=1.0), Cell(node=nodes[0], weight=-1.0)),
        confounds=tuple([*passed, *(text for note in notes for text in note.get("confounds", ()))]),
        allow_different_shots=all(bool(note.get("allow_different_shots", False)) for note in notes),
    )


def _labels(steps: Sequence[Step], places: Sequence[np.ndarray], n: int) -> np.ndarray | None:
    """The items' clusters, from whichever node knows them."""
    labels = np.full(n, "", dtype=object)
    for step, place in zip(steps, places, strict=True):
        if step.pairs.clusters is not None:
            labels = np.where(labels == "", step.pairs.clusters[place], labels)
    return labels if (labels != "").any() else None
