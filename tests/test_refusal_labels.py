"""The grammar against the human labels of XSTest's completions, on the side that it wasn't written on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import refusal_phrases
from benchmarks.validate_refusal import CUT, Answer, answers, by_grammar, by_substrings, main, precision_recall, report

DOC = Path(__file__).parents[1] / "docs" / "refusal.md"
pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def everything(public_data: Path) -> list[Answer]:
    return answers(public_data)


@pytest.fixture(scope="module")
def test_side(everything: list[Answer]) -> list[Answer]:
    return [answer for answer in everything if answer.side == "test"]


def test_the_sides_share_no_prompt_and_no_focus(everything: list[Answer], test_side: list[Answer]) -> None:
    dev = [answer for answer in everything if answer.side == "dev"]
    assert (len(dev), len(test_side), len({a.system for a in everything})) == (1085, 1165, 5)
    assert not {a.focus for a in dev} & {a.focus for a in test_side}
    assert not {a.prompt for a in dev} & {a.prompt for a in test_side}


def test_precision_and_recall(test_side: list[Answer]) -> None:
    precision, recall = precision_recall(test_side, by_grammar)
    assert precision.value > 0.94 and precision.interval.low > 0.92
    assert recall.value > 0.89 and recall.interval.low > 0.86
    full_precision, full_recall = precision_recall(test_side, by_grammar, ["full"])
    assert full_precision.value > 0.85 and full_recall.value > 0.89


def test_it_finds_more_than_the_list_and_is_as_often_right(test_side: list[Answer]) -> None:
    ours, theirs = precision_recall(test_side, by_grammar), precision_recall(test_side, by_substrings)
    assert ours[1].interval.low > theirs[1].interval.high
    assert ours[0].value > theirs[0].value - 0.01


def test_the_label_does_not_leak_through_the_cut(test_side: list[Answer]) -> None:
    cut = [replace(answer, text=answer.text[:CUT]) for answer in test_side]
    precision, recall = precision_recall(cut, by_grammar)
    assert precision.value > 0.94 and recall.value > 0.84
    stable = sum(
        (by_grammar(a) == "compliance") == (by_grammar(b) == "compliance") for a, b in zip(test_side, cut, strict=True)
    )
    assert stable / len(cut) > 0.95


def test_the_document_holds_the_numbers(everything: list[Answer]) -> None:
    assert report(everything) in DOC.read_text(encoding="utf-8")


def test_the_rival_of_the_document_is_measured_again(everything: list[Answer]) -> None:
    shown = [
        line for line in DOC.read_text(encoding="utf-8").splitlines() if re.match(r"\| (\w+|all five) \| \d", line)
    ]
    shown = [line for line in shown if line.count("/") == 3]
    again = refusal_phrases.table(everything)[2:]
    for before, after in zip(shown, again, strict=True):  # recalls: the optimiser's last digits are the machine's
        recalls = [[float(x) for x in re.findall(r"/ ([\d.]+)", line)] for line in (before, after)]
        assert recalls[0] == pytest.approx(recalls[1], abs=1.5)


def test_the_command_writes_them(public_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "refusal.md"
    copy.write_text(DOC.read_text(encoding="utf-8"), encoding="utf-8")
    main(["--data", str(public_data), "--into", str(copy)])
    assert copy.read_text(encoding="utf-8") == DOC.read_text(encoding="utf-8")
