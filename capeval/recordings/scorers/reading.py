"""SQuAD v2 and DROP: exact match and token F1 under the normalisation of their official scripts.

SQuAD v2: Rajpurkar et al. 2018, arXiv:1806.03822 (evaluate-v2.0.py). DROP: Dua et al. 2019, arXiv:1903.00161
(drop_eval.py). Both are scored on the first line of the output: base models go on with the next document.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Any

import numpy as np

from capeval.marks import best_recall, declined
from capeval.recordings.scorers.scored import ABSENT, EMPTY, Scored, alternatives, first_line, judged

UNANSWERABLE = "Not in background."
"""Gold of the questions that the text doesn't answer, in the recorded SQuAD v2."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)


def normalise_squad(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    bare = "".join(ch for ch in text.lower() if ch not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def squad_em(output: str | None, gold: Any) -> Scored:
    """1 when the first line equals one of the gold answers after normalisation."""
    return _best(output, gold, lambda a, g: float(normalise_squad(a) == normalise_squad(g)), whole=True)


def squad_f1(output: str | None, gold: Any) -> Scored:
    """Token F1 of the first line with the best gold answer."""
    return _best(output, gold, _squad_f1, whole=False)


def drop_em(output: str | None, gold: Any) -> Scored:
    """DROP's exact match with the best reference; `|` separates references that are alternatives."""
    return _best(output, _drop_references(gold), lambda a, g: drop_metrics(a, g)[0], whole=True)


def drop_f1(output: str | None, gold: Any) -> Scored:
    """DROP's F1 (0 when the gold number is not among the answer's) with the best reference."""
    return _best(output, _drop_references(gold), lambda a, g: drop_metrics(a, g)[1], whole=False)


def drop_metrics(answer: str | list[str], gold: str | list[str]) -> tuple[float, float]:
    """(exact match, F1) of one answer and one reference; a list holds the spans of one answer.

    Spans are aligned one to one so that their summed F1 is largest, as in the official script; F1 is rounded to two
    places there, and here.
    """
    answers = [normalise_drop(s) for s in ([answer] if isinstance(answer, str) else answer)]
    golds = [normalise_drop(s) for s in ([gold] if isinstance(gold, str) else gold)]
    em = float(set(answers) == set(golds) and len(answers) == len(golds))
    return em, round(aligned_f1([set(a.split()) for a in answers], [set(g.split()) for g in golds], numbers=True), 2)


def normalise_drop(text: str) -> str:
    """As SQuAD, but tokens split on spaces and hyphens and numbers compared by value ("3" = "3.0")."""
    tokens = (_drop_token(token) for token in re.split(r" |-", text))
    return " ".join(token for token in tokens if token)


def aligned_f1(answers: list[set[str]], golds: list[set[str]], *, numbers: bool) -> float:
    """Mean F1 over the best one-to-one alignment of answer spans and gold spans; spans left over count 0.

    Args:
        answers: One bag of tokens per answer span.
        golds: One bag of tokens per gold span.
        numbers: Whether a gold span with numbers needs one of them in the answer span (DROP yes, TAT-QA no).
    """
    from scipy.optimize import linear_sum_assignment  # late: the package's import stays light

    table = np.array([[0.0 if numbers and _number_missed(a, g) else _bag_f1(a, g) for a in answers] for g in golds])
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum()) / max(len(answers), len(golds))


def is_number(text: str) -> bool:
    """Whether Python reads the text as a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _best(output: str | None, gold: Any, metric: Any, *, whole: bool) -> Scored:
    """The best reference's score; with the form forgiven, how much of one the first line holds, in any other words."""
    if output is None:
        return ABSENT
    answer = first_line(output)
    if not answer:
        return EMPTY
    golds = alternatives(gold)
    lenient = best_recall(answer, golds, whole=whole)
    if UNANSWERABLE in golds and declined(answer):
        lenient = 1.0  # says in other words that the text has no answer
    return judged(max(metric(answer, g) for g in golds), answer, lenient, read=answer)


def _squad_f1(answer: str, gold: str) -> float:
    a, g = normalise_squad(answer).split(), normalise_squad(gold).split()
    if not a or not g:
        return float(a == g)
    same = sum((Counter(a) & Counter(g)).values())
    return 2 * same / (len(a) + len(g))


def _drop_references(gold: Any) -> list[str]:
    parts = [part.strip() for text in alternatives(gold) for part in text.split("|")]
    return [part for part in parts if part] or parts[:1]


def _drop_token(token: str) -> str:
    token = token.lower()
    bare = token if is_number(token) else "".join(ch for ch in token if ch not in _PUNCTUATION)
    value = str(float(bare)) if is_number(bare) else bare
    return " ".join(_ARTICLES.sub(" ", value).split())


def _bag_f1(answer: set[str], gold: set[str]) -> float:
    if not answer and not gold:
        return 1.0
    same = len(answer & gold)
    precision = same / len(answer) if answer else 1.0
    recall = same / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _number_missed(answer: set[str], gold: set[str]) -> bool:
    wanted = {token for token in gold if is_number(token)}
    return bool(wanted) and not wanted & {token for token in answer if is_number(token)}
