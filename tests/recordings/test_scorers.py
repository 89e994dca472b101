"""What every scorer promises; each rule has its own tests in scorers/."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capeval.columns import FLAGS
from capeval.errors import UsageError
from capeval.recordings.scorers import SCORERS, score

TEXT_SCORERS = [
    "squadv2_em", "squadv2_f1", "drop_f1", "drop_em", "chrf", "bbh_cot", "exact", "gsm8k_strict", "gsm8k_flexible",
    "number", "letter",
]  # fmt: skip


def test_unknown_scorer_suggests() -> None:
    with pytest.raises(UsageError, match="did you mean 'squadv2_em'"):
        score("squad2_em", "x", "x")


@pytest.mark.parametrize("name", SCORERS)
def test_nothing_recorded_is_missing_not_wrong(name: str) -> None:
    golds = {"bbq": {"letter": "A", "options": {"A": "x"}}, "crows": {"letter": "A", "sentences": ()}}
    gold = golds.get(name, {"answer": ["x"], "scale": ""} if name.startswith("tatqa") else "x")
    assert score(name, None, gold).score is None


@pytest.mark.parametrize("name", TEXT_SCORERS)
@settings(deadline=None)  # the first call imports scipy or the oracle
@given(output=st.text(), gold=st.text(min_size=1))
def test_any_text_gets_a_score_between_0_and_1_and_a_known_flag(name: str, output: str, gold: str) -> None:
    found = score(name, output, gold)
    assert found.score is not None and 0.0 <= found.score <= 1.0
    assert found.flag in FLAGS
    assert found.flag == "" or found.score in (0.0, 1.0)
    if not output.strip():
        assert (found.score, found.flag) == (0.0, "empty")


@pytest.mark.parametrize("name", ["squadv2_em", "squadv2_f1", "chrf", "exact"])
@given(answer=st.text(alphabet="bcdXYZ 0123", min_size=1).filter(str.strip))
def test_the_gold_answer_itself_scores_1(name: str, answer: str) -> None:
    assert score(name, answer, [answer.strip(), "other"]).score == pytest.approx(1.0)
