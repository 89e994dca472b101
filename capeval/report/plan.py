"""A plan in the terminal: claims first, then branches, then items by task, then training seeds.

capeval plan instructgpt
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console

from capeval.attribution.sentences import amount, round_up
from capeval.report.lines import lines, room, say, shortened
from capeval.report.words import clean, count_text, task_name

ROWS = 12


def print_plan(table: pd.DataFrame, console: Console) -> None:
    """What is missing (`columns.PLAN_COLUMNS`); what several rows share is said once."""
    if table.empty:
        say(console, ("nothing is missing: every claim and contrast is decided", "bold"))
        return
    parts = {about: table[table["about"] == about] for about in ("claim", "design", "control", "items", "seeds")}
    _claims(parts["claim"], console)
    _branches("2 × 2 designs", parts["design"], console)
    _branches("Control branches", parts["control"], console)
    _amounts("Items", parts["items"], console)
    _amounts("Training seeds", parts["seeds"], console)


def _head(title: str, rest: str, console: Console) -> None:
    say(console)
    say(console, (title, "bold"), (f": {rest}", "dim"))


def _claims(rows: pd.DataFrame, console: Console) -> None:
    """Undecided ones with their numbers, untestable ones by what is missing."""
    if rows.empty:
        return
    _head("Claims", "what keeps them open; `capeval claims TREE --claim ID` shows what one rests on", console)
    undecided = rows[rows["problem"].str.startswith("undecided")]
    cells = [
        [
            f"  ? {clean(row['what'])}",
            f"{count_text({'n': row['have']})} items",
            _about(row["need"]),
            _why(row["problem"]),
        ]
        for row in undecided.to_dict("records")
    ]
    lines(console, cells, align="lrrl", elastic=3)
    for problem, part in rows[~rows.index.isin(undecided.index)].groupby("problem", sort=False):
        names = ", ".join(map(clean, part["what"]))
        say(console, (shortened(f"  – {names}: {_why(str(problem))}", room(console)), ""))


def _why(problem: str) -> str:
    return clean(problem.partition(": ")[2] or problem)


def _about(need: float) -> str:
    return f"needs about {round_up(need):,}" if need == need else ""


def _branches(title: str, rows: pd.DataFrame, console: Console) -> None:
    if rows.empty:
        return
    _head(title, f"{len(rows)} missing", console)
    for row in rows.head(ROWS).to_dict("records"):
        say(console, (f"  {clean(row['what'])}: {clean(row['problem'])}", ""))
    _more(len(rows), console)
    first = "" if rows["remedy"].nunique() == 1 else "for the first: "
    say(console, (f"  {first}{clean(rows['remedy'].iloc[0])}", "dim"))


def _amounts(title: str, rows: pd.DataFrame, console: Console) -> None:
    """By task and setting: how many contrasts are open, and what the first and the last of them take."""
    if rows.empty:
        return
    told = rows[rows["task"].notna()]
    _head(title, f"{len(told)} contrasts are open" if len(told) else "not known", console)
    for row in rows[rows["task"].isna()].to_dict("records"):
        say(console, (f"  {clean(row['problem'])}", ""))
        say(console, (f"  {clean(row['remedy'])}", "dim"))
    known = told[told["need"].notna()]
    cells = [["  task · setting", "have", "to find", "open", "need"]]
    groups = list(known.groupby(["task", "setting"], sort=False, observed=True))
    for _, part in sorted(groups, key=lambda one: -one[1]["need"].max())[:ROWS]:
        cells.append(_amount(part))
    if len(cells) > 1:
        lines(console, cells, align="lrrrl", head=False)
        _more(len(groups), console)
    for problem, part in told[told["need"].isna()].groupby("problem", sort=False):
        say(console, (f"  ! {len(part)} × {clean(problem)}: {clean(part['remedy'].iloc[0])}", "dim"))


def _amount(part: pd.DataFrame) -> list[str]:
    row: dict[Any, Any] = part.iloc[0].to_dict()
    low, high = (round_up(float(end)) for end in (part["need"].min(), part["need"].max()))
    need = f"{low:,} to {high:,}" if low < high else f"{low:,}"
    sizes = sorted({int(n) for n in part["have"]})
    have = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    size = amount(row["effect"], str(row["unit"]), signed=False)
    return [f"  {task_name(row)}", have, size, f"{len(part)}", need]


def _more(count: int, console: Console) -> None:
    if count > ROWS:
        say(console, (f"  … and {count - ROWS} more (--json has all)", "dim"))
