"""Why a recorded verdict on a zero-shot chain-of-thought log and our tasks' score differ: one rule each, in order.

The authors ask a second time for the answer alone and take the first number (letter) of that reply, without its commas;
our tasks take what follows "The answer is", else the last number (letter) of the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from capeval.recordings.scorers.matching import number

NO_ANSWER = "the last reply names no number or option (words, Roman figures); here the one in the reasoning counts"
SEPARATOR = "the gold number has a thousands comma, which the authors take out of the answer only"
DIGITS = "one number, written 12.30 and 12.3 or rounded in its last digits; the authors compare strings"
STATED = "the reasoning says 'The answer is …' of another number than the last reply"
FRACTION = "a fraction (3/4), of which one side reads a part"
POINT = "a decimal without a digit before its point (.25), which the authors read as 25"
LIST = "numbers with commas between them (2,2,2), which the authors read as one"
SEVERAL = "several numbers in the last reply: the authors take the first, here the last counts"
LETTERS = "letters that run together (CE): the authors take the first, here they name none"
ARTICLE = "the article A, which the authors read as the option"
OTHER = "other"

_NUMBER = re.compile(r"(?:(?<![\w)])-)?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:/\d+)?")
_Row = Mapping[str, Any]


def reason(row: _Row) -> str:
    """The first rule that holds.

    Args:
        row: The log's answer_stage_output, pred, gold and correct; our extracted and rung.
    """
    return next((name for name, holds in _RULES.items() if holds(row)), OTHER)


def _no_answer(row: _Row) -> bool:
    return not str(row["pred"] or "").strip()


def _equal(row: _Row) -> bool:
    return not row["correct"] and number(str(row["pred"]), row["gold"]).score == 1.0


def _separator(row: _Row) -> bool:
    return "," in str(row["gold"]) and _equal(row)


def _stated(row: _Row) -> bool:
    return row["rung"] == "strict-match" and "nswer is " + str(row["extracted"]) not in str(row["answer_stage_output"])


def _numbers(row: _Row) -> list[str]:
    return _NUMBER.findall(str(row["answer_stage_output"])) or [""]


def _fraction(row: _Row) -> bool:
    found = _numbers(row)
    return "/" in found[0] or "/" in found[-1]


def _point(row: _Row) -> bool:
    return _numbers(row)[0] == "." + str(row["pred"])


def _list(row: _Row) -> bool:
    said = str(row["answer_stage_output"])
    return str(row["pred"]) != _plain(_numbers(row)[0]) and str(row["pred"]) in said.replace(",", "")


def _several(row: _Row) -> bool:
    found = [_plain(one) for one in _numbers(row)]
    return len(found) > 1 and found[0] == _plain(row["pred"]) and found[-1] == _plain(row["extracted"])


def _letters(row: _Row) -> bool:
    return bool(re.search(rf"\b{row['pred']}[A-E]+\b", str(row["answer_stage_output"])))


def _article(row: _Row) -> bool:
    return row["pred"] == "A" and bool(re.search(r"\bA [a-z]", str(row["answer_stage_output"])))


def _plain(text: Any) -> str:
    return str(text).replace(",", "").strip("$.")


_RULES: dict[str, Callable[[_Row], bool]] = {
    NO_ANSWER: _no_answer, SEPARATOR: _separator, DIGITS: _equal, STATED: _stated, FRACTION: _fraction, POINT: _point,
    LETTERS: _letters, ARTICLE: _article, LIST: _list, SEVERAL: _several,
}  # fmt: skip
