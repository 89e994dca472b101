"""2 × 2: what two stages do alone and together, for the page and for the terminal.

`capeval trace lab`
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console

from capeval.attribution.designs import designs_of
from capeval.attribution.factorial import CELLS
from capeval.attribution.factorial_words import verdict_of
from capeval.attribution.sentences import label_of
from capeval.core import Factorial
from capeval.report.lines import lines, room, say, shortened
from capeval.report.words import MARKS, clean, count_text, difference_text, interval, number, short_p, task_name
from capeval.store.traces import Trace

WIDE, HIGH, PAD = 96, 40, 5
"""Of the picture of four scores, and around it, in pixels."""
ROWS = 8
"""In the terminal."""
Row = dict[str, Any]


def story(trace: Trace) -> list[Row]:
    """What the page's part shows, one entry per design; nothing where the tree holds none."""
    found = []
    for design, part in _designs(trace):
        rows = [_cells(one) for one in _questions(part)]
        first, second = map(clean, design.factors)
        found.append(
            {
                "nodes": dict(zip(CELLS, map(clean, design.nodes), strict=True)), "first": first, "second": second,
                "rows": [row for row in rows if row["certain"]], "more": [row for row in rows if not row["certain"]],
                "seeds": int(part["seeds"].max()), "confounds": _shared(part), "wide": WIDE, "high": HIGH,
            }
        )  # fmt: skip
    return found


def say_part(trace: Trace, console: Console) -> None:
    """Every design with its certain interactions; those that hold over training runs first."""
    for design, part in _designs(trace):
        asked = _questions(part)
        certain = [one for one in asked if _certain(one["interaction"])]
        first, second = map(clean, design.factors)
        seeds = int(part["seeds"].max())
        title = f"2 × 2: {first} × {second}"
        tally = f": {len(certain)} of {len(asked)} interactions are certain"
        if seeds > 1:
            tally += f", {sum(_holds(one['interaction']) for one in certain)} of them over {seeds} training runs"
        say(console)
        say(console, (title, "bold"), (tally, "dim"))
        say(console, (shortened(f"  {', '.join(map(clean, design.nodes))}", room(console)), "dim"))
        if not certain:
            continue
        beside = [f"over {seeds} runs"] if seeds > 1 else [first, second]
        cells = [["  task · setting", "n", *beside, f"{first} × {second}", "together"]]
        for one in certain[:ROWS]:
            row = one["interaction"]
            doubt = " †" if row["confounds"] else ""
            runs = interval(row["seed_low"], row["seed_high"], str(row["unit"]))
            told = [runs] if seeds > 1 else [_delta(one["first"]), _delta(one["second"])]
            cells.append([f"  {task_name(row)}{_unit(row)}", count_text(row), *told, difference_text(row),
                          f"{_mark(row)} {_short(row)}{doubt}"])  # fmt: skip
        lines(console, cells, align="lr" + "r" * len(beside) + "rl", head=True)
        if len(certain) > ROWS:
            say(console, (f"  … and {len(certain) - ROWS} more", "dim"))


def _designs(trace: Trace) -> list[tuple[Factorial, pd.DataFrame]]:
    """Every design that has rows, with those of headline tasks, whole ones."""
    table, second = trace.factorial, trace.tree.second_metrics()
    name = table["task"].astype(str)
    in_setting = name + " " + table["setting"].astype(str)
    shown = table[~name.str.contains(":") & ~name.isin(second) & ~in_setting.isin(second)]
    found = [(design, shown[shown["design"] == ", ".join(design.nodes)]) for design in designs_of(trace.tree)]
    return [(design, part) for design, part in found if len(part)]


def _questions(part: pd.DataFrame) -> list[dict[str, Row]]:
    """Effect → row for each task and setting: the certain interactions first, the largest of them first."""
    found = []
    for _, rows in part.groupby(["task", "setting"], sort=False, observed=True):
        found.append({str(row["effect"]): {str(k): v for k, v in row.items()} for row in rows.to_dict("records")})

    def place(one: Mapping[str, Row]) -> tuple[bool, bool, bool, float]:
        row = one["interaction"]
        return not _certain(row), not _holds(row), row["unit"] != "points", -abs(row["delta"]) if row["n"] else 0.0

    return sorted(found, key=place)


def _certain(row: Mapping[str, Any]) -> bool:
    return row["answer"] in ("gained", "lost")


def _holds(row: Mapping[str, Any]) -> bool:
    """Whether the interval over training runs lies on the effect's side of 0."""
    return bool(row["seed_low"] > 0 if row["delta"] > 0 else row["seed_high"] < 0)


def _cells(one: Mapping[str, Row]) -> Row:
    row = one["interaction"]
    return {
        "what": task_name(row) + _unit(row), "n": count_text(row), "picture": _picture(row),
        "certain": any(map(_certain, one.values())),
        "scores": [number(row[f"score_{cell}"], str(row["unit"])) for cell in CELLS],
        "effects": [
            {"delta": difference_text(one[name]), "p": short_p(one[name]["p_adjusted"]), "tone": _label(one[name]),
             "mark": _mark(one[name]), "verdict": clean(one[name]["reason"]) or verdict_of(one[name]),
             "over": interval(one[name]["seed_low"], one[name]["seed_high"], str(row["unit"])),
             "sentence": clean(one[name]["sentence"])}
            for name in ("first", "second", "interaction")
        ],
        "confounds": clean(row["confounds"]),
    }  # fmt: skip


def _shared(part: pd.DataFrame) -> list[str]:
    """What confounds the main effects of all rows: said once."""
    found: list[str] = []
    for name in ("first", "second"):
        mine = [str(text).split("; ") for text in part.loc[part["effect"] == name, "confounds"]]
        title = clean(part.loc[part["effect"] == name, "name"].iloc[0])
        found += [f"{title}: {clean(text)}" for text in mine[0] if text and all(text in other for other in mine)]
    return found


def _picture(row: Mapping[str, Any]) -> Row | None:
    """Two lines, without and with the first factor, from without to with the second: parallel where they add up."""
    scores = [float(row[f"score_{cell}"]) for cell in CELLS]
    if not all(map(math.isfinite, scores)):
        return None
    low, high = min(0.0, *scores), max(scores)

    def at(score: float) -> float:
        return PAD + (high - score) / ((high - low) or 1.0) * (HIGH - 2 * PAD)

    neither, first, second, both = (f"{at(score):.1f}" for score in scores)
    unit = str(row["unit"])
    words = ", ".join(f"{cell} {number(score, unit)}" for cell, score in zip(CELLS, scores, strict=True))
    return {"without": (neither, second), "with": (first, both), "left": PAD, "right": WIDE - PAD, "words": words}


def _label(row: Mapping[str, Any]) -> str:
    return label_of(str(row["answer"]), str(row["orientation"]))


def _mark(row: Mapping[str, Any]) -> str:
    return MARKS.get(_label(row), "?")


def _short(row: Mapping[str, Any]) -> str:
    """Of an interaction, in two words."""
    return verdict_of(row).removesuffix(" together than their sum")


def _delta(row: Mapping[str, Any]) -> str:
    """A main effect without its interval: that stands on the page."""
    return difference_text(row).partition(" [")[0]


def _unit(row: Mapping[str, Any]) -> str:
    return "" if row["unit"] == "points" else f" ({clean(row['unit'])})"
