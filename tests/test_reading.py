"""Answers as models give them, read by the task files' own filters: what is taken from each, and by which rung."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from capeval.harness.taskfile import templates_compiled_once
from capeval.shipped import folder


@dataclass
class _Instance:
    resps: list[str]
    doc: dict[str, Any] = field(default_factory=dict)
    filtered_resps: dict[str, Any] = field(default_factory=dict)


def read(path: str, ladder: list[str], said: str) -> tuple[str, str]:
    """(rung, what it takes), by the filters of a task file alone: no data is needed."""
    from lm_eval.filters import build_filter_ensemble
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(folder("tasks") / path, resolve_func=False)
    for name in ladder:
        [steps] = [f["filter"] for f in config["filter_list"] if f["name"] == name]
        parts = [(step["function"], {k: v for k, v in step.items() if k != "function"} or None) for step in steps]
        instance = _Instance([said])
        with templates_compiled_once():
            build_filter_ensemble(name, parts).apply([instance])
        if instance.filtered_resps[name] != "[invalid]":
            return name, instance.filtered_resps[name]
    return "not found", ""


LETTERS = ["letter-alone", "answer-is", "last-letter"]
WORDS = ["first-word", "answer-is", "last-word"]
NUMBERS = ["number-alone", "answer-is", "last-number"]
SUMS = ["number-alone", "stated", "last-number"]


@pytest.mark.parametrize(
    ("said", "rung", "letter"),
    [
        ("C", "letter-alone", "C"),
        (" (C) department store", "letter-alone", "C"),
        ("**C**", "letter-alone", "C"),
        ("C. department store", "letter-alone", "C"),
        ("C, because doors are there", "letter-alone", "C"),
        ("A - bank", "letter-alone", "A"),
        ("The answer is C.", "answer-is", "C"),
        ("Answer: (B) library", "answer-is", "B"),
        ("The answer is A because banks have doors", "answer-is", "A"),
        ("A person would most likely go to the park, so the answer is C.", "answer-is", "C"),
        ("A good answer would be C.", "last-letter", "C"),
        ("I would choose option D here", "last-letter", "D"),
        ("A park bench.", "not found", ""),
        ("A person could find it anywhere; impossible to tell.", "not found", ""),
        ("The answer is A park bench", "not found", ""),
        ("department store", "not found", ""),
        ("A person would sit", "not found", ""),
    ],
)
def test_letters(said: str, rung: str, letter: str) -> None:
    assert read("zero_shot/_letter.yaml", LETTERS, said) == (rung, letter)


@pytest.mark.parametrize(
    ("said", "rung", "word"),
    [
        ("Yes", "first-word", "yes"),
        ("yes, it is common", "first-word", "yes"),
        ("No.", "first-word", "no"),
        ("No it isn't", "first-word", "no"),
        ("The answer is yes.", "answer-is", "yes"),
        ("Answer: No", "answer-is", "no"),
        ("I'd say no.", "last-word", "no"),
        ("Answer yes or no: I can't say", "not found", ""),
        ("It is hard to answer yes or no without more context.", "not found", ""),
        ("The answer is yes or no.", "not found", ""),
        ("Yes or no?", "not found", ""),
        ("There is no information about that, so I can't say.", "not found", ""),
        ("There is no doubt that it would.", "not found", ""),
        ("No information is given.", "not found", ""),
    ],
)
def test_yes_and_no(said: str, rung: str, word: str) -> None:
    assert read("zero_shot/_yes_no.yaml", WORDS, said) == (rung, word)


@pytest.mark.parametrize(
    ("said", "rung", "number"),
    [
        ("5", "number-alone", "5"),
        (" $1,200.\n", "number-alone", "1,200"),
        ("The answer is 5.", "answer-is", "5"),
        ("The answer is 5 apples, from 8 - 3", "answer-is", "5"),
        ("Answer: 8 - 3 = 5", "last-number", "5"),
        ("The answer is 8 - 3 = 5.", "last-number", "5"),
        ("To answer this, subtract 3 from 8: 8 - 3 = 5.", "last-number", "5"),
        ("none", "not found", ""),
    ],
)
def test_numbers(said: str, rung: str, number: str) -> None:
    assert read("zero_shot/_number.yaml", NUMBERS, said) == (rung, number)


@pytest.mark.parametrize(
    ("said", "rung", "number"),
    [
        ("89", "number-alone", "89"),
        ("89.00", "number-alone", "89.00"),
        ("89 (carry the 1)", "number-alone", "89"),
        ("**2,066**", "number-alone", "2,066"),
        ("\\(2{,}066\\)", "number-alone", "2{,}066"),
        ("33 plus 56 is 89. You can check it: 89 - 56 = 33.", "stated", "89"),
        ("33 + 56 = 89", "stated", "89"),
        ("The answer is 8 + 9 = 17", "stated", "17"),
        ("first the tens make 80, then 89", "last-number", "89"),
        ("I can't", "not found", ""),
    ],
)
def test_sums(said: str, rung: str, number: str) -> None:
    assert read("limits/arithmetic.yaml", SUMS, said) == (rung, number)
