from __future__ import annotations

from dataclasses import replace

import pandas as pd

from capeval.columns import ABSTENTION_COLUMNS, CALIBRATION_COLUMNS, RUNG_COLUMNS
from capeval.report.measures import abstention, calibration, extraction
from capeval.report.page import render
from capeval.store.traces import Trace

RUNGS = pd.DataFrame(
    [
        ("base", "sums", "cot", "strict", 30, 0.3, 0.9),
        ("base", "sums", "cot", "not found", 10, 0.1, 0.0),
        ("base", "sums", "cot", "last", 60, 0.6, 0.2),
    ],
    columns=list(RUNG_COLUMNS),
)
CALIBRATION = pd.DataFrame([("base", "mmlu", "0-shot", 100, 0.5, 0.8, 0.21, 0.3, 0.2, 0.4, 0.08, 0.31, 0.2,
                             "[[0.5, 0.2], [1.0, 0.5]]")],
                           columns=list(CALIBRATION_COLUMNS))  # fmt: skip
ABSTENTION = pd.DataFrame([("base", "known", "asked", 50, 40, 10, 0.8, 0.7, 0.9, 0.25, 0.1, 0.4)],
                          columns=list(ABSTENTION_COLUMNS))  # fmt: skip


def test_rungs_are_told_by_share_and_what_none_found_apart() -> None:
    [row] = extraction(RUNGS)
    assert row["rungs"] == [
        {"name": "last", "share": "60%", "score": "20.0"},
        {"name": "strict", "share": "30%", "score": "90.0"},
    ]
    assert row["lost"] == "10%"


def test_numbers_are_shown_in_points() -> None:
    [row] = calibration(CALIBRATION)
    assert (row["accuracy"], row["ece"], row["interval"], row["brier"]) == ("50.0", "30.0", "[20.0, 40.0]", "0.210")
    assert (row["aurc"], row["path"]) == ("0.310", "M60.0 28.2 L120.0 18.0")
    assert row["words"].startswith("20% wrong of the surest 50%")
    [row] = calibration(CALIBRATION.assign(curve="<script>"))
    assert row["path"] == ""
    [row] = abstention(ABSTENTION)
    assert (row["coverage"], row["risk"], row["n"]) == ("80.0", "25.0", "50")


def test_the_page_shows_them_escaped_and_only_when_there_are_any(trace: Trace) -> None:
    assert 'id="measures"' not in render(trace)
    alone = render(replace(trace, tree=replace(trace.tree, stages=trace.tree.stages[:1])))
    assert "Scores, and what is behind them" in alone and "records.parquet" in alone
    hostile = "<img src=x onerror=alert(1)>"
    rungs = RUNGS.assign(task=hostile, rung=["strict", "not found", hostile])
    page = render(replace(trace, rungs=rungs, calibration=CALIBRATION, abstention=ABSTENTION))
    assert "<img" not in page and "&lt;img src=x" in page
    for title in (
        "How answers were found",
        "How sure, against how right",
        "What it answers, and how often it is wrong",
    ):
        assert title in page
