"""Reading data files: JSON, JSON lines, CSV, XML, Parquet; a file that can't be read is named.

>>> documents(Path("gsm8k/test.jsonl"))[0]["question"]      # doctest: +SKIP

A byte order mark and Windows' ends of lines are read as if they were not there. A file is parsed once, however many
configurations are taken from it, as long as it stays as it is.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from capeval.errors import BadFileError

Row = dict[str, Any]
Rows = list[Row]
_KEPT = 4
"""Parsed files in memory: two splits of one benchmark, and of the next."""


def documents(file: Path, key: str = "") -> Rows:
    """Documents of a list; `key`: the list is under this key of an object.

    Raises:
        BadFileError: when the file can't be read or holds no list of documents.
    """
    found = content(file)
    if key and not isinstance(found, dict):
        raise BadFileError(f"the data file {file} is malformed: it must be an object with the key '{key}'")
    if key and key not in found:
        raise BadFileError(f"the data file {file} is malformed: it has no '{key}'")
    found = found[key] if key else [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not found or not all(isinstance(document, dict) for document in found):
        raise BadFileError(f"the data file {file} must hold a list of documents, at least one")
    return found


def content(file: Path) -> Any:
    """What a file holds: a list of documents, an object, or the root of an XML tree.

    Raises:
        BadFileError: naming the file, and the line where that is known.
    """
    try:
        state = file.stat()
        return _parsed(file, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError, csv.Error, ElementTree.ParseError) as error:  # UnicodeDecodeError is a ValueError
        raise BadFileError(f"the data file {file} is malformed: {error}") from error


@lru_cache(maxsize=_KEPT)
def _parsed(file: Path, changed: int, size: int) -> Any:
    del changed, size  # they are part of the cache's key: a file that is written anew is read anew
    return _READERS[file.suffix](file)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig")


def _json(file: Path) -> Any:
    text = _text(file)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or text.lstrip()[:1] == "[":
            raise
    return _lines(text)  # many benchmarks publish JSON lines under the name .json


def _lines(text: str) -> list[Any]:
    found = []
    # not splitlines: a document may hold U+2028, which is no end of line in JSON
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error.msg} (column {error.colno})") from error
    return found


def _csv(file: Path) -> Rows:
    # StringIO without translation: a quoted cell keeps its own ends of lines
    reader = csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num}: not {len(reader.fieldnames or ())} cells, as the first line has")
        rows.append(dict(row))
    return rows


def _xml(file: Path) -> Any:
    """The root of a tree.

    Entities can only be declared in a document type, so a file that has one is refused: none can then expand into
    gigabytes or name another file, and the standard library's parser is safe to use.
    """
    text = _text(file)
    if "<!DOCTYPE" in text:
        raise ValueError("it declares a document type; data has none, and entities are not expanded")
    return ElementTree.fromstring(text)


def _parquet(file: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(file).to_dict("records")


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".jsonl": lambda file: _lines(_text(file)),
    ".csv": _csv,
    ".xml": _xml,
    ".parquet": _parquet,
}
