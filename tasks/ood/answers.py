"""What YAML can't say: when two written numbers are one, and which ASDiv problems have one number for an answer."""

from __future__ import annotations

import math
import re
from typing import Any

from capeval.recordings.scorers.matching import parse_number

_NUMBER = r"-?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
_FRACTION = re.compile(r"(-?)\$?(?:(\d+) (?:and )?)?(\d+)/(\d+)")
_ASDIV = re.compile(rf"{_NUMBER}\s*(?:\([^()]*\))?")


def same_number(references: list[str], predictions: list[str], **_: Any) -> float:
    """1 when both are one number: 18.0 is 18, $1,000 is 1000, 2/3 is 0.6666666666666666.

    A number with two or more decimals stands for all that round to it, when they are within 1 %: 0.67 is 2/3 too (golds
    are rounded as answers are), 0.00 is not 0.0016.
    """
    gold, said = str(references[0]), str(predictions[0])
    wanted, mine = value(gold), value(said)
    if wanted is None or mine is None:
        return 0.0
    shown = [decimals for decimals in (_decimals(gold), _decimals(said)) if decimals >= 2]
    rounded = any(abs(mine - wanted) <= 0.5 * 10.0**-decimals + 1e-9 for decimals in shown)
    close = 0.01 if rounded else 1e-6
    return float(math.isclose(mine, wanted, rel_tol=close, abs_tol=1e-9))


def value(text: str) -> float | None:
    """The first number of a text, None when there is none; "1 1/2" is 1.5."""
    found = _FRACTION.search(text)
    if not found:
        return parse_number(text.replace("$", ""))
    sign, whole, above, below = found.groups()
    if not int(below):
        return None
    return (-1 if sign else 1) * (int(whole or 0) + int(above) / int(below))


def _decimals(text: str) -> int:
    found = re.search(r"\.(\d+)", text)
    return len(found[1]) if found and "/" not in text else 0


def with_one_number(docs: Any) -> Any:
    """ASDiv without its ratios, times, names and lists: lm-eval calls this with a split."""
    return docs.filter(lambda doc: _ASDIV.fullmatch(doc["answer"].strip()) is not None)
