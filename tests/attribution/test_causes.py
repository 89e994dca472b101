"""Each cause on planted answers, and the order in which causes are asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from capeval.attribution.causes import CAUSES, READ, cause_of
from capeval.columns import NO_RUNG

PLAIN: dict[str, Any] = {
    "score": 0.0, "flag": "", "finish": "stop", "rung": "", "length": 40.0, "lenient": 0.0, "steps": 3.0,
    "slips": np.nan, "declined": 0.0,
}  # fmt: skip
"""A wrong answer in several steps, with nothing to be seen."""
BARE = PLAIN | {"lenient": np.nan, "steps": np.nan, "declined": np.nan}
"""One whose text nobody looked at."""


def cause(worse: dict[str, Any], **better: Any) -> str:
    ends = [worse, PLAIN | {"score": 1.0, "lenient": 1.0} | better]
    columns = [{name: np.array([end[name]], dtype=object) for name in READ} for end in ends]
    return str(cause_of(*columns)[0])


@pytest.mark.parametrize(
    ("expected", "worse"),
    [
        ("answer", {}),
        ("empty", {"flag": "empty"}),
        ("empty", {"length": 0.0, "steps": 0.0}),
        ("refusal", {"declined": 1.0}),
        ("refusal", {"flag": "refused"}),
        ("format", {"lenient": 1.0}),
        ("format", {"lenient": 1.0, "flag": "unextracted"}),
        ("format", {"score": 0.4, "lenient": 0.9}),
        ("format", {"lenient": 1.0, "rung": NO_RUNG}),
        ("truncation", {"flag": "truncated"}),
        ("truncation", {"finish": "length"}),
        ("truncation", {"flag": "unextracted"}),  # it reasoned, and never came to an answer
        ("slip", {"slips": 1.0}),
        ("answer", {"slips": 0.0}),
        ("reasoning", {"steps": 0.0}),
        ("unknown", {"steps": 0.0, "flag": "unextracted", "better": {"steps": 0.0}}),
    ],
)
def test_each_cause(expected: str, worse: dict[str, Any]) -> None:
    better = worse.pop("better", {})
    assert cause(PLAIN | worse, **better) == expected


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"flag": "empty"}, {"declined": 1.0}),
        ({"declined": 1.0}, {"lenient": 1.0}),
        ({"lenient": 1.0}, {"finish": "length"}),
        ({"finish": "length"}, {"slips": 2.0}),
        ({"slips": 2.0}, {"steps": 0.0}),
        ({"steps": 0.0}, {}),
    ],
)
def test_the_first_cause_that_holds_is_the_cause(first: dict[str, Any], then: dict[str, Any]) -> None:
    assert cause(PLAIN | then | first) == cause(PLAIN | first)


def test_no_reasoning_needs_a_better_end_that_reasons() -> None:
    assert cause(PLAIN | {"steps": 0.0}, steps=1.0) == "answer"
    assert cause(PLAIN | {"steps": 0.0}, steps=np.nan) == "answer"


def test_what_nobody_read_is_unknown_unless_it_is_a_choice() -> None:
    assert cause(BARE) == "unknown"
    assert cause(BARE | {"flag": "unextracted"}) == "unknown"
    assert cause(BARE | {"length": np.nan, "finish": ""}) == "answer"  # by log-probability: another choice


def test_no_flips_have_no_causes() -> None:
    none = {name: np.array([], dtype=object) for name in READ}
    assert cause_of(none, none).tolist() == []
    assert len(set(CAUSES)) == 8
