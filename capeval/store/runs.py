"""A run: one checkpoint (or recording) asked one suite. `manifest.json` + `records.parquet` in a folder.

>>> run = load_run("runs/sft-cot")        # doctest: +SKIP
>>> run.records.groupby("task").score.mean()
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capeval.columns import FLAGS, RECORD_COLUMNS
from capeval.core import TaskSpec
from capeval.errors import BadFileError, UsageError
from capeval.store.files import (
    make_folder,
    output_error,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
    write_together,
)
from capeval.strict import build, mappings, task_spec, text

FORMAT = 1
_TEXT = ("task", "capability", "setting", "subset", "item", "cluster", "shots", "presentation", "prompt_digest",
         "finish", "flag", "error", "rung")  # fmt: skip
_OPTIONAL_TEXT = ("response", "extracted")
_NUMBERS = ("score", "gold_logprob", "n_tokens", "length", "lenient", "steps", "slips", "declined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything needed to read a result and to do it again."""

    node: str
    """Name of the node in a tree; the checkpoint's folder name unless the user gave one."""
    manifest: Mapping[str, Any]
    """format, node, checkpoint, suite, tasks, contrasts, settings, versions, seeds, host, command, seconds."""
    records: pd.DataFrame
    """One row per item and sample; columns of `columns.RECORD_COLUMNS`."""

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
        BadFileError: unknown columns, a missing task / setting / item, infinite scores, unknown flags, duplicate items,
            values of the wrong kind (lists, dates, text that is no Unicode).
    """
    try:
        if not isinstance(rows, pd.DataFrame):
            rows = [{k: _unicode(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows]
        frame = pd.DataFrame(rows).reset_index(drop=True)
        _require(frame)
        out = pd.DataFrame({column: _typed(frame, column) for column in RECORD_COLUMNS}, index=frame.index)
        for value in out["item"]:
            value.encode("utf-8")  # a lone surrogate can't be written: UnicodeEncodeError is a ValueError
    except (TypeError, ValueError) as error:  # pandas raises either for what a column can't hold
        raise BadFileError(f"records hold values of the wrong kind: {str(error).splitlines()[0]}") from error
    _check(out)
    return out


def _unicode(text: str) -> str:
    """The text with lone surrogates, which some logs hold and no file can, as U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _require(frame: pd.DataFrame) -> None:
    if unknown := sorted(map(str, set(frame.columns) - set(RECORD_COLUMNS))):
        raise BadFileError(f"records have unknown columns: {', '.join(unknown)}")
    for column in ("task", "setting", "item"):
        if len(frame) and (column not in frame or (frame[column].isna() | (frame[column] == "")).any()):
            raise BadFileError(f"records need a {column} in every row")


def _typed(frame: pd.DataFrame, column: str) -> pd.Series:
    """The column in the type that records have it in; an absent one is empty, missing or 0."""
    given = frame[column] if column in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
    if column in _TEXT:
        return given.fillna("").astype(str).astype(object)
    if column in _OPTIONAL_TEXT:
        return given.astype(object).where(given.notna(), None)
    if column not in _NUMBERS:
        return _whole(given, column)
    if pd.api.types.is_datetime64_any_dtype(given):  # pandas would take the nanoseconds
        raise BadFileError(f"records hold dates as {column}")
    return pd.to_numeric(given, errors="coerce").astype(float)


def _check(out: pd.DataFrame) -> None:
    if np.isinf(out["score"]).any():
        raise BadFileError("records hold infinite scores; a score is a finite number or missing")
    if out["task"].str.contains(":", regex=False).any():
        raise BadFileError("a task's name can't hold ':', which stands before a subset; give it another name (--task)")
    if bad := sorted(set(out["flag"]) - set(FLAGS)):
        raise BadFileError(f"records hold unknown flags: {', '.join(bad)}")
    _refuse_duplicates(out)


def save_run(run: Run, folder: Path | str) -> Path:
    """Write a run; the manifest comes last, so a folder with a manifest is whole, also when it held another run before.

    Raises:
        OutputError: when the place can't be written; a run that was there is then as it was.
    """
    folder = make_folder(Path(folder))
    write_together(
        folder,
        {
            "records.parquet": partial(write_parquet, frame=run.records),
            "manifest.json": partial(write_json, value=dict(run.manifest)),
        },
    )
    (folder / "report.html").unlink(missing_ok=True)  # a page of the run that was here
    return folder


def load_run(folder: Path | str) -> Run:
    """Read a run folder and check it.

    Raises:
        UsageError: when it is no run folder.
        BadFileError: when it is damaged or of a newer format, when its manifest has parts of the wrong shape, and when
            its records speak of tasks that the manifest lacks or hold points outside 0..1.
    """
    folder = Path(folder)
    if not (folder / "manifest.json").is_file():
        raise UsageError(
            f"{folder} is no run folder: it holds no manifest.json. `capeval run` and `capeval import` make one."
        )
    where = str(folder / "manifest.json")
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict) or not {"format", "node", "tasks"} <= manifest.keys():
        raise BadFileError(f"{where} is no run manifest: it lacks format, node or tasks")
    if manifest["format"] != FORMAT:
        raise BadFileError(f"{folder} has run format {manifest['format']}; this capeval reads {FORMAT}")
    node = text(manifest, "node", where)
    if not node:
        raise BadFileError(f"{where}: 'node' must name what was asked")
    specs = _specs(manifest, where)
    _check_contrasts(manifest, where)
    records = as_records(read_parquet(folder / "records.parquet"))
    if stray := sorted(set(records["task"]) - {spec.name for spec in specs}):
        raise BadFileError(f"{folder} has records of a task that its manifest lacks: {', '.join(stray)}")
    _check_points(records, specs, str(folder / "records.parquet"))
    return Run(node=node, manifest=manifest, records=records)


