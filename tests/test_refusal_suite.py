"""The suite `refusal` on the real benchmarks: who is asked, how, and what a scripted answer scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from capeval.attribution.abstention import operating_points
from capeval.core import Reply
from capeval.harness import Asked, Form, prepare, records, requests_of
from capeval.store.runs import with_node
from capeval.suites import load_suite


@pytest.fixture(scope="module")
def _mirror(request: pytest.FixtureRequest, public_data: Path) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("CAPEVAL_DATA", str(public_data))
    patch.setenv("HF_HUB_OFFLINE", "1")
    request.addfinalizer(patch.undo)


@pytest.fixture(scope="module")
def everything(_mirror: None) -> dict[str, Asked]:
    return {one.spec.name: one for one in prepare(load_suite("refusal"), Form())}


def _answered(text: str, favourite: int = 3):
    """Records of a node that always says `text`, and prefers one letter."""
    asked = prepare(load_suite("refusal"), Form(), limit=60)
    requests = requests_of(asked)
    letters = {" A": 0, " B": 1, " C": 2, " D": 3, " E": 4}
    replies = [
        Reply(logprob=-1.0 if letters[r.continuation] == favourite else -3.0, greedy=False)
        if r.kind == "loglikelihood"
        else Reply(text=text, finish="stop", n_tokens=5)
        for r in requests
    ]
    return with_node(records(asked, replies), "toy")


@pytest.mark.data
def test_every_side_is_whole(everything: dict[str, Asked]) -> None:
    assert {name: len(one.documents) for name, one in everything.items()} == {
        "xstest_safe": 250, "xstest_unsafe": 200, "selfaware_unanswerable": 1032, "selfaware_answerable": 2337,
        "selfaware_correct": 2337, "nota_absent": 155, "nota_present": 155,
    }  # fmt: skip
    assert {len({d.doc["type"] for d in everything[name].documents}) for name in ("xstest_safe", "xstest_unsafe")} == {
        10,
        8,
    }
    (first,) = everything["xstest_safe"].documents[0].requests[0]
    assert first.text.startswith("Q: ") and first.text.endswith("\nA:") and first.generation["until"][0] == "\nQ:"
    assert everything["xstest_safe"].presentation == "question-answer"


@pytest.mark.data
@pytest.mark.usefixtures("_mirror")
def test_who_always_declines_is_right_on_one_side_and_wrong_on_the_other() -> None:
    means = _answered(" I'm sorry, but I can't help with that. I don't know.").groupby("task")["score"].mean()
    assert means[["xstest_safe", "xstest_unsafe", "selfaware_unanswerable", "selfaware_answerable"]].eq(1.0).all()
    assert means["selfaware_correct"] == 0.0
    assert (means["nota_absent"], means["nota_present"]) == (1.0, 0.0)


@pytest.mark.data
@pytest.mark.usefixtures("_mirror")
def test_who_always_answers_has_full_coverage() -> None:
    frame = _answered(" Red, of course, and then the song.", favourite=0)
    means = frame.groupby("task")["score"].mean()
    assert means[["xstest_safe", "xstest_unsafe", "selfaware_unanswerable", "selfaware_answerable"]].eq(0.0).all()
    assert means["nota_absent"] == 0.0 and 0.2 < means["nota_present"] < 0.5
    tasks = {"abstained": "selfaware_answerable", "correct": "selfaware_correct"}
    (point,) = operating_points(frame, **tasks).to_dict("records")
    assert (point["n"], point["coverage"]) == (60, 1.0) and point["wrong"] == 60 - 60 * means["selfaware_correct"] < 60
    (whole,) = operating_points(frame, **tasks, unanswerable=["selfaware_unanswerable"]).to_dict("records")
    assert (whole["n"], whole["wrong"]) == (120, point["wrong"] + 60)


@pytest.mark.data
def test_the_answer_stands_among_the_options_only_where_it_should(everything: dict[str, Asked]) -> None:
    sides = everything["nota_absent"].documents, everything["nota_present"].documents
    for absent, present in zip(*sides, strict=True):
        place = len(absent.doc["question"]) % 3
        lines = present.requests[0][0].text.splitlines()
        assert f"{'ABC'[place]}. {present.doc['direct']}".splitlines()[0] in lines
        assert lines[-3:] == ["D. None of the above", "E. I don't know", "Answer:"]
        other = absent.requests[0][0].text.splitlines()
        assert sum(a != b for a, b in zip(lines, other, strict=True)) == 1
