"""Which data sets are on this machine, where, and how many items each has: `capeval data`.

    CAPEVAL_DATA=/data capeval data
    capeval data mmlu

Only files are looked at: the mirror, and the folder where `datasets` keeps what it once loaded. The network is never
asked, and neither torch nor `datasets` is imported.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from capeval.errors import BadFileError, unknown
from capeval.harness.layouts import LAYOUTS, Layout, splits
from capeval.harness.mirror import mirror, of_hub_layout

State = Literal["mirror", "hub cache", "malformed", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One split of a data set, as far as it is here."""

    name: str
    items: int
    """Of all configurations together."""
    whole: int
    """How many a complete one has; 0 when that is not known."""
    where: str
    """The file or folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One data set of the table, and what this machine has of it."""

    layout: Layout
    state: State
    splits: tuple[Split, ...] = ()
    problem: str = ""
    """Why it can't be used, when it is malformed."""

    @property
    def remedy(self) -> str:
        """How to get it; empty when it is here."""
        if self.state in ("mirror", "hub cache"):
            return ""
        hub = f", or let a run load {self.layout.ids[0]} from the hub" if self.layout.on_hub else ""
        return f"put {self.layout.wanted('')} into the folder CAPEVAL_DATA ({self.layout.home}){hub}"

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        layout = self.layout
        return {
            "name": layout.name, "ids": list(layout.ids), "configurations": list(layout.configs), "state": self.state,
            "splits": [
                {"split": s.name, "items": s.items, "whole": s.whole or None, "where": s.where} for s in self.splits
            ],
            "columns": list(layout.columns), "licence": layout.licence, "citation": layout.citation,
            "home": layout.home, "note": layout.note, "problem": self.problem, "remedy": self.remedy,
        }  # fmt: skip


def data(name: str = "") -> list[DataSet]:
    """What this machine has of every data set in the table.

    Args:
        name: Only this one, by its short name or hub id (which can be several: TruthfulQA has two configurations).

    Raises:
        UsageError: a name that the table lacks.
        MissingError: CAPEVAL_DATA names no folder.
    """
    wanted = [one for one in LAYOUTS if not name or name in (one.name, *one.ids)]
    if not wanted:
        known = [label for one in LAYOUTS for label in (one.name, *one.ids)]
        raise unknown("data set", name, known, "capeval data")
    root = mirror()
    return [_look(layout, root) for layout in wanted]


def _look(layout: Layout, root: Path | None) -> DataSet:
    try:
        if root and (found := _in_mirror(layout, root)):
            return DataSet(layout=layout, state="mirror", splits=found)
    except BadFileError as error:
        return DataSet(layout=layout, state="malformed", problem=str(error))
    cached = _in_hub_cache(layout)
    return DataSet(layout=layout, state="hub cache" if cached else "missing", splits=cached)


def _in_mirror(layout: Layout, root: Path) -> tuple[Split, ...]:
    counts: Counter[str] = Counter()
    where: dict[str, str] = {}
    for name in layout.names_in(root):
        counts.update({split: len(rows) for split, rows in splits(layout, root, name).items()})
        where |= {split: str(file) for split, file in layout.files_in(root, name).items()}
    if counts:
        pattern = layout.wanted("*")
        one = {split: str(root / pattern) if "*" in pattern else file for split, file in where.items()}
        return _splits(layout, counts, one)
    for path in layout.ids:
        for name in _folders(root / path):
            if layout.answers(name):
                counts.update({split: len(rows) for split, rows in of_hub_layout(root, path, name).items()})
        if counts:
            return _splits(layout, counts, dict.fromkeys(counts, str(root / path)))
    return ()


def _folders(folder: Path) -> list[str]:
    return ["", *sorted(p.name for p in folder.iterdir() if p.is_dir())] if folder.is_dir() else []


def _in_hub_cache(layout: Layout) -> tuple[Split, ...]:
    """What `datasets` has loaded before: `<owner>___<name>/<configuration>/<version>/<hash>/dataset_info.json`."""
    for path in layout.ids if layout.on_hub else ():
        for folder in _cached(path):
            infos = {info.parts[-4]: info for info in sorted(folder.glob("*/*/*/dataset_info.json"))}
            infos = {name: info for name, info in infos.items() if layout.answers("" if name == "default" else name)}
            whole = layout.configs[0] if layout.configs else "all"
            chosen = [infos[whole]] if whole in infos else list(infos.values())
            counts: Counter[str] = Counter()
            for info in chosen:
                counts.update(_counts(info))
            if counts:
                return _splits(layout, counts, dict.fromkeys(counts, str(folder)))
    return ()


def _cached(path: str) -> Iterator[Path]:
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    root = Path(os.environ.get("HF_DATASETS_CACHE") or Path(home, "datasets")).expanduser()
    if root.is_dir():  # its names are the hub's in snake case: MultiArith → multi_arith
        yield from (folder for folder in sorted(root.iterdir()) if _squeezed(folder.name) == _squeezed(path))


def _squeezed(name: str) -> str:
    return re.sub(r"[_/]", "", name).lower()


def _counts(info: Path) -> dict[str, int]:
    try:
        found = json.loads(info.read_text(encoding="utf-8"))["splits"]
        return {str(split): int(about["num_examples"]) for split, about in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # a cache that was left half written holds nothing


def _splits(layout: Layout, counts: Counter[str], where: dict[str, str]) -> tuple[Split, ...]:
    order = [split for split in layout.files if split in counts] + [s for s in counts if s not in layout.files]
    return tuple(
        Split(name=split, items=counts[split], whole=layout.items.get(split, 0), where=where[split]) for split in order
    )
