"""Tests of claims that rest on another table of the trace: where a gain begins over sizes, what tuning unlocked.

The rows are tests already; here they are put together. Unlocked is what lies above the margin, injected what lies below
it while the parent solves less than half of the new items, as in `attribution.unlock`. Rows of one task speak of the
same items, so that nothing is gained by having several: their differences and the widths of their intervals are
averaged. Other tasks are other items. A bend can support a claim and never refute it: that none is seen shows nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.claims.cells import asked, picked, words_of
from capeval.attribution.claims.estimates import Estimated, together
from capeval.attribution.claims.items import Evidence
from capeval.core import ClaimTest
from capeval.stats.change_point import MIN_SIZES
from capeval.stats.independent import Side
from capeval.stats.one_sided import p_above
from capeval.stats.rates import Interval, normal_quantile
from capeval.stats.unlock import HALF


def estimate_from_table(evidence: Evidence, test: ClaimTest) -> Estimated:
    """The effect of a `bend`, `unlocked` or `injected` test."""
    if not picked(evidence.tree, test.child):
        return Estimated(test=test, missing=f"no stage is {words_of(test.child)}")
    return _bend(evidence, test) if test.form == "bend" else _unlock(evidence, test)


def _bend(evidence: Evidence, test: ClaimTest) -> Estimated:
    """Whether any of the tasks begins to rise at some size: the smallest p, times their number (Bonferroni)."""
    table = evidence.scaling
    meant = {stage.name for stage in picked(evidence.tree, test.child)}
    known = {(one.task, one.name) for one in asked(evidence.tree, evidence.runs[0], evidence.measures[test.measure])}
    rows = [
        row for row in table.to_dict("records")
        if row["axis"] == test.axis and set(str(row["nodes"]).split(", ")) <= meant
        and (row["task"], row["setting"]) in known and not math.isnan(row["p_change"])
    ]  # fmt: skip
    if not rows:
        what = f"fewer than {MIN_SIZES} {test.axis} of stages that are {words_of(test.child)}"
        return Estimated(test=test, missing=f"{what} were asked what measures '{test.measure}'")
    row = min(rows, key=lambda one: one["p_change"])
    rises = row["p_change"] if row["after"] > 0 else 1.0  # a bend that is not certain has no slope after it
    return Estimated(
        test=test, contrast=str(row["nodes"]), tasks=str(row["task"]), settings=str(row["setting"]),
        unit=str(row["unit"]), delta=row["slope"], n=int(row["n"]),
        interval=_around(row["slope"], row["low"], row["high"]),
        given=(min(1.0, len(rows) * rises), 1.0), confounds=tuple(filter(None, [str(row["warning"])])),
    )  # fmt: skip


def _unlock(evidence: Evidence, test: ClaimTest) -> Estimated:
    table = evidence.unlock
    meant = {stage.name for stage in picked(evidence.tree, test.child)}
    tasks = {one.task for one in asked(evidence.tree, evidence.runs[0], evidence.measures[test.measure])}
    rows = table[table["child"].isin(meant) & table["task"].isin(tasks) & table["low"].notna()]
    if test.form == "injected":  # without controls the new items are held against guessing, which can show this alone
        rows = rows.assign(delta=rows["delta"].fillna(rows["share_new"]))
    rows = rows[rows["delta"].notna()]
    if rows.empty:
        return Estimated(test=test, missing="no parent was asked its child's newly solved items in another setting")
    sides = [_side(part) for _, part in rows.groupby("task", sort=False, observed=True)]
    whole, interval = together(sides, [1 / len(sides)] * len(sides), evidence.alpha)
    margin = test.margin if test.margin is not None else float(rows["margin"].max())
    above = p_above(interval, whole.delta, margin)
    lacks = bool((rows["share_new"] < HALF).all())  # what the parent solves mostly when elicited was not put in
    edges = [f"{row['parent']} → {row['child']}" for row in rows.to_dict("records")]
    return Estimated(
        test=test,
        contrast=", ".join(dict.fromkeys(edges)),
        tasks=", ".join(dict.fromkeys(rows["task"])),
        settings=", ".join(dict.fromkeys(rows["elicited"])),
        margin=margin,
        delta=whole.delta,
        se=whole.se,
        p=math.nan,
        n=whole.n,
        interval=interval,
        given=(above, 1 - above) if test.form == "unlocked" else (1 - above if lacks else 1.0, above),
        by_task=tuple(
            (str(task), side.mean, side.interval(0.95))
            for task, side in zip(dict.fromkeys(rows["task"]), sides, strict=True)
        ),
        confounds=tuple(dict.fromkeys(one for text in rows["confounds"] if text for one in str(text).split("; "))),
    )


def _side(rows: pd.DataFrame) -> Side:
    """One task's rows: means of the differences and of both widths, as if they told the same."""
    values = rows[["delta", "low", "high"]].to_numpy(float)
    mean, low, high = (float(value) for value in values.mean(axis=0))
    return Side(mean=mean, n=int(rows["n_new"].max()), interval=_around(mean, low, high))


def _around(estimate: float, low: float, high: float) -> Any:
    """An interval at any level from the 95 % one: its two arms grow as a normal's do."""
    arms = np.array([estimate - low, high - estimate]) / normal_quantile(0.975)

    def interval(level: float) -> Interval:
        z = normal_quantile((1 + level) / 2)
        return Interval(estimate - z * float(arms[0]), estimate + z * float(arms[1]))

    return interval
