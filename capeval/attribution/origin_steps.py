"""One step of a path: estimated on the path's items, with what else differs between its ends.

Paths that share a beginning mostly share its items too, so what was found of a step is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np
import pandas as pd

from capeval.attribution.confounds import of_answers, of_contrast, read_otherwise, unreadable
from capeval.attribution.pairing import Cells, Pairs, estimate, marks
from capeval.attribution.paths import Path
from capeval.core import TaskSpec, Tree
from capeval.stats.paired import PairedDifference

FEW = 0.5
"""A path that shares less than this part of the items that two of its neighbours share says so."""
_CHANGE = np.array([-1.0, 1.0])
T = TypeVar("T")


class Steps:
    """What is known of the steps of a tree's paths; a step is named by the place of its parent on the path."""

    def __init__(self, tree: Tree, cells: Cells, *, alpha: float, seed: int) -> None:
        self._tree, self._cells, self._alpha, self.seed = tree, cells, alpha, seed
        self._known: dict[Hashable, object] = {}

    def estimate(self, path: Path, place: int, spec: TaskSpec) -> PairedDifference:
        """Child − parent on the items that the whole path shares."""
        pairs = Pairs(
            items=path.items, scores=path.scores[:, place : place + 2], clusters=path.clusters,
            dropped=0, reshot=0, represented=0, reworded=0, complete=np.array([]),
        )  # fmt: skip
        found = self._once(
            ("estimate", *_name(path, place), tuple(path.items)),
            lambda: estimate(pairs, _CHANGE, spec, alpha=self._alpha, seed=self.seed),
        )
        return found

    def reason(self, path: Path, place: int, spec: TaskSpec) -> str:
        """Why nothing can be told of a step, or nothing."""
        found = self.estimate(path, place, spec)
        return self._once(
            ("reason", *_name(path, place), found.n, found.n_clusters),
            lambda: unreadable(self._ends(path, place), found.n, found.n_clusters, spec),
        )

    def confounds(self, path: Path, place: int, spec: TaskSpec) -> list[str]:
        """What else differs between the ends of a step, and how few of their items the path shares."""
        found = self._once(("confounds", *_name(path, place)), lambda: self._confounds(path, place, spec))
        n, own = len(path.items), len(path.steps[place].pairs.items)
        return [*found, f"the path shares {n} of the {own} items that these two share"] if n < FEW * own else found

    def _confounds(self, path: Path, place: int, spec: TaskSpec) -> list[str]:
        step = path.steps[place]
        nodes = path.nodes[place : place + 2]
        settings = spec.settings if path.setting in spec.summaries else (path.setting,)
        keys = [[(node, path.task, setting) for node in nodes] for setting in settings]
        groups = [[self._cells[key] for key in ends] for ends in keys if all(key in self._cells for key in ends)]
        found = [*of_contrast(self._tree, step.contrast), *read_otherwise(groups)]
        found += marks([step.pairs], shots=step.contrast.allow_different_shots)
        return found + of_answers(self._ends(path, place), alpha=self._alpha)

    def _ends(self, path: Path, place: int) -> list[pd.DataFrame]:
        return [self._cells[(node, path.task, path.setting)] for node in path.nodes[place : place + 2]]

    def _once(self, key: Hashable, find: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = find()
        return self._known[key]  # type: ignore[return-value]


def _name(path: Path, place: int) -> tuple[str, ...]:
    return (path.task, path.setting, *path.nodes[place : place + 2])
