"""Progress of work that runs side by side: a line for every unit that is under way, and one for all of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from capeval.fleet import ALL

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
        yield _Lines()
    else:
        with _bars() as watch:
            yield watch


class _Lines:
    """A line when a unit begins and when it ends, with the share of all that is done by then."""

    def __init__(self) -> None:
        self._started, self._ended = time.monotonic(), ""

    def __call__(self, unit: str, done: int, total: int) -> None:
        if unit != ALL:
            self._ended = unit if total and done == total else ""
            if not total:
                print(f"{unit}: begins", file=sys.stderr, flush=True)
        elif self._ended:
            minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
            share = f"{done / total:.0%} of all, {minutes}:{seconds:02d}"
            print(f"{self._ended}: done ({share})", file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Watch]:
    from rich import progress
    from rich.console import Console

    class Rate(progress.ProgressColumn):
        """Steps or answers a second."""

        def render(self, task: progress.Task) -> str:
            return f"{task.speed:.1f}/s" if task.speed and task.fields.get("rated") else ""

    columns = (
        progress.TextColumn("[progress.description]{task.description}"), progress.BarColumn(),
        progress.TaskProgressColumn(), Rate(), progress.TimeElapsedColumn(), progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )  # fmt: skip
    with progress.Progress(*columns, console=Console(stderr=True)) as bars:
        lines = {ALL: bars.add_task(f"[bold]{ALL}", total=None)}

        def watch(unit: str, done: int, total: int) -> None:
            if unit not in lines:
                lines[unit] = bars.add_task(unit, total=None, rated=True)
            bars.update(lines[unit], completed=done, total=total or None)
            if total and done == total and unit != ALL:
                bars.remove_task(lines.pop(unit))
                bars.console.print(f"[green]✔[/green] {unit}", highlight=False)

        yield watch
