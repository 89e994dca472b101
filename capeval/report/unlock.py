"""Unlocked or injected: for the page and for the terminal.

capeval trace lab --elicit
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console

from capeval.report.lines import lines, say
from capeval.report.words import clean, interval, short_p, signed
from capeval.store.traces import Trace

ROWS = 8
"""In the terminal, of those that are told."""
MARKS = {"unlocked": "<", "injected": "+", "cant_tell": "?"}
"""< it was there before, + it was added."""
SHOWN = 15
"""Lines in the terminal; the page has all."""
LABELS = {"unlocked": "unlocked", "injected": "injected", "cant_tell": "can't tell"}


def story(trace: Trace) -> dict[str, Any]:
    """What the page's part shows: the tally, what is told and what can't be; nothing where nothing was compared."""
    table = trace.unlock
    if table.empty:
        return {}
    told = table[table["answer"] != "cant_tell"].sort_values("answer", ascending=False, kind="stable")
    return {
        "tally": _tally(table),
        "margin": f"{float(table['margin'].iloc[0]) * 100:g}",
        "told": [_cells(row) for row in told.to_dict("records")],
        "untold": [_cells(row) for row in table[table["answer"] == "cant_tell"].to_dict("records")],
        "elicited": len(trace.elicited) > 0,
    }


def say_part(trace: Trace, console: Console) -> None:
    """The tally, and lines of what is told; without controls, the interval is that of the new items' share."""
    table = trace.unlock
    if table.empty:
        return
    tally = ", ".join(f"{n} {label}" for label, n in _tally(table).items() if n)
    asked = "" if len(trace.elicited) else "; --elicit asks parents in more settings"
    say(console)
    say(console, ("Unlocked or injected", "bold"), (f": {tally}{asked}", "dim"))
    head = ["stage", "task", "new", "controls", "difference [95 %]", "answer"]
    told = table[table["answer"] != "cant_tell"].sort_values("answer", ascending=False, kind="stable")
    rows = [_cells(row) for row in told.head(SHOWN).to_dict("records")]
    shown = [[row["edge"], row["where"], row["new"], row["control"], row["own"] or row["difference"],
              f"{row['mark']} {row['label']}"] for row in rows]  # fmt: skip
    if shown:
        lines(console, [head, *shown], align="llrrrl", head=True, elastic=1)
    if len(told) > ROWS:
        say(console, (f"  … and {len(told) - ROWS} more in the report", "dim"))
    if len(told) > SHOWN:
        say(console, (f"… and {len(told) - SHOWN} more in report.html", "dim"))


def _tally(table: pd.DataFrame) -> dict[str, int]:
    return {label: int((table["answer"] == answer).sum()) for answer, label in LABELS.items()}


def _cells(row: Any) -> dict[str, str]:
    """A row of the table as texts; shares in per cent of the items."""
    answer, matched = str(row["answer"]), row["n_control"] > 0
    ends = interval(row["low"], row["high"], "points")
    new = f"{row['share_new']:.0%} of {int(row['n_new']):,}".replace("-", "−")
    return {
        "edge": f"{clean(row['parent'])} → {clean(row['child'])}",
        "where": f"{clean(row['task'])} · {clean(row['setting'])}",
        "new": new, "own": "" if matched else ends,
        "control": f"{row['share_control']:.0%} of {int(row['n_control']):,}".replace("-", "−") if matched else "–",
        "difference": f"{signed(row['delta'], 'points')} {ends}" if matched else "–",
        "p": short_p(row["p_adjusted"]),
        "logprob": f"{row['logprob']:+.1f}".replace("-", "−") if row["logprob"] == row["logprob"] else "–",
        "elicited": clean(row["elicited"]), "confounds": clean(row["confounds"]), "sentence": clean(row["sentence"]),
        "mark": MARKS[answer], "label": LABELS[answer], "answer": answer,
    }  # fmt: skip
