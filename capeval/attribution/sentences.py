"""Verdicts in words: one sentence per effect that says what, how much, how sure, and what is missing to be sure.

The words are chosen here and nowhere else, so that the terminal, the page and the pull request say the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_LABELS = {"gained": "gained", "lost": "lost", "equivalent": "equivalent", "cant_tell": "can't tell"}
_NEUTRAL = {"gained": "increased", "lost": "decreased"}
CONFOUND_CHARACTERS = 80
"""Of the confounds that a sentence quotes; the ledger holds them whole."""


def label_of(answer: str, orientation: str) -> str:
    """The answer in words; a metric without a better end increases or decreases, it is never gained or lost."""
    if orientation == "none" and answer in _NEUTRAL:
        return _NEUTRAL[answer]
    return _LABELS[answer]


def amount(value: float, unit: str, *, signed: bool = True) -> str:
    """A difference or score for people: points are shown times 100.

    >>> amount(-0.213, "points")
    '−21.3 points'
    """
    if value is None or not math.isfinite(value):
        return "–"
    shown = value * 100 if unit == "points" else value
    text = f"{shown:+.1f}" if signed else f"{shown:.1f}"
    return f"{text.replace('-', '−')} {unit}"


def bare(value: float, unit: str, *, signed: bool = True) -> str:
    """An `amount` without its unit."""
    return amount(value, unit, signed=signed).removesuffix(f" {unit}")


def interval_text(low: float, high: float, unit: str, *, signed: bool = True) -> str:
    """An interval without its unit: `[−33.0, −9.0]`."""
    return f"[{bare(low, unit, signed=signed)}, {bare(high, unit, signed=signed)}]"


def size_text(value: float) -> str:
    """A number of parameters, tokens or kinds for people.

    >>> size_text(175e9), size_text(53_408), size_text(26)
    ('175B', '53.4k', '26')
    """
    for step, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= step:
            return f"{value / step:.3g}{letter}"
    return f"{value:.3g}"


def p_text(p: float) -> str:
    """A p-value the way papers print it.

    >>> p_text(0.00004), p_text(0.0312), p_text(1.0)
    ('p < .001', 'p = .031', 'p = 1')
    """
    if p is None or not math.isfinite(p):
        return "p unknown"
    if p < 0.001:
        return "p < .001"
    return "p = 1" if p >= 0.9995 else f"p = {p:.3f}".replace("0.", ".")


def sentence(row: Mapping[str, Any], *, alpha: float = 0.05) -> str:
    """The verdict on one row of the ledger; what confounds it stands at its end."""
    text = _verdict(row) + (f"; confounded: {_begin(str(row['confounds']))}" if row["confounds"] else "")
    return text if text.endswith("…") else f"{text}."


def _verdict(row: Mapping[str, Any]) -> str:
    two_ends = row["kind"] not in ("within", "difference")
    who = f"{row['parent']} → {row['child']}" if two_ends else str(row["contrast"])
    what = f"{row['task']} ({row['setting']})"
    if row["answer"] == "cant_tell" and row["reason"]:
        return f"{who}: can't tell on {what}: {_why(row)}"
    unit = str(row["unit"])
    size = f"{amount(row['delta'], unit)} {interval_text(row['low'], row['high'], unit)}"
    other = beyond(row)
    evidence = f"{size}{f' ({other})' if other else ''}, {p_text(row['p_adjusted'])} adjusted, n = {int(row['n'])}"
    if row["answer"] == "equivalent":
        return f"{who}: equivalent on {what} within ±{amount(row['margin'], unit, signed=False)}: {evidence}"
    if row["answer"] == "cant_tell":
        return f"{who}: can't tell on {what}: {evidence}; {_limits(row)}"
    negligible = ", inside the margin" if row["reason"] == "negligible" else ""
    return f"{who}: {label_of(str(row['answer']), str(row['orientation']))} on {what}: {evidence}{negligible}"


def beyond(row: Mapping[str, Any]) -> str:
    """For a benchmark that is a fixed list of subtasks: the interval for others of their kind, or nothing.

    >>> beyond({"low_clustered": 0.124, "high_clustered": 0.306, "unit": "points"})
    '[+12.4, +30.6] over other subtasks'
    """
    low, high = row["low_clustered"], row["high_clustered"]
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{interval_text(low, high, str(row['unit']))} over other subtasks"


def _begin(text: str) -> str:
    """The first words, as many as fit."""
    if len(text) <= CONFOUND_CHARACTERS:
        return text
    return text[: CONFOUND_CHARACTERS - 1].rpartition(" ")[0].rstrip(" ,;:(") + "…"


def _why(row: Mapping[str, Any]) -> str:
    reasons = {
        "different shots": "the two ends were shown different examples; the tree file does not allow this pair",
        "no shared items": "the two ends share no scored items",
    }
    reason = str(row["reason"])
    if reason.startswith(("extraction", "truncated", "missing")):
        return f"the ends differ too much in answers that are {reason.replace('extraction', 'unextractable')}"
    return reasons.get(reason, reason)


def _limits(row: Mapping[str, Any]) -> str:
    """What these items could have shown, and how many would settle the margin."""
    unit = str(row["unit"])
    text = f"smallest effect that would have shown: {detectable(row['mde'], unit)}"
    if row["n_needed"] is not None and math.isfinite(row["n_needed"]):
        text += (
            f"; telling ±{amount(row['margin'], unit, signed=False)} takes about {round_up(row['n_needed']):,} items"
        )
    return text


def detectable(mde: float, unit: str) -> str:
    """The smallest effect that would have shown, in words.

    >>> detectable(0.081, "points"), detectable(float("nan"), "points")
    ('8.1 points', 'none of any size')
    """
    return amount(mde, unit, signed=False) if math.isfinite(mde) else "none of any size"


def round_up(n: float) -> int:
    """Two significant digits, upwards: a sample size is never known better than that."""
    if n < 100:
        return math.ceil(n)
    step = 10 ** (math.floor(math.log10(n)) - 1)
    return int(math.ceil(n / step) * step)
