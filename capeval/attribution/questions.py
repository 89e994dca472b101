"""What a contrast can be put to: every task and setting that all of its cells have records of."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from capeval.attribution.pairing import Cells
from capeval.core import Contrast


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row of the ledger before it is estimated."""

    contrast: Contrast
    task: str
    setting: str
    keys: tuple[tuple[str, str, str], ...]
    """(node, task, setting) of each cell of the contrast."""

    @property
    def settings(self) -> list[str]:
        """Setting of each cell."""
        return [setting for _, _, setting in self.keys]

    @property
    def weights(self) -> np.ndarray:
        """(cells,)."""
        return np.array([cell.weight for cell in self.contrast.cells])


def questions(contrast: Contrast, cells: Cells) -> list[Question]:
    """The (task, setting) pairs for which every cell of the contrast has records."""
    nodes = {cell.node for cell in contrast.cells}
    tasks = dict.fromkeys(task for node, task, _ in cells if node in nodes)
    found = []
    for task in tasks:
        name = task.partition(":")[0]
        if contrast.tasks and not any(fnmatchcase(name, pattern) for pattern in contrast.tasks):
            continue
        settings = dict.fromkeys(setting for node, t, setting in cells if t == task and node in nodes)
        if all(cell.setting is not None for cell in contrast.cells):
            settings = {" − ".join(dict.fromkeys(str(c.setting) for c in contrast.cells)): None}
        for setting in settings:
            keys = tuple((c.node, task, c.setting if c.setting is not None else setting) for c in contrast.cells)
            if all(key in cells for key in keys):
                found.append(Question(contrast=contrast, task=task, setting=setting, keys=keys))
    return found
