"""Tables beside the ledger: what a run scored, how answers were read, how sure nodes are, what they answer at all.

`python -c "from capeval.report.measures import extraction; help(extraction)"`
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from capeval.columns import NO_RUNG
from capeval.report.words import bounds, clean, number

Row = dict[str, Any]
WIDE, HIGH = 120, 36
"""Of a curve's picture, in pixels."""


def scores(table: pd.DataFrame) -> list[Row]:
    """A row for each task and setting of one node, in the metric's own unit."""
    return [
        {
            **{key: clean(row[key]) for key in ("task", "setting", "metric")}, "n": f"{int(row['n']):,}",
            "score": number(row["score"], str(row["unit"])),
            "interval": bounds(row["low"], row["high"], str(row["unit"])),
            "better": {"higher": "higher", "lower": "lower"}.get(str(row["orientation"]), "neither"),
            "chance": number(row["chance"], str(row["unit"])) if row["chance"] else "–",
        }
        for row in table.to_dict("records")
    ]  # fmt: skip


def extraction(rungs: pd.DataFrame) -> list[Row]:
    """A row for each task, setting and node: by every rung its share and score, and the share that none could read."""
    rows = []
    for (task, setting, node), part in rungs.groupby(["task", "setting", "node"], sort=False):
        found = part.sort_values("share", ascending=False).to_dict("records")
        rows.append(
            {
                "task": clean(task), "setting": clean(setting), "node": clean(node),
                "rungs": [
                    {"name": clean(row["rung"]), "share": f"{row['share']:.0%}",
                     "score": number(row["score"], "points")}
                    for row in found if row["rung"] != NO_RUNG
                ],
                "lost": f"{sum(row['share'] for row in found if row['rung'] == NO_RUNG):.0%}",
            }
        )  # fmt: skip
    return rows


def calibration(table: pd.DataFrame) -> list[Row]:
    """A row for each node, task and setting, in points."""
    return [
        {
            **{key: clean(row[key]) for key in ("node", "task", "setting")},
            **{key: number(row[key], "points") for key in ("accuracy", "confidence", "ece", "ece_if_calibrated")},
            "interval": bounds(row["low"], row["high"], "points"), "n": f"{int(row['n']):,}",
            "brier": f"{row['brier']:.3f}", "aurc": f"{row['aurc']:.3f}", **_picture(str(row["curve"])),
        }
        for row in table.to_dict("records")
    ]  # fmt: skip


def _picture(curve: str) -> Row:
    """A risk-coverage curve as an SVG path in a box of WIDE × HIGH, and in words; empty for what is no curve."""
    try:
        points = [(float(x), float(y)) for x, y in json.loads(curve)]
    except (TypeError, ValueError):
        return {"path": "", "words": ""}
    places = [f"{x * WIDE:.1f} {1 + (1 - y) * (HIGH - 2):.1f}" for x, y in points]  # a line at the edge is seen
    words = ", ".join(f"{y:.0%} wrong of the surest {x:.0%}" for x, y in points[:: max(1, len(points) // 4)])
    return {"path": f"M{' L'.join(places)}" if places else "", "words": words}


def abstention(table: pd.DataFrame) -> list[Row]:
    """A row for each node, task and setting: what is answered, and how often that is wrong."""
    return [
        {
            **{key: clean(row[key]) for key in ("node", "task", "setting")},
            "coverage": number(row["coverage"], "points"), "risk": number(row["risk"], "points"),
            "coverage_interval": bounds(row["coverage_low"], row["coverage_high"], "points"),
            "risk_interval": bounds(row["risk_low"], row["risk_high"], "points"), "n": f"{int(row['n']):,}",
        }
        for row in table.to_dict("records")
    ]  # fmt: skip
