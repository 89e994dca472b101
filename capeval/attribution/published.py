"""Published aggregates: what is known of systems that nobody can run any more. Context, never paired.

An interval needs a rate and its number of items: Wilson's for one score, Newcombe's for an unpaired difference. Both
speak of the items alone, so they say nothing about other prompts, other harnesses or other training runs.

    python -c "from capeval.attribution.published import load_published as p; print(p({'opt': ('OPT 175B',)}))"
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from capeval.columns import PUBLISHED_COLUMNS, PUBLISHED_EFFECT_COLUMNS
from capeval.core import Tree
from capeval.errors import BadFileError
from capeval.shipped import folder
from capeval.stats.rates import newcombe_independent, wilson

RATES = frozenset(
    {
        "accuracy",
        "exact match",
        "exact match (filtered dev)",
        "pass@1",
        "prompt-level loose accuracy",
        "stereotype preference % (higher = more biased)",
        "truthful %",
        "truthful and informative %",
        "truthful*informative %",
    }
)
"""Metrics that are a share of items, given in percent. pass@1 over several samples is a mean of shares: its Wilson
interval is then wider than need be, never narrower."""


def published_table() -> pd.DataFrame:
    """The shipped scores: model, benchmark, setting, metric, value, n_items, source, read_at, conflict, note.

    Raises:
        BadFileError: when the shipped file is damaged.
    """
    path = folder("model_zoo") / "published_scores.csv"
    texts = ("model", "benchmark", "setting", "metric", "source", "read_at", "conflict", "note")
    try:
        frame = pd.read_csv(
            path, dtype={name: str for name in texts}, keep_default_na=False, na_values={"n_items": [""]}
        )
        return frame.astype({"value": float, "n_items": float})
    except (OSError, ValueError, KeyError) as error:
        raise BadFileError(f"{path} can't be read as a table of published scores: {error}") from error


def load_published(names: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Published scores of a tree's nodes.

    Args:
        names: Node → the names under which the table lists it.

    Returns:
        `columns.PUBLISHED_COLUMNS`, nodes in the order of `names`; values and intervals in the metric's own unit
        (percent for rates). Conflicting values of other sources stand in the note.
    """
    rows = []
    table = published_table() if any(names.values()) else None
    for node, models in names.items():
        if table is not None and models:
            part = table[table["model"].isin(models)]
            rows += [_row(node, len(models) > 1, row) for row in _records(part)]
    return pd.DataFrame(rows, columns=list(PUBLISHED_COLUMNS)).astype(_TYPES)


def published_effects(tree: Tree, published: pd.DataFrame) -> pd.DataFrame:
    """Child − parent of every edge whose two ends were asked the same benchmark, in the same setting and metric.

    Where one source gives both ends, only its pairs are shown: two papers rarely prompt alike.

    Args:
        tree: Its edges count, in the reading that the tree is drawn with.
        published: `columns.PUBLISHED_COLUMNS`.

    Returns:
        `columns.PUBLISHED_EFFECT_COLUMNS`; the interval is missing unless the metric is a rate with both n known.
    """
    rows: list[dict[str, Any]] = []
    key = ["benchmark", "setting", "metric"]
    for edge in tree.edges():
        parents = published[published["node"] == edge.parent]
        children = published[published["node"] == edge.child]
        pairs = parents.merge(children, on=key, suffixes=("_parent", "_child"))
        for _, same in pairs.groupby(key, sort=False):
            found = [_effect(edge.parent, edge.child, pair) for pair in _records(same)]
            close = [row for row in found if row["same_source"]] or found
            values = {(row["parent_value"], row["child_value"]): row for row in reversed(close)}
            rows += reversed(values.values())
    return pd.DataFrame(rows, columns=list(PUBLISHED_EFFECT_COLUMNS)).astype(_EFFECT_TYPES)


def _types(columns: Mapping[str, str], numbers: tuple[str, ...]) -> dict[str, Any]:
    return {name: float if name in numbers else object for name in columns}


_TYPES = _types(PUBLISHED_COLUMNS, ("value", "low", "high", "n_items"))
_EFFECT_TYPES = _types(
    PUBLISHED_EFFECT_COLUMNS, ("parent_value", "child_value", "delta", "low", "high", "n_parent", "n_child")
) | {"same_source": bool}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _row(node: str, several: bool, row: Mapping[str, Any]) -> dict[str, Any]:
    low = high = math.nan
    if _is_rate(row["metric"], row["value"]) and row["n_items"] > 0:
        interval = wilson(row["value"] / 100 * row["n_items"], int(row["n_items"]), 0.95)
        low, high = 100 * interval.low, 100 * interval.high
    notes = [
        f"listed as {row['model']}" if several else "",
        row["note"],
        f"other sources differ: {row['conflict']}" if row["conflict"] else "",
    ]
    return {
        "node": node,
        **{name: row[name] for name in ("benchmark", "setting", "metric", "value", "n_items", "source", "read_at")},
        "low": low,
        "high": high,
        "note": "; ".join(note for note in notes if note),
    }


def _effect(parent: str, child: str, pair: Mapping[str, Any]) -> dict[str, Any]:
    value, base = pair["value_child"], pair["value_parent"]
    n, n_base = pair["n_items_child"], pair["n_items_parent"]
    low = high = math.nan
    if _is_rate(pair["metric"], value) and _is_rate(pair["metric"], base) and n > 0 and n_base > 0:
        interval = newcombe_independent(value / 100 * n, int(n), base / 100 * n_base, int(n_base), 0.95)
        low, high = 100 * interval.low, 100 * interval.high
    same = _work(pair["source_child"]) == _work(pair["source_parent"])
    sources = [pair["source_child"]] if same else [pair["source_child"], pair["source_parent"]]
    return {
        "parent": parent,
        "child": child,
        **{name: pair[name] for name in ("benchmark", "setting", "metric")},
        "parent_value": base,
        "child_value": value,
        "delta": value - base,
        "low": low,
        "high": high,
        "n_parent": n_base,
        "n_child": n,
        "source": " / ".join(sources),
        "same_source": same,
    }


def _is_rate(metric: str, value: float) -> bool:
    return metric in RATES and 0 <= value <= 100


def _work(source: str) -> str:
    """A citation without the table or section that it points to."""
    for mark in (" Table ", " section ", " appendix "):
        source = source.partition(mark)[0]
    return source
