"""Item by item: where the two ends of an edge differ, with what they said where that is known."""

from __future__ import annotations

import pandas as pd

from capeval.core import FLIP_COLUMNS, Contrast

BIG = 0.5
"""A change of at least this much of a score between 0 and 1 is a flip; for 0/1 scores that is every change."""


def flip_table(records: pd.DataFrame, contrasts: tuple[Contrast, ...], *, points: set[str]) -> pd.DataFrame:
    """Items whose score changed by at least half between parent and child; columns of `core.FLIP_COLUMNS`.

    Args:
        records: Columns of `core.RECORD_COLUMNS` with `node` in front.
        contrasts: Two-cell contrasts between nodes, usually the edges.
        points: Tasks whose scores lie between 0 and 1; others have no flips.
    """
    keys = ["task", "setting", "item", "sample"]
    wanted = records[records["task"].isin(points)]
    parts = [pd.DataFrame(columns=list(FLIP_COLUMNS))]
    by_node = {node: rows for node, rows in wanted.groupby("node", observed=True)}
    for contrast in contrasts:
        ends = by_node.get(contrast.parent), by_node.get(contrast.child)
        if ends[0] is None or ends[1] is None:
            continue
        both = ends[0].merge(ends[1], on=keys, suffixes=("_parent", "_child"))
        both = both[(both["score_child"] - both["score_parent"]).abs() >= BIG]
        if both.empty:
            continue
        parts.append(
            pd.DataFrame(
                {
                    "kind": contrast.kind, "parent": contrast.parent, "child": contrast.child,
                    "task": both["task"], "setting": both["setting"], "item": both["item"],
                    "cluster": both["cluster_parent"],
                    "parent_score": both["score_parent"], "child_score": both["score_child"],
                    "parent_flag": both["flag_parent"], "child_flag": both["flag_child"],
                    "parent_response": both["response_parent"], "child_response": both["response_child"],
                }
            )
        )  # fmt: skip
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]
