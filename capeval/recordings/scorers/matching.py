"""Short final answers: lm-eval's extraction for BBH and GSM8K, exact strings, and numbers by value.

The regular expressions are those of lm-eval 0.4.13 (tasks bbh_cot_fewshot, gsm8k_cot, gsm8k), so a recorded output
counts as it would there; a test compares the two on recorded outputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from capeval.marks import ends_in, forgiven
from capeval.recordings.scorers.scored import ABSENT, EMPTY, UNEXTRACTED, Scored, alternatives, judged

_BBH = re.compile(r"(?<=the answer is )(.*)(?=.)")
_GSM8K_STRICT = re.compile(r"The answer is (\-?[0-9\.\,]+).|#### (\-?[0-9\.\,]+)")
_GSM8K_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_IGNORED = re.compile(r",|\$|(?s:.*#### )|\.$")
_NUMBER = re.compile(r"-?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def exact(output: str | None, gold: Any) -> Scored:
    """1 when the stripped output equals a gold answer: BBH's direct prompt under lm-eval."""
    return _compare(output, gold, lambda text: text.strip())


def bbh_cot(output: str | None, gold: Any) -> Scored:
    """What follows the first "the answer is ", without its last character (the full stop): BBH's CoT prompt."""
    return _compare(output, gold, _bbh_answer)


def gsm8k_strict(output: str | None, gold: Any) -> Scored:
    """The number after the first "The answer is " (8-shot CoT) or "#### " (fine-tuned style)."""
    return _compare(output, gold, _strict_answer, _ignore, _by_last_number)


def gsm8k_flexible(output: str | None, gold: Any) -> Scored:
    """The last number in the output."""
    return _compare(output, gold, _flexible_answer, _ignore, _by_last_number)


def number(output: Any, gold: Any) -> Scored:
    """The first number of an answer that was already extracted, equal in value to the gold number.

    For recorded `pred` fields: "1,000", "1000" and 1000.0 are one answer, which string comparison of the sources'
    logs gets wrong. Equal means within a relative 1e-6 (golds such as 0.6666666666666666 are rounded thirds).
    """
    if output is None:
        return ABSENT
    if not str(output).strip():
        return EMPTY
    mine, wanted = parse_number(str(output)), parse_number(str(gold))
    lenient = ends_in(str(output), str(gold))
    if mine is None:
        return replace(UNEXTRACTED, lenient=lenient)
    right = wanted is not None and math.isclose(mine, wanted, rel_tol=1e-6, abs_tol=1e-9)
    return judged(right, f"{mine:g}", lenient)


def parse_number(text: str) -> float | None:
    """The first number in a text (thousands commas allowed), or None."""
    found = _NUMBER.search(text)
    return float(found.group(0).replace(",", "")) if found else None


def _by_words(output: str, golds: list[str]) -> float:
    return forgiven(output, golds, whole=True)


def _by_last_number(output: str, golds: list[str]) -> float:
    return max(ends_in(output, gold) for gold in golds)


def _compare(
    output: str | None,
    gold: Any,
    extract: Any,
    normalise: Any = str,
    forgiving: Callable[[str, list[str]], float] = _by_words,
) -> Scored:
    if output is None:
        return ABSENT
    if not output.strip():
        return EMPTY
    answer = extract(output)
    golds = alternatives(gold)
    lenient = forgiving(output, golds)
    if answer is None:
        return replace(UNEXTRACTED, lenient=lenient)
    return judged(any(normalise(answer) == normalise(g) for g in golds), answer, lenient)


def _bbh_answer(text: str) -> str | None:
    found = _BBH.search(text)
    return found.group(1).strip() if found else None


def _strict_answer(text: str) -> str | None:
    found = _GSM8K_STRICT.search(text)
    return (found.group(1) or found.group(2)).strip() if found else None


def _flexible_answer(text: str) -> str | None:
    found = _GSM8K_FLEXIBLE.findall(text)
    return next((part for part in found[-1] if part), "").strip() if found else None


def _ignore(text: str) -> str:
    return _IGNORED.sub("", text).lower()
