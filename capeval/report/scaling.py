"""Scores against log size, for the page and for the terminal.

`capeval trace instructgpt`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console

from capeval.attribution.scaling import change_text
from capeval.attribution.sentences import size_text
from capeval.report.lines import lines, room, say, shortened
from capeval.report.words import clean, count_text, delta, number, short_p, task_name
from capeval.store.traces import Trace

WIDE, HIGH, PAD = 132, 46, 3
"""Of a curve's picture, and around it, in pixels."""
ROWS = 8
"""In the terminal."""


def story(trace: Trace) -> dict[str, Any]:
    """What the page's part shows: what holds for all rows, the certain ones, the rest; nothing without series."""
    table = _first(trace)
    if table.empty:
        return {}
    shared = _shared(table)
    certain = _certain(table, trace)
    return {
        "notes": [clean(note) for note in shared],
        "series": _series(table),
        "total": len(trace.scaling),
        "rows": [_cells(row, shared) for row in _ranked(table[certain]).to_dict("records")],
        "more": [_cells(row, shared) for row in _ranked(table[~certain]).to_dict("records")],
        "wide": WIDE, "high": HIGH,
    }  # fmt: skip


def say_part(trace: Trace, console: Console) -> None:
    """The certain slopes and beginnings, a line each."""
    table = _first(trace)
    if table.empty:
        return
    certain = _ranked(table[_certain(table, trace)])
    say(console)
    say(console, ("Against size", "bold"),
        (f": score per tenfold, {len(certain)} of {len(table)} slopes or bends are certain", "dim"))  # fmt: skip
    shared = _shared(table)
    for note in shared:
        say(console, (f"  ! {clean(note)}", "dim"))
    cells, beware = [], dict[str, list[str]]()
    for row in certain.head(ROWS).to_dict("records"):
        one = _cells(row, shared)
        begins = f"{one['begins']} {one['change']}" if one["change"] else ""
        unit = "" if row["unit"] == "points" else f" ({one['unit']})"
        name = f"{one['series']}: {one['what']}"
        cells.append([f"  {name}{unit}", one["n"], one["slope"], one["p"], begins])
        for warning in filter(None, one["warning"].split("; ")):
            beware.setdefault(warning, []).append(name)
    lines(console, cells, align="lrrrl")
    for warning, names in beware.items():
        of = f" ({len(names)} of these)" if len(cells) > 1 else ""
        say(console, (shortened(f"  ! {warning}{of}", room(console)), "dim"))
    if len(certain) > ROWS:
        say(console, (f"  … and {len(certain) - ROWS} more", "dim"))


def _first(trace: Trace) -> pd.DataFrame:
    """Headline tasks, whole ones, that anything is known of."""
    table, second = trace.scaling, trace.tree.second_metrics()
    if table.empty:
        return table
    name = table["task"].astype(str)
    shown = ~name.str.contains(":") & ~name.isin(second) & ~(name + " " + table["setting"].astype(str)).isin(second)
    return table[shown & (table["n"] > 0)]


def _certain(table: pd.DataFrame, trace: Trace) -> pd.Series:
    alpha = float(trace.provenance.get("alpha", 0.05))
    return table["p_adjusted"].le(alpha) | table["change"].notna()


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Beginnings first, then what is surest."""
    order = table.assign(_straight=table["change"].isna(), _size=-table["slope"].abs())
    ranked = order.sort_values(["_straight", "p_adjusted", "_size"], kind="stable")
    return ranked.drop(columns=["_straight", "_size"])


def _shared(table: pd.DataFrame) -> list[str]:
    """Warnings that stand at every row: said once."""
    each = [[part for part in str(text).split("; ") if part] for text in table["warning"]]
    return [part for part in each[0] if all(part in other for other in each)]


def _series(table: pd.DataFrame) -> list[dict[str, Any]]:
    found = table.drop_duplicates("series").to_dict("records")
    return [{key: clean(row[key]) for key in ("series", "axis", "nodes")} for row in found]


def _cells(row: Mapping[Any, Any], shared: list[str]) -> dict[str, Any]:
    """A row of the table as texts and pictures."""
    unit, other = str(row["unit"]), str(row["continuous_unit"] or "")
    begins = not math.isnan(row["change"])
    own = [part for part in str(row["warning"]).split("; ") if part and part not in shared]
    return {
        **{key: clean(row[key]) for key in ("series", "axis", "continuous")}, "what": task_name(row),
        "unit": clean(unit), "n": count_text(row), "p": short_p(row["p_adjusted"]),
        "slope": delta(row["slope"], row["low"], row["high"], unit),
        "begins": ("rises from" if row["after"] > 0 else "falls from") if begins else "",
        "change": change_text(row) if begins else "", "p_change": short_p(row["p_change_adjusted"]),
        "picture": picture(str(row["curve"]), unit, _span(row)),
        "other_slope": delta(row["continuous_slope"], row["continuous_low"], row["continuous_high"], other)
        if row["continuous"] else "",
        "other_unit": clean(other),
        "other_picture": picture(str(row["continuous_curve"]), other) if row["continuous"] else None,
        "warning": clean("; ".join(own)),
    }  # fmt: skip


def _span(row: Mapping[Any, Any]) -> tuple[float, float, float] | None:
    found = tuple(float(row[key]) for key in ("change_low", "change", "change_high"))
    return None if any(map(math.isnan, found)) else found  # type: ignore[return-value]


def picture(curve: str, unit: str, change: tuple[float, float, float] | None = None) -> dict[str, Any] | None:
    """A curve over log size as SVG paths in a box of WIDE × HIGH, and in words; None for what is no curve.

    Args:
        curve: JSON: [size, mean, low, high] of every size.
        unit: Of the scores.
        change: Lower end, estimate and upper end of where it begins to change.
    """
    try:
        points = [(math.log10(size), mean, mean if low is None else low, mean if high is None else high)
                  for size, mean, low, high in json.loads(curve)]  # fmt: skip
        points = [tuple(map(float, point)) for point in points]  # type: ignore[misc]
    except (TypeError, ValueError):
        return None
    if len(points) < 2 or points[0][0] >= points[-1][0]:
        return None
    bottom, top = min(low for _, _, low, _ in points), max(high for _, _, _, high in points)
    wide, high_ = WIDE - 2 * PAD, HIGH - 2 * PAD

    def at(x: float) -> float:
        return PAD + (x - points[0][0]) / (points[-1][0] - points[0][0]) * wide

    def place(x: float, y: float) -> str:
        return f"{at(x):.1f} {PAD + (top - y) / ((top - bottom) or 1.0) * high_:.1f}"

    band = [place(x, high) for x, _, _, high in points] + [place(x, low) for x, _, low, _ in reversed(points)]
    found: dict[str, Any] = {
        "change": None,
        "line": f"M{' L'.join(place(x, mean) for x, mean, _, _ in points)}", "band": f"M{' L'.join(band)}Z",
        "dots": [place(x, mean).split() for x, mean, _, _ in points],
        "words": ", ".join(f"{size_text(10**x)}: {number(mean, unit)}" for x, mean, _, _ in points),
    }  # fmt: skip
    if change:
        low, middle, high = (at(math.log10(size)) for size in change)
        found["change"] = {"x": f"{low:.1f}", "width": f"{high - low:.1f}", "at": f"{middle:.1f}"}
    return found
