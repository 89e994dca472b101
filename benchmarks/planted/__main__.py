"""Plant, ask, print; exit status 1 where a target is missed. What each table means: docs/validation.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.planted import __doc__ as about
from benchmarks.planted import format as form
from benchmarks.planted import gates, grid, lab, origins, recorded, trees, unlocks
from benchmarks.planted.figure import svg
from benchmarks.planted.shares import Share, missed, tables

Measure = Callable[[], Iterator[Share]]
MARK = "<!-- below: python -m benchmarks.planted --docs docs -->\n"
QUICK = 8
"""How many times fewer repetitions a quick look takes."""


def measures(fewer: int = 1, traces: Sequence[Path] = ()) -> list[Measure]:
    """All of them, in the order of the tables; each yields its shares when it is called.

    Args:
        fewer: Repetitions are divided by it.
        traces: Folders of lab traces.
    """
    layouts = list(grid.layouts())
    return [
        partial(trees.false_attributions, 320 // fewer),
        *(partial(trees.false_finds, 120 // fewer, active, 0.5) for active in (0.1, 0.5)),
        partial(trees.interactions, 120 // fewer),
        *(partial(grid.coverage, layout, 1000 // fewer) for layout in layouts),
        *(partial(grid.power, layout, 600 // fewer) for layout in layouts),
        *(partial(grid.family_power, n, 160 // fewer) for n in (100, 300)),
        *(partial(recorded.recorded, task, 1000 // fewer) for task in recorded.ROLES),
        *(partial(form.form_only, name, 1319, 120 // fewer) for name in form.FORMS),
        *(partial(form.split_by_cause, gap, 1319, 120 // fewer) for gap in form.GAPS),
        *(partial(gates.gate_rates, n, 4000 // fewer) for n in gates.SIZES),
        *(partial(origins.origins, layout, 160 // fewer) for layout in origins.LAYOUTS),
        *(partial(unlocks.unlock_errors, name, 80 // fewer) for name in unlocks.GRID),
        *([partial(lab.planted_facts, tuple(traces))] if traces else []),
    ]


def shares_of(measure: Measure) -> list[Share]:
    """Run one of them (in a process of its own)."""
    return list(measure())


def summary(found: Sequence[Share]) -> str:
    """How many targets there are, and how many are missed."""
    known = sum(not one.met and bool(one.known) for one in found)
    asked = sum(bool(one.target) for one in found)
    return f"{asked} targets: {len(missed(found))} missed, {known} missed for reasons that are known."


def renew(docs: Path, text: str, found: Sequence[Share]) -> None:
    """Put the tables below the page's mark, and the figure beside it."""
    page = docs / "validation.md"
    said, mark, _ = page.read_text(encoding="utf-8").partition(MARK)
    page.write_text(f"{said}{mark}\n{text}\n", encoding="utf-8")
    (docs / "validation.svg").write_text(svg(found), encoding="utf-8")


def main() -> None:
    """Parse, measure, print, judge."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} times fewer repetitions")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--lab", nargs="*", type=Path, default=(), metavar="TRACE", help="folders of lab traces")
    parser.add_argument("--docs", type=Path, help="folder whose validation.md and validation.svg are to be renewed")
    options = parser.parse_args()
    begun = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        every = pool.map(shares_of, measures(QUICK if options.quick else 1, options.lab))
        found = [one for some in every for one in some]
    text = "\n".join([*tables(found), "", summary(found)])
    print(text)
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes with {options.processes} processes.")
    if options.docs:
        renew(options.docs, text, found)
    wrong = missed(found)
    for one in wrong:
        print(f"missed: {one.scenario}: {one.what} {one.value:.1%}, asked {one.target}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
