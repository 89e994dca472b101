"""Is what a node answers worth answering? Coverage and risk of every node, from records.

An abstention in words ("I don't know") gives one operating point, from tasks that score the same answers by whether
they abstain and by whether they are right. The curve that the probabilities of choices give is in `calibration`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from capeval.columns import ABSTENTION_COLUMNS
from capeval.core import TaskSpec
from capeval.stats.selective import operating_point

_KEYS = ["node", "setting", "item"]
POINT_COLUMNS = tuple(column for column in ABSTENTION_COLUMNS if column != "task")


def abstention_table(records: pd.DataFrame, tasks: Iterable[TaskSpec]) -> pd.DataFrame:
    """The operating points of all tasks that say what an abstention saves (`TaskSpec.abstention`).

    Args:
        records: Columns of `columns.RECORD_COLUMNS` with `node` in front.
        tasks: What is known of the tasks.

    Returns:
        Columns of `columns.ABSTENTION_COLUMNS`, possibly without rows.
    """
    frames = []
    for spec in tasks:
        if spec.abstention:
            correct, *unanswerable = spec.abstention
            found = operating_points(records, abstained=spec.name, correct=correct, unanswerable=unanswerable)
            frames.append(found.assign(task=spec.name))
    return pd.concat(frames)[list(ABSTENTION_COLUMNS)] if frames else pd.DataFrame(columns=list(ABSTENTION_COLUMNS))


def operating_points(
    records: pd.DataFrame, *, abstained: str, correct: str, unanswerable: Sequence[str] = ()
) -> pd.DataFrame:
    """Coverage and risk of every node and setting, an answer an item (sample 0).

    Args:
        records: Columns of `columns.RECORD_COLUMNS` with `node` in front.
        abstained: Task whose score is 1 where the answer abstains.
        correct: Task of the same items whose score is 1 where the answer is right.
        unanswerable: Tasks scored like `abstained` whose items have no answer: any answer to them is wrong.

    Returns:
        Columns of `POINT_COLUMNS`; items that lack either score, or have a part of one, are left out, and so are nodes
        without items.
    """
    first = records[(records["sample"] == 0) & records["score"].isin((0.0, 1.0))]
    silent, right = (first[first["task"] == task].set_index(_KEYS)["score"] for task in (abstained, correct))
    both = pd.concat([silent.rename("silent"), right.rename("right")], axis=1, join="inner")
    hopeless = first[first["task"].isin(list(unanswerable))].set_index(_KEYS)["score"]
    frame = pd.concat([both, hopeless.rename("silent").to_frame().assign(right=0.0)]).reset_index()
    rows = []
    for (node, setting), part in frame.groupby(["node", "setting"], sort=False, observed=True):
        point = operating_point(1 - part["silent"].to_numpy(float), 1 - part["right"].to_numpy(float))
        rows.append(
            {
                "node": node, "setting": setting, "n": point.n, "answered": point.answered, "wrong": point.wrong,
                "coverage": point.coverage, "risk": point.risk,
                "coverage_low": point.coverage_interval.low, "coverage_high": point.coverage_interval.high,
                "risk_low": point.risk_interval.low, "risk_high": point.risk_interval.high,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(POINT_COLUMNS))
