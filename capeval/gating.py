"""effects → verdicts: did the candidate lose something? Three answers, because a coin toss is not a test.

    capeval gate --baseline runs/main-cot --candidate runs/pr-cot --margin 0.02

Each task × setting is one rule; all rules of a gate are one Holm family. pass: the loss is smaller than the margin;
fail: the loss is real and larger than the margin (`strict`: real at all); inconclusive: these items can't tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from capeval.attribution.effects import ALPHA, items_needed
from capeval.attribution.sentences import amount, interval_text, p_text, round_up
from capeval.core import SUMMARIES, Verdict
from capeval.errors import EXIT_INCONCLUSIVE, EXIT_PASS, EXIT_REGRESSION, PairingError, UsageError
from capeval.stats.gates import gate_status
from capeval.stats.multiplicity import holm
from capeval.store.runs import Run, load_run
from capeval.tracer import compare

Status = Literal["pass", "fail", "inconclusive"]
SMALLEST_MARGIN = 1e-4
"""A hundredth of a point: below it no benchmark has enough items."""
MAX_DROPPED = 0.05
"""Above this share of items without a pair nothing is judged: what is missing may be what was lost."""
EXIT_CODES: dict[Status, int] = {"pass": EXIT_PASS, "fail": EXIT_REGRESSION, "inconclusive": EXIT_INCONCLUSIVE}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """What a gate tolerates."""

    margin: float | None = None
    """Largest loss that is tolerated, in the score's unit (0.02 = 2 points); None: each task's own margin."""
    alpha: float = ALPHA
    strict: bool = False
    """Fail on any loss that is certain, also one inside the margin."""
    allow_different_shots: bool = False
    noise: tuple[str | Path, ...] = ()
    """Noise floors to show beside every rule; those beside the runs by default. They change no verdict."""


def gate(baseline: Run | str | Path, candidate: Run | str | Path, options: GateOptions | None = None) -> list[Verdict]:
    """Judge every task × setting that both runs were asked.

    Returns:
        One verdict per rule; `overall` sums them up.

    Raises:
        UsageError: a margin that is not above 0.
        PairingError: nothing to compare.
    """
    options = options or GateOptions()
    if options.margin is not None and not SMALLEST_MARGIN <= options.margin < 1:
        raise UsageError(f"--margin must lie between {SMALLEST_MARGIN} and 1 (0.02 = 2 points); it is {options.margin}")
    asked = baseline if isinstance(baseline, Run) else load_run(baseline)
    effects = compare(
        baseline, candidate, allow_different_shots=options.allow_different_shots, alpha=options.alpha,
        noise=options.noise,
    ).effects  # fmt: skip
    rules = effects[(effects["kind"] == "edge") & (effects["orientation"] != "none")]
    # a subset's items are the task's own, and so are a summary's settings: judging both would count them twice
    rules = rules[~rules["setting"].isin(list(SUMMARIES))]
    rows = [{str(k): v for k, v in r.items()} for r in rules.to_dict("records") if ":" not in str(r["task"])]
    if not rows:
        raise PairingError("the two runs share no task with a better end; there is nothing to gate")
    adjusted = holm([row["p"] if _readable(row) else float("nan") for row in rows])
    judged = [_verdict(row | {"p_adjusted": p}, options) for row, p in zip(rows, adjusted, strict=True)]
    return judged + _unasked(asked, {(row["task"], row["setting"]) for row in rows})


def _unasked(baseline: Run, judged: set[tuple[str, str]]) -> list[Verdict]:
    """What the baseline was asked and the candidate was not: silence is no pass."""
    gated = {task.name for task in baseline.tasks if task.orientation != "none"}
    asked = dict.fromkeys(zip(baseline.records["task"], baseline.records["setting"], strict=True))
    return [
        Verdict(rule=f"{task} ({setting})", status="inconclusive", reason="the candidate was not asked this", effect={})
        for task, setting in asked
        if task in gated and (task, setting) not in judged
    ]


def overall(verdicts: Sequence[Verdict]) -> Status:
    """fail if any rule fails, else inconclusive if any is, else pass."""
    statuses = {v.status for v in verdicts}
    return "fail" if "fail" in statuses else "inconclusive" if "inconclusive" in statuses else "pass"


def _readable(row: dict[str, Any]) -> bool:
    """Whether the ledger could say anything at all; a negligible effect is one that it did tell."""
    return row["reason"] in ("", "negligible")


def _verdict(row: dict[str, Any], options: GateOptions) -> Verdict:
    margin = options.margin if options.margin is not None and row["unit"] == "points" else row["margin"]
    row["margin"] = margin
    rule = f"{row['task']} ({row['setting']}): no loss of more than {amount(margin, row['unit'], signed=False)}"
    if not _readable(row):
        return Verdict(rule=rule, status="inconclusive", reason=f"can't tell: {row['reason']}", effect=row)
    if row["dropped"] > MAX_DROPPED * (row["n"] + row["dropped"]):
        reason = f"only {int(row['n'])} of {int(row['n'] + row['dropped'])} items have a score at both ends"
        return Verdict(rule=rule, status="inconclusive", reason=reason, effect=row)
    low, high = row["low_equivalence"], row["high_equivalence"]
    if row["orientation"] == "lower":
        low, high = -high, -low
    status = gate_status(
        low=low, high=high, p_holm=row["p_adjusted"], margin=margin, alpha=options.alpha, strict=options.strict
    )
    return Verdict(rule=rule, status=status, reason=_reason(row, status, options.alpha), effect=row)


def _reason(row: dict[str, Any], status: Status, alpha: float) -> str:
    unit = row["unit"]
    bounds = interval_text(row["low_equivalence"], row["high_equivalence"], unit)
    text = (
        f"{amount(row['delta'], unit)}, {100 * (1 - 2 * alpha):g} % interval {bounds}, "
        f"Holm {p_text(row['p_adjusted'])}, n = {int(row['n'])}"
    )
    if row["confounds"]:
        text += f"; confounded: {row['confounds']}"
    if row["noise"]:
        text += f"; {row['noise']}"
    if status != "inconclusive":
        return text
    needed = items_needed(row["se"], int(row["n"]), row["margin"], alpha=alpha)
    more = f"; about {round_up(needed):,} items would tell this margin" if math.isfinite(needed) else ""
    return f"{text}; {int(row['n'])} items can't tell{more}"
