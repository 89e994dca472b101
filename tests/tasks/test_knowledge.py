from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from capeval.suites import load_suite
from tests.tasks.asking import answered, asked, chosen, module, prompts

closed_book = module("knowledge/closed_book")


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("the Nile", 1),
        (" It is the NILE, of course.", 1),
        ("\n\nNile", 1),
        ("The river is called 'Nile'.", 1),
        ("White Nile", 1),
        ("the Niles", 0),
        ("juvenile", 0),
        ("", 0),
        ("I don't know.\nThe Nile", 0),  # the first line is the answer
        ("river", 0),
        ("river of Egypt", 1),  # another gold, articles left out
        ("river the of an Egypt", 1),
        ("river in Egypt", 0),
    ],
)
def test_closed_book_answers(said: str, score: int):
    doc = {"answer": ["Nile", "the river of Egypt"]}
    assert closed_book.process_results(doc, [said]) == {"answered": score}


@pytest.mark.parametrize("gold", ["", "the", "?"])
def test_a_gold_without_words_is_never_found(gold: str):
    assert closed_book.process_results({"answer": [gold]}, ["the ? anything"]) == {"answered": 0}


def test_mmlu_has_57_subjects_twice():
    sources = [s for s in load_suite("knowledge").sources if s.task == "mmlu"]
    assert Counter(s.setting for s in sources) == {"5-shot": 57, "0-shot": 57}
    assert len({s.cluster for s in sources}) == 57


@pytest.fixture
def mirror(public_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))


@pytest.mark.data
def test_closed_book_on_real_questions(mirror: None):
    settings = asked("closed-book", "closed-book")
    bare, shown = settings["0-shot"], settings["5-shot"]
    assert len(bare.documents) == len(shown.documents) == 2337
    assert [d.item for d in bare.documents] == [d.item for d in shown.documents]
    for document, prompt, longer in zip(bare.documents, prompts(bare), prompts(shown), strict=True):
        assert prompt == f"Question: {document.doc['question']}\nAnswer:"
        assert longer.endswith(f"\n\n{prompt}") and longer.count("Question: ") >= 6
    found = answered(bare, lambda doc: f" {doc['answer'][-1]}.")
    assert found["score"].mean() > 0.999  # one gold may hold no word at all
    assert answered(bare, lambda doc: "xyzzy")["score"].max() == 0


@pytest.mark.data
@pytest.mark.parametrize(
    ("task", "right"),
    [
        ("mmlu", lambda doc: doc["answer"]),
        ("openbookqa", lambda doc: doc["choices"]["label"].index(doc["answerKey"])),
        ("commonsenseqa", lambda doc: doc["choices"]["label"].index(doc["answerKey"])),
    ],
)
def test_choices_on_real_questions(mirror: None, task: str, right):
    for one in asked("knowledge", task, limit=20).values():
        assert chosen(one, right)["score"].mean() == 1
        assert chosen(one, lambda doc: (right(doc) + 1) % 4)["score"].mean() == 0


@pytest.mark.data
def test_mmlu_shots_come_before_the_question(mirror: None):
    settings = asked("knowledge", "mmlu", limit=3)
    for bare, shown in zip(prompts(settings["0-shot"]), prompts(settings["5-shot"]), strict=True):
        assert (bare.count("Answer:"), shown.count("Answer:")) == (1, 6)
        description, question = bare.split("\n\n", 1)
        assert shown.startswith(description) and shown.endswith(question)
