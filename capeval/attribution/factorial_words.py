"""What a 2 × 2 says, in one sentence per effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capeval.attribution.sentences import amount, interval_text, label_of, p_text

_TOGETHER = {
    "gained": "better together than their sum",
    "lost": "worse together than their sum",
    "increased": "more together than their sum",
    "decreased": "less together than their sum",
    "equivalent": "they add up",
    "can't tell": "can't tell whether they add up",
}
"""Of an interaction: both stages against what each does alone, added up."""


def verdict_of(row: Mapping[str, Any]) -> str:
    """The answer in words: of a main effect gained, lost …; of an interaction how both stages do together."""
    label = label_of(str(row["answer"]), str(row["orientation"]))
    return _TOGETHER[label] if row["effect"] == "interaction" else label


def factorial_sentence(row: Mapping[str, Any]) -> str:
    """The verdict on one row of `columns.FACTORIAL_COLUMNS`."""
    unit, what = str(row["unit"]), f"{row['task']} ({row['setting']})"
    if row["reason"]:
        return f"{row['name']} on {what}: can't tell: {row['reason']}."
    text = f"{row['name']} on {what}: {verdict_of(row)}: {amount(row['delta'], unit)} {_ends(row, 'low', 'high')}, "
    text += f"{p_text(row['p_adjusted'])} adjusted, n = {row['n']}"
    if row["seeds"] > 1:
        text += f"; over {row['seeds']} training runs {_ends(row, 'seed_low', 'seed_high')}"
    if row["answer"] == "cant_tell":
        text += f"; smallest effect that would have shown: {amount(row['mde'], unit, signed=False)}"
    return f"{text}."


def _ends(row: Mapping[str, Any], low: str, high: str) -> str:
    return interval_text(row[low], row[high], str(row["unit"]))
