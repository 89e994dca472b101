"""Reads JSONL and CSV row by row; every complaint names file, line and reason.

>>> [row.data for row in read_rows(Path("outputs.jsonl"))]      # doctest: +SKIP
[{'id': 'gsm8k/test/0', 'output': '18', 'correct': True}]
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.errors import BadFileError, UsageError

_LONGEST_FIELD = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row and where it stands."""

    where: str
    """`file:line`, for messages."""
    data: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a .csv / .tsv file, or of a JSONL file under any other name.

    Raises:
        UsageError: no such file.
        BadFileError: empty, not UTF-8, or malformed; the message gives file:line and the reason.
    """
    text = _text(path)
    suffix = path.suffix.lower()
    rows = _csv(text, path, "\t" if suffix == ".tsv" else ",") if suffix in (".csv", ".tsv") else _jsonl(text, path)
    if not rows:
        raise BadFileError(f"{path} is empty: it holds no rows")
    return rows


def require_columns(names: Iterable[str], rows: list[Row], path: Path) -> None:
    """Refuse names that are a column of no row, with the nearest column that is there.

    Raises:
        BadFileError: for the first such name.
    """
    present = list(dict.fromkeys(column for row in rows for column in row.data))
    for name in names:
        if name not in present:
            folded = {column.casefold(): column for column in present}
            close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
            hint = f"; did you mean '{folded[close[0]]}'?" if close else "."
            raise BadFileError(
                f"{path} has no column '{name}'{hint} Its columns: {', '.join(present)}. "
                "`--map FIELD=COLUMN` says which column holds what."
            )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except OSError as error:
        raise BadFileError(f"{path} can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadFileError(
            f"{path}:{line}: byte {error.start} is not UTF-8; convert the file, for example "
            f"`iconv -f latin1 -t utf-8 {path.name}`"
        ) from error


def _jsonl(text: str, path: Path) -> list[Row]:
    rows = []
    # not splitlines(): that also cuts at U+2028, which JSON strings may hold
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            data = json.loads(line)
        except RecursionError as error:
            raise BadFileError(f"{where}: nested too deeply to be a row") from error
        except ValueError as error:
            raise BadFileError(f"{where}: not JSON: {error}. JSONL holds one JSON object per line.") from error
        if not isinstance(data, dict):
            raise BadFileError(f"{where}: a row must be a JSON object, not {type(data).__name__}")
        rows.append(Row(where=where, data=data))
    return rows


def _csv(text: str, path: Path, delimiter: str) -> list[Row]:
    before = csv.field_size_limit(_LONGEST_FIELD)  # a response is easily longer than csv's default of 131,072
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = reader.fieldnames or []
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise BadFileError(f"{path}:1: two columns are called {', '.join(map(repr, twice))}")
        rows = []
        for data in reader:
            where = f"{path}:{reader.line_num}"
            if None in data or None in data.values():
                raise BadFileError(f"{where}: the row does not have the header's {len(header)} columns")
            rows.append(Row(where=where, data=dict(data)))
    except csv.Error as error:
        raise BadFileError(f"{path}:{reader.line_num}: not CSV: {error}") from error
    finally:
        csv.field_size_limit(before)
    return rows
