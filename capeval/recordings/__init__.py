"""Outputs that already exist → runs like any other: scored, named, paired by item.

capeval import DIR --format lm-eval --node sft --out runs/sft
python -c "from capeval.recordings import *; print(import_records('DIR', options=ImportOptions(node='sft')).records)"
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from capeval import errors
from capeval.core import TaskSpec
from capeval.digest import digest_file
from capeval.recordings.answers import judged
from capeval.recordings.columns import Imported
from capeval.recordings.options import ImportOptions
from capeval.store.provenance import made_with
from capeval.store.runs import Run, as_records, make_manifest

__all__ = ["FORMATS", "ImportOptions", "import_records"]

FORMATS: dict[str, str] = {
    "lm-eval": "capeval.recordings.lm_eval_samples:read",
    "jsonl": "capeval.recordings.long_jsonl:read",
    "mapped": "capeval.recordings.mapped:read",
}
"""Formats → the function that reads them: (path, options) → Imported."""


def import_records(path: Path | str, *, options: ImportOptions) -> Run:
    """Read outputs and make a run of them; nothing is written.

    Args:
        path: A file, or a folder of lm-eval or of the long JSONL format.
        options: What the user says about it.

    Returns:
        A run for `store.runs.save_run`; its manifest keeps files with digests, model, licence, source, dropped rows.

    Raises:
        UsageError: unknown format, task, model, filter, scorer or field, or a choice that is still open.
        BadFileError: malformed or empty files, missing columns, duplicate items, scores out of range.
    """
    path = Path(path)
    if not path.exists():
        raise errors.UsageError(f"there is no file or folder {path}")
    if not 0 < options.margin < math.inf:
        raise errors.UsageError("--margin must be above 0, in the score's unit (0.02 = 2 points)")
    name = options.format if options.format != "auto" else _guess(path, options)
    if name not in FORMATS:
        raise errors.unknown("format", name, FORMATS, "capeval import --help")
    module, function = FORMATS[name].split(":")
    found: Imported = getattr(import_module(module), function)(path, options)
    tasks, rows = [], []
    for task, answers in found.tasks.items():
        said = dict(found.specs.get(task, {}))
        records = judged(answers, task=task, options=replace(options, unit=_unit(options, said)))
        tasks.append(_spec(task, records, said, options))
        rows += records
    # a name from the file becomes a folder's: it must not lead elsewhere
    node = options.node or re.sub(r"[/\\\0]|^\.+", "_", found.model or path.stem)
    return Run(
        node=node, manifest=_manifest(node, tuple(tasks), name, found, options), records=as_records(pd.DataFrame(rows))
    )


def _guess(path: Path, options: ImportOptions) -> str:
    """The format, from what the path holds."""
    from capeval.recordings.lm_eval_samples import is_output
    from capeval.recordings.long_jsonl import is_outputs

    if path.is_dir():
        return "lm-eval" if is_output(path) else "jsonl"
    if path.suffix == ".jsonl" and is_outputs(path) and not {"item", "response"} & options.mapping.keys():
        return "jsonl"
    return "mapped"


def _unit(options: ImportOptions, said: dict[str, Any]) -> str:
    return options.unit if options.unit != "points" else str(said.get("unit", "points"))


def _spec(task: str, records: list[dict[str, Any]], said: dict[str, Any], options: ImportOptions) -> TaskSpec:
    """The task spec: the user's word, then the file's, then what the records show."""
    scores = pd.Series([row["score"] for row in records]).dropna()
    parts: dict[str, Any] = {
        "metric": options.metric or options.scorer or "recorded score",
        "cluster": "cluster" if any(row["cluster"] for row in records) else "",
        "cluster_role": options.cluster_role if any(row["cluster"] for row in records) else "none",
        "scorer": options.scorer or "recorded",
    }
    parts |= said
    if options.orientation is not None:
        parts["orientation"] = options.orientation
    parts |= {
        "unit": _unit(options, said),
        "binary": bool(scores.isin([0.0, 1.0]).all()),
        "margin": options.margin,
        "settings": tuple(dict.fromkeys(row["setting"] for row in records)),
        "source": options.source,
        "licence": options.licence,
    }
    return TaskSpec(name=task, capability=options.capability, **parts)


def _manifest(
    node: str, tasks: tuple[TaskSpec, ...], format_name: str, found: Imported, options: ImportOptions
) -> dict[str, Any]:
    said = asdict(options)
    said["items"] = str(options.items) if options.items else None
    return make_manifest(
        node=node,
        tasks=tasks,
        checkpoint=None,
        suite=f"imported from {format_name}",
        contrasts=[],
        settings=said,
        **made_with(),
        imported={
            "format": format_name,
            "model": found.model,
            "files": [{"name": file.name, "digest": digest_file(file)} for file in found.files],
            "dropped": dict(found.dropped),
            "licence": options.licence,
            "source": options.source,
            **dict(found.notes),
        },
    )
