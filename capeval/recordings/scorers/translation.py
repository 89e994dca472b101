"""Sentence chrF: F2 of character n-grams, the measure for translations of single sentences.

Popović 2015 (W15-3049); parameters and effective-order smoothing of sacrebleu 2 (nc:6 nw:0 space:no, beta 2, eff:yes),
with which a test compares it. Divided by 100, so that it lies between 0 and 1.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from capeval.recordings.scorers.scored import ABSENT, EMPTY, Scored, alternatives, judged

ORDER = 6
BETA = 2


def chrf(output: str | None, gold: Any) -> Scored:
    """chrF of the whole output with the best reference. An empty output scores 0 and is flagged.

    With the form forgiven it is that of the best line: what was written around the translation costs nothing.
    """
    if output is None:
        return ABSENT
    answer = output.strip()
    if not answer:
        return EMPTY
    references = alternatives(gold)
    lenient = max((sentence_chrf(line, r) for line in answer.splitlines() for r in references), default=0.0)
    return judged(max(sentence_chrf(answer, reference) for reference in references), answer, lenient)


def sentence_chrf(hypothesis: str, reference: str) -> float:
    """chrF2 between 0 and 1; orders that one of the two is too short for don't count."""
    precision = recall = 0.0
    orders = 0
    for n in range(1, ORDER + 1):
        mine, theirs = _ngrams(hypothesis, n), _ngrams(reference, n)
        if not mine or not theirs:
            continue
        same = sum(min(count, theirs[gram]) for gram, count in mine.items())
        precision += same / sum(mine.values())
        recall += same / sum(theirs.values())
        orders += 1
    if not orders or precision + recall == 0:
        return 0.0
    precision, recall, factor = precision / orders, recall / orders, BETA**2
    return (1 + factor) * precision * recall / (factor * precision + recall)


def _ngrams(text: str, n: int) -> Counter[str]:
    bare = "".join(text.split())
    return Counter(bare[i : i + n] for i in range(len(bare) - n + 1))
