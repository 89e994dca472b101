"""What each node scored: one row per node, task and setting, with interval, n and the flags beside the score."""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.core import SCORE_COLUMNS, Tree
from capeval.stats.rates import mean_interval


def score_table(tree: Tree, cells: Cells) -> pd.DataFrame:
    """Score every cell; columns of `core.SCORE_COLUMNS`. Intervals are clustered where clusters are sampled."""
    specs = {task.name: task for task in tree.tasks}
    rows = []
    for (node, task, setting), part in cells.items():
        spec = specs[task.partition(":")[0]]
        scored = part[part["score"].notna()]
        values = scored["score"].to_numpy(float)
        labels = scored["cluster"].to_numpy(dtype=object)
        clustered = spec.cluster_role == "sampled" and bool((labels != "").any())
        binary = spec.binary and bool(scored["score"].isin((0.0, 1.0)).all())
        interval = mean_interval(
            values, clusters=labels if clustered else None, binary=binary, bounded=spec.unit == "points"
        )
        rows.append(
            {
                "node": node, "task": task, "setting": setting, "capability": spec.capability,
                "score": float(values.mean()) if len(values) else float("nan"),
                "low": interval.low, "high": interval.high, "n": len(values), "missing": len(part) - len(values),
                **{flag: float(scored[flag].mean()) if len(scored) else 0.0
                   for flag in ("truncated", "unextracted", "refused", "empty")},
                "n_clusters": len(set(labels)) if (labels != "").any() else 0,
                "metric": spec.metric, "orientation": spec.orientation, "unit": spec.unit, "chance": spec.chance,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
