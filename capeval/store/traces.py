"""A trace on disk: the effect ledger of a tree, and everything that its report is drawn from.

>>> trace = load_trace("traces/instructgpt")     # doctest: +SKIP
>>> trace.effects.query("answer == 'lost'")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from capeval.columns import LEDGER_COLUMNS, READ_COLUMNS, RECORD_COLUMNS
from capeval.core import Cell, Contrast, Factorial, Link, Series, Stage, TaskSpec, Tree
from capeval.digest import digest, digest_file
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
from capeval.strict import build, mapping, mappings

FORMAT = 1
_TABLES = (
    "effects", "replicas", "scores", "published", "published_effects", "flips", "rungs", "calibration", "abstention",
    "anatomy", "origin", "factorial", "scaling", "unlock", "elicited", "reads", "reasoning",
    "claims",
)  # fmt: skip
TRAINING = "training.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a tree's records say about each of its stages."""

    tree: Tree
    effects: pd.DataFrame
    """The ledger: `columns.EFFECT_COLUMNS`, one row per contrast, task and setting."""
    replicas: pd.DataFrame
    """`columns.REPLICA_COLUMNS`: the ledger's effects in each training run, where there are several."""
    scores: pd.DataFrame
    """`columns.SCORE_COLUMNS`, one row per node, task and setting."""
    rungs: pd.DataFrame
    """`columns.RUNG_COLUMNS`, by which rung of the ladder answers were found."""
    calibration: pd.DataFrame
    """`columns.CALIBRATION_COLUMNS`, for the tasks that ask for it."""
    abstention: pd.DataFrame
    """`columns.ABSTENTION_COLUMNS`, for the tasks that say what an abstention saves."""
    published: pd.DataFrame
    """`columns.PUBLISHED_COLUMNS`."""
    published_effects: pd.DataFrame
    """`columns.PUBLISHED_EFFECT_COLUMNS`."""
    flips: pd.DataFrame
    """`columns.FLIP_COLUMNS`, edges only."""
    anatomy: pd.DataFrame
    """`columns.ANATOMY_COLUMNS`, contrasts of two cells."""
    origin: pd.DataFrame
    """`columns.ORIGIN_COLUMNS`."""
    factorial: pd.DataFrame
    """`columns.FACTORIAL_COLUMNS`, where the tree holds a 2 × 2."""
    scaling: pd.DataFrame
    """`columns.SCALING_COLUMNS`, where the tree holds several sizes."""
    unlock: pd.DataFrame
    """`columns.UNLOCK_COLUMNS`."""
    reasoning: pd.DataFrame
    """`columns.REASONING_COLUMNS`, where a child's chains were read by its parent."""
    claims: pd.DataFrame
    """`columns.CLAIM_COLUMNS`."""
    provenance: Mapping[str, Any]
    """command, created, versions, digests, alpha, level, seed, counts of rows, runs of evaluated nodes."""
    elicited: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["node", *RECORD_COLUMNS]))
    """Parents' answers in elicited settings (`columns.RECORD_COLUMNS` with `node` in front)."""
    reads: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(READ_COLUMNS)))
    """`columns.READ_COLUMNS`: what parents make of their children's chains."""
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By name of a node that capeval trained: stage, parent, recipe, seed, digest, data, steps, tokens, seconds (of a
    processor), curves (lists of one length, `step` among them), samples (prompt, answer) and versions."""

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

    training.json is there only when something was trained.

    Raises:
        OutputError: when the place can't be written.
    """
    folder = make_folder(Path(folder))
    head = finite({"format": FORMAT, "tree": asdict(trace.tree), "provenance": dict(trace.provenance)})

    def write_head(path: Path) -> None:
        # the tables are written already, beside the head and under names like its own
        before = path.name.removesuffix("trace.json")
        tables = {t: digest_file(path.with_name(before + file)) for t, file in _files(bool(trace.training)).items()}
        write_json(path, head | {"tables": tables, "digest": digest(head, tables)})

    csv = trace.effects.to_csv(index=False, lineterminator="\n")
    write_together(
        folder,
        {f"{table}.parquet": partial(write_parquet, frame=getattr(trace, table)) for table in _TABLES}
        | {
            "effects.csv": partial(write_text, text=csv),
            "summary.json": partial(write_json, value=trace.summary()),
        }
        | ({TRAINING: partial(write_json, value=trace.training)} if trace.training else {})
        | {"trace.json": write_head},
    )
    if not trace.training:
        (folder / TRAINING).unlink(missing_ok=True)  # of the trace that was here
    (folder / "report.html").unlink(missing_ok=True)  # a page of the trace that was here
    return folder


_LATER = {"noise": "", "noise_share": float("nan"), "noise_high": float("nan")}
"""Columns of effects that traces of before lack: nothing was measured."""


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
    tables, own = head.pop("tables", None), head.pop("digest", None)
    if not isinstance(tables, dict) or own != digest(head, tables):
        raise _damaged(folder / "trace.json", folder)
    for table, name in _files("training" in tables).items():
        file = folder / name
        if not file.is_file() or digest_file(file) != tables.get(table):
            raise _damaged(file, folder)
    tree = _tree(head["tree"])
    frames = {table: read_parquet(folder / f"{table}.parquet") for table in _TABLES}
    effects = frames["effects"]
    missing: dict[str, Any] = {name: empty for name, empty in _LATER.items() if name not in effects}
    frames["effects"] = effects.assign(**missing)
    training = _training(folder / TRAINING) if "training" in tables else {}
    return Trace(tree=tree, provenance=head["provenance"], training=training, **frames)


def _files(trained: bool) -> dict[str, str]:
    """The files that a head vouches for, by the name of their table."""
    return {table: f"{table}.parquet" for table in _TABLES} | ({"training": TRAINING} if trained else {})


def _training(file: Path) -> dict[str, dict[str, Any]]:
    """What training.json says of each node; a shape that no reader expects is refused."""
    found = read_json(file)
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise BadFileError(f"{file} must hold a mapping for each node")
    for node, entry in found.items():
        where = f"{file}: node '{node}'"
        for key in ("recipe", "versions"):
            mapping(entry, key, where)
        for key in ("data", "samples"):
            mappings(entry, key, where)
        curves = mapping(entry, "curves", where)
        sizes = {len(series) if isinstance(series, list) else None for series in curves.values()}
        if curves and ("step" not in curves or len(sizes) > 1 or None in sizes):
            raise BadFileError(f"{where}: 'curves' must hold lists of one length, 'step' among them")
    return found


def _damaged(file: Path, folder: Path) -> BadFileError:
    return BadFileError(
        f"{file} is not as it was written: damaged, edited or of another version. `capeval trace TREE --out {folder}` "
        "makes the trace anew"
    )


def _tree(data: Mapping[str, Any]) -> Tree:
    parts = dict(data)
    parts["stages"] = [build(Stage, {**s, "links": [build(Link, x) for x in s["links"]]}) for s in data["stages"]]
    parts["contrasts"] = [
        build(Contrast, {**c, "cells": [build(Cell, x) for x in c["cells"]]}) for c in data["contrasts"]
    ]
    parts["series"] = [build(Series, s) for s in data.get("series", ())]
    parts["factorials"] = [build(Factorial, f) for f in data.get("factorials", ())]
    parts["tasks"] = [build(TaskSpec, t) for t in data["tasks"]]
    return build(Tree, parts)
