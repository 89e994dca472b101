"""The style of an answer by its words: how long it is, how often it hedges, whether it names two sides.

>>> hedged("It may rain. It is cold.")
0.5
>>> two_sided("Some people like cities; others prefer the country.")
True

These are lexical proxies. Length says what it is; hedges are counted by a word list, which can't tell "may" of
permission from "may" of doubt; two sides are told by pairs of markers, so an answer that weighs both sides in other
words counts as one-sided, and a long one has more room for a pair. They were not compared with people's labels. None is
better when it is higher.
"""

from __future__ import annotations

import re

HEDGES = (
    "apparently", "appear", "appears", "approximately", "arguably", "assume", "assumed", "certain extent", "could",
    "doubtful", "essentially", "fairly", "frequently", "from my perspective", "generally", "in general",
    "in most cases", "in my opinion", "in my view", "it depends", "largely", "likely", "mainly", "may", "maybe",
    "might", "mostly", "not certain", "not sure", "often", "on the whole", "perhaps", "plausible", "plausibly",
    "possible", "possibly", "presumably", "probable", "probably", "relatively", "roughly", "seem", "seems",
    "sometimes", "somewhat", "suggest", "suggests", "suppose", "suspect", "tend to", "tends to", "to my knowledge",
    "typically", "uncertain", "unclear", "unlikely", "usually",
)  # fmt: skip
"""Hedges of Hyland (2005, Metadiscourse, appendix; 1998, Hedging in Scientific Research Articles), without those that
mostly mean something else in an answer (about, around, should, would, claim, feel, indicate, quite, rather, certain
amount …), and with three of speech: it depends, not sure, not certain."""

_HEDGE = re.compile(rf"\b(?:{'|'.join(HEDGES)})\b", re.IGNORECASE)
_MONTH = re.compile(r"\b(?:in|of|on|by|until|since|early|mid|late|\d{1,2}(?:st|nd|rd|th)?)[ -]May\b|\bMay \d")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_SIDES = re.compile(
    "|".join(
        (
            r"\bon (?:the )?one hand\b.*\bon the other\b",
            # in one sentence, or in two that follow each other
            r"\b(?:some|many|most)\b[^.!?\n]*(?:[.!?;,]\s*(?:(?:while|whereas|but|and)\s+)?|\b(?:while|whereas|but)\s+)others\b",
            r"\b(?:proponents|supporters|advocates)\b.*\b(?:critics|opponents|sceptics|skeptics)\b",
            r"\b(?:critics|opponents|sceptics|skeptics)\b.*\b(?:proponents|supporters|advocates)\b",
            r"\b(?:advantages|benefits|pros|upsides)\b.*\b(?:disadvantages|drawbacks|cons|downsides|risks)\b",
            r"\barguments (?:for|in favou?r of)\b.*\bagainst\b",
            r"\bboth sides of (?:the|this) (?:argument|debate|issue|question|story)\b",
        )
    ),
    re.IGNORECASE | re.DOTALL,
)


def words(answer: str) -> int:
    """How many words the answer has, by white space."""
    return len(answer.split())


def hedged(answer: str) -> float:
    """Share of the answer's sentences that hold one of `HEDGES`; 0 for an empty answer."""
    sentences = [part for part in _SENTENCE.split(_MONTH.sub("", answer)) if any(c.isalnum() for c in part)]
    return sum(bool(_HEDGE.search(part)) for part in sentences) / len(sentences) if sentences else 0.0


def two_sided(answer: str) -> bool:
    """Whether the answer names both sides of a question: a pair of markers ("some … others"), or "pros and cons"."""
    return _SIDES.search(answer) is not None
