"""The rows of the claims ledger: a claim, then its tests, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from capeval.attribution.claim_estimates import Estimated
from capeval.attribution.claim_verdicts import Judged, verdict_of
from capeval.attribution.grades import SEEDS
from capeval.attribution.sentences import amount, p_text, round_up
from capeval.core import Claim
from capeval.stats.power import items_for_margin


def claim_rows(
    claim: Claim, tests: Sequence[Judged], both: tuple[float, float], p: float, p_adjusted: float, alpha: float
) -> Iterator[dict[str, Any]]:
    """The claim's row, then its tests'."""
    factor = p_adjusted / p if p else 1.0
    parts = [_test_row(claim, test, factor, alpha) for test in tests]
    supports, contradicts = (_adjusted(one, factor) for one in both)
    verdict = verdict_of(tests, supports, contradicts, alpha)
    lacking = [test.effect.missing for test in tests if test.effect.missing]
    if lacking and verdict != "contradicted":
        verdict = "untestable"
    telling = _telling(parts, verdict)
    row = telling | {
        "test": "claim", "verdict": verdict, "p": p, "p_adjusted": p_adjusted,
        "reason": _reason(parts, verdict, lacking),
        "n_needed": max((part["n_needed"] for part in parts if part["verdict"] == "undecided"), default=math.nan)
        if verdict == "undecided" else math.nan,
        **_graded([test for test in tests if verdict != "contradicted" or test.effect.test.name == telling["test"]],
                  verdict, p, p_adjusted, alpha),
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


def _test_row(claim: Claim, test: Judged, factor: float, alpha: float) -> dict[str, Any]:
    effect, runs = test.effect, test.effect.runs
    supports, contradicts = (_adjusted(one, factor) for one in (test.supports, test.contradicts))
    verdict = verdict_of([test], supports, contradicts, alpha)
    shown = effect.interval(0.95) if effect.interval else None
    p = _adjusted(min(test.supports, test.contradicts))
    row = {
        "claim": claim.id, "text": claim.text, "literature": claim.grade, "source": claim.source,
        "test": effect.test.name, "contrast": effect.contrast, "task": effect.tasks, "setting": effect.settings,
        "verdict": verdict, "reason": effect.missing or _runs_differ(test, verdict), "delta": effect.delta,
        "low": shown.low if shown else math.nan, "high": shown.high if shown else math.nan,
        "p": p, "p_adjusted": _adjusted(p / 2, factor), "n": effect.n, "n_needed": math.nan, "unit": effect.unit,
        "by_task": _by_task(effect),
        "confounds": "; ".join(effect.confounds), "seeds": max(1, runs.n) if runs else 1,
        "seed_low": runs.low if runs else math.nan, "seed_high": runs.high if runs else math.nan,
        **_graded([test], verdict, p, _adjusted(p / 2, factor), alpha),
    }  # fmt: skip
    # a score by itself is held against the margin: no number of items is sure to tell them apart
    if verdict == "undecided" and not row["reason"] and not effect.test.alone and effect.n > 1 and effect.se >= 0:
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


def _runs_differ(test: Judged, verdict: str) -> str:
    """Why what these weights show is not shown of their stages."""
    runs, effect = test.effect.runs, test.effect
    if verdict != "undecided" or runs is None or all(test.runs):
        return ""
    return f"{runs.n} training runs: {_size(runs.mean, runs.low, runs.high, effect.unit)}"


def _graded(tests: Sequence[Judged], verdict: str, p: float, p_adjusted: float, alpha: float) -> dict[str, str]:
    """The grade of evidence, as of the ledger's effects (`attribution.grades`), with what keeps it from being A."""
    if verdict == "untestable" or math.isnan(p):
        return {"grade": "", "grade_reason": ""}
    if p_adjusted > alpha:
        return {"grade": "C" if p <= alpha else "D", "grade_reason": f"p above α{' after adjustment' * (p <= alpha)}"}
    reasons = [reason for test in tests if (reason := _not_a(test, verdict))]
    return {"grade": "B" if reasons else "A", "grade_reason": "; ".join(dict.fromkeys(reasons))}


def _not_a(test: Judged, verdict: str) -> str:
    """What keeps one test's evidence from being graded A."""
    effect, runs = test.effect, test.effect.runs
    if runs is None or runs.n < SEEDS:
        return "one training run" if runs is None or runs.n < 2 else f"{runs.n} training runs"
    if effect.fixed:
        return f"{effect.fixed} was not trained again"
    if not test.runs[verdict == "contradicted"]:
        return "training runs differ"
    shown = (verdict == "supported") == (effect.test.expect in ("more", "less"))
    if effect.test.relation is None or not shown:
        return ""  # what is within a node, or not there, needs no control
    if effect.control is None:
        return "no control branch"
    agrees = effect.control.low > 0 if effect.delta > 0 else effect.control.high < 0
    return "" if agrees else "against the controls training runs differ"


def _reason(parts: Sequence[dict[str, Any]], verdict: str, lacking: Sequence[str]) -> str:
    if verdict == "untestable":
        held = [part["test"] for part in parts if part["verdict"] == "supported"]
        return "; ".join(dict.fromkeys(lacking)) + (f"; by itself supported: {'; '.join(held)}" if held else "")
    if verdict == "undecided":
        left = [part for part in parts if part["verdict"] != "supported"]
        return "open: " + "; ".join(part["test"] + (f" ({part['reason']})" if part["reason"] else "") for part in left)
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
