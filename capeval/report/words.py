"""How names, numbers and answers are written, the same in every output (the page's script has its twin of these rules).

`python -c "from capeval.report.words import delta; print(delta(-0.213, -0.33, -0.09, 'points'))"`
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from capeval.attribution.sentences import bare, p_text
from capeval.core import Verdict

MARKS = {"gained": "▲", "lost": "▼", "increased": "↑", "decreased": "↓", "equivalent": "=", "can't tell": "?"}
"""Beside every colour stands a mark, for those who see no colour."""

LARGE = 100
"""From here on a value that is not in points is shown without decimals."""

STATUS_MARKS = {"fail": "✘", "inconclusive": "?", "pass": "✔"}
"""A gate's answers, worst first."""

# C0 and C1 controls (a terminal obeys them), line separators, and the marks that turn the direction of text
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: object) -> str:
    """One line of text that can't move a cursor, colour a terminal or hide its own direction."""
    if text is None or (isinstance(text, float) and math.isnan(text)):
        return ""
    one_line = re.sub(r"[\t\r\n]+", " ", str(text))
    return _UNSAFE.sub("\ufffd", one_line)


def number(value: float, unit: str) -> str:
    """A score without its unit: points times 100, other units from 100 on without decimals.

    >>> number(0.63, "points"), number(3843.04, "characters"), number(float("nan"), "points")
    ('63.0', '3,843', '–')
    """
    return signed(value, unit).removeprefix("+")


def signed(value: float, unit: str) -> str:
    """A difference without its unit, always with its sign (a typographic minus)."""
    if unit != "points" and not _missing(value) and abs(value) >= LARGE:
        return f"{value:+,.0f}".replace("-", "−")
    return bare(value, unit)


def interval(low: float, high: float, unit: str) -> str:
    """The interval of a difference: `[−33.2, −8.8]`; empty when there is none."""
    if _missing(low) or _missing(high):
        return ""
    return f"[{signed(low, unit)}, {signed(high, unit)}]"


def bounds(low: float, high: float, unit: str) -> str:
    """The interval of a score: `[24.2, 47.6]`."""
    return f"[{number(low, unit)}, {number(high, unit)}]"


def delta(value: float, low: float, high: float, unit: str) -> str:
    """A difference with its interval: `−21.3 [−33.0, −9.0]`."""
    return f"{signed(value, unit)} {interval(low, high, unit)}".strip()


def short_p(p: float) -> str:
    """A p-value for a table column: `.001`, `<.001`, `1`, or `–`.

    >>> short_p(0.0312), short_p(0.00001), short_p(1.0)
    ('.031', '<.001', '1')
    """
    text = p_text(p)
    return "–" if text == "p unknown" else text.removeprefix("p ").removeprefix("= ").replace("< ", "<")


def task_name(row: Mapping[Any, Any]) -> str:
    """`task · setting`."""
    setting = clean(row["setting"])
    return f"{clean(row['task'])} · {setting}" if setting else clean(row["task"])


def difference_text(row: Mapping[Any, Any]) -> str:
    """`−21.0 [−33.2, −8.8]`, or `–` where nothing could be estimated."""
    if row.get("delta") is None:
        return "–"
    return delta(row["delta"], row["low"], row["high"], str(row.get("unit", "points")))


def scores_text(row: Mapping[Any, Any]) -> str:
    """`60.0 → 39.0`: the means of both ends on the paired items."""
    unit = str(row["unit"])
    return f"{number(row['parent_score'], unit)} → {number(row['child_score'], unit)}"


def answer_text(row: Mapping[Any, Any]) -> str:
    """The answer with its mark: `▼ lost`."""
    label = str(row["label"])
    return f"{MARKS.get(label, '?')} {clean(label)}"


def count_text(row: Mapping[Any, Any]) -> str:
    """The number of pairs, or `–`."""
    n = row.get("n")
    return "–" if n is None or n != n else f"{int(n):,}"


def status_text(status: str) -> str:
    """A gate's answer in words."""
    return "can't tell" if status == "inconclusive" else status


def gate_line(verdicts: Sequence[Verdict]) -> str:
    """The gate in one line: `fail (1 fail, 2 can't tell, 5 pass)`; a gate without rules can't tell."""
    tally = {status: sum(v.status == status for v in verdicts) for status in STATUS_MARKS}
    overall = next((status for status, n in tally.items() if n), "inconclusive")
    parts = ", ".join(f"{n} {status_text(status)}" for status, n in tally.items() if n)
    return f"{status_text(overall)} ({parts or 'no rules'})"


def cut_notes(cut: Any) -> list[str]:
    """What a run's manifest says of prompts longer than the model's window, a sentence for every task and setting.

    >>> cut_notes({"bbh cot": {"prompts": 12, "tokens": 340}})
    ["12 prompts of bbh cot did not fit into the model's window and lost 340 tokens on their left"]
    """
    if not isinstance(cut, Mapping):
        return []
    notes = []
    for name, part in cut.items():
        prompts, tokens = int(part["prompts"]), int(part["tokens"])
        many, whose = ("prompt", "its") if prompts == 1 else ("prompts", "their")
        notes.append(
            f"{prompts:,} {many} of {clean(name)} did not fit into the model's window and lost {tokens:,} "
            f"{'token' if tokens == 1 else 'tokens'} on {whose} left"
        )
    return notes


def dropped_notes(dropped: Any) -> list[str]:
    """What a run's manifest says of shots that were left out, a sentence for every task and setting.

    >>> dropped_notes({"bbh cot": {"prompts": 12, "shots": 13}})
    ['12 prompts of bbh cot were too long with all their shots: 13 shots left out']
    """
    found = dropped.items() if isinstance(dropped, Mapping) else ()
    return [
        f"{int(part['prompts']):,} prompt{'s' * (part['prompts'] != 1)} of {clean(name)} "
        f"{'was' if part['prompts'] == 1 else 'were'} too long with all their shots: "
        f"{int(part['shots']):,} shot{'s' * (part['shots'] != 1)} left out"
        for name, part in found
    ]


def unfinished_notes(unfinished: Any) -> list[str]:
    """Where answers that ended at the length limit count as right all the same, because no ladder reads them.

    >>> unfinished_notes({"sums cot": {"answers": 12, "right": 2}, "dyck": {"answers": 3, "right": 0}})
    ['12 answers to sums cot ended at the length limit; 2 of them count as right']
    """
    found = unfinished.items() if isinstance(unfinished, Mapping) else ()
    return [
        f"{int(part['answers']):,} answer{'s' * (part['answers'] != 1)} to {clean(name)} ended at the length limit; "
        f"{int(part['right']):,} of them count{'s' * (part['right'] == 1)} as right"
        for name, part in found
        if part["right"]
    ]


def _missing(value: float) -> bool:
    return value is None or not math.isfinite(value)
