"""Turns recorded answers into records: judged by a scorer, or with the score that was recorded.

An answer that can't be scored because nobody scored it is missing (NaN), never 0; a score outside the range of its
metric is an error, because it would spoil every mean that it enters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from capeval.errors import BadFileError, unknown
from capeval.marks import marks_of
from capeval.recordings.options import ImportOptions
from capeval.recordings.scorers import SCORERS, Scored, score

_WORDS = {"true": 1.0, "false": 0.0}
UNSCORED = "no score was recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a file says about one ask of one item, not yet judged."""

    where: str
    """`file:line`, for messages."""
    item: str
    setting: str
    sample: int = 0
    response: Any = None
    """Text, or what a scorer asks for (a mapping of judgements, for example)."""
    extracted: str | None = None
    gold: Any = None
    score: Any = None
    """As recorded: bool, number, their text, or None."""
    cluster: str = ""
    subset: str = ""
    shots: str = ""
    presentation: str = ""
    prompt_digest: str = ""
    n_tokens: float | None = None
    length: float | None = None
    flag: str = ""
    """Why it is wrong, if it is: `unextracted`, for example."""
    judge: Callable[[Any], Scored] | None = None
    """The benchmark's own rule for `response`; None: a scorer that was asked for, or the recorded score."""


def judged(answers: Iterable[Answer], *, task: str, options: ImportOptions) -> list[dict[str, Any]]:
    """One record per answer.

    Args:
        answers: All of one task.
        task: Name of the task.
        options: scorer, unit, capability, keep_text count here.

    Raises:
        UsageError: unknown scorer.
        BadFileError: a score that is no number or out of range; an answer that the scorer can't judge; an item that
            is asked twice under one sample number.
    """
    if options.scorer:
        _known_scorer(options.scorer)
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[str, str, int], str] = {}
    for answer in answers:
        key = (answer.setting, answer.item, answer.sample)
        if key in seen:
            raise BadFileError(
                f"{answer.where}: item '{answer.item}' (setting '{answer.setting}', sample {answer.sample}) is already "
                f"at {seen[key]}. Repeated asks of one item need a sample number: --map sample=COLUMN."
            )
        seen[key] = answer.where
        rows.append(_record(answer, task, options))
    return rows


def parse_score(value: Any, where: str, *, bounded: bool = True) -> float:
    """A recorded score as a float; NaN when there is none.

    Args:
        value: bool, number, the text of either, or None / "".
        where: For the message.
        bounded: Whether it must lie between 0 and 1.

    Raises:
        BadFileError: anything else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}…"
        raise BadFileError(f"{where}: the score {shown} is no number") from error
    except OverflowError as error:
        raise BadFileError(f"{where}: the score is too large a number") from error
    if not math.isfinite(number):
        raise BadFileError(f"{where}: the score is {number}; write null (or nothing) for a score that is missing")
    if bounded and not 0 <= number <= 1:
        raise BadFileError(
            f"{where}: the score {number:g} is not between 0 and 1. Divide percentages by 100; "
            "for a metric with a unit of its own say so: --unit characters."
        )
    return number


def _record(answer: Answer, task: str, options: ImportOptions) -> dict[str, Any]:
    found = _judge(answer, options)
    value = math.nan if found.score is None else float(found.score)
    text = answer.response if isinstance(answer.response, str) else None
    length = len(text) if answer.length is None and text is not None else answer.length
    said = text if found.read is None else found.read
    marks = marks_of(said, score=value, lenient=found.lenient) if said is not None else {}
    return {
        "task": task,
        "capability": options.capability,
        "setting": answer.setting,
        "subset": answer.subset,
        "item": answer.item,
        "cluster": answer.cluster,
        "sample": answer.sample,
        "score": value,
        "shots": answer.shots,
        "presentation": answer.presentation,
        "prompt_digest": answer.prompt_digest,
        "response": text if options.keep_text else None,
        "extracted": found.extracted if options.keep_text else None,
        "n_tokens": answer.n_tokens,
        "length": length,
        "flag": found.flag,
        **marks,
        "error": UNSCORED if math.isnan(value) else "",
    }


def _judge(answer: Answer, options: ImportOptions) -> Scored:
    if answer.judge is None and not options.scorer:
        value = parse_score(answer.score, answer.where, bounded=options.unit == "points")
        empty = isinstance(answer.response, str) and not answer.response.strip() and value == 0
        flag = "empty" if empty else answer.flag if value == 0 else ""
        return Scored(score=value, extracted=answer.extracted, flag=flag)
    try:
        return answer.judge(answer.response) if answer.judge else score(options.scorer, answer.response, answer.gold)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        rule = f"the scorer '{options.scorer}'" if options.scorer else "the benchmark's own rule"
        raise BadFileError(
            f"{answer.where}: {rule} can't judge this row ({type(error).__name__}: {error}). "
            "--map response=COLUMN and --gold COLUMN say what a scorer (--scorer NAME) reads."
        ) from error


def _known_scorer(name: str) -> None:
    if name not in SCORERS:
        raise unknown("scorer", name, SCORERS, "capeval list scorers")
