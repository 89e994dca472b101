"""What `capeval data` prints: a line for each data set, or all that is known about one.

CAPEVAL_DATA=/data capeval data | less
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from capeval.harness.inventory import DataSet, Split
from capeval.report.lines import lines, say, shortened
from capeval.report.words import clean

_ITEMS = 36
"""Columns for the numbers of items; the longest are cut, `capeval data NAME` shows them."""


def print_data_sets(found: Sequence[DataSet], console: Console) -> None:
    """A table, then what is malformed and how to get what is missing."""
    root = os.environ.get("CAPEVAL_DATA", "")
    say(console, (f"CAPEVAL_DATA: {root or 'not set'}", "bold"))
    rows = [
        [one.layout.name, shortened(", ".join(map(_count, one.splits)) or "-", _ITEMS), one.layout.licence,
         _where(one, root)]
        for one in found
    ]  # fmt: skip
    cells = [["data set", "items", "licence", "found"], *([clean(text) for text in row] for row in rows)]
    lines(console, cells, align="llll", head=True, elastic=3)
    for one in found:
        if one.problem:
            say(console, (f"! {clean(one.layout.name)}: {clean(one.problem)}", ""))
    if missing := [one.layout.name for one in found if one.state == "missing"]:
        say(console, (f"{len(missing)} not here; `capeval data {missing[0]}` says how to get it", "dim"))


def print_data_set(one: DataSet, console: Console) -> None:
    """Everything about one: names, splits, columns, licence, source, and how to get it."""
    layout = one.layout
    say(console, (clean(layout.name), "bold"), (f" · {one.state}", ""))
    lines(
        console,
        [["  " + s.name, f"{s.items:,}" + (f" of {s.whole:,}" if s.whole > s.items else ""), s.where]
         for s in one.splits],
        align="lrl",
        elastic=None,
    )  # fmt: skip
    facts = {
        "tasks call it": ", ".join(layout.ids),
        "configurations": ", ".join(name or "(none)" for name in layout.configs),
        "columns": ", ".join(layout.columns),
        "licence": layout.licence,
        "citation": layout.citation,
        "published at": layout.home,
        "note": layout.note,
        "malformed": one.problem,
        "how to get it": one.remedy,
    }
    for name, text in facts.items():
        if text:
            say(console, (f"  {name}: ", "dim"), (clean(text), ""))


def _count(split: Split) -> str:
    return f"{split.name} {split.items:,}" + (f" of {split.whole:,}" if split.whole > split.items else "")


def _where(one: DataSet, root: str) -> str:
    """The first split's file, below the mirror where it is there."""
    if one.state == "mirror":
        return one.splits[0].where.removeprefix(str(Path(root).expanduser())).lstrip("/")
    return {"hub cache": "hub cache", "malformed": "malformed, see below"}.get(one.state, "not here")
