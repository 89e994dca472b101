"""The claims ledger: what a tree says of the literature's claims: supported, contradicted, undecided or untestable.

    capeval claims instructgpt

A claim is the conjunction of its tests. Each test is a contrast between sorts of stages on a measure, estimated item by
item over all nodes and tasks that the tree has for it: the pairs of nodes share their items and are averaged inside
each item, the tasks are other items and count alike. Then two questions are put, and both may stay open:

| the claim expects | for it                  | against it                   |
|-------------------|-------------------------|------------------------------|
| more              | the effect is above 0   | it is below the margin       |
| less              | it is below 0           | it is above −margin          |
| same              | it is inside ±margin    | it is beyond +margin or −margin |
| not more          | it is below the margin  | it is above 0                |
| not less          | it is above −margin     | it is below 0                |

For a claim, p_for is the largest of its tests' (intersection-union: Berger 1982, Technometrics 24:295), p_against k
times the smallest (Bonferroni over its k tests). 2 · min(p_for, p_against) is the claim's p; the claims of a trace are
one Holm family. A node that is compared with nothing is held against the margin instead of 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capeval.attribution.claim_estimates import Estimated, Evidence, estimate_test
from capeval.attribution.pairing import Cells
from capeval.attribution.sentences import amount, p_text, round_up
from capeval.columns import CLAIM_COLUMNS
from capeval.core import Claim, Claims, Tree
from capeval.stats.multiplicity import holm
from capeval.stats.one_sided import p_above
from capeval.stats.power import items_for_margin

VERDICTS = ("supported", "contradicted", "undecided", "untestable")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One effect with the two questions' answers."""

    effect: Estimated
    supports: float
    contradicts: float


