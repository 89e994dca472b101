"""A trace on disk: the effect ledger of a tree, and everything that its report is drawn from.

>>> trace = load_trace("traces/instructgpt")     # doctest: +SKIP
>>> trace.effects.query("answer == 'lost'")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from capeval.core import (
    EFFECT_COLUMNS,
    FLIP_COLUMNS,
    LEDGER_COLUMNS,
    PUBLISHED_COLUMNS,
    PUBLISHED_EFFECT_COLUMNS,
    SCORE_COLUMNS,
    Cell,
    Contrast,
    Link,
    Stage,
    TaskSpec,
    Tree,
)
from capeval.errors import BadFileError, UsageError
from capeval.store.files import (
    finite,
    make_folder,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
    write_text,
    write_together,
)
from capeval.strict import build

FORMAT = 1
_COLUMNS = {
    "effects": EFFECT_COLUMNS,
    "scores": SCORE_COLUMNS,
    "published": PUBLISHED_COLUMNS,
    "published_effects": PUBLISHED_EFFECT_COLUMNS,
    "flips": FLIP_COLUMNS,
}
_TABLES = tuple(_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a tree's records say about each of its stages."""

    tree: Tree
    effects: pd.DataFrame
    """The ledger: `core.EFFECT_COLUMNS`, one row per contrast, task and setting."""
    scores: pd.DataFrame
    """`core.SCORE_COLUMNS`, one row per node, task and setting."""
    published: pd.DataFrame
    """`core.PUBLISHED_COLUMNS`."""
    published_effects: pd.DataFrame
    """`core.PUBLISHED_EFFECT_COLUMNS`."""
    flips: pd.DataFrame
    """`core.FLIP_COLUMNS`, edges only."""
    provenance: Mapping[str, Any]
    """command, created, versions, digests, alpha, level, seed, counts of rows, runs of evaluated nodes."""

    def summary(self) -> dict[str, Any]:
        """The machine-readable summary: tree, alpha, counts of answers, and the ledger's stable columns."""
        ledger = self.effects[list(LEDGER_COLUMNS)].to_dict("records")
        summary: dict[str, Any] = finite(
            {
                "format": FORMAT,
                "tree": self.tree.name,
                "alpha": self.provenance.get("alpha"),
                "answers": {str(k): int(v) for k, v in self.effects["answer"].value_counts().items()},
                "effects": ledger,
            }
        )
        return summary


def save_trace(trace: Trace, folder: Path | str) -> Path:
    """Write a trace's tables (trace.json last, so that a folder with one is whole). The HTML is the report's job.

    Raises:
        OutputError: when the place can't be written.
    """
    folder = make_folder(Path(folder))
    head = {"format": FORMAT, "tree": asdict(trace.tree), "provenance": dict(trace.provenance)}
    csv = trace.effects.to_csv(index=False, lineterminator="\n")
    write_together(
        folder,
        {f"{table}.parquet": partial(write_parquet, frame=getattr(trace, table)) for table in _TABLES}
        | {
            "effects.csv": partial(write_text, text=csv),
            "summary.json": partial(write_json, value=trace.summary()),
            "trace.json": partial(write_json, value=head),
        },
    )
    (folder / "report.html").unlink(missing_ok=True)  # a page of the trace that was here
    return folder


def load_trace(folder: Path | str) -> Trace:
    """Read a trace folder.

    Raises:
        UsageError: when it is no trace folder.
        BadFileError: when it is damaged or of another format.
    """
    folder = Path(folder)
    if not (folder / "trace.json").is_file():
        raise UsageError(
            f"{folder} is no trace folder: it holds no trace.json. `capeval trace TREE --out {folder}` makes one."
        )
    head = read_json(folder / "trace.json")
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise BadFileError(f"{folder / 'trace.json'} is no trace of format {FORMAT}")
    try:
        tree = _tree(head["tree"])
    except (KeyError, TypeError) as error:
        raise BadFileError(f"{folder / 'trace.json'} holds a damaged tree: {error}") from error
    tables = {table: read_parquet(folder / f"{table}.parquet") for table in _TABLES}
    for table, columns in _COLUMNS.items():
        if missing := sorted(columns.keys() - set(tables[table].columns)):
            raise BadFileError(
                f"{folder / table}.parquet lacks the columns {', '.join(missing)}: damaged, or of another version; "
                f"`capeval trace {tree.name} --out {folder}` makes the trace anew"
            )
    return Trace(tree=tree, provenance=head.get("provenance", {}), **tables)


def _tree(data: Mapping[str, Any]) -> Tree:
    parts = dict(data)
    parts["stages"] = [build(Stage, {**s, "links": [build(Link, x) for x in s["links"]]}) for s in data["stages"]]
    parts["contrasts"] = [
        build(Contrast, {**c, "cells": [build(Cell, x) for x in c["cells"]]}) for c in data["contrasts"]
    ]
    parts["tasks"] = [build(TaskSpec, t) for t in data["tasks"]]
    return build(Tree, parts)
