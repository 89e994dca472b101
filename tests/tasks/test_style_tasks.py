from __future__ import annotations

from pathlib import Path

import pytest

from capeval.suites import load_suite
from tests.tasks.asking import answered, asked, prompts


def test_nothing_here_is_better():
    for name in ("style", "style-instructions"):
        assert {task.orientation for task in load_suite(name).tasks} == {"none"}


@pytest.mark.parametrize(
    ("task", "said", "score"),
    [
        ("style-contested-length", "one two three", 3),
        ("style-contested-length", "", 0),
        ("style-contested-hedging", "Yes. It might help.", 0.5),
        ("style-balance", "Some say yes, others say no.", 1),
        ("style-balance", "Yes.", 0),
    ],
)
def test_contested_questions(task: str, said: str, score: float):
    one = asked("style", task)["asked"]
    assert len(one.documents) == 60
    assert prompts(one)[0] == f"Q: {one.documents[0].doc['question']}\nA:"
    found = answered(one, lambda doc: said)
    assert set(found["score"]) == {score}
    assert found["cluster"].nunique() == 8


@pytest.mark.data
@pytest.mark.parametrize(
    ("suite", "task", "field", "items"),
    [
        ("style", "style-length", "question", 817),
        ("style-instructions", "style-instructions-length", "instruction", 500),
    ],
)
def test_real_prompts(
    public_data: Path, monkeypatch: pytest.MonkeyPatch, suite: str, task: str, field: str, items: int
):
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    one = asked(suite, task)["asked"]
    assert len(one.documents) == items
    for document, prompt in zip(one.documents, prompts(one), strict=True):
        assert prompt == f"Q: {document.doc[field].strip()}\nA:"
    assert set(answered(one, lambda doc: "It may be so.")["score"]) == {4.0}
