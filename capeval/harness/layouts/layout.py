"""How one data set lies in a mirror, and its rows.

>>> splits(find("cais/mmlu", "anatomy"), Path("/data"), "anatomy")["dev"]      # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.errors import BadFileError
from capeval.harness.layouts.files import Row, Rows, content


def _listed(found: Any) -> Any:
    return found


def _all(document: Any, name: str, split: str) -> bool:
    del document, name, split
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One data set: what it is called, which files hold it, what a row has."""

    name: str
    """Short, for people: `capeval data NAME`."""
    ids: tuple[str, ...]
    """What tasks call it (`dataset_path`), the usual one first."""
    configs: tuple[str, ...] = ()
    """Configurations (`dataset_name`) that it answers to, "" where a task may name none; the first holds everything,
    unless each has a file of its own. Empty: `keep` decides."""
    files: Mapping[str, tuple[str, ...]]
    """For each split the files that may hold it, below the mirror; the first that is there is read. `{name}` is the
    configuration. Without the first split the data set counts as absent."""
    columns: tuple[str, ...]
    """Of every row."""
    items: Mapping[str, int]
    """How many items each split has when it is whole."""
    documents: Callable[[Any], Any] = _listed
    """What a file holds → its items."""
    keep: Callable[[Any, str, str], bool] = _all
    """Whether an item belongs to a configuration and split."""
    row: Callable[[Any], Row] | None = None
    """An item → a row; None when the item has the columns already."""
    licence: str
    citation: str
    home: str
    """Where its authors publish it."""
    on_hub: bool = True
    """Whether the hub has it under `ids`; else it is never asked for it."""
    note: str = ""
    """What differs from the hub's version."""

    def answers(self, name: str) -> bool:
        """Whether a configuration is of this data set."""
        return not self.configs or name in self.configs

    def files_in(self, root: Path, name: str) -> dict[str, Path]:
        """The files that are there, by split; none without the first split."""
        choices = {split: [root / file.format(name=name) for file in files] for split, files in self.files.items()}
        there = {split: next((f for f in files if f.is_file()), None) for split, files in choices.items()}
        found = {split: file for split, file in there.items() if file}
        return found if next(iter(self.files)) in found else {}

    def names_in(self, root: Path) -> list[str]:
        """The configurations that together hold every item of a mirror once."""
        pattern = next(iter(self.files.values()))[0]
        if "{name}" in pattern:
            return [name for name in self.configs if (root / pattern.format(name=name)).is_file()]
        return [self.configs[0] if self.configs else ""]

    def wanted(self, name: str) -> str:
        """The file that would satisfy a task, for messages."""
        return next(iter(self.files.values()))[0].format(name=name or "<name>")


def splits(layout: Layout, root: Path, name: str) -> dict[str, Rows]:
    """The rows of a configuration by split; empty when the mirror lacks the data set or this configuration of it.

    Raises:
        BadFileError: naming the file, and the item where one is to blame.
    """
    found = {split: list(_rows(layout, f, name, split)) for split, f in layout.files_in(root, name).items()}
    return {split: rows for split, rows in found.items() if rows} if found.get(next(iter(layout.files))) else {}


def _rows(layout: Layout, file: Path, name: str, split: str) -> Iterator[Row]:
    held = content(file)
    try:
        items = layout.documents(held)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFileError(f"the data file {file} is malformed: {_reason(error)}") from error
    if not isinstance(items, list) or not items:
        raise BadFileError(f"the data file {file} must hold a list of documents, at least one")
    for number, item in enumerate(items, start=1):
        try:
            if layout.keep(item, name, split):
                yield layout.row(item) if layout.row else {column: item[column] for column in layout.columns}
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise BadFileError(f"the data file {file} is malformed: item {number}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no '{error.args[0]}'"
    return str(error) or type(error).__name__
