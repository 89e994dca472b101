"""The claims ledger, for the page and for the terminal.

capeval claims instructgpt
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console

from capeval.attribution.claims.verdicts import VERDICTS
from capeval.report.lines import lines, say
from capeval.report.markdown import escape, table_of
from capeval.report.words import clean, count_text, difference_text, interval, short_p
from capeval.store.traces import Trace

MARKS = {"supported": "✔", "contradicted": "✘", "undecided": "?", "untestable": "–"}
"""Beside every colour stands a mark."""
_SUM = "claim"
"""What a row's `test` says when it sums a claim up."""


def story(trace: Trace) -> dict[str, Any]:
    """What the page's part shows: the tally, then every claim with its tests; nothing where none can be tested."""
    table = trace.claims
    sums = table[table["test"] == _SUM]
    if sums.empty or (sums["verdict"] == "untestable").all():
        return {}
    tests = {str(claim): part for claim, part in table[table["test"] != _SUM].groupby("claim", sort=False)}
    return {
        "tally": tally(sums),
        "share": f"{(sums['verdict'] == 'untestable').mean():.0%}",
        "rows": [
            _cells(row) | {"tests": [_cells(test) for test in tests[str(row["claim"])].to_dict("records")]}
            for row in _in_order(sums).to_dict("records")
        ],
    }


def say_part(trace: Trace, console: Console) -> None:
    """The tally and the claims that are decided; `capeval claims` shows all."""
    sums = trace.claims[trace.claims["test"] == _SUM]
    decided = sums[sums["verdict"].isin(("supported", "contradicted"))]
    if decided.empty:
        return
    say(console)
    say(console, ("Claims of the literature", "bold"), (f": {_tally_text(sums)}; `capeval claims` shows each", "dim"))
    _print_rows(decided, console)


def print_claims(table: pd.DataFrame, console: Console, *, claim: str = "") -> None:
    """Every claim in a line, or one claim with all its tests.

    Args:
        table: Columns of `columns.CLAIM_COLUMNS`.
        console: Where to.
        claim: Only this one, whole.
    """
    sums = table[table["test"] == _SUM]
    if claim:
        _print_claim(table[table["claim"] == claim], console)
        return
    _print_rows(sums, console)
    say(console)
    untestable = (sums["verdict"] == "untestable").mean() if len(sums) else 0.0
    say(console, (f"{_tally_text(sums)} ({untestable:.0%} untestable)", "bold"))
    say(console, ("p is adjusted by Holm over the claims that can be tested; † confounded; C conclusion, H hypothesis, "
                  "H+ strong one, G guess. --claim ID shows what a claim rests on.", "dim"))  # fmt: skip


def markdown_claims(table: pd.DataFrame, *, tree: str) -> str:
    """Claims, then their tests, as tables for a document; every verdict with what it rests on."""
    sums = _in_order(table[table["test"] == _SUM])
    head = f"**{escape(tree)}**: {_tally_text(sums)}.\n\n"
    rows, tests = [], []
    for row in sums.to_dict("records"):
        one = _cells(row)
        doubt = " †" if row["confounds"] and one["effect"] else ""
        rows.append([one["claim"], one["literature"], f"{one['mark']} {one['verdict']}{doubt}", one["effect"], one["p"],
                     one["n"], one["grade"], one["reason"]])  # fmt: skip
        mine = table[(table["claim"] == row["claim"]) & (table["test"] != _SUM)]
        tests += [
            [one["claim"], test["test"], f"{test['mark']} {test['verdict']}", test["effect"], test["over"],
             "; ".join(filter(None, [test["contrast"], test["where"], test["by_task"]])), test["confounds"]]
            for test in map(_cells, mine.to_dict("records")) if test["effect"]
        ]  # fmt: skip
    first = ["claim", "by", "verdict", "effect [95 %]", "p adj.", "n", "grade", "why"]
    rest = ["claim", "test", "verdict", "effect [95 %]", "over training runs", "rests on", "confounded"]
    below = table_of(rest, "lllrrll", _all(tests))
    return f"{head}{table_of(first, 'lllrrrll', _all(rows))}\nWhat they rest on:\n\n{below}"


