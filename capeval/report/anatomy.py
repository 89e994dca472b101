"""Why items flipped: a bar and a table for every contrast on the page, the largest taxes in words in both outputs.

`python -c "from capeval.report.anatomy import story; help(story)"`
"""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd
from rich.console import Console

from capeval.attribution.anatomy import REST, WHY
from capeval.report.findings import first_metrics, kind_words
from capeval.report.lines import room, say
from capeval.report.words import clean, interval, signed
from capeval.store.traces import Trace

KINDS = ("edge", "path", "sibling", "release")
"""Contrasts whose split is drawn; anatomy.parquet holds those within a node and between sizes too."""
TAXES = ("format", "truncation", "refusal", "empty", "reasoning", "slip")
"""Causes that explain a loss; `answer` is the loss itself, `unknown` explains nothing."""
WIDE, TALL = 240, 14
"""Of a bar, in pixels: what was lost to the left of its middle, what was gained to the right."""
SENTENCES, LINES = 12, 5
"""So many taxes in words: on the page, in the terminal."""

Row = dict[str, Any]


def story(trace: Trace) -> list[Row]:
    """A row for each contrast in which items were lost: its name, its tasks with bar and causes, what it says in words.

    The first row also has the legend, and the largest taxes of all in words.
    """
    main = _headlines(trace)
    shown = main[main["kind"].isin(KINDS)]
    rows = []
    for (kind, name), part in shown.groupby(["kind", "contrast"], sort=False, observed=True):
        groups = [group for _, group in part.groupby(["task", "setting"], sort=False) if group["lost"].sum()]
        if not groups:
            continue
        most = max(int(group[side].sum()) for group in groups for side in ("lost", "gained"))
        rows.append(
            {
                "kind": kind_words(str(kind)), "name": clean(name), "tasks": [_task(group, most) for group in groups],
                "lost": sum(int(group["lost"].sum()) for group in groups),
            }
        )  # fmt: skip
    if rows:
        said = [clean(text) for text in largest(trace)["sentence"].head(SENTENCES)]
        seen = set(shown["cause"])
        legend = [{"cause": _class(c), "name": name, "meaning": why} for c, (name, why) in WHY.items() if c in seen]
        rows[0] |= {"sentences": said, "legend": legend}
    return rows


def largest(trace: Trace) -> pd.DataFrame:
    """The taxes of single stages, largest first: what a cause other than a wrong answer took, its interval beyond 0."""
    rows = _headlines(trace)
    rows = rows[(rows["kind"] == "edge") & rows["cause"].isin(TAXES)]
    turned = rows["orientation"].map({"lower": -1.0}).fillna(1.0)
    sure = ((rows["high"] < 0) & (turned > 0)) | ((rows["low"] > 0) & (turned < 0))
    taken = rows[sure]
    return taken.loc[(taken["net"].abs()).sort_values(ascending=False, kind="stable").index]


def say_part(trace: Trace, console: Console) -> None:
    """The largest taxes of single stages in words; nothing where there is none that is sure."""
    found = largest(trace)
    if found.empty:
        return
    say(console, ("", ""))
    say(
        console,
        ("What stages took by another cause than a wrong answer", "bold"),
        (" (95 % intervals, one by one)", ""),
    )
    for text in found["sentence"].head(LINES):
        for line in textwrap.wrap(clean(text), room(console) - 2, initial_indent="", subsequent_indent="  "):
            say(console, (f"  {line}", ""))
    if len(found) > LINES:
        say(console, (f"  {len(found) - LINES} more in the report", "dim"))


def _headlines(trace: Trace) -> pd.DataFrame:
    """Whole tasks, by their first metric."""
    rows = trace.anatomy
    if rows.empty:
        return rows
    return first_metrics(rows[~rows["task"].str.contains(":", regex=False)], trace.tree.second_metrics())


def _task(group: pd.DataFrame, most: int) -> Row:
    causes = [{str(key): value for key, value in row.items()} for row in group.to_dict("records")]
    first = causes[0]
    unit = str(first["unit"])
    return {
        "task": clean(first["task"]), "setting": clean(first["setting"]), "n": f"{int(first['n']):,}",
        "delta": signed(first["delta"], unit), "unit": clean(unit), "bar": _bar(causes, most),
        "words": ", ".join(f"{c['lost']} lost and {c['gained']} gained by {WHY[c['cause']][0]}"
                           for c in causes if c["cause"] != REST),
        "causes": [
            {"cause": _class(c["cause"]), "name": WHY[c["cause"]][0],
             "lost": c["lost"] if c["cause"] != REST else "–", "gained": c["gained"] if c["cause"] != REST else "–",
             "share": f"{c['share']:.0%}" if c["cause"] != REST and c["share"] == c["share"] else "–",
             "net": signed(c["net"], unit), "interval": interval(c["low"], c["high"], unit)}
            for c in causes
        ],
    }  # fmt: skip


def _bar(causes: list[Row], most: int) -> list[Row]:
    """The pieces of a bar: place and width in pixels, the cause's class, and what it says."""
    pieces, left, right = [], WIDE / 2, WIDE / 2
    for row in causes:
        for side in ("lost", "gained"):
            if not row[side]:
                continue
            width = row[side] / most * WIDE / 2
            left -= width if side == "lost" else 0
            pieces.append(
                {"x": f"{left if side == 'lost' else right:.1f}", "width": f"{width:.1f}",
                 "cause": _class(row["cause"]), "words": f"{row[side]} {side}: {WHY[row['cause']][0]}"}
            )  # fmt: skip
            right += width if side == "gained" else 0
    return pieces


def _class(cause: Any) -> str:
    """The cause's style class; causes are our own words."""
    return str(cause).replace(" ", "-")
