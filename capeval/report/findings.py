"""What is said first: effects ranked, and counted per contrast.

`python -c "from capeval.report.findings import ranked; help(ranked)"`
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from capeval.report.words import clean, delta, number

CERTAIN = ("gained", "lost")
_KIND_WORDS = {
    "edge": "Stages", "path": "Paths", "sibling": "Branches", "within": "Within a node", "cross-size": "Sizes",
    "release": "Releases", "difference": "Differences",
}  # fmt: skip


def kind_words(kind: str) -> str:
    """The plural that people read for a kind of contrast."""
    return _KIND_WORDS.get(kind, clean(kind))


def ranked(effects: pd.DataFrame) -> pd.DataFrame:
    """The ledger, most telling effects first.

    Certain ones before the rest; stages before other contrasts; metrics with a better end before those without one;
    effects inside their margin later; then by size. Sizes are compared within a unit only, points first.

    Returns:
        The same rows and index, reordered.
    """
    answer = effects["answer"].map({"gained": 0, "lost": 0, "equivalent": 1}).fillna(2)
    keys = pd.DataFrame(
        {
            "answer": answer,
            "minor": (effects["reason"] == "negligible").astype(int),
            "other": (effects["kind"] != "edge").astype(int),
            "neutral": (effects["orientation"] == "none").astype(int),
            "unit": (effects["unit"] != "points").astype(int),
            "size": -effects["delta"].astype(float).abs().fillna(-1.0),
        },
        index=effects.index,
    )
    order = keys.sort_values(list(keys.columns), kind="stable").index
    return effects.loc[order]


def first_metrics(effects: pd.DataFrame, second_metrics: Collection[str]) -> pd.DataFrame:
    """The ledger without the second metrics of items that another task already counts."""
    names = [(str(task).partition(":")[0], setting) for task, setting in effects[["task", "setting"]].to_numpy()]
    keep = [task not in second_metrics and f"{task} {setting}" not in second_metrics for task, setting in names]
    return effects.loc[np.array(keep, dtype=bool)]


def findings(effects: pd.DataFrame, second_metrics: Collection[str] = ()) -> pd.DataFrame:
    """The certain effects, ranked; a task's subset is left to the ledger when the whole task says the same.

    Args:
        effects: Columns of `columns.EFFECT_COLUMNS`.
        second_metrics: Tasks that are left to the ledger (`Tree.second_metrics`).
    """
    main = first_metrics(effects, second_metrics)
    certain = ranked(main[main["answer"].isin(CERTAIN)])
    if certain.empty:
        return certain
    whole = certain["task"].astype(str).str.partition(":")[0]
    ends = list(zip(certain["kind"], certain["parent"], certain["child"], certain["setting"], certain["answer"],
                    strict=True))  # fmt: skip
    said = {(*end, task) for end, task in zip(ends, certain["task"], strict=True)}
    part = [task != base and (*end, base) in said
            for end, task, base in zip(ends, certain["task"], whole, strict=True)]  # fmt: skip
    return certain[[not p for p in part]]


def headline(row: Mapping[Any, Any]) -> dict[str, str]:
    """A finding in parts, to be read as `who` `did` `size` `on`: "sft" "lost" "21.0 points" "on squad (few-shot)".

    Returns:
        who, did, size, on, and for the line of evidence: contrast, interval, negligible; and label.
    """
    unit = str(row["unit"])
    where = clean(row["task"]) + (f" ({clean(row['setting'])})" if row["setting"] else "")
    did, on = str(row["label"]), f"on {where}"
    if row["orientation"] == "lower":  # a score that falls is a gain: the direction must be said
        better, way = ("better", "down") if row["answer"] == "gained" else ("worse", "up")
        did, on = f"got {better} on {where}: {way}", ""
    elif row["orientation"] == "none":
        did, on = f"{row['label']} {where} by", ""
    plain = row["contrast"] == f"{row['parent']} → {row['child']}"
    who = clean(row["child"] if plain else row["contrast"])
    return {
        "label": str(row["label"]), "who": who, "did": did,
        "size": f"{number(abs(row['delta']), unit)} {clean(unit)}", "on": on,
        "contrast": clean(row["contrast"]), "interval": delta(row["delta"], row["low"], row["high"], unit),
        "negligible": "inside the margin" if row["reason"] == "negligible" else "",
    }  # fmt: skip


def counts(effects: pd.DataFrame) -> dict[str, int]:
    """How many effects have each label (gained, lost, increased, decreased, equivalent, can't tell), zeros included."""
    found = effects["label"].value_counts()
    order = ("gained", "lost", "increased", "decreased", "equivalent", "can't tell")
    return {label: int(found.get(label, 0)) for label in order}


def contrasts(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """Every contrast of the ledger in its own order: kind, name, parent, child, certainty, counts of labels, n rows."""
    found = []
    for (kind, name), rows in effects.groupby(["kind", "contrast"], sort=False, observed=True):
        first = rows.iloc[0]
        found.append(
            {
                "kind": str(kind), "name": str(name), "parent": str(first["parent"]), "child": str(first["child"]),
                "certainty": str(first["certainty"] or ""), "counts": counts(rows), "n": len(rows),
            }
        )  # fmt: skip
    return found
