from __future__ import annotations

import math
from pathlib import Path

import pytest

from capeval.core import Reply
from capeval.harness import records
from tests.tasks.asking import asked, prompts


@pytest.mark.data
@pytest.mark.parametrize(
    ("task", "items", "parts"),
    [
        ("generation-gsm8k", 1319, lambda doc: [doc["question"], doc["answer"].partition("####")[2]]),
        ("generation-mmlu", 1140, lambda doc: [doc["question"].strip()]),
        ("generation-truthfulqa", 817, lambda doc: [doc["question"], doc["best_answer"]]),
    ],
)
def test_documents_as_running_text(
    public_data: Path, monkeypatch: pytest.MonkeyPatch, task: str, items: int, parts
) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    [one] = asked("generation", task).values()
    texts = prompts(one)
    assert len(texts) == items and one.presentation == "document"
    for document, text in zip(one.documents, texts, strict=True):
        first, *rest = parts(document.doc)
        assert text.startswith(first) and all(text.endswith(part) for part in rest)
        assert "<<" not in text or "<<" in first
    found = records([one], [Reply(logprob=-math.log(2) * len(text.encode())) for text in texts])
    assert found["score"].to_numpy() == pytest.approx(1.0)  # one bit for every byte
