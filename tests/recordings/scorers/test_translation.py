"""chrF against sacrebleu."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capeval.recordings.scorers import score
from capeval.recordings.scorers.translation import sentence_chrf
from tests.recordings.public_data import needs_data, rows


@settings(deadline=None)
@given(hypothesis=st.text(max_size=60), reference=st.text(min_size=1, max_size=60))
def test_chrf_equals_sacrebleu(hypothesis: str, reference: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    expected = sacrebleu.CHRF().sentence_score(hypothesis, [reference]).score / 100
    assert sentence_chrf(hypothesis, reference) == pytest.approx(expected, abs=1e-12)


@needs_data
@pytest.mark.data
def test_chrf_equals_sacrebleu_on_recorded_translations() -> None:
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    folder = "recorded/instructgpt_autoeval/fr_to_en"
    golds = {item["id"]: item["gold"] for item in rows(f"{folder}.items.jsonl")}
    for output in list(rows(f"{folder}.outputs.jsonl"))[::11]:
        expected = sacrebleu.CHRF().sentence_score(output["output"].strip(), [golds[output["id"]]]).score / 100
        assert score("chrf", output["output"], golds[output["id"]]).score == pytest.approx(expected, abs=1e-12)
