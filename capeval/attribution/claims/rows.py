"""The rows of the claims ledger: a claim, then its tests, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from capeval.attribution.claims.estimates import Estimated
from capeval.attribution.claims.verdicts import Judged, adjusted, verdict_of
from capeval.attribution.grades import SEEDS
from capeval.attribution.sentences import amount, bare, interval_text, p_text, round_up
from capeval.core import Claim
from capeval.stats.power import items_for_margin


def claim_rows(
    claim: Claim, tests: Sequence[Judged], p: float, p_adjusted: float, alpha: float
) -> Iterator[dict[str, Any]]:
    """The claim's row, then its tests'."""
    factor = p_adjusted / p if p else 1.0  # p of 0 stays 0 whatever the family
    parts = [_test_row(claim, test, factor, alpha) for test in tests]
    verdict = verdict_of(tests, factor, alpha)
    lacking = [test.effect.missing for test in tests if test.effect.missing]
    if lacking and verdict != "contradicted":
        verdict = "untestable"
    telling = _telling(parts, verdict)
    row = telling | {
        "test": "claim", "verdict": verdict, "p": p, "p_adjusted": p_adjusted,
        "reason": _reason(parts, telling, verdict, lacking),
        "n_needed": max((part["n_needed"] for part in parts if part["verdict"] == "undecided"), default=math.nan)
        if verdict == "undecided" else math.nan,
        **_graded([test for test, part in zip(tests, parts, strict=True)
                   if verdict != "contradicted" or part["verdict"] == verdict], verdict, p, p_adjusted, alpha),
        "confounds": _joined(part["confounds"] for part in parts),
    }  # fmt: skip
    yield row | {"sentence": _sentence(row)}
    yield from parts


def _joined(confounds: Iterable[str]) -> str:
    """Each once, though several tests share it."""
    return "; ".join(dict.fromkeys(one for text in confounds if text for one in text.split("; ")))


def _telling(parts: Sequence[dict[str, Any]], verdict: str) -> dict[str, Any]:
    """The test that the claim's row quotes: the one that refutes it, leaves it open, or supports it least."""
    same = [part for part in parts if part["verdict"] == verdict] or list(parts)
    pick = min if verdict == "contradicted" else max
    return dict(pick(same, key=lambda part: part["p"] if not math.isnan(part["p"]) else 2.0))


