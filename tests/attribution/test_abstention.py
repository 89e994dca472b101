"""Coverage and risk from records."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from capeval.attribution.abstention import abstention_table, operating_points
from capeval.attribution.calibration import calibration_table
from capeval.core import TaskSpec
from tests.records import records


def test_an_operating_point_per_node() -> None:
    frame = pd.concat(
        [
            records("base", [0, 0, 0, 0], task="silent"),
            records("base", [1, 0, 0, 1], task="right"),
            records("rlhf", [0, 1, 1, 0], task="silent"),
            records("rlhf", [1, 0, 1, None], task="right"),  # the last has no score: left out
            records("rlhf", [1, 0], task="hopeless", item=["u0", "u1"]),
        ]
    )
    points = operating_points(frame, abstained="silent", correct="right").set_index("node")
    assert points.loc["base", ["n", "answered", "wrong", "coverage", "risk"]].tolist() == [4, 4, 2, 1.0, 0.5]
    assert points.loc["rlhf", ["n", "answered", "wrong"]].tolist() == [3, 1, 0]
    assert points.loc["rlhf", "risk_low"] == 0.0 < points.loc["rlhf", "risk_high"] < 1.0
    whole = operating_points(frame, abstained="silent", correct="right", unanswerable=["hopeless"]).set_index("node")
    assert whole.loc["rlhf", ["n", "answered", "wrong"]].tolist() == [5, 2, 1]
    assert whole.loc["base", "n"] == 4


def test_no_such_task_gives_no_rows() -> None:
    frame = records("base", [0, 1])
    assert operating_points(frame, abstained="silent", correct="right").empty


def test_choices_are_ordered_by_the_probability_of_the_one_taken() -> None:
    def response(*logprobs: float) -> str:
        return json.dumps(list(zip("AB", logprobs, strict=True)))

    frame = records(
        "base",
        [1, 0, 1, 0],
        task="quiz",
        response=[response(-0.1, -5.0), response(-2.0, -2.0), response(-1.0, -3.0), "-3.5"],
        extracted=["A", "A", "A", None],
    )
    quiz = TaskSpec(name="quiz", capability="c", metric="acc", calibration=True)
    (row,) = calibration_table(frame, [quiz]).to_dict("records")  # the one without choices is left out
    assert json.loads(row["curve"]) == [[0.3333, 0.0], [0.6667, 0.0], [1.0, 0.3333]]
    assert (row["n"], row["aurc"], row["aurc_excess"]) == (3, pytest.approx(1 / 9), pytest.approx(0.0))


def test_every_task_that_says_so_has_its_points_and_parts_of_a_score_are_left_out() -> None:
    frame = pd.concat([
        records("base", [0, 1, 0.5], task="silent"), records("base", [1, 0, 1], task="right"),
        records("base", [0, 0], task="hopeless", item=["u0", "u1"]),
    ])  # fmt: skip
    silent = TaskSpec(name="silent", capability="c", metric="m", abstention=("right", "hopeless"))
    (row,) = abstention_table(frame, [silent, replace(silent, name="right", abstention=())]).to_dict("records")
    assert (row["task"], row["n"], row["answered"], row["wrong"]) == ("silent", 4, 3, 2)
    assert abstention_table(frame, []).empty
