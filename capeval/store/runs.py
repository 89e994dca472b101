"""A run: one checkpoint (or recording) asked one suite. `manifest.json` + `records.parquet` in a folder.

>>> run = load_run("runs/sft-cot")        # doctest: +SKIP
>>> run.records.groupby("task").score.mean()
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capeval.core import FLAGS, RECORD_COLUMNS, TaskSpec
from capeval.errors import BadFileError, UsageError
from capeval.store.files import make_folder, output_error, read_json, read_parquet, write_json, write_parquet
from capeval.strict import build

FORMAT = 1
_TEXT = ("task", "capability", "setting", "subset", "item", "cluster", "shots", "presentation", "prompt_digest",
         "finish", "flag", "error")  # fmt: skip
_OPTIONAL_TEXT = ("response", "extracted")
_NUMBERS = ("score", "n_tokens", "length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything needed to read a result and to do it again."""

    node: str
    """Name of the node in a tree; the checkpoint's folder name unless the user gave one."""
    manifest: Mapping[str, Any]
    """format, node, checkpoint, suite, tasks, contrasts, settings, versions, seeds, host, command, seconds."""
    records: pd.DataFrame
    """One row per item and sample; columns of `core.RECORD_COLUMNS`."""

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """The task specs that the records were scored under."""
        return tuple(build(TaskSpec, task) for task in self.manifest["tasks"])


def make_manifest(*, node: str, tasks: tuple[TaskSpec, ...], **more: Any) -> dict[str, Any]:
    """The manifest's common part; `more` adds checkpoint, suite, settings, versions, seeds, host, command, seconds."""
    return {"format": FORMAT, "node": node, "tasks": [asdict(t) for t in tasks], **more}


def as_records(rows: pd.DataFrame | list[dict[str, Any]]) -> pd.DataFrame:
    """Rows with any of the record columns → a checked frame with all of them, in order and with fixed types.

    Raises:
        BadFileError: unknown columns, a missing task / setting / item, infinite scores, unknown flags, duplicate items.
    """
    frame = pd.DataFrame(rows).reset_index(drop=True)
    unknown = sorted(set(frame.columns) - set(RECORD_COLUMNS))
    if unknown:
        raise BadFileError(f"records have unknown columns: {', '.join(map(str, unknown))}")
    for column in ("task", "setting", "item"):
        if len(frame) and (column not in frame or (frame[column].isna() | (frame[column] == "")).any()):
            raise BadFileError(f"records need a {column} in every row")
    out = pd.DataFrame(index=frame.index)
    for column in RECORD_COLUMNS:
        given = frame[column] if column in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
        if column in _TEXT:
            out[column] = given.fillna("").astype(str).astype(object)
        elif column in _OPTIONAL_TEXT:
            out[column] = given.astype(object).where(given.notna(), None)
        elif column in _NUMBERS:
            out[column] = pd.to_numeric(given, errors="coerce").astype(float)
        else:
            out[column] = pd.to_numeric(given.fillna(0)).astype("int64")
    if np.isinf(out["score"]).any():
        raise BadFileError("records hold infinite scores; a score is a finite number or missing")
    if bad := sorted(set(out["flag"]) - set(FLAGS)):
        raise BadFileError(f"records hold unknown flags: {', '.join(bad)}")
    _refuse_duplicates(out)
    return out


def save_run(run: Run, folder: Path | str) -> Path:
    """Write a run; the manifest comes last, so a folder with a manifest is whole, also when it held another run before.

    Raises:
        OutputError: when the place can't be written; a run that was there is then as it was.
    """
    folder = make_folder(Path(folder))
    new = {folder / f".new.{name}": folder / name for name in ("records.parquet", "manifest.json")}
    records, manifest = new
    try:
        write_parquet(records, run.records)
        write_json(manifest, dict(run.manifest))
        (folder / "manifest.json").unlink(missing_ok=True)  # the old manifest must never stand beside the new records
        for written, place in new.items():
            written.replace(place)
    except OSError as error:
        raise output_error(folder, error) from error
    finally:
        for written in new:
            with contextlib.suppress(OSError):
                written.unlink(missing_ok=True)
    return folder


def load_run(folder: Path | str) -> Run:
    """Read a run folder and check it.

    Raises:
        UsageError: when it is no run folder.
        BadFileError: when it is damaged or of a newer format.
    """
    folder = Path(folder)
    if not (folder / "manifest.json").is_file():
        raise UsageError(
            f"{folder} is no run folder: it holds no manifest.json. `capeval run` and `capeval import` make one."
        )
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict) or not {"format", "node", "tasks"} <= manifest.keys():
        raise BadFileError(f"{folder / 'manifest.json'} is no run manifest: it lacks format, node or tasks")
    if manifest["format"] != FORMAT:
        raise BadFileError(f"{folder} has run format {manifest['format']}; this capeval reads {FORMAT}")
    records = as_records(read_parquet(folder / "records.parquet"))
    return Run(node=str(manifest["node"]), manifest=manifest, records=records)


def load_node_records(file: Path, *, nodes: set[str], tasks: set[str]) -> pd.DataFrame:
    """Records of several nodes in one Parquet file (what ships with a tree): `node`, then the record columns.

    Raises:
        BadFileError: when the file is damaged or speaks of nodes or tasks that are not in the tree.
    """
    frame = read_parquet(file)
    if "node" not in frame:
        raise BadFileError(f"{file} lacks the column 'node'")
    for column, known in (("node", nodes), ("task", tasks)):
        if stray := sorted(set(frame[column].astype(str)) - known):
            raise BadFileError(f"{file} has records of a {column} that the tree lacks: {', '.join(stray)}")
    by_node = frame.groupby(frame["node"].astype(str), sort=False)
    parts = [with_node(as_records(rows.drop(columns="node")), str(node)) for node, rows in by_node]
    return pd.concat(parts, ignore_index=True) if parts else with_node(as_records([]), "")


def with_node(records: pd.DataFrame, node: str) -> pd.DataFrame:
    """The records with the column `node` in front."""
    out = records.copy()
    out.insert(0, "node", node)
    return out


def number_repeats(items: pd.Series) -> pd.Series:
    """Item digests with #2, #3 … on the second, third … time that a document occurs, in order."""
    count = items.groupby(items).cumcount() + 1
    return items.where(count == 1, items + "#" + count.astype(str))


def _refuse_duplicates(frame: pd.DataFrame) -> None:
    twice = frame.duplicated(["task", "setting", "item", "sample"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise BadFileError(
            f"{int(twice.sum())} duplicate items, the first: task '{row['task']}', setting '{row['setting']}', "
            f"item '{row['item']}', sample {row['sample']}. Give repeated asks of one item a sample number."
        )
