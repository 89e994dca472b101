"""Is a model right as often as it is sure? One row per task and setting of multiple choice, from stored records.

>>> calibration_table(records, suite.tasks)[["task", "accuracy", "confidence", "ece", "ece_if_calibrated"]]
...                                                                                             # doctest: +SKIP

The confidence is the share of probability that the taken choice has among the choices. Only tasks whose score says
right or wrong can be calibrated: a score that is no 0 or 1, or that is never better or worse (a stereotype), is not.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator

import numpy as np
import pandas as pd

from capeval.columns import CALIBRATION_COLUMNS
from capeval.core import TaskSpec
from capeval.stats.calibration import adaptive_ece, ece_if_calibrated, ece_interval, top_label_brier
from capeval.stats.selective import aurc, excess_aurc, risk_coverage

_POINTS = 40
"""Of a curve, at most."""


def calibration_table(records: pd.DataFrame, tasks: Iterable[TaskSpec]) -> pd.DataFrame:
    """Calibration of every node, task and setting that has choices.

    Args:
        records: Rows with `columns.RECORD_COLUMNS`, with or without `node`.
        tasks: What is known of the tasks; those that don't say `calibration` are left out.

    Returns:
        A frame with `CALIBRATION_COLUMNS`, possibly without rows.
    """
    specs = {task.name: task for task in tasks if task.calibration}
    chosen = records[records["task"].isin(list(specs))].copy()
    chosen["confidence"] = [
        confidence(said, taken) for said, taken in zip(chosen["response"], chosen["extracted"], strict=True)
    ]
    chosen = chosen[chosen["confidence"].notna() & chosen["score"].isin((0.0, 1.0))]
    rows = list(_rows(chosen if "node" in chosen else chosen.assign(node=""), specs))
    return pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS))


def confidence(response: object, taken: object) -> float:
    """Probability of the taken choice among the choices; NaN for a record that isn't about choices.

    >>> confidence('[["yes", -0.5], ["no", -0.5]]', "yes")
    0.5

    Args:
        response: A record's `response`: JSON list of [choice, log-probability].
        taken: Its `extracted`; the first of several choices with this text counts.
    """
    try:
        choices, logprobs = zip(*json.loads(str(response)), strict=True)
        values = np.exp(np.array(logprobs, dtype=float) - max(logprobs))
        return float(values[choices.index(taken)] / values.sum())
    except (ValueError, TypeError):
        return float("nan")


def _rows(records: pd.DataFrame, specs: dict[str, TaskSpec]) -> Iterator[dict[str, Hashable]]:
    for (node, task, setting), part in records.groupby(["node", "task", "setting"], sort=False):
        sure, right = part["confidence"].to_numpy(float), part["score"].to_numpy(float)
        clusters = part["cluster"].to_numpy(dtype=object)
        interval = ece_interval(sure, right, clusters=clusters if specs[str(task)].cluster_role == "sampled" else None)
        yield {
            "node": node, "task": task, "setting": setting, "n": len(part),
            "accuracy": float(right.mean()), "confidence": float(sure.mean()),
            "brier": top_label_brier(sure, right), "ece": adaptive_ece(sure, right),
            "low": interval.low, "high": interval.high, "ece_if_calibrated": ece_if_calibrated(sure),
            "aurc": aurc(sure, 1 - right), "aurc_excess": excess_aurc(sure, 1 - right),
            "curve": _curve(sure, 1 - right),
        }  # fmt: skip


def _curve(sure: np.ndarray, wrong: np.ndarray) -> str:
    """The risk-coverage curve at evenly spaced coverages, as many as a small picture can show."""
    found = risk_coverage(sure, wrong)
    places = np.unique(
        np.searchsorted(found.coverage, np.linspace(1 / _POINTS, 1, _POINTS)).clip(max=len(found.risk) - 1)
    )
    return json.dumps([[round(float(found.coverage[i]), 4), round(float(found.risk[i]), 4)] for i in places])
