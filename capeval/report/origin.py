"""Where capabilities come from, for the page (waterfalls) and for the terminal (one line per capability).

`capeval trace lab`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
from rich.cells import cell_len
from rich.console import Console

from capeval.attribution.origin_words import SURE
from capeval.report.lines import room, say, shortened
from capeval.report.words import clean, count_text, delta, number, short_p, task_name
from capeval.store.traces import Trace

WIDE, HIGH = 240, 18
"""Of one row of a waterfall, in pixels."""
SHOWN = 12
"""Waterfalls that one click opens; the rest is two clicks away."""
ROWS = 12
"""In the terminal."""
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One task and setting that one node gave, on all paths through it."""

    shown: list[Row]
    """Rows of the path that is drawn: the one with the most nodes, of these the one with the least left."""
    leaves: list[Row]
    """The origin's row of every path."""

    @property
    def row(self) -> Row:
        """The origin's row of the path that is drawn."""
        return next(row for row in self.shown if row["role"] == "origin")

    @property
    def first(self) -> bool:
        """Whether the first node of the path had it already."""
        return not self.row["parent"]

    @property
    def sure(self) -> bool:
        """Whether the draws of items name no other node, on any path."""
        return all(row["support"] >= SURE for row in self.leaves)


def story(trace: Trace) -> Row:
    """What the page's part shows: what was given, the largest first, and what has no origin; empty without paths."""
    table = _first(trace)
    if table.empty:
        return {}
    found = given(table)
    named = {(one.row["task"], one.row["setting"]) for one in found}
    rest = [task_name(row) for row in table.drop_duplicates(["task", "setting"]).to_dict("records")
            if (row["task"], row["setting"]) not in named]  # fmt: skip
    rows = [_group(one, trace) for one in _leading_first(found, lambda one: one.row["task"])]
    return {"rows": rows[:SHOWN], "more": rows[SHOWN:], "none": rest, "wide": WIDE, "high": HIGH,
            "seeds": int(table["seeds"].max())}  # fmt: skip


def say_part(trace: Trace, console: Console) -> None:
    """Certain origins, the largest of each task first; what several branches were given by one sort of stage, once."""
    table = _first(trace)
    found = [one for one in given(table) if one.sure] if len(table) else []
    if not found:
        return
    kinds = {stage.name: stage.kind for stage in trace.tree.stages}
    together: dict[tuple[str, str, str, bool], list[Given]] = {}
    for one in found:
        row = one.row
        together.setdefault((row["task"], row["setting"], kinds[row["node"]], one.first), []).append(one)
    shown = _leading_first(list(together.values()), lambda some: some[0].row["task"])
    say(console)
    say(console, ("Where it comes from", "bold"),
        (": what adds the most above chance on its path, and what leaves keep of it", "dim"))  # fmt: skip
    for some in shown[:ROWS]:
        _say_line(console, some)
    if len(shown) > ROWS:
        say(console, (f"  … and {len(shown) - ROWS} more", "dim"))


def given(table: pd.DataFrame) -> list[Given]:
    """What each node gave, the largest first; scores in a unit of their own after points."""
    paths: dict[tuple[str, str, str], list[list[Row]]] = {}
    for _, part in table.groupby(["task", "setting", "path"], sort=False, observed=True):
        rows = [{str(key): value for key, value in row.items()} for row in part.to_dict("records")]
        origin = next((row for row in rows if row["role"] == "origin"), None)
        if origin is not None:
            paths.setdefault((origin["task"], origin["setting"], origin["node"]), []).append(rows)
    found = []
    for some in paths.values():
        own = [next(row for row in rows if row["role"] == "origin") for rows in some]
        place = min(range(len(some)), key=lambda i, some=some, own=own: (-len(some[i]), own[i]["left"]))  # type: ignore[misc]
        found.append(Given(shown=some[place], leaves=own))
    return sorted(found, key=lambda one: (one.first, one.row["unit"] != "points", -abs(one.row["contribution"])))


def _leading_first(some: Sequence[T], task: Callable[[T], str]) -> list[T]:
    """The first of each task before the rest, so that one task's settings and branches can't fill the screen."""
    leading = {task(one): place for place, one in reversed(list(enumerate(some)))}.values()
    return [some[i] for i in sorted(range(len(some)), key=lambda i: i not in leading)]


def _first(trace: Trace) -> pd.DataFrame:
    """Headline tasks, whole ones."""
    table, second = trace.origin, trace.tree.second_metrics()
    if table.empty:
        return table
    name = table["task"].astype(str)
    return table[
        ~name.str.contains(":") & ~name.isin(second) & ~(name + " " + table["setting"].astype(str)).isin(second)
    ]


