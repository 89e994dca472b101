"""TAT-QA's rules, with the test cases of the official metric."""

from __future__ import annotations

from typing import Any

import pytest

from capeval.recordings.scorers import score
from capeval.recordings.scorers.tatqa import reads_as_number, to_number

TATQA = [  # the test cases of the official metric: gold, its scale, its type, answer, its scale, EM, F1
    (["here is, a test"], "", "span", "here is, a test", "", 1, 1),
    (["1234.1"], "million", "span", "1234.1", "thousand", 0, 0),
    (["12314.1"], "million", "span", "12314.1", "million", 1, 1),
    (["singapore", "china", "usa"], "", "multi-span", ["china", "singapore", "usa"], "", 1, 1),
    (["singapore", "china", "usa"], "", "multi-span", ["china", "singapore"], "", 0, 0.8),
    (123.2, "million", "arithmetic", "123.2", "", 0, 0),
    (123.2, "million", "arithmetic", "123200000", "", 1, 1),
    (123.2, "", "arithmetic", "123.2010", "", 1, 1),
    (123.22, "", "arithmetic", "123.2", "", 0, 0),
    (5, "", "count", "5", "", 1, 1),
    (22.12, "percent", "arithmetic", "0.2212", "", 1, 1),
    (22.12, "percent", "arithmetic", "0.22121", "percent", 0, 0),
    (22.12, "percent", "arithmetic", "22.1231", "", 0, 0),
    (22.12, "percent", "arithmetic", "22.1231", "percent", 1, 1),
    ([22.12], "million", "span", "22.12", "", 0, 0),
    (22.12, "million", "arithmetic", "test", "", 0, 0),
    (22.12, "million", "arithmetic", ["1", "2"], "", 0, 0),
    ([22.12], "percent", "span", "-22.12", "", 0, 0),
    ([22.12], "percent", "span", "22.12%", "", 1, 1),
    ([22.12], "", "span", "22.12%", "", 0, 0),
    ([22.12], "million", "span", "$22.12", "", 0, 0),
    (["$1.0 million"], "", "span", ["['$1.0 million']"], "", 1, 1),
    ([22.12], "", "span", "$22.12", "", 1, 1),
    ([22.12], "percent", "span", "22.12%", "percent", 1, 1),
    (["$23,234", "$234.12"], "", "multi-span", ["234.12", "23,234"], "", 1, 1),
    (["34.12"], "percent", "arithmetic", ["0.3412"], "", 1, 1),
]


@pytest.mark.parametrize(("gold", "gold_scale", "kind", "answer", "scale", "em", "f1"), TATQA)
def test_tatqa(gold: Any, gold_scale: str, kind: str, answer: Any, scale: str, em: float, f1: float) -> None:
    reference = {"answer": gold, "scale": gold_scale, "answer_type": kind}
    assert score("tatqa_em", {"answer": answer, "scale": scale}, reference).score == em
    assert score("tatqa_f1", {"answer": answer, "scale": scale}, reference).score == f1


def test_tatqa_reads_the_scale_in_the_answer() -> None:
    gold = {"answer": ["$1,496.5"], "scale": "million"}
    assert score("tatqa_em", "$1,496.5 million", gold).score == 1.0
    assert score("tatqa_em", "1,496,500 thousand", gold).score == 1.0
    assert score("tatqa_em", "$1,496.5", gold).score == 0.0
    assert score("tatqa_em", "", gold).flag == "empty"


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.3 million", 2.3e6), ("-2.3 thousand", -2300), ("205 billion", 205e9), ("(134.12)", -134.12), ("18.3%", 0.183),
     ("-1,210 million", -1.21e9), (".5", None), ("none", None)],
)  # fmt: skip
def test_tatqa_numbers(text: str, value: float | None) -> None:
    assert to_number(text) == value
    assert reads_as_number("$124") and not reads_as_number("12 apples")