def claims_table(tree: Tree, cells: Cells, claims: Claims, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every claim, and below it every test of it.

    Args:
        tree: Its stages, and the specs of its tasks.
        cells: As `pairing.cells` and `summaries.with_summaries` make them.
        claims: What is claimed.
        alpha: Level of the verdicts, after Holm over all claims that can be tested.
        seed: Of the cluster sign-flip test.

    Returns:
        Columns of `columns.CLAIM_COLUMNS`, claims in their order.
    """
    evidence = Evidence(tree=tree, cells=cells, measures=claims.measures, alpha=alpha, seed=seed)
    judged = [
        [_judge(effect) for test in claim.tests for effect in estimate_test(evidence, test)] for claim in claims.claims
    ]
    both = [_both(tests) for tests in judged]
    raw = [min(1.0, 2 * min(pair)) if not math.isnan(min(pair)) else math.nan for pair in both]
    adjusted = holm(raw)
    rows = [
        row
        for claim, tests, pair, p, p_adjusted in zip(claims.claims, judged, both, raw, adjusted, strict=True)
        for row in _rows(claim, tests, pair, p, float(p_adjusted), alpha)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def _judge(effect: Estimated) -> _Judged:
    """p of both questions about one effect."""
    interval = effect.interval
    if interval is None:
        return _Judged(effect=effect, supports=math.nan, contradicts=math.nan)
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
    return _Judged(effect=effect, supports=supports, contradicts=contradicts)


def _both(tests: Sequence[_Judged]) -> tuple[float, float]:
    """p for and p against a claim: all tests must hold, one that does not refutes it."""
    known = [test for test in tests if not test.effect.missing]
    if not known:
        return math.nan, math.nan
    supports = max(test.supports for test in known) if len(known) == len(tests) else 1.0
    return supports, min(1.0, len(known) * min(test.contradicts for test in known))


def _verdict(expects: Sequence[str], supports: float, contradicts: float, alpha: float) -> str:
    """Of two p that are adjusted already; an effect inside the margin answers both questions."""
    if math.isnan(supports):
        return "untestable"
    if supports <= alpha and contradicts <= alpha:
        return "contradicted" if any(one.startswith("not ") for one in expects) else "supported"
    return "supported" if supports <= alpha else "contradicted" if contradicts <= alpha else "undecided"


def _rows(
    claim: Claim, tests: Sequence[_Judged], both: tuple[float, float], p: float, p_adjusted: float, alpha: float
) -> Iterator[dict[str, Any]]:
    """The claim's row, then its tests'."""
    factor = p_adjusted / p if p else 1.0
    parts = [_test_row(claim, test, factor, alpha) for test in tests]
    supports, contradicts = (_adjusted(one, factor) for one in both)
    verdict = _verdict([test.effect.test.expect for test in tests], supports, contradicts, alpha)
    lacking = [test.effect.missing for test in tests if test.effect.missing]
    if lacking and verdict != "contradicted":
        verdict = "untestable"
    telling = _telling(parts, verdict)
    row = telling | {
        "test": "claim", "verdict": verdict, "p": p, "p_adjusted": p_adjusted,
        "reason": _reason(parts, verdict, lacking),
        "n_needed": max((part["n_needed"] for part in parts if part["verdict"] == "undecided"), default=math.nan)
        if verdict == "undecided" else math.nan,
        "grade": _grade(verdict, p, p_adjusted, alpha),
        "confounds": "; ".join(dict.fromkeys(part["confounds"] for part in parts if part["confounds"])),
    }  # fmt: skip
    yield row | {"sentence": _sentence(row)}
    yield from parts


def _adjusted(one_sided: float, factor: float = 1.0) -> float:
    """p of either question, with what Holm makes of the claim's p; NaN stays NaN."""
    return one_sided if math.isnan(one_sided) else min(1.0, 2 * one_sided * factor)


def _telling(parts: Sequence[dict[str, Any]], verdict: str) -> dict[str, Any]:
    """The test that the claim's row quotes: the one that refutes it, leaves it open, or supports it least."""
    same = [part for part in parts if part["verdict"] == verdict] or list(parts)
    pick = min if verdict == "contradicted" else max
    return dict(pick(same, key=lambda part: part["p"] if not math.isnan(part["p"]) else 2.0))


def _test_row(claim: Claim, test: _Judged, factor: float, alpha: float) -> dict[str, Any]:
    effect, expects = test.effect, test.effect.test.expect
    supports, contradicts = (_adjusted(one, factor) for one in (test.supports, test.contradicts))
    verdict = _verdict([expects], supports, contradicts, alpha)
    shown = effect.interval(0.95) if effect.interval else None
    p = _adjusted(min(test.supports, test.contradicts))
    row = {
        "claim": claim.id, "text": claim.text, "literature": claim.grade, "source": claim.source,
        "test": effect.test.name, "contrast": effect.contrast, "task": effect.tasks, "setting": effect.settings,
        "verdict": verdict, "reason": effect.missing, "delta": effect.delta,
        "low": shown.low if shown else math.nan, "high": shown.high if shown else math.nan,
        "p": p, "p_adjusted": _adjusted(p / 2, factor), "n": effect.n, "n_needed": math.nan, "unit": effect.unit,
        "by_task": _by_task(effect),
        "grade": _grade(verdict, p, _adjusted(p / 2, factor), alpha), "confounds": "; ".join(effect.confounds),
    }  # fmt: skip
    # a score by itself is held against the margin: no number of items is sure to tell them apart
    if verdict == "undecided" and not effect.test.alone and effect.n > 1 and effect.se >= 0:
        variance = effect.n * effect.se**2
        row["n_needed"] = items_for_margin(variance, effect.margin, alpha=alpha, n=effect.n)
    return row | {"sentence": _sentence(row)}


def _by_task(effect: Estimated) -> str:
    """`lab-facts +3.0 [+1.0, +5.0]; …`, where there are several tasks."""
    if len(effect.by_task) < 2:
        return ""
    unit = effect.unit
    return "; ".join(f"{task} {_size(delta, ends.low, ends.high, unit)}" for task, delta, ends in effect.by_task)


def _size(delta: float, low: float, high: float, unit: str) -> str:
    """`+3.0 [+1.0, +5.0]`, without its unit."""
    shown = [amount(value, unit).removesuffix(f" {unit}") for value in (delta, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _grade(verdict: str, p: float, p_adjusted: float, alpha: float) -> str:
    if verdict == "untestable" or math.isnan(p):
        return ""
    return "B" if p_adjusted <= alpha else "C" if p <= alpha else "D"


def _reason(parts: Sequence[dict[str, Any]], verdict: str, lacking: Sequence[str]) -> str:
    if verdict == "untestable":
        held = [part["test"] for part in parts if part["verdict"] == "supported"]
        return "; ".join(dict.fromkeys(lacking)) + (f"; by itself supported: {'; '.join(held)}" if held else "")
    if verdict == "undecided":
        return "open: " + "; ".join(part["test"] for part in parts if part["verdict"] != "supported")
    if verdict == "contradicted":
        return "against it: " + "; ".join(part["test"] for part in parts if part["verdict"] == "contradicted")
    return ""


def _sentence(row: Mapping[str, Any]) -> str:
    """A row of the claims ledger in words."""
    name = row["claim"] if row["test"] == "claim" else row["test"]
    if row["verdict"] == "untestable":
        return f"{name}: untestable: {row['reason']}."
    unit = str(row["unit"])
    size = _size(row["delta"], row["low"], row["high"], unit).replace(" [", f" {unit} [")
    text = f"{name}: {row['verdict']}: {size}, {p_text(row['p_adjusted'])} adjusted, n = {int(row['n']):,}"
    if row["verdict"] == "undecided" and math.isfinite(row["n_needed"]):
        text += f"; about {round_up(row['n_needed']):,} items would tell the margin"
    return f"{text}; confounded: {row['confounds']}." if row["confounds"] else f"{text}."
