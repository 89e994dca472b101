"""TAT-QA's exact match and F1: answers of numbers with a scale, spans, and lists of spans.

Zhu et al. 2021, arXiv:2105.07624 (tatqa_metric.py, tatqa_utils.py). The rule for scale: number and scale are multiplied
before they are compared, so "1,496.5 million" = 1496500 thousand, "23.42 %" = 0.2342 = 23.42 with scale percent, and a
right number with a wrong or missing scale is wrong, unless the bare number already is the fraction of a percentage.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from typing import Any

from capeval.marks import recalled
from capeval.recordings.scorers.reading import aligned_f1
from capeval.recordings.scorers.scored import ABSENT, EMPTY, Scored, judged
from capeval.sums import NUMBER
from capeval.sums import to_number as read_number

_SCALES = (("hundred", 100.0), ("thousand", 1e3), ("million", 1e6), ("billion", 1e9), ("percent", 0.01))
_SIGNS = str.maketrans("", "", "'\"\\$€£¥%(),[]")
_FIRST_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)


def tatqa_em(output: Any, gold: Any) -> Scored:
    """1 when the answer equals the gold answer as a set of spans, or as a number times its scale.

    Args:
        output: Text, a list of spans, or {"answer": text or list, "scale": ""|thousand|million|billion|percent}.
        gold: {"answer": list of spans or one value, "scale": as above}.
    """
    return _judge(output, gold, 0)


def tatqa_f1(output: Any, gold: Any) -> Scored:
    """Token F1; for arithmetic and count questions ({"answer_type": …} in the gold) equal to the exact match."""
    return _judge(output, gold, 0 if gold.get("answer_type") in ("arithmetic", "count") else 1)


def answer_string(spans: Sequence[Any], scale: str) -> str:
    """Sorted spans, numbers multiplied by their scale and written with four places, joined to one string."""
    return " ".join(_with_scale(text, scale) for text in sorted(str(s) for s in spans))


def scale_factor(text: str) -> float:
    """100, 1000, 1e6, 1e9 or 0.01 for a word of scale inside the text; 1 when there is none."""
    lowered = text.lower()
    return next((factor for word, factor in _SCALES if word in lowered), 1.0)


def reads_as_number(text: str) -> bool:
    """Whether the text is a number, with currency signs and one word of scale allowed ("$1 million", "12 %")."""
    words = " ".join(word.translate(_SIGNS) for word in text.split()).split()
    try:
        value = float(words[0]) if words else math.nan
    except ValueError:
        return False
    return not math.isnan(value) and not (len(words) >= 2 and scale_factor(words[1]) == 1)


def to_number(text: str) -> float | None:
    """First number in the text, times its word of scale, negative in (parentheses), a hundredth before %."""
    found = _FIRST_NUMBER.search(text.translate(_SIGNS))
    if not found or found.group(0).lstrip("+-").startswith("."):  # the official script reads no number in ".5"
        return None
    value = float(found.group(0)) if "." in found.group(0) else int(found.group(0))
    worded = re.search(r"[\d.]+\s?[a-zA-Z]+", text)
    factor = scale_factor(worded.group(0)) if worded else 1.0
    sign = -1 if re.search(r"\([\d.\s]+\)", text.strip()) else 1
    percent = 0.01 if re.search(r"[\d.\s]+%", text.strip()) else 1
    return round(value * factor * sign * percent, 4)


def _judge(output: Any, gold: Any, which: int) -> Scored:
    if output is None:
        return ABSENT
    answer, scale = (output["answer"], output.get("scale") or "") if isinstance(output, dict) else (output, "")
    spans = [str(a) for a in answer] if isinstance(answer, list | tuple) else [str(answer)]
    if not any(span.strip() for span in spans):
        return EMPTY
    golds = gold["answer"] if isinstance(gold["answer"], list | tuple) else [gold["answer"]]
    wanted = answer_string(golds, gold.get("scale") or "")
    tries = [answer_string(spans, scale)]
    bare = spans[0]
    if len(spans) == 1 and not scale and "%" not in bare and reads_as_number(bare):
        value = to_number(bare)
        tries += [f"{value:.4f}"] if value is not None else []
    said = "; ".join(spans)
    lenient = float(all(_held(str(part), said) for part in golds))
    return judged(max(_em_and_f1(text, wanted) for text in tries)[which], said, lenient)


def _held(gold: str, said: str) -> bool:
    """Whether an answer holds a gold span in any words, or a gold number whatever its scale and rounding."""
    wanted = read_number(gold)
    if wanted is None:
        return recalled(said, gold) == 1
    shown = [(to_value, text) for text in NUMBER.findall(said) if (to_value := read_number(text)) is not None]
    return any(value == wanted or _rounds_to(wanted, value, text) for value, text in shown)


def _rounds_to(wanted: float, value: float, text: str) -> bool:
    """16.23 may be given as 16.2, and 38.98 as 39; not 1.6 as 2."""
    places = len(text.partition(".")[2])
    return round(wanted, places) == value and abs(wanted - value) <= 0.02 * abs(wanted)


def _with_scale(text: str, scale: str) -> str:
    value = to_number(text) if reads_as_number(text) else None
    if value is None:
        return f"{text} {scale}" if scale else text
    return f"{value:.4f}" if "%" in text else f"{round(value, 2) * scale_factor(scale):.4f}"


def _em_and_f1(answer: str, gold: str) -> tuple[float, float]:
    mine, wanted = _normalise(answer), _normalise(gold)
    return float(mine == wanted), round(aligned_f1([set(mine.split())], [set(wanted.split())], numbers=False), 2)


def _normalise(text: str) -> str:
    parts = (_token(token.lower()) for token in text.split(" "))
    return " ".join(part for part in parts if part)


def _token(token: str) -> str:
    if not reads_as_number(token):
        token = "".join(ch for ch in token if ch not in _PUNCTUATION)
    if reads_as_number(token):
        token = str(to_number(token))
    return " ".join(_ARTICLES.sub(" ", token).split())