def folder_name(name: str) -> str:
    """A node's or suite's name as the name of one folder: whatever could lead elsewhere becomes --."""
    return re.sub(r"[^\w.+-]+", "--", name).strip("-.") or "run"


def refuse_foreign(folder: Path | str, *, node: str, uri: str) -> None:
    """Refuse to write over a run of another node or checkpoint; an empty or a new folder is fine.

    Args:
        folder: Where the new run is to go.
        node: The new run's node.
        uri: Its checkpoint; empty for an import.

    Raises:
        UsageError: naming what is there.
        BadFileError: when the manifest that is there can't be read.
    """
    folder = Path(folder)
    try:
        if not (folder / "manifest.json").is_file():
            return
    except OSError as error:  # a name that is too long
        raise output_error(folder, error) from error
    before = read_json(folder / "manifest.json")
    before = before if isinstance(before, dict) else {}
    checkpoint = before.get("checkpoint")
    there = str(checkpoint.get("uri") or "") if isinstance(checkpoint, dict) else ""
    if there == uri and before.get("node") == node:
        return
    other = "checkpoint" if there != uri else "node"
    raise UsageError(
        f"{folder} holds a run of another {other}: node '{before.get('node', '?')}', {there or 'imported'}. Give this "
        "one a name (--node NAME) or another place (--out FOLDER)."
    )


def load_node_records(file: Path, *, nodes: set[str], tasks: set[str], specs: Iterable[TaskSpec] = ()) -> pd.DataFrame:
    """Records of several nodes in one Parquet file (what ships with a tree): `node`, then the record columns.

    Args:
        file: The Parquet file.
        nodes: Names of the tree's nodes.
        tasks: Names of its tasks.
        specs: Its tasks; scores of those in points are checked for their range.

    Raises:
        BadFileError: when the file is damaged, speaks of nodes or tasks that are not in the tree, or holds points
            outside 0..1.
    """
    frame = read_parquet(file)
    for column, known in (("node", nodes), ("task", tasks)):
        if column not in frame:
            raise BadFileError(f"{file} lacks the column '{column}'")
        if stray := sorted({str(value) for value in frame[column].unique()} - known):
            raise BadFileError(f"{file} has records of a {column} that the tree lacks: {', '.join(stray)}")
    _check_points(frame, specs, str(file))
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


def _specs(manifest: Mapping[str, Any], where: str) -> tuple[TaskSpec, ...]:
    """The manifest's task specs, checked; keys of newer versions are passed over, as `Run.tasks` does."""
    known = {f.name for f in fields(TaskSpec)}
    specs = []
    for task in mappings(manifest, "tasks", where):
        specs.append(task_spec({key: value for key, value in task.items() if key in known}, where))
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadFileError(f"{where}: two tasks are called {', '.join(twice)}")
    return tuple(specs)


def _check_contrasts(manifest: Mapping[str, Any], where: str) -> None:
    pairs = manifest.get("contrasts", [])
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(setting, str) for setting in pair)
        for pair in pairs
    ):
        raise BadFileError(f'{where}: \'contrasts\' must be a list of pairs of settings ([["cot", "direct"]])')


def _check_points(records: pd.DataFrame, specs: Iterable[TaskSpec], where: str) -> None:
    """Points lie between 0 and 1: one score of 7 would spoil every mean that it enters."""
    points = {spec.name for spec in specs if spec.unit == "points"}
    if "score" not in records:
        return
    try:
        scores = pd.to_numeric(records["score"], errors="coerce").astype(float)
    except (TypeError, ValueError) as error:
        raise BadFileError(f"{where} has scores that are no numbers") from error
    outside = (scores < 0) | (scores > 1)
    bad = records[outside & records["task"].isin(points)]
    if len(bad):
        row = bad.iloc[0]
        raise BadFileError(
            f"{where} has {len(bad)} scores outside 0..1, the first: task '{row['task']}', item '{row['item']}', score "
            f"{scores[bad.index[0]]:g}. Points lie between 0 and 1; a metric with a unit of its own says so in its "
            "task: `unit`."
        )


def _whole(given: pd.Series, column: str) -> pd.Series:
    try:
        return pd.to_numeric(given.fillna(0)).astype("int64")
    except (TypeError, ValueError) as error:
        raise BadFileError(f"records hold a {column} that is no whole number: {error}") from error


def _refuse_duplicates(frame: pd.DataFrame) -> None:
    twice = frame.duplicated(["task", "setting", "item", "sample"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise BadFileError(
            f"{int(twice.sum())} duplicate items, the first: task '{row['task']}', setting '{row['setting']}', "
            f"item '{row['item']}', sample {row['sample']}. Give repeated asks of one item a sample number."
        )
