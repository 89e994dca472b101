"""What a path says of a capability, in one sentence; the terminal and the page say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capeval.attribution.sentences import amount, interval_text

SURE = 0.95
"""From this share of the draws on a stage is called the origin; below it, the most likely one."""


def path_sentence(rows: Sequence[Mapping[str, Any]], origin: int | None, why: str) -> str:
    """The verdict on one path.

    Args:
        rows: Of `columns.ORIGIN_COLUMNS`, one per node, in the path's order.
        origin: Which of them is the origin.
        why: Why none is.
    """
    first = rows[0]
    what = f"{first['task']} ({first['setting']}) up to {first['leaf']}"
    end = f"; the path ends here: {first['ended']}" if first["ended"] else ""
    if origin is None:
        return f"{what}: no stage is its origin: {why}; n = {first['n']}{end}."
    row = rows[origin]
    text = f"{what}: {_given(row, first)}"
    if row is not rows[-1]:
        text += f"; {left_text(row)} of it is left"
    for role, words in (("took", "taken back by"), ("gave", "added to by")):
        some = [f"{other['node']} {_size(other)}" for other in rows[origin + 1 :] if other["role"] == role]
        text += f"; {words} {', '.join(some)}" if some else ""
    return f"{text}; n = {first['n']}{end}."


def left_text(row: Mapping[str, Any]) -> str:
    """`97 % [92 %, 100 %]`."""
    return f"{row['left']:.0%} [{row['left_low']:.0%}, {row['left_high']:.0%}]"


def _given(row: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    sure = row["support"] >= SURE
    doubt = "" if sure else f" (adds the most in {row['support']:.0%} of the draws)"
    if row is first:
        score = _with_interval(row, signed=False)
        return f"{row['node']} has {'it' if sure else 'most of it'} already, {score}{doubt}"
    return f"{'given' if sure else 'most likely given'} by {row['parent']} → {row['node']} {_size(row)}{doubt}"


def _size(row: Mapping[str, Any]) -> str:
    return _with_interval(row, signed=True)


def _with_interval(row: Mapping[str, Any], *, signed: bool) -> str:
    unit = str(row["unit"])
    ends = interval_text(row["low"], row["high"], unit, signed=signed)
    return f"{amount(row['contribution'], unit, signed=signed)} {ends}"
