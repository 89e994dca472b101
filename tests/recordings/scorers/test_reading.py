"""SQuAD v2 and DROP against their official examples and other implementations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capeval.recordings.scorers import score
from capeval.recordings.scorers.reading import drop_metrics, normalise_drop, normalise_squad


def test_squad_normalisation_of_the_official_script() -> None:
    assert normalise_squad("The  Quick, brown fox's A-team!") == "quick brown foxs ateam"


@pytest.mark.parametrize(
    ("output", "gold", "em", "f1"),
    [
        ("Scotland's oil\n\nTitle: next", ["It's Scotland's oil", '"Scotland\'s oil"'], 1.0, 1.0),
        ("Not in background", ["Not in background."], 1.0, 1.0),
        ("in the year 1066", ["1066"], 0.0, 0.5),
        ("the cat sat", ["cat sat down there"], 0.0, 2 * (2 / 2) * (2 / 4) / (2 / 2 + 2 / 4)),
        ("the", ["a"], 1.0, 1.0),  # both empty after normalisation
    ],
)
def test_squad(output: str, gold: list[str], em: float, f1: float) -> None:
    assert score("squadv2_em", output, gold).score == em
    assert score("squadv2_f1", output, gold).score == pytest.approx(f1)


WORDS = st.text(alphabet="aAthe bB.,'-1", max_size=20)


@settings(deadline=None)
@given(answer=WORDS.filter(str.strip), gold=WORDS)
def test_squad_agrees_with_another_implementation(answer: str, gold: str) -> None:
    oracle = pytest.importorskip("transformers.data.metrics.squad_metrics")
    assert score("squadv2_em", answer, [gold]).score == oracle.compute_exact(gold, answer.strip())
    assert score("squadv2_f1", answer, [gold]).score == pytest.approx(oracle.compute_f1(gold, answer.strip()))


@pytest.mark.parametrize(
    ("answer", "gold", "em", "f1"),
    [  # examples of the official script's own test
        ("Green bay packers", "Green bay packers", 1.0, 1.0),
        ("Green bay", "Green bay packers", 0.0, 0.8),
        ("The Green Bay Packers!", "green-bay packers", 1.0, 1.0),
        ("6", "six", 0.0, 0.0),
        ("7-yard", "7 yards", 0.0, 0.5),
        ("5.0", "5", 1.0, 1.0),
        ("3 yards", "4 yards", 0.0, 0.0),  # the gold number is missing: no partial credit
        (["John", "Mary"], ["Mary", "John"], 1.0, 1.0),
        (["John"], ["Mary", "John"], 0.0, 0.5),
    ],
)
def test_drop(answer: Any, gold: Any, em: float, f1: float) -> None:
    assert drop_metrics(answer, gold) == (em, f1)


SPANS = st.lists(st.text(alphabet="ab1 .-,%2THEthe", min_size=1, max_size=12), min_size=1, max_size=3)


@settings(deadline=None)
@given(answer=SPANS, gold=SPANS)
def test_drop_agrees_with_lm_eval(answer: list[str], gold: list[str]) -> None:
    oracle = pytest.importorskip("lm_eval.tasks.drop.utils")
    em, f1 = oracle.get_metrics(answer, gold)
    assert drop_metrics(answer, gold) == (em, pytest.approx(float(f1)))


def test_drop_takes_the_best_of_the_references_between_bars() -> None:
    assert score("drop_f1", "Cincinnati Bengals", "Bengals|Cincinnati Bengals").score == 1.0
    assert score("drop_em", "7761 dollars", "7761").score == 0.0
    assert score("drop_f1", "7761 dollars", "7761").score == pytest.approx(0.67)
    assert normalise_drop("The 3-yard 12.50 run") == "3.0 yard 12.5 run"
