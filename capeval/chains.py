"""A chain of thought as text: its steps, the sentence that gives the answer, and where the answer first stands.

>>> chain = cut_chain("7 - 2 = 5 . 5 + 3 = 8 . the answer is 8", "8")
>>> chain.steps, chain.last, chain.cue
(('7 - 2 = 5 .', ' 5 + 3 = 8 .'), ' the answer is 8', ' the answer is')
>>> chain.stated
(False, False, True)

A cut stands before white space or a line's end, so that every part but the first begins with its white space, as the
continuations of a log-likelihood request do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST = 12
"""Parts of a chain; a longer one has neighbours joined."""

_CUT = re.compile(r"(?<=[.!?])(?=\s)|(?<=[.!?][\"')\]])(?=\s)|(?=\n)")
_NO_STEP = re.compile(r"\s*(?:\(?\d{1,2}[.)]|\W*)")
"""A list's number, or no word at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain that ends in an answer. Steps and last sentence, put together, are the whole text."""

    steps: tuple[str, ...]
    """At least one."""
    last: str
    """The sentence that gives the answer, and whatever follows it."""
    cue: str
    """How that sentence begins: what the answer follows."""
    gap: str
    """What stands between cue and answer: white space, or nothing."""
    answer: str
    """The answer as it is written there; empty where the sentence does not hold it."""
    stated: tuple[bool, ...]
    """(steps + 1,) whether the answer stands among the first 0, 1, 2 … steps."""


def cut_chain(text: str, answer: str, *, most: int = MOST) -> Chain | None:
    """Cut a response at the ends of its sentences and lines.

    Args:
        text: What was generated.
        answer: The answer that was extracted from it. The last sentence that holds it is the one that gives it away.
        most: Parts at most, the last sentence among them.

    Returns:
        The chain; None where nothing stands before the answer's sentence: no steps, no chain.
    """
    parts = sentences(text)
    said = _as_word(answer)
    holding = [number for number, part in enumerate(parts) if said and said.search(part)]
    # an answer that stands only further up is no end of the chain: the last sentence says something else
    end = holding[-1] if holding and holding[-1] >= len(parts) - 2 else len(parts) - 1
    if end < 1:
        return None
    steps, last = _joined(parts[:end], most - 1), "".join(parts[end:])
    found = list(said.finditer(parts[end])) if said else []
    place = found[-1].span() if found else (len(last), len(last))
    cue = last[: place[0]].rstrip()
    so_far = ["".join(steps[:number]) for number in range(len(steps) + 1)]
    return Chain(
        steps=steps, last=last, cue=cue, gap=last[len(cue) : place[0]], answer=last[place[0] : place[1]],
        stated=tuple(bool(found and said and said.search(shown)) for shown in so_far),
    )  # fmt: skip


def sentences(text: str) -> list[str]:
    """The text in parts that, put together, are the text; parts without a word belong to what stands before them."""
    found: list[str] = []
    waiting = ""
    for part in (piece for piece in _CUT.split(text) if piece):
        if not _NO_STEP.fullmatch(part):
            found.append(waiting + part)
            waiting = ""
        elif found and not any(map(str.isdigit, part)):
            found[-1] += waiting + part
            waiting = ""
        else:  # a list's number belongs to what follows
            waiting += part
    if waiting:
        found = [*found[:-1], found[-1] + waiting] if found else [waiting]
    return found


def _joined(parts: list[str], most: int) -> tuple[str, ...]:
    """Neighbours joined evenly, where there are more than so many."""
    n, k = len(parts), min(len(parts), most)
    return tuple("".join(parts[i * n // k : (i + 1) * n // k]) for i in range(k))


def _as_word(answer: str) -> re.Pattern[str] | None:
    """The answer as a word of its own; in a number, thousands may be set off by commas."""
    answer = answer.strip()
    if not answer:
        return None
    written = re.escape(answer)
    if re.fullmatch(r"[\d,]+(\.\d+)?", answer):
        written = ",?".join(map(re.escape, answer.replace(",", "")))
    return re.compile(rf"(?<![\w.]){written}(?![\w]|[.,]\d)", re.IGNORECASE)
