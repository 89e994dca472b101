"""Supported, contradicted or undecided: the two questions that are put to a claim's effects.

A claim is the conjunction of its tests. Two questions are put to each test's effect, and both may stay open:

| the claim expects | for it                  | against it                   |
|-------------------|-------------------------|------------------------------|
| more              | the effect is above 0   | it is below the margin       |
| less              | it is below 0           | it is above −margin          |
| same              | it is inside ±margin    | it is beyond +margin or −margin |
| not more          | it is below the margin  | it is above 0                |
| not less          | it is above −margin     | it is below 0                |

An effect that is shown and small answers both: it supports "more" and "less", and refutes "not more" and "not less".

For a claim, p_for is the largest of its tests' (intersection-union: Berger 1982, Technometrics 24:295), p_against k
times the smallest (Bonferroni over its k tests). 2 · min(p_for, p_against) is the claim's p; the claims of a trace are
one Holm family. A node that is compared with nothing is held against the margin instead of 0.

These p speak of the weights at hand (the mean over training runs, where there are several). A claim speaks of stages:
with three training runs or more it stays undecided unless the 95 % t interval over the runs answers alike. It speaks of
capability: where answers could be read leniently, and that makes another effect, it stays undecided unless that effect
answers alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from capeval.attribution.claims.estimates import Estimated
from capeval.attribution.grades import SEEDS
from capeval.stats.one_sided import p_above

VERDICTS = ("supported", "contradicted", "undecided", "untestable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One effect with the two questions' answers."""

    effect: Estimated
    supports: float
    """p of the question for the claim."""
    contradicts: float
    """p of the question against it."""
    runs: tuple[bool, bool] = (True, True)
    """Whether training runs would let it be supported, contradicted: always, where there are too few to ask."""
    form: tuple[bool, bool] = (True, True)
    """Whether it would be supported, contradicted too where the form of answers is forgiven."""


def judge(effect: Estimated, *, alpha: float) -> Judged:
    """p of both questions about one effect."""
    interval = effect.interval
    if interval is None:
        return Judged(effect=effect, supports=math.nan, contradicts=math.nan)
    if effect.given:
        return Judged(effect=effect, supports=effect.given[0], contradicts=effect.given[1])
    ends = interval(0.95)
    if ends.low == ends.high:  # nothing varies on a scale without ends: how far others would is not known
        return Judged(effect=effect, supports=1.0, contradicts=1.0)
    delta, margin, test = effect.delta, effect.margin, effect.test
    zero = margin if test.alone else 0.0

    def above(threshold: float) -> float:
        if threshold == 0 and not math.isnan(effect.p):  # the test itself, exact where it can be
            return effect.p / 2 if delta > 0 else 1 - effect.p / 2
        return p_above(interval, delta, threshold)

    def below(threshold: float) -> float:
        return 1 - above(threshold)

    questions: dict[str, tuple[float, float]] = {
        "more": (above(zero), below(margin)),
        "less": (below(zero), above(-margin)),
        "not more": (below(margin), above(zero)),
        "not less": (above(-margin), below(zero)),
        "same": (max(above(-margin), below(margin)), min(1.0, 2 * min(above(margin), below(-margin)))),
    }
    supports, contradicts = questions[test.expect]
    # what is shown to be there and small answers both: "more" it supports, "not more" it refutes
    if test.expect in ("more", "less") and supports <= alpha:
        contradicts = 1.0
    if test.expect in ("not more", "not less") and contradicts <= alpha:
        supports = 1.0
    lenient = judge(effect.forgiven, alpha=alpha) if effect.forgiven else None
    return Judged(
        effect=effect,
        supports=supports,
        contradicts=contradicts,
        runs=_over_runs(effect, zero),
        form=(lenient.supports <= alpha, lenient.contradicts <= alpha) if lenient else (True, True),
    )


def _over_runs(effect: Estimated, zero: float) -> tuple[bool, bool]:
    """What the interval over training runs answers to the two questions."""
    runs, margin = effect.runs, effect.margin
    if runs is None or runs.n < SEEDS:
        return True, True
    low, high = runs.low, runs.high
    answers = {
        "more": (low > zero, high < margin),
        "less": (high < zero, low > -margin),
        "not more": (high < margin, low > zero),
        "not less": (low > -margin, high < zero),
        "same": (low > -margin and high < margin, low > margin or high < -margin),
    }
    return answers[effect.test.expect]


def both_questions(tests: Sequence[Judged]) -> tuple[float, float]:
    """p for and p against a claim: all tests must hold, one that does not refutes it."""
    known = [test for test in tests if not test.effect.missing]
    if not known:
        return math.nan, math.nan
    supports = max(test.supports for test in known) if len(known) == len(tests) else 1.0
    return supports, min(1.0, len(known) * min(test.contradicts for test in known))


def verdict_of(tests: Sequence[Judged], factor: float, alpha: float) -> str:
    """What the tests say of their conjunction.

    Args:
        tests: All that must hold.
        factor: What Holm makes of the claim's p.
        alpha: Level of the verdict.
    """
    known = [test for test in tests if not test.effect.missing]
    if not known:
        return "untestable"
    supports, _ = both_questions(tests)
    if adjusted(supports, factor) <= alpha and all(test.runs[0] and test.form[0] for test in tests):
        return "supported"
    refuting = [test.contradicts for test in known if test.runs[1] and test.form[1]]
    fails = any(adjusted(min(1.0, len(known) * p), factor) <= alpha for p in refuting)
    return "contradicted" if fails else "undecided"


def adjusted(one_sided: float, factor: float = 1.0) -> float:
    """p of either question, with what Holm makes of the claim's p; NaN stays NaN."""
    return one_sided if math.isnan(one_sided) else min(1.0, 2 * one_sided * factor)
