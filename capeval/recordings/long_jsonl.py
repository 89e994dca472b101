"""The long JSONL format: `<bench>.items.jsonl` with the documents, `<bench>.outputs.jsonl` with what models answered.

A row of outputs has `id`, `model`, `setting`, `output` (or `outputs`, several samples of one ask) and, where somebody
judged it, `correct` or another verdict column. A folder with `items.jsonl` and `outputs.jsonl` is the same. A benchmark
of the table `benchmarks.BENCHMARKS` is judged by its own rule, unless a scorer or a column of scores is asked for.

    capeval import CAPEVAL_DATA/recorded/instructgpt_autoeval/squadv2.outputs.jsonl --model gpt-xl
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from capeval.errors import BadFileError, UsageError, unknown
from capeval.recordings.benchmarks import Benchmark, benchmark
from capeval.recordings.columns import Imported, collect, field_columns
from capeval.recordings.options import ImportOptions
from capeval.recordings.tables import Row, read_rows
from capeval.store.items import item_digest
from capeval.store.runs import number_repeats
from capeval.zoo import load_tree

_VERDICTS = ("score", "correct", "passed_recorded")


def read(path: Path, options: ImportOptions) -> Imported:
    """Read one benchmark of the long format.

    Args:
        path: A file of outputs, or a folder of them.
        options: See `ImportOptions`.

    Raises:
        UsageError: several benchmarks, models or settings and none chosen; unknown ones.
        BadFileError: malformed rows, missing columns, outputs of items that the items file lacks.
    """
    files, bench = _files(path, options.task)
    rows = [row for file in files for row in read_rows(file)]
    items = options.items or _items_file(files[0])
    names = {"item": "id"} | _defaults(rows, options) | dict(options.mapping)
    if items is not None:
        rows = _with_documents(rows, read_rows(items), items, names["item"])
        names["item"] = "_item"
    present = {column for row in rows for column in row.data}
    known = benchmark(bench, present)
    if known and not (options.scorer or options.score or "score" in options.mapping or "score" in present):
        names.pop("score", None)  # its own rule is surer than a verdict that was logged
    columns = field_columns(names, rows, files[0])
    answers, dropped, model = collect(rows, columns, options, files[0], known)
    task = options.task or bench
    return Imported(
        tasks={task: answers},
        model=model,
        files=(*files, *([items] if items else [])),
        specs={task: _spec(known, options, own="score" not in columns and not options.scorer)} if known else {},
        dropped=dropped,
    )


def _spec(known: Benchmark, options: ImportOptions, *, own: bool) -> dict[str, Any]:
    """What the shipped tree says about the benchmark: of its clusters always, of its metric where its rule judges."""
    spec = load_tree(known.tree).task(known.task)
    found: dict[str, Any] = {"cluster_role": spec.cluster_role, "cluster": spec.cluster}
    if own:
        found |= {name: getattr(spec, name) for name in ("orientation", "unit", "chance", "threshold", "scorer")}
        found["metric"] = options.metric or spec.metric
    return found


def is_outputs(path: Path) -> bool:
    """Whether a file holds outputs, by its name."""
    return (
        path.suffix == ".jsonl" and path.stem.rpartition(".")[2] != "items" and not path.name.startswith("preferences_")
    )


def _files(path: Path, task: str) -> tuple[list[Path], str]:
    """The files of one benchmark, and its name."""
    if not path.is_dir():
        return [path], _bench(path)
    found: dict[str, list[Path]] = {}
    for file in sorted(path.glob("*.jsonl")):
        if is_outputs(file):
            found.setdefault(_bench(file), []).append(file)
    if not found:
        raise UsageError(f"{path} holds no outputs: neither outputs.jsonl nor <bench>.<setting>.jsonl")
    if len(found) == 1:
        return next(iter(found.values())), next(iter(found))
    if not task:
        raise UsageError(f"{path} holds several benchmarks: {', '.join(found)}. Choose one: --task {next(iter(found))}")
    if task not in found:
        raise unknown("benchmark", task, found, f"ls {path}")
    return found[task], task


def _bench(file: Path) -> str:
    """`squadv2.outputs.jsonl` → squadv2; `outputs.jsonl` → the folder's name."""
    head, dot, tail = file.name.removesuffix(".jsonl").partition(".")
    return file.absolute().parent.name if head in ("outputs", "items") and not (dot and tail) else head


def _items_file(outputs: Path) -> Path | None:
    head = outputs.name.removesuffix(".jsonl").partition(".")[0]
    for name in (f"{head}.items.jsonl", "items.jsonl"):
        candidate = outputs.with_name(name)
        if candidate.is_file() and candidate != outputs:
            return candidate
    return None


def _defaults(rows: list[Row], options: ImportOptions) -> dict[str, str]:
    """Columns of the format that this file has."""
    present = {column for row in rows for column in row.data}
    found: dict[str, str] = {name: name for name in ("model", "setting", "sample") if name in present}
    if "output" in present:
        found["response"] = "output"
    elif "outputs" in present:
        found["responses"] = "outputs"
    if "output_chars" in present:
        found["length"] = "output_chars"
    verdict = options.score or next((name for name in _VERDICTS if name in present), "")
    return found | ({"score": verdict} if verdict else {})


def _with_documents(rows: list[Row], documents: list[Row], path: Path, key: str) -> list[Row]:
    """Output rows with their document's columns beside their own, and `_item`, the document's digest."""
    by_id: dict[str, dict[str, object]] = {}
    for document in documents:
        name = document.data.get("id")
        if name is None:
            raise BadFileError(f"{document.where}: a document needs an id")
        if str(name) in by_id:
            raise BadFileError(f"{document.where}: the id '{name}' is already taken in {path.name}")
        by_id[str(name)] = document.data
    digests = pd.Series(
        [item_digest({k: v for k, v in doc.items() if k != "id"}) for doc in by_id.values()], dtype=object
    )
    items = dict(zip(by_id, number_repeats(digests), strict=True))
    joined = []
    for row in rows:
        name = row.data.get(key)
        if name is None:
            joined.append(Row(where=row.where, data={**row.data, "_item": None}))
            continue
        if str(name) not in by_id:
            raise BadFileError(
                f"{row.where}: the id '{name}' is not in {path}; --items names another file of documents"
            )
        joined.append(Row(where=row.where, data={**by_id[str(name)], **row.data, "_item": items[str(name)]}))
    return joined