def _all(rows: list[list[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in row] for row in rows]


def tally(sums: pd.DataFrame) -> dict[str, int]:
    """How many claims have each verdict."""
    return {verdict: int((sums["verdict"] == verdict).sum()) for verdict in VERDICTS}


def _tally_text(sums: pd.DataFrame) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in tally(sums).items() if n)


def _in_order(sums: pd.DataFrame) -> pd.DataFrame:
    place = sums["verdict"].map({verdict: place for place, verdict in enumerate(VERDICTS)})
    return sums.assign(_place=place).sort_values("_place", kind="stable").drop(columns="_place")


def _print_rows(sums: pd.DataFrame, console: Console) -> None:
    cells = [["claim", "by", "effect [95 %]", "p adj.", "n", "grade", "verdict"]]
    for row in _in_order(sums).to_dict("records"):
        one = _cells(row)
        doubt = " †" if row["confounds"] and row["verdict"] != "untestable" else ""
        cells.append([one["claim"], one["literature"], one["effect"], one["p"], one["n"], one["grade"],
                      f"{one['mark']} {one['verdict']}{doubt}"])  # fmt: skip
    lines(console, cells, align="llrrrll", head=True)


def _print_claim(rows: pd.DataFrame, console: Console) -> None:
    for row in rows.to_dict("records"):
        one = _cells(row)
        if row["test"] == _SUM:
            say(console, (one["claim"], "bold"), (f" ({one['literature']}): {one['text']}", ""))
            say(console, (one["source"], "dim"))
            say(
                console, (f"{one['mark']} {one['verdict']}", "bold"), (f" {one['reason']}" if one["reason"] else "", "")
            )
            continue
        say(console)
        say(console, (f"{one['mark']} {one['test']}: {one['verdict']}", "bold"))
        for text in (one["evidence"], one["reason"], one["contrast"], one["where"], one["by_task"],
                     f"confounded: {one['confounds']}" if one["confounds"] else ""):  # fmt: skip
            if text:
                say(console, (f"  {text}", ""))


def _cells(row: Any) -> dict[str, str]:
    """A row of the table as texts."""
    tested = row["verdict"] != "untestable" and row["n"] > 0
    n_needed = row["n_needed"]
    evidence = [difference_text(row), str(row["unit"]) if row["unit"] != "points" else "",
                f"p {short_p(row['p_adjusted'])} adjusted", f"n = {count_text(row)}", f"grade {clean(row['grade'])}",
                clean(row["grade_reason"]),
                f"about {int(n_needed):,} items would tell" if n_needed == n_needed else ""]  # fmt: skip
    over = interval(row["seed_low"], row["seed_high"], str(row["unit"])) if row["seeds"] > 1 else ""
    if over:
        evidence.append(f"over {int(row['seeds'])} training runs {over}")
    where = f"{clean(row['task'])} ({clean(row['setting'])})" if row["task"] else ""
    unit = "" if row["unit"] == "points" else f" {clean(row['unit'])}"
    return {
        **{key: clean(row[key]) for key in
           ("claim", "text", "literature", "source", "test", "verdict", "reason", "grade", "grade_reason", "by_task")},
        "contrast": clean(row["contrast"]), "where": where, "confounds": clean(row["confounds"]),
        "mark": MARKS.get(str(row["verdict"]), "?"),
        "effect": difference_text(row) + unit if tested else "",
        "p": short_p(row["p_adjusted"]) if tested else "", "n": count_text(row) if tested else "",
        "over": over,
        "evidence": ", ".join(filter(None, evidence)) if tested else "",
    }  # fmt: skip
