"""Item by item: where the two ends of an edge differ, with what they said where that is known."""

from __future__ import annotations

import pandas as pd

from capeval.columns import FLIP_COLUMNS
from capeval.core import Contrast

_SHOWN = ("score", "flag", "response")
BIG = 0.5
"""A change of at least this much of a score between 0 and 1 is a flip; for 0/1 scores that is every change."""


def flip_table(records: pd.DataFrame, contrasts: tuple[Contrast, ...], *, points: set[str]) -> pd.DataFrame:
    """Items whose score changed by at least half between parent and child; columns of `columns.FLIP_COLUMNS`.

    Samples are averaged inside the item, as in the ledger; the answer shown is the first sample's.

    Args:
        records: Columns of `columns.RECORD_COLUMNS` with `node` in front.
        contrasts: Two-cell contrasts between nodes, usually the edges.
        points: Tasks whose scores lie between 0 and 1; others have no flips.
    """
    keys = ["task", "setting", "item"]
    wanted = records[records["task"].isin(points)]
    by_node = {str(node): _one_per_item(rows, keys) for node, rows in wanted.groupby("node", observed=True)}
    parts = []
    for contrast in contrasts:
        parent, child = by_node.get(contrast.parent), by_node.get(contrast.child)
        if parent is None or child is None:
            continue
        both = parent.merge(child, on=keys, suffixes=("_parent", "_child"))
        both = both[(both["score_child"] - both["score_parent"]).abs() >= BIG]
        if not contrast.allow_different_shots:
            both = both[both["shots_parent"] == both["shots_child"]]
        ends = {f"{end}_{what}": both[f"{what}_{end}"] for what in _SHOWN for end in ("parent", "child")}
        parts.append(
            pd.DataFrame(
                {
                    "kind": contrast.kind, "parent": contrast.parent, "child": contrast.child,
                    **{key: both[key] for key in keys}, "cluster": both["cluster_parent"], **ends, "cause": "",
                }
            )
        )  # fmt: skip
    filled = [part[list(FLIP_COLUMNS)] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(FLIP_COLUMNS))


def _one_per_item(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The rows of one node with several samples of an item made one; no work where there is one each."""
    rows = rows[[*keys, "cluster", "shots", *_SHOWN]]
    if not rows.duplicated(keys).any():
        return rows
    grouped = rows.groupby(keys, sort=False, observed=True)
    first = grouped.head(1).set_index(keys)
    return first.assign(score=grouped["score"].mean()).reset_index()
