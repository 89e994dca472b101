"""Answering less to be wrong less: risk against coverage, for whoever may abstain.

Coverage is the share of questions that are answered, risk the share of wrong answers among them (El-Yaniv & Wiener
2010, JMLR 11:1605). A confidence gives a curve: answer first what one is surest of. Its area is AURC (Geifman and
El-Yaniv 2017, arXiv:1705.08500), compared with that of the best order of the same answers (Geifman et al. 2019,
arXiv:1805.08206). An abstention in words gives one point.

    python -c "from capeval.stats.selective import aurc; print(aurc([.9, .8, .7, .6], [0, 1, 0, 1]))"
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.rates import Interval, wilson
from capeval.stats.standard_errors import Vector, finite_vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A point for every distinct confidence, from the surest answers to all of them."""

    threshold: Vector
    """Answered is what is at least this sure; falling."""
    coverage: Vector
    """Share of the items that is answered; rising to 1."""
    risk: Vector
    """Share of the answered ones that is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Where an abstention in words stands on no curve but its own."""

    n: int
    answered: int
    wrong: int
    """Wrong answers among the answered."""
    coverage: float
    coverage_interval: Interval
    risk: float
    """NaN when nothing is answered."""
    risk_interval: Interval


def risk_coverage(confidence: ArrayLike, wrong: ArrayLike) -> Curve:
    """The curve; items of one confidence are answered together, since nothing tells which would come first.

    Args:
        confidence: (n,) any score that rises with sureness; only its order counts.
        wrong: (n,) 1 for a wrong answer, 0 for a right one (or a loss between them).

    Returns:
        The points; none for n = 0.

    Raises:
        ValueError: for missing values or vectors of different lengths.
    """
    sure, losses = _sorted(confidence, wrong)
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True)) if len(sure) else np.empty(0, int)
    answered = last + 1.0
    return Curve(
        threshold=sure[last],
        coverage=answered / max(1, len(sure)),
        risk=np.cumsum(losses)[last] / answered,
    )


def aurc(confidence: ArrayLike, wrong: ArrayLike) -> float:
    """Area under the curve: mean risk of the k surest answers over k = 1 … n; lower is better.

    Among ties it is the expectation over all orders, so equal confidences give the error rate and no order of the data
    helps. NaN for n = 0. Arguments and errors as in `risk_coverage`.
    """
    sure, losses = _sorted(confidence, wrong)
    n = len(sure)
    if n == 0:
        return math.nan
    _, tie, size = np.unique(-sure, return_inverse=True, return_counts=True)
    expected = (np.bincount(tie, losses) / size)[tie]
    return float(np.mean(np.cumsum(expected) / np.arange(1, n + 1)))


def excess_aurc(confidence: ArrayLike, wrong: ArrayLike) -> float:
    """AURC minus that of the best order: 0 when every right answer is surer than every wrong one."""
    losses = finite_vector(wrong)
    return aurc(confidence, losses) - aurc(-losses, losses)


def operating_point(answered: ArrayLike, wrong: ArrayLike, level: float = 0.95) -> OperatingPoint:
    """Coverage and risk of answers that were given or withheld, with Wilson's intervals.

    Args:
        answered: (n,) whether an item was answered.
        wrong: (n,) whether its answer is wrong; not looked at where none was given.
        level: Confidence of both intervals; the risk's is conditional on how many were answered.

    Raises:
        ValueError: for missing values, vectors of different lengths or anything but 0 and 1.
    """
    given, errors = _same_length(answered, wrong)
    if not (np.isin(given, (0, 1)).all() and np.isin(errors, (0, 1)).all()):
        raise ValueError("answered and wrong are 0 or 1 for every item")
    n, k = len(given), int(given.sum())
    bad = int((given * errors).sum())
    return OperatingPoint(
        n=n,
        answered=k,
        wrong=bad,
        coverage=k / n if n else math.nan,
        coverage_interval=wilson(k, n, level),
        risk=bad / k if k else math.nan,
        risk_interval=wilson(bad, k, level),
    )


def _sorted(confidence: ArrayLike, wrong: ArrayLike) -> tuple[Vector, Vector]:
    """Both vectors from the surest item to the least sure."""
    sure, losses = _same_length(confidence, wrong)
    order = np.argsort(-sure, kind="stable")
    return sure[order], losses[order]


def _same_length(first: ArrayLike, second: ArrayLike) -> tuple[Vector, Vector]:
    a, b = finite_vector(first), finite_vector(second)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values for the same items")
    return a, b
