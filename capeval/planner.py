"""What a tree lacks: branches, items and training seeds that would identify what it is asked, before paying for them.

capeval plan lab
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from capeval.attribution.planning import Aim, plan_table
from capeval.errors import UsageError
from capeval.store.traces import Trace, load_trace
from capeval.tracer import TraceOptions, trace, trace_runs
from capeval.zoo import load_tree


def plan(tree: str, folder: Path | None = None, aim: Aim | None = None) -> pd.DataFrame:
    """What is missing, the claims first.

    Args:
        tree: Name of a shipped tree, or a YAML file.
        folder: A trace of it, for the pilot's variance; traces/TREE where that is one, else the records that the tree
            ships, else nothing (the branches can be planned all the same).
        aim: Effect, alpha, power; each task's margin, 5 % and 80 % by default.

    Returns:
        Columns of `columns.PLAN_COLUMNS`.

    Raises:
        UsageError: an unknown tree, an aim that no number of items reaches, a folder that holds no trace of this tree.
    """
    aim = aim or Aim()
    if (aim.effect is not None and not aim.effect > 0) or aim.family < 1 or not 0 < aim.power < 1:
        raise UsageError("an effect lies above 0, power between 0 and 1, and a family holds one test or more")
    pilot = _pilot(tree, folder)
    return plan_table(pilot.tree, pilot.effects, pilot.replicas, pilot.claims, aim)


def _pilot(tree: str, folder: Path | None) -> Trace:
    loaded = load_tree(tree)
    usual = Path("traces") / loaded.name
    if folder is None and not loaded.records and (usual / "trace.json").is_file():
        folder = usual
    if folder is None:
        untrained = any(stage.recipe for stage in loaded.stages)
        return trace_runs(loaded, {}, TraceOptions()) if untrained else trace(tree)
    stored = load_trace(folder)
    if stored.tree.name != loaded.name:
        raise UsageError(f"{folder} is a trace of tree '{stored.tree.name}', not of '{loaded.name}'")
    return stored
