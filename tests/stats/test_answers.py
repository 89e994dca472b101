"""The three answers of an effect and of a gate."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capeval.core import ANSWERS
from capeval.stats.answers import decide, inside_margin
from capeval.stats.gates import gate_status

NUMBER = st.one_of(st.floats(-1, 1), st.just(math.nan))


def ask(**changed):
    case = {"delta": 0.1, "p_adjusted": 0.01, "low_equivalence": 0.02, "high_equivalence": 0.18, "margin": 0.02}
    return decide(**(case | changed))


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({}, "gained"),
        ({"delta": -0.1}, "lost"),
        ({"orientation": "lower"}, "lost"),
        ({"delta": -0.1, "orientation": "lower"}, "gained"),
        ({"orientation": "none"}, "gained"),
        ({"p_adjusted": 0.05}, "gained"),
        ({"p_adjusted": 0.0501}, "cant_tell"),
        # significant and negligible: still gained
        ({"delta": 0.01, "low_equivalence": 0.005, "high_equivalence": 0.015}, "gained"),
        ({"p_adjusted": 0.4, "low_equivalence": -0.01, "high_equivalence": 0.019}, "equivalent"),
        ({"p_adjusted": 0.4, "low_equivalence": -0.01, "high_equivalence": 0.02}, "cant_tell"),
        ({"p_adjusted": 0.4, "low_equivalence": -0.01, "high_equivalence": 0.019, "margin": math.nan}, "cant_tell"),
        ({"p_adjusted": math.nan}, "cant_tell"),
        ({"delta": math.nan}, "cant_tell"),
        ({"p_adjusted": 0.4, "low_equivalence": math.nan}, "cant_tell"),
        ({"p_adjusted": 0.02, "alpha": 0.01}, "cant_tell"),
    ],
)
def test_decide(changed, answer):
    assert ask(**changed) == answer


@given(NUMBER, st.one_of(st.floats(0, 1), st.just(math.nan)), NUMBER, NUMBER, NUMBER)
def test_decide_always_answers_and_mirrors(delta, p, low, high, margin):
    answer = decide(delta=delta, p_adjusted=p, low_equivalence=low, high_equivalence=high, margin=margin)
    mirrored = decide(delta=-delta, p_adjusted=p, low_equivalence=-high, high_equivalence=-low, margin=margin)
    assert answer in ANSWERS
    assert mirrored == {"gained": "lost", "lost": "gained"}.get(answer, answer)


def test_inside_margin():
    assert inside_margin(-0.01, 0.01, 0.02)
    assert not inside_margin(-0.02, 0.01, 0.02)
    assert not inside_margin(math.nan, 0.01, 0.02)


@pytest.mark.parametrize(
    ("low", "high", "p", "strict", "status"),
    [
        (-0.01, 0.03, 0.6, False, "pass"),
        (-0.02, 0.03, 0.6, False, "inconclusive"),
        (-0.30, -0.05, 0.001, False, "fail"),
        (-0.30, -0.05, 0.06, False, "inconclusive"),
        (-0.30, -0.01, 0.001, False, "inconclusive"),
        (-0.30, -0.01, 0.001, True, "fail"),
        # a shown loss inside the margin
        (-0.015, -0.005, 0.001, False, "pass"),
        (-0.015, -0.005, 0.001, True, "fail"),
        (0.05, 0.30, 0.001, True, "pass"),
        (math.nan, math.nan, 1.0, False, "inconclusive"),
        (-0.30, -0.05, math.nan, False, "inconclusive"),
    ],
)
def test_gate(low, high, p, strict, status):
    assert gate_status(low=low, high=high, p_holm=p, margin=0.02, strict=strict) == status