def _say_line(console: Console, some: Sequence[Given]) -> None:
    """The largest of what one sort of stage gave on several branches."""
    row = some[0].row
    did = "there already in" if some[0].first else "given by"
    who = f"{task_name(row)}{_unit(row)}: {did} {clean(row['node'])}"
    alike = (
        [(f"{who} and {len(some) - 1} alike", [leaf for one in some for leaf in one.leaves])] if len(some) > 1 else []
    )
    size, doubt = _size(row), " †" if row["confounds"] else ""
    space = room(console) - 3 - cell_len(size)
    variants = [(name, left) for name, leaves in (*alike, (who, some[0].leaves)) for left in _left(leaves)]
    tails = [f", n = {count_text(row)}{left}{doubt}" for _, left in variants]
    lengths = [cell_len(name) + cell_len(tail) for (name, _), tail in zip(variants, tails, strict=True)]
    fits = next((place for place, length in enumerate(lengths) if length <= space), len(variants) - 1)
    name = shortened(variants[fits][0], max(12, space - cell_len(tails[fits])))
    say(console, (f"  {name} ", ""), (size, "bold"), (tails[fits], "dim"))


def _left(leaves: Sequence[Row]) -> list[str]:
    """`; 29% (sft-specialised) to 100% left`, then the same shorter; a leaf that is the origin itself says nothing."""
    known = sorted((float(row["left"]), clean(row["leaf"])) for row in leaves if row["leaf"] != row["node"])
    if not known:
        return [""]
    least, most = f"{known[0][0]:.0%}", f"{known[-1][0]:.0%}"
    if least == most:
        where = known[0][1] if len(known) == 1 else f"all {len(known)} leaves"
        return [f"; {least} left in {where}", f"; {least} left"]
    return [f"; {least} ({known[0][1]}) to {most} left", f"; {least} to {most} left"]


def _group(one: Given, trace: Trace) -> Row:
    row = one.row
    took = {
        leaf["leaf"]: [other for other in _path_rows(trace, leaf) if other["role"] == "took"] for leaf in one.leaves
    }
    return {
        "what": task_name(row) + _unit(row), "node": clean(row["node"]), "parent": clean(row["parent"]),
        "size": _size(row), "support": f"{row['support']:.0%}", "sure": one.sure, "n": count_text(row),
        "confounded": bool(row["confounds"]), "path": _waterfall(one.shown), "ended": clean(row["ended"]),
        "sentence": clean(row["sentence"]), "leaf": clean(row["leaf"]), "chance": _chance(row),
        "leaves": [
            {"leaf": clean(leaf["leaf"]), "left": f"{leaf['left']:.0%}",
             "interval": f"[{leaf['left_low']:.0%}, {leaf['left_high']:.0%}]",
             "took": [f"{clean(other['node'])} {_size(other)}" for other in took[leaf["leaf"]]]}
            for leaf in one.leaves
        ],
    }  # fmt: skip


def _path_rows(trace: Trace, leaf: Row) -> list[Row]:
    """What came after the origin on one path."""
    mine = (trace.origin[["task", "setting", "path"]] == [leaf["task"], leaf["setting"], leaf["path"]]).all(axis=1)
    rows = [{str(key): value for key, value in row.items()} for row in trace.origin[mine].to_dict("records")]
    place = next(i for i, row in enumerate(rows) if row["role"] == "origin")
    return rows[place + 1 :]


def _waterfall(rows: Sequence[Row]) -> list[Row]:
    """The rows of a path with their bars: the first from 0 to its score, others from their parent's to their own."""
    scores = [float(row["score"]) for row in rows]
    chance = float(rows[0]["chance"])
    known = [0.0, *scores, *([chance] if math.isfinite(chance) else [])]
    low, high = min(known), max(known)

    def at(value: float) -> float:
        return 1 + (value - low) / ((high - low) or 1.0) * (WIDE - 2)

    found = []
    for place, row in enumerate(rows):
        before = scores[place - 1] if place else 0.0
        ends = sorted((at(before), at(scores[place])))
        unit = str(row["unit"])
        found.append(
            {
                "node": clean(row["node"]), "role": row["role"], "bar": _bar(row), "score": number(row["score"], unit),
                "size": _size(row) if place else f"[{number(row['low'], unit)}, {number(row['high'], unit)}]",
                "p": short_p(row["p_adjusted"]) if place else "", "support": f"{row['support']:.0%}",
                "seeds": f"{row['seed_support']:.0%}" if row["seeds"] > 1 else "",
                "x": f"{ends[0]:.1f}", "width": f"{max(1.0, ends[1] - ends[0]):.1f}", "from": f"{at(before):.1f}",
                "chance": f"{at(chance):.1f}" if math.isfinite(chance) and chance else "",
                "notes": clean("; ".join(filter(None, [str(row["reason"] or ""), str(row["confounds"] or "")]))),
            }
        )  # fmt: skip
    return found


def _bar(row: Mapping[str, Any]) -> str:
    """What a bar shows: the first score, a certain gain or loss, or nothing certain."""
    if not row["parent"]:
        return "first"
    return {"origin": "gave", "gave": "gave", "took": "took"}.get(str(row["role"]), "unsure")


def _size(row: Mapping[str, Any]) -> str:
    unit = str(row["unit"])
    if not row["parent"]:  # a score, not a difference
        return f"{number(row['contribution'], unit)} [{number(row['low'], unit)}, {number(row['high'], unit)}]"
    return delta(row["contribution"], row["low"], row["high"], unit)


def _unit(row: Mapping[str, Any]) -> str:
    return "" if row["unit"] == "points" else f" ({clean(row['unit'])})"


def _chance(row: Mapping[str, Any]) -> str:
    return number(row["chance"], str(row["unit"])) if row["chance"] and row["chance"] == row["chance"] else ""
