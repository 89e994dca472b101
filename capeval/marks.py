"""What an answer's text shows beyond its score: is the gold in it, how many steps, is its arithmetic right?

>>> slips("He has 3 + 4 = 7 apples and 2 x 7 = 15 pears.")
1
>>> recalled("The Saints scored first.", "Saints")
1.0

Causes of flips (`attribution.anatomy`) are found from these numbers alone, so that records without texts tell them too.
Arithmetic is recomputed by a small evaluator (`capeval.sums`), never by `eval`. docs/flips.md has the error rates.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

from capeval.refusal import UNKNOWN, reasons
from capeval.sums import NUMBER, checks, to_number

LONGEST = 20_000
"""Characters of an answer that are looked at."""
BEGINNING = 2_000
"""Characters that hold the first sentences, in which an answer declines."""
LONGEST_GOLD = 30
"""Tokens of a gold that may be looked for in an answer; longer ones are texts of their own (a worked solution)."""
CLOSING = 2
"""Last steps of an answer that has several: what is named before them may be on the way only."""

_STEP = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_LEAD_IN = re.compile(r"(\bis|:)\s*\n+")
"""The answer is, and then a new line: still one step."""
_ARTICLES = frozenset(("a", "an", "the"))
_EDGES = string.punctuation + "“”‘’«»"
_WORDS = {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_SPEAKERS_OWN = ("unable", "unwilling", "no access", "policy")
"""Rules of `refusal` that say so in the first person. "No, that is not legal" answers a question: among requests it
refuses, among questions it doesn't."""
_NOTHING_SAID = re.compile(
    r"\bno comment\b|\bnot (?:\w+ )?(?:mentioned|stated|specified|given|provided|discussed|addressed)\b"
    r"|\b(?:does|do|did)(?: not|n't) (?:\w+ )?(?:mention|say|state|specify|provide|give|answer|discuss|address)\b"
    r"|\bnot in (?:the )?(?:background|passage|text|context)\b",
    re.IGNORECASE,
)
"""What an answer to a question about a text says where the text holds none."""
_OPTION = re.compile(r"\W*([A-Ja-j])\W*")
_PAIRS = (frozenset(("yes", "no")), frozenset(("true", "false")))


def marks_of(text: str, *, score: float, lenient: float) -> dict[str, float | None]:
    """The columns of a record that are read from an answer's text (`columns.RECORD_COLUMNS`).

    Args:
        text: What was said, as far as it was judged.
        score: Its score.
        lenient: The score with its form forgiven, NaN where there is none; forgiving never costs anything.
    """
    wrong = slips(text)
    return {
        "lenient": None if lenient != lenient or score != score else max(score, lenient),
        "steps": float(steps(text)),
        "slips": None if wrong is None else float(wrong),
        "declined": float(declined(text)),
    }


def steps(text: str) -> int:
    """Reasoning steps: sentences or lines with a word or number, before the final one."""
    return max(0, len(_parts(text)) - 1)


def slips(text: str) -> int | None:
    """Calculations in a text that are wrong when computed again; None where it holds none that can be checked."""
    found = [right for right in checks(text[:LONGEST])]
    return found.count(False) if found else None


def declined(text: str) -> bool:
    """Whether an answer says that it can't, won't or doesn't know, or that the text asked about has no answer."""
    beginning = text[:BEGINNING]
    opening = _opening(beginning)
    return (
        bool(reasons(beginning, _SPEAKERS_OWN))
        or any(pattern.search(opening) for rule, pattern in UNKNOWN.items() if rule != "false premise")
        or bool(_NOTHING_SAID.search(opening))
    )


def recalled(answer: str, gold: str) -> float:
    """Share of the gold's tokens that the answer has, in any order; articles and punctuation don't count.

    A gold with numbers needs all of them, by value ("3.0" is "3" is "three", "$1,000" is "1000"); one of a closed set
    (an option's letter, yes or no, true or false) must be the only one of its set.

    Args:
        answer: What was said; of a long answer its end (`closing`).
        gold: One reference.

    Returns:
        A share; 0 for a gold without tokens, NaN for one of more than `LONGEST_GOLD`.
    """
    if option := _OPTION.fullmatch(gold):
        return float(_options(answer) == {option[1].lower()})
    wanted, said = _tokens(gold), _tokens(answer)
    if len(wanted) > LONGEST_GOLD:
        return float("nan")
    closed = next((pair for pair in _PAIRS if len(wanted) == 1 and wanted[0] in pair), None)
    if closed:
        return float(closed & set(said) == set(wanted))
    if not wanted:
        return 0.0
    missed = Counter(wanted) - Counter(said)
    if any(token[0].isdigit() or token[0] == "-" for token in missed):
        return 0.0
    return 1 - sum(missed.values()) / len(wanted)


def best_recall(answer: str, golds: Iterable[str], *, whole: bool) -> float:
    """The best of several references.

    Args:
        answer: As in `recalled`.
        golds: References that are alternatives.
        whole: Whether a reference counts only when all of it is there (metrics that match exactly).
    """
    shares = [share for share in (recalled(answer, gold) for gold in golds) if share == share]
    if not shares:
        return float("nan")
    return float(max(shares) == 1) if whole else max(shares)


def ends_in(text: str, gold: str) -> float:
    """1 where the last number of a text is the gold number, 0 where it isn't, NaN where the gold is no number."""
    wanted = to_number(gold)
    if wanted is None:
        return float("nan")
    found = NUMBER.findall(text[-LONGEST:])
    said = to_number(found[-1]) if found else None
    return float(said is not None and abs(said - wanted) <= 1e-6 * max(1.0, abs(wanted)))


def closing(text: str) -> str:
    """The last steps of an answer that has several."""
    return " ".join(_parts(text)[-CLOSING:])


def forgiven(answer: str, golds: Sequence[str], *, whole: bool) -> float:
    """The score of an answer with its form forgiven: where the gold is a number, whether it ends in it or holds it.

    Args:
        answer: All that was said.
        golds: References; one that ends in "#### 5" (GSM8K's) means the 5.
        whole: As in `best_recall`.
    """
    finals = [gold.rpartition("####")[2].strip() for gold in golds]
    return best_recall(closing(answer[-LONGEST:]), finals, whole=whole)


def _parts(text: str) -> list[str]:
    parts = _STEP.split(_LEAD_IN.sub(r"\1 ", text[-LONGEST:]))
    return [part.strip() for part in parts if any(character.isalnum() for character in part)]


def _opening(text: str) -> str:
    return " ".join(_parts(text)[:CLOSING])


def _tokens(text: str) -> list[str]:
    return [token for token in map(_token, re.split(r"[\s\-–—/]+(?!\d)|\s+", text.lower())) if token]


def _token(word: str) -> str:
    number = to_number(word)
    if number is not None:
        return f"{number:g}"
    bare = word.strip(_EDGES).replace("'", "").replace("’", "")
    bare = bare.removesuffix("s") if word.endswith(("'s", "’s")) else bare
    return "" if bare in _ARTICLES else _WORDS.get(bare, bare)


def _options(answer: str) -> set[str]:
    """Letters that stand as options do: (A), "A.", alone; not "A man"."""
    named = re.findall(r"\(([A-Ja-j])\)", answer) or re.findall(r"\b([A-J])\b(?![ ][a-z])", answer)
    return {letter.lower() for letter in named}
