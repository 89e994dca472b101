"""What every scorer returns, and the two answers that need no scorer: nothing there, nothing extracted."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One judged output."""

    score: float | None
    """Between 0 and 1; None when there is nothing to judge (then the record is missing, not wrong)."""
    extracted: str | None
    """The answer that was taken from the output; None when none could be taken."""
    flag: str = ""
    """`empty`, `unextracted` or '': one of `columns.FLAGS`."""
    lenient: float = math.nan
    """The score with the answer's form forgiven; NaN where form can't cost anything, or nobody can say."""
    read: str | None = None
    """The part of the output that was judged, where it isn't all of it."""


ABSENT = Scored(score=None, extracted=None)
"""No output was recorded at all."""

EMPTY = Scored(score=0.0, extracted=None, flag="empty")
"""The model was asked and said nothing."""

UNEXTRACTED = Scored(score=0.0, extracted=None, flag="unextracted")
"""The model said something in which no answer could be found: wrong, and flagged."""


def judged(value: float, extracted: str, lenient: float = math.nan, read: str | None = None) -> Scored:
    """A score for an answer that was found; an empty answer is flagged."""
    flag = "" if extracted.strip() else "empty"
    return Scored(score=float(value), extracted=extracted, flag=flag, lenient=lenient, read=read)


def first_line(text: str) -> str:
    """The first line that is not blank, stripped; '' when there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def alternatives(gold: object) -> list[str]:
    """A gold answer or a list of accepted ones → the list."""
    return [str(g) for g in gold] if isinstance(gold, list | tuple) else [str(gold)]
