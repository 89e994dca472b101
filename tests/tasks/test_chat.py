from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.tasks.asking import answered, asked, module, prompts

history = module("chat/history")


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("Lisbon", 1),
        (" Your sister lives in LISBON.", 1),
        ("", 0),
        ("She lives in Oslo.", 0),
        ("Oslo. No, Lisbon.", 0),  # both: it doesn't say whose is whose
        ("Lisbonne", 0),
        ("I don't know where she lives.", 0),
    ],
)
def test_recalled(said: str, score: int):
    assert history.recalled({"answer": "Lisbon", "other": "Oslo"}, [said]) == {"recalled": score}


def invented(number: int) -> dict[str, object]:
    return {
        "id": f"{number:03}", "question": f"What is number {number}?", "answerKey": "B",
        "choices": {"label": ["A", "B"], "text": ["nothing", f"thing {number}"]},
    }  # fmt: skip


def dialogues():
    return list(history.process_docs([invented(n) for n in range(40)]))


def test_facts_come_first_and_the_asked_one_first_as_often_as_second():
    docs = dialogues()
    assert set(Counter(doc["kind"] for doc in docs).values()) == {16}
    first = 0
    for doc in docs:
        facts = doc["history_0"][0]
        assert facts.count(doc["answer"]) == facts.count(doc["other"]) == 1
        first += facts.index(doc["answer"]) < facts.index(doc["other"])
        who = next(person for person in history._PEOPLE if f"my {person}" in doc["question"])
        told = next(sentence for sentence in facts.split(". ") if doc["answer"] in sentence)
        assert told.startswith(f"My {who}")
    assert first == len(docs) / 2


def test_a_longer_history_ends_with_the_shorter_one():
    for doc in dialogues():
        for n in history.DISTANCES:
            turns = doc[f"history_{n}"]
            assert len(turns) == 2 + 2 * n
            assert turns[:2] == doc["history_0"]
            assert turns[2:] == doc["history_8"][len(doc["history_8"]) - 2 * n :]


def test_what_lies_between_tells_nothing():
    rows = [invented(n) for n in range(40)] + [
        invented(100 + i) | {"question": f"Who has been to {value}?"} for i, value in enumerate(("Oslo", "Lima", "red"))
    ]
    for doc in history.process_docs(rows):
        between = " ".join(doc["history_8"][2:])
        assert not any(history._says(between, doc[key]) for key in ("answer", "other"))


def test_the_order_of_the_data_set_decides_nothing():
    rows = [invented(n) for n in range(40)]
    assert list(history.process_docs(rows[::-1])) == dialogues()


@pytest.mark.data
def test_real_dialogues(public_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    settings = asked("chat", "chat-history", limit=5)
    assert len({tuple(d.item for d in one.documents) for one in settings.values()}) == 1  # the distances pair
    for n in history.DISTANCES:
        one = settings[f"{n} between"]
        for document, prompt in zip(one.documents, prompts(one), strict=True):
            assert prompt.startswith(f"Q: {document.doc['history_0'][0]}\nA: Thank you for telling me.\nQ: ")
            assert prompt.endswith(f"\nQ: {document.doc['question']}\nA:")
            assert len(re.findall(r"^Q: ", prompt, re.MULTILINE)) == 2 + n
        assert set(answered(one, lambda doc: f" It is {doc['answer']}.")["score"]) == {1.0}
        assert set(answered(one, lambda doc: doc["other"])["score"]) == {0.0}
