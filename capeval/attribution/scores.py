"""What each node scored: one row per node, task and setting, with interval, n and the flags beside the score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.attribution.summaries import spec_in
from capeval.columns import RUNG_COLUMNS, SCORE_COLUMNS, WHY_WRONG
from capeval.core import TaskSpec, Tree
from capeval.stats.independent import Side
from capeval.stats.rates import Interval, constant_interval, mean_interval


def score_table(tree: Tree, cells: Cells) -> pd.DataFrame:
    """Score every cell; columns of `columns.SCORE_COLUMNS`. Intervals are clustered where clusters are sampled."""
    specs = {task.name: task for task in tree.tasks}
    rows = []
    for (node, task, setting), part in cells.items():
        spec = spec_in(specs[task.partition(":")[0]], setting)
        scored = part[part["score"].notna()]
        labels = scored["cluster"]
        side = score_of(part, spec, bounded=setting not in ("slope", "gap"))
        ends = side.interval(0.95)
        rows.append(
            {
                "node": node, "task": task, "setting": setting, "capability": spec.capability,
                "score": side.mean, "low": ends.low, "high": ends.high, "n": side.n, "missing": len(part) - side.n,
                **{flag: float(scored[flag].mean()) if len(scored) else 0.0
                   for flag in WHY_WRONG},
                "n_clusters": labels.nunique() if (labels != "").any() else 0,
                "metric": spec.metric, "orientation": spec.orientation, "unit": spec.unit, "chance": spec.chance,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def score_of(part: pd.DataFrame, spec: TaskSpec, *, bounded: bool = True) -> Side:
    """A cell's mean and its interval: Wilson for rates, clustered where clusters are sampled.

    Args:
        part: A row per item, as `pairing.cells` makes them.
        spec: Says whether scores are binary, and what clusters are.
        bounded: Whether points lie between 0 and 1; a slope's don't.
    """
    scored = part[part["score"].notna()]
    values, labels = scored["score"].to_numpy(float), scored["cluster"].to_numpy(dtype=object)
    clusters = labels if spec.cluster_role == "sampled" and bool((labels != "").any()) else None
    binary = spec.binary and bool(np.isin(values, (0.0, 1.0)).all())

    def interval(level: float) -> Interval:
        constant = spec.unit == "points" and len(values) > 0 and not values.std()
        if constant and not bounded:  # a width of 0 would claim to know all other items
            return constant_interval(float(values[0]), len(values), level, (-1.0, 1.0))
        return mean_interval(
            values, clusters=clusters, level=level, binary=binary, bounded=bounded and spec.unit == "points"
        )

    mean = float(values.mean()) if len(values) else float("nan")
    return Side(mean=mean, n=len(values), interval=interval, clusters=clusters)


def rung_table(cells: Cells) -> pd.DataFrame:
    """Where answers were found: columns of `columns.RUNG_COLUMNS`, for the tasks that have a ladder."""
    rows = []
    for (node, task, setting), part in cells.items():
        if not (part["rung"] != "").any():
            continue
        for rung, items in part.groupby("rung", sort=False):
            scores = items["score"].dropna().to_numpy(float)
            rows.append(
                {
                    "node": node, "task": task, "setting": setting, "rung": str(rung), "n": len(items),
                    "share": len(items) / len(part), "score": float(scores.mean()) if len(scores) else float("nan"),
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RUNG_COLUMNS))
