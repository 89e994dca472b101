from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from capeval.shipped import folder
from tests.tasks.asking import answered, asked, chosen, module, prompts

COMPUTE = {"plus": lambda a, b: a + b, "minus": lambda a, b: a - b, "times": lambda a, b: a * b}
QUESTION = re.compile(r"Q: What is (\d+) (plus|minus|times) (\d+)\?\nA:(?: (-?\d+))?")


def test_arithmetic_is_right_balanced_and_the_same_every_time():
    one = asked("limits", "limits-arithmetic")["4-shot"]
    assert len(one.documents) == 3 * 8 * 20
    assert set(Counter(d.doc["kind"] for d in one.documents).values()) == {20}
    for document, prompt in zip(one.documents, prompts(one), strict=True):
        *shots, question = QUESTION.findall(prompt)
        assert len(shots) == 4 and prompt.endswith("A:")
        assert all(str(COMPUTE[word](int(a), int(b))) == answer for a, word, b, answer in shots)
        a, word, b, nothing = question
        assert nothing == "" and str(COMPUTE[word](int(a), int(b))) == document.doc["answer"]
        assert question[:3] not in [shot[:3] for shot in shots]
        digits = int(re.search(r"\d+", document.doc["kind"])[0])
        assert len(a) == len(b) == digits and not document.doc["answer"].startswith("-")
    again = module("limits/arithmetic").items()["test"]
    assert [d.doc for d in one.documents] == list(again)
    assert len({d.item for d in one.documents}) == len(one.documents)


@pytest.mark.parametrize(
    ("said", "score"),
    [
        (" {answer}", 1),
        (" {answer}.", 1),
        ("The answer is {answer}.", 1),
        (" 9 + 1 = {answer}", 1),
        (" {commas}", 1),
        ("{answer}1", 0),
        ("-{answer}", 0),
        ("{answer}.5", 0),
        ("It is {answer}, not 99", 1),  # what is stated, before the last number
        ("99 is too much, so {answer}", 1),
        ("99 is wrong, it is {answer}0", 0),
        ("", 0),
        ("many", 0),
    ],
)
def test_arithmetic_answers(said: str, score: int):
    one = asked("limits", "limits-arithmetic", limit=3)["4-shot"]
    found = answered(one, lambda doc: said.format(answer=doc["answer"], commas=f"{int(doc['answer']):,}"))
    assert set(found["score"]) == {score}


@pytest.mark.parametrize("kind", ["false", "true"])
def test_premises_are_twins_in_a_balanced_order(kind: str):
    items = json.loads((folder("tasks") / "limits" / f"{kind}_premises.json").read_text())
    assert len(items) == len({item["question"] for item in items}) == 64
    assert sum(item["label"] for item in items) == 32
    assert all(len(item["choices"]) == len(set(item["choices"])) == 2 for item in items)
    # length tells little: the longer answer is right in well under three quarters
    longer = [len(item["choices"][item["label"]]) > len(item["choices"][1 - item["label"]]) for item in items]
    assert 0.35 < sum(longer) / 64 < 0.75


def test_twins_have_the_same_topics():
    topics = [
        [item["topic"] for item in json.loads((folder("tasks") / "limits" / f"{kind}_premises.json").read_text())]
        for kind in ("false", "true")
    ]
    assert topics[0] == topics[1]


def test_who_denies_everything_is_right_in_one_half_only():
    def denial(doc):
        words = ("not", "no", "nobody", "never", "only", "no one")
        score = [sum(w in re.findall(r"\w+", c.lower()) for w in words) for c in doc["choices"]]
        return score.index(max(score))

    false = chosen(asked("limits", "limits-false-premises")["asked"], denial)["score"].mean()
    true = chosen(asked("limits", "limits-true-premises")["asked"], denial)["score"].mean()
    assert false > 0.75 and true < 0.25


def test_premises_are_asked_as_dialogue():
    one = asked("limits", "limits-false-premises", limit=2)["asked"]
    for document, prompt in zip(one.documents, prompts(one), strict=True):
        assert prompt == f"Q: {document.doc['question']}\nA:"
        assert [s[0].continuation for s in document.requests] == [f" {c}" for c in document.doc["choices"]]
    assert set(chosen(one, lambda doc: doc["label"])["score"]) == {1.0}
    assert set(chosen(one, lambda doc: 1 - doc["label"])["score"]) == {0.0}


INVENTED = {
    "id": "x-1",
    "question_stem": "A glim is used to",
    "choices": {"text": ["cut", "see", "hear", "fly"], "label": ["A", "B", "C", "D"]},
    "answerKey": "B ",
}


def test_disputes_differ_in_who_is_right():
    doc = module("limits/beliefs")._with_histories(INVENTED)
    question, wrong, correction, reply = doc["corrected"]
    assert question == doc["asked"] == "A glim is used to\nPossible answers: cut; see; hear; fly."
    assert correction == "No, that is wrong. The answer is: see."
    assert reply == "I see."
    said = wrong.removeprefix("The answer is: ").rstrip(".")
    assert said in ("cut", "hear", "fly")
    assert doc["misled"] == [
        question, "The answer is: see.", f"No, that is wrong. The answer is: {said}.", "I see.",
    ]  # fmt: skip


@pytest.mark.data
def test_beliefs_on_real_questions(public_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    settings = asked("limits", "limits-beliefs", limit=20)
    assert set(settings) == {"asked", "corrected", "misled"}
    items = {name: [d.item for d in one.documents] for name, one in settings.items()}
    assert items["asked"] == items["corrected"] == items["misled"]

    def last_word(doc):
        """Believes what was said last; without a dispute, the first option."""
        return next((i for i, t in enumerate(doc["choices"]["text"]) if doc[history][2].endswith(f": {t}.")), 0)

    for history, expected in (("corrected", 1.0), ("misled", 0.0)):
        one = settings[history]
        assert set(chosen(one, last_word)["score"]) == {expected}
        for document, prompt in zip(one.documents, prompts(one), strict=True):
            assert prompt.count(document.doc["asked"]) == 2
            assert prompt.endswith(f"\nA: I see.\nQ: {document.doc['asked']}\nA: The answer is:")
    assert prompts(settings["asked"])[0].count("Q: ") == 1
