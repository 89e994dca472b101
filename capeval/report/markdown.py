"""Tables for a pull request: GitHub markdown in which no name or reason can become markup.

`capeval gate --baseline A --candidate B --markdown gate.md`
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from capeval.attribution.sentences import beyond
from capeval.core import Verdict
from capeval.report.findings import ranked
from capeval.report.words import (
    STATUS_MARKS,
    answer_text,
    clean,
    count_text,
    difference_text,
    gate_line,
    scores_text,
    short_p,
    status_text,
    task_name,
)  # fmt: skip

_MARKUP = re.compile(r"([\\`*_{}\[\]|~#])")


def markdown_effects(frame: pd.DataFrame) -> str:
    """The ledger's rows as a table, most telling first; columns of `columns.EFFECT_COLUMNS`."""
    head = ["contrast", "task · setting", "n", "scores", "difference [95 %]", "p adj.", "grade", "answer"]
    noisy = bool((frame["noise"] != "").any())
    rows = []
    for row in ranked(frame).to_dict("records"):
        other = beyond(row)  # type: ignore[arg-type]
        difference = difference_text(row) + (f" ({other})" if other else "")
        answer = answer_text(row) + (f", confounded: {row['confounds']}" if row["confounds"] else "")
        cells = [str(row["contrast"]), task_name(row), count_text(row), scores_text(row), difference,
                 short_p(row["p_adjusted"]), str(row["grade"]), answer]  # fmt: skip
        rows.append([escape(cell) for cell in [*cells, *([str(row["noise"])] if noisy else [])]])
    return table_of([*head, *(["noise"] if noisy else [])], "llrrrrll" + "l" * noisy, rows)


def markdown_gate(verdicts: Sequence[Verdict]) -> str:
    """What a gate says: the verdict in one line, then one row per rule, failures first."""
    order = list(STATUS_MARKS)
    rows = []
    for verdict in sorted(verdicts, key=lambda v: order.index(v.status)):
        cells = [f"{STATUS_MARKS[verdict.status]} {status_text(verdict.status)}", verdict.rule, verdict.reason]
        rows.append([escape(cell) for cell in cells])
    return f"**capeval gate: {gate_line(verdicts)}**\n\n" + table_of(["", "rule", "evidence"], "lll", rows)


def table_of(head: Sequence[str], align: str, rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are escaped already; `align` has an l or r for every column."""
    rule = ["---:" if side == "r" else "---" for side in align]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)) + "\n"


def escape(text: str) -> str:
    """Text that markdown shows as it is: no markup, no HTML, no table cell's end, no @mention."""
    text = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", text).replace("@", "@\u200b")
