"""Progress of work that runs side by side: a line for every unit that is under way, and one for all of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Watch = Callable[[str, int, int], None]


@contextmanager
def watching(*, shown: bool) -> Iterator[Watch]:
    """Something that takes (unit, done, all) and draws bars on stderr; plain lines where stderr is no terminal.

    Args:
        shown: False for a watch that says nothing.
    """
    if not shown:
        yield lambda unit, done, total: None
    elif not sys.stderr.isatty():
        yield _lines
    else:
        with _bars() as watch:
            yield watch


def _lines(unit: str, done: int, total: int) -> None:
    if not total or done == total:
        print(f"{unit}: {'done' if total else 'begins'}", file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("[progress.description]{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        lines = {}

        def watch(unit: str, done: int, total: int) -> None:
            if unit not in lines:
                lines[unit] = bars.add_task(unit, total=total or None)
            bars.update(lines[unit], completed=done, total=total or None)
            if total and done == total:
                bars.remove_task(lines.pop(unit))
                bars.console.print(f"[green]✔[/green] {unit}", highlight=False)

        yield watch
