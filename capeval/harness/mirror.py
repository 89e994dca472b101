"""Where a task's data comes from: files beside its YAML, a local mirror (CAPEVAL_DATA), the hub.

    CAPEVAL_DATA=/data capeval run --model ./checkpoint --suite cot

The mirror holds a folder per data set: `gsm8k/test.jsonl` and `bbh/<subtask>.json` as their authors publish them, any
other set as `<owner>/<name>/<configuration>/<split>.jsonl` (or .json, .parquet), in the hub's columns. Data sets that
run code when they are loaded are never trusted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.errors import BadFileError, MissingError
from capeval.hub import hub_answers, hub_offline

Rows = list[dict[str, Any]]
_FILES = ("json", "csv", "parquet", "text")
_SUFFIXES = (".jsonl", ".json", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """What a task's YAML says about its data."""

    path: str
    """Hub id, folder, or one of datasets' file formats."""
    name: str
    """Configuration ("main"); empty when there is none."""
    kwargs: Mapping[str, Any]
    """What else goes to `datasets.load_dataset` (data_files, revision)."""
    home: Path
    """Folder of the YAML: relative files are beside it."""


def load_data(source: DataSource) -> Any:
    """The splits of a data set, as a `datasets.DatasetDict`.

    Raises:
        MissingError: naming the data set, where it was looked for, and what to set.
        BadFileError: when a file of it is malformed.
    """
    if source.path in _FILES and source.kwargs.get("data_files"):
        return _from_files(source)
    if splits := _from_mirror(source):
        import datasets

        return datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in splits.items()})
    return _from_hub(source)


def _from_files(source: DataSource) -> Any:
    """Files that the YAML names; JSON is read without `datasets`' cache, so that it works on a read-only disk."""
    import datasets

    named = source.kwargs["data_files"]
    named = named if isinstance(named, dict) else {"train": named}
    files = {
        split: [_beside(source.home, str(file)) for file in (given if isinstance(given, list) else [given])]
        for split, given in named.items()
    }
    if source.path == "json" and all(isinstance(file, Path) for some in files.values() for file in some):
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_list(_rows(some, source.kwargs)) for split, some in files.items()}
        )
    text = {split: [str(file) for file in some] for split, some in files.items()}
    return datasets.load_dataset(source.path, source.name or None, **{**source.kwargs, "data_files": text})


def _rows(files: list[Any], kwargs: Mapping[str, Any]) -> Rows:
    return [row for file in files for row in _read(file, str(kwargs.get("field") or ""))]


def _beside(home: Path, file: str) -> Path | str:
    """A file beside the YAML, or where the command runs; an address or a pattern stays as it is, for `datasets`."""
    if "://" in file or "*" in file:
        return file
    for candidate in (home / file, Path(file)):
        if candidate.is_file():
            return candidate
    raise MissingError(f"the data file {file} is neither in {home} nor in the current folder")


def _from_mirror(source: DataSource) -> dict[str, Rows]:
    """Splits that the mirror holds; none when there is no mirror or it lacks this data set."""
    given = os.environ.get("CAPEVAL_DATA", "")
    if not given:
        return {}
    root = Path(given).expanduser()
    if not root.is_dir():
        raise MissingError(f"CAPEVAL_DATA is {given}, which is no folder")
    known = _LAYOUTS.get(source.path)
    return (known(root, source.name) if known else {}) or _by_split(root / source.path / source.name)


def _gsm8k(root: Path, name: str) -> dict[str, Rows]:
    del name  # both configurations have the same questions; the mirror holds "main"
    # what a mirror lacks of the training split changes which shots are drawn from it, and so their digest
    choices = {"test": ("test.jsonl",), "train": ("train.jsonl", "train_first2000.jsonl")}
    found = {split: [root / "gsm8k" / file for file in files] for split, files in choices.items()}
    there = {split: next((f for f in files if f.is_file()), None) for split, files in found.items()}
    return {split: _read(file) for split, file in there.items() if file} if there["test"] else {}


def _bbh(root: Path, name: str) -> dict[str, Rows]:
    file = root / "bbh" / f"{name}.json"
    return {"test": _read(file, "examples")} if name and file.is_file() else {}


def _by_split(folder: Path) -> dict[str, Rows]:
    files = sorted(p for p in folder.glob("*") if p.suffix in _SUFFIXES) if folder.is_dir() else []
    return {file.stem: _read(file) for file in files}


_LAYOUTS: dict[str, Callable[[Path, str], dict[str, Rows]]] = {
    "openai/gsm8k": _gsm8k,
    "gsm8k": _gsm8k,
    "SaylorTwift/bbh": _bbh,
    "lukaemon/bbh": _bbh,
}


def _read(file: Path, key: str = "") -> Rows:
    """Documents of a JSON list, JSON lines or Parquet file; `key`: the list is under this key of an object."""
    try:
        if file.suffix == ".parquet":
            import pandas as pd

            rows: Any = pd.read_parquet(file).to_dict("records")
        else:
            text = file.read_text(encoding="utf-8")
            rows = json.loads(text) if key or text.lstrip()[:1] == "[" else _lines(text)
        documents = rows[key] if key else rows
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFileError(f"the data file {file} is malformed: {error!r}") from error
    if not isinstance(documents, list) or not documents or not all(isinstance(d, dict) for d in documents):
        raise BadFileError(f"the data file {file} must hold a list of documents, at least one")
    return documents


def _lines(text: str) -> list[Any]:
    # not splitlines: a document may hold U+2028, which is no end of line in JSON
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _from_hub(source: DataSource) -> Any:
    import datasets

    kwargs = {k: v for k, v in source.kwargs.items() if k != "trust_remote_code"}
    online = hub_answers()
    try:
        with _offline(not online):
            return datasets.load_dataset(source.path, source.name or None, **kwargs)
    except Exception as error:  # datasets, the hub's client and the network raise many kinds
        raise MissingError(_where_it_was_looked_for(source, online, error)) from error


def _where_it_was_looked_for(source: DataSource, online: bool, error: Exception) -> str:
    label = f"{source.path} ({source.name})" if source.name else source.path
    mirror = os.environ.get("CAPEVAL_DATA", "")
    first = f"not in CAPEVAL_DATA ({mirror})" if mirror else "CAPEVAL_DATA is not set"
    if online:
        second = f"the hub says: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    else:
        reason = "HF_HUB_OFFLINE is set" if hub_offline() else "the hub can't be reached"
        second = f"{reason}, and it is not in the hub's local cache"
    example = "gsm8k/test.jsonl" if _LAYOUTS.get(source.path) is _gsm8k else f"{source.path}/<split>.jsonl"
    example = f"bbh/{source.name}.json" if _LAYOUTS.get(source.path) is _bbh else example
    return f"data set {label} is not here: {first}; {second}. Set CAPEVAL_DATA to a folder that holds {example}."


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Let `datasets` look into its cache only; without this an unreachable hub costs it half a minute a data set."""
    import datasets
    import huggingface_hub.constants as hub

    before = (hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    if wanted:
        hub.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