def _test_row(claim: Claim, test: Judged, factor: float, alpha: float) -> dict[str, Any]:
    effect, runs = test.effect, test.effect.runs
    verdict = verdict_of([test], factor, alpha)
    shown = effect.interval(0.95) if effect.interval else None
    p = adjusted(min(test.supports, test.contradicts))
    row = {
        "claim": claim.id, "text": claim.text, "literature": claim.grade, "source": claim.source,
        "test": effect.test.name, "contrast": effect.contrast, "task": effect.tasks, "setting": effect.settings,
        "verdict": verdict, "reason": effect.missing or _held_open(test, verdict), "delta": effect.delta,
        "low": shown.low if shown else math.nan, "high": shown.high if shown else math.nan,
        "p": p, "p_adjusted": adjusted(p / 2, factor), "n": effect.n, "n_needed": math.nan, "unit": effect.unit,
        "by_task": _by_task(effect),
        "confounds": "; ".join([*effect.confounds, *_of_form(effect)]), "seeds": max(1, runs.n) if runs else 1,
        "seed_low": runs.low if runs else math.nan, "seed_high": runs.high if runs else math.nan,
        **_graded([test], verdict, p, adjusted(p / 2, factor), alpha),
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
    return f"{bare(delta, unit)} {interval_text(low, high, unit)}"


def _held_open(test: Judged, verdict: str) -> str:
    """Why what these weights show, or this form of answers, is not shown of their stages' capability."""
    runs, effect, said = test.effect.runs, test.effect, []
    if verdict == "undecided" and runs is not None and not all(test.runs):
        said.append(f"{runs.n} training runs: {_size(runs.mean, runs.low, runs.high, effect.unit)}")
    if verdict == "undecided" and not all(test.form):
        said += _of_form(effect)
    return "; ".join(said)


def _of_form(effect: Estimated) -> list[str]:
    """What the effect is where the form of answers is forgiven, if that is another one."""
    lenient = effect.forgiven
    if lenient is None or lenient.interval is None:
        return []
    ends = lenient.interval(0.95)
    return [f"with the form of answers forgiven {_size(lenient.delta, ends.low, ends.high, effect.unit)}"]


def _graded(tests: Sequence[Judged], verdict: str, p: float, p_adjusted: float, alpha: float) -> dict[str, str]:
    """The grade of evidence, as of the ledger's effects (`attribution.grades`), with what keeps it from being A."""
    if verdict == "untestable" or math.isnan(p):
        return {"grade": "", "grade_reason": ""}
    if p_adjusted > alpha:
        return {"grade": "C" if p <= alpha else "D", "grade_reason": f"p above α{' after adjustment' * (p <= alpha)}"}
    reasons = [reason for test in tests if (reason := _not_a(test, verdict))]
    if verdict == "undecided":  # shown of these weights, or in this form, and not of the stage's capability
        return {"grade": "D", "grade_reason": "; ".join(dict.fromkeys(reasons))}
    return {"grade": "B" if reasons else "A", "grade_reason": "; ".join(dict.fromkeys(reasons))}


def _not_a(test: Judged, verdict: str) -> str:
    """What keeps one test's evidence from being graded A."""
    effect, runs = test.effect, test.effect.runs
    asked = 1 if verdict == "contradicted" or test.supports > test.contradicts else 0
    if not test.form[asked]:
        return "hinges on the form of answers"
    if not test.runs[asked]:
        return "training runs differ"
    if runs is None or runs.n < SEEDS:
        return "one training run" if runs is None or runs.n < 2 else f"{runs.n} training runs"
    if effect.forgiven:
        return "the form of answers moves it"
    if effect.fixed:
        return f"{effect.fixed} was not trained again"
    shown = (verdict == "supported") == (effect.test.expect in ("more", "less"))
    if effect.test.relation is None or not shown:
        return ""  # what is within a node, or not there, needs no control
    if effect.control is None:
        return "no control branch"
    agrees = effect.control.low > 0 if effect.delta > 0 else effect.control.high < 0
    return "" if agrees else "against the controls training runs differ"


def _reason(parts: Sequence[dict[str, Any]], telling: Mapping[str, Any], verdict: str, lacking: Sequence[str]) -> str:
    if verdict == "untestable":
        held = [part["test"] for part in parts if part["verdict"] == "supported"]
        return "; ".join(dict.fromkeys(lacking)) + (f"; by itself supported: {'; '.join(held)}" if held else "")
    if verdict == "undecided":
        left = [part for part in parts if part["verdict"] != "supported"]
        return "open: " + "; ".join(part["test"] + (f" ({part['reason']})" if part["reason"] else "") for part in left)
    if verdict == "contradicted":
        return "against it: " + "; ".join(part["test"] for part in parts if part["verdict"] == "contradicted")
    return f"least sure: {telling['test']}" if len(parts) > 1 else ""


def _sentence(row: Mapping[str, Any]) -> str:
    """A row of the claims ledger in words."""
    name = row["claim"] if row["test"] == "claim" else row["test"]
    if row["verdict"] == "untestable":
        return f"{name}: untestable: {row['reason']}."
    unit = str(row["unit"])
    size = f"{amount(row['delta'], unit)} {interval_text(row['low'], row['high'], unit)}"
    text = f"{name}: {row['verdict']}: {size}, {p_text(row['p_adjusted'])} adjusted, n = {int(row['n']):,}"
    if row["verdict"] == "undecided" and math.isfinite(row["n_needed"]):
        text += f"; about {round_up(row['n_needed']):,} items would tell the margin"
    return f"{text}; confounded: {row['confounds']}." if row["confounds"] else f"{text}."
