"""The child's chains of thought, read by its parent: a curve for every pair and task, and the verdicts in words.

`capeval trace lab --elicit`
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from capeval.attribution.reasoning import FEWEST
from capeval.report.lines import room, say
from capeval.report.words import clean, count_text
from capeval.store.traces import Trace

WIDE, HIGH, LEFT, BOTTOM = 320, 130, 34, 18
"""Pixels: of a picture, and what its axes take."""
NAMES = {
    "gained": "newly solved", "both": "solved by both", "lost": "solved by the parent only",
    "wrong": "solved by neither",
}  # fmt: skip
LINES = 6
"""Sentences in the terminal."""

Row = dict[str, Any]


def story(trace: Trace) -> list[Row]:
    """A row for each pair of nodes, task and setting: its sentence, its curves by group of items, its numbers."""
    table = _shown(trace)
    rows = []
    for (parent, child, task, setting), part in table.groupby(["parent", "child", "task", "setting"], sort=False):
        groups: list[Row] = [{str(key): value for key, value in row.items()} for row in part.to_dict("records")]
        said = [group for group in groups if group["sentence"]]
        rows.append(
            {
                "name": f"{clean(child)}, read by {clean(parent)}", "task": clean(task), "setting": clean(setting),
                "sentence": clean(said[0]["sentence"]) if said else "", "picture": _picture(groups),
                "confounds": [clean(text) for group in said for text in group["confounds"].split("; ") if text],
                "groups": [_cells(group) for group in groups],
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: not row["sentence"])  # pairs that something was newly solved in come first


def say_part(trace: Trace, console: Console) -> None:
    """The verdicts in words; nothing where no chain was read."""
    said = [clean(text) for text in _shown(trace)["sentence"] if text]
    if not said:
        return
    say(console)
    say(console, ("Chains of thought, read by the parent", "bold"), (" (95 % intervals, one by one)", "dim"))
    for sentence in said[:LINES]:
        for line in textwrap.wrap(sentence, room(console) - 2, subsequent_indent="  "):
            say(console, (f"  {line}", ""))
    if len(said) > LINES:
        say(console, (f"  {len(said) - LINES} more in the report", "dim"))


def _shown(trace: Trace) -> pd.DataFrame:
    """Groups that are large enough to say something."""
    return trace.reasoning[trace.reasoning["n"] >= FEWEST] if len(trace.reasoning) else trace.reasoning


def _cells(group: Row) -> Row:
    at = (
        "never" if math.isnan(group["parts_at"]) else _share(group["parts_at"], group["parts_low"], group["parts_high"])
    )
    return {
        "group": group["group"], "name": NAMES[group["group"]], "n": count_text(group),
        "of": f"{group['chains']:,} in steps of {group['answers']:,}",
        "ratio": f"{group['ratio']:z.2f}{_ends(group['low'], group['high'], 'z.2f')}".replace("-", "−"),
        "parts_at": at, "chance": _share(group["chance"]),
        **{place: _share(group[place], group[f"{place}_low"], group[f"{place}_high"])
           for place in ("start", "unstated", "end")},
    }  # fmt: skip


def _share(value: float, low: float = math.nan, high: float = math.nan) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}{_ends(low * 100, high * 100, '.0f')}"


def _ends(low: float, high: float, form: str) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f" [{low:{form}}, {high:{form}}]"


def _picture(groups: Sequence[Row]) -> Row:
    """Lines and bands of all groups on one scale, in pixels, with the scale's ends."""
    curves = [(group["group"], json.loads(group["curve"])) for group in groups]
    values = [value for _, curve in curves for point in curve for value in point[1:] if value is not None]
    low, high = min(0.0, *values), max(0.1, *values)

    def x(place: float) -> str:
        return f"{LEFT + place * (WIDE - LEFT - 4):.1f}"

    def y(value: float) -> str:
        return f"{4 + (high - value) / (high - low) * (HIGH - BOTTOM - 8):.1f}"

    lines = []
    for group, curve in curves:
        sure = [point for point in curve if None not in point]
        there, back = [f"{x(p)} {y(b)}" for p, _, _, b in sure], [f"{x(p)} {y(a)}" for p, _, a, _ in reversed(sure)]
        lines.append(
            {"group": group, "line": "M" + " L".join(f"{x(point[0])} {y(point[1])}" for point in curve),
             "band": "M" + " L".join(there + back) + "Z" if sure else ""}
        )  # fmt: skip
    words = "; ".join(
        f"{NAMES[group]}: {curve[0][1]:z.1f} at the beginning, {curve[-1][1]:z.1f} at the end"
        for group, curve in curves
    )
    return {
        "lines": lines, "zero": y(0.0), "top": y(high), "high": f"{high:.1f}", "left": LEFT, "right": WIDE - 4,
        "wide": WIDE, "tall": HIGH, "words": f"Nats per token along the chain. {words}".replace("-", "−"),
    }  # fmt: skip
