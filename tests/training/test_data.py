"""Data by generator or file: what a stage needs of a line, and what a bad one gets."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from capeval.errors import BadFileError, MissingError, UsageError
from capeval.training.data import Rows, pack, source, step_rng
from tests.training.toys import answered, asked, lines

RANKED = {"messages": asked("say"), "answers": ["red", "blue"], "scores": [1, 0]}


@pytest.mark.parametrize(
    ("stage", "document"),
    [
        ("language-model", {"text": "red"}),
        ("sft", {"messages": answered("say", "red")}),
        ("ppo", {"messages": asked("say")}),
        ("reward", RANKED),
    ],
)
def test_a_file_is_drawn_from(tmp_path: Path, stage: str, document: dict[str, Any]) -> None:
    name = lines(tmp_path / "data.jsonl", [document])
    found = source(name, stage, tmp_path)
    assert found.draw(random.Random(0)) == document
    assert source(str(tmp_path / name), stage).digest == found.digest, "a full path means the same file"


def test_another_file_has_another_digest(tmp_path: Path) -> None:
    one, two = (
        source(lines(tmp_path / f"{text}.jsonl", [{"text": text}]), "language-model", tmp_path) for text in "ab"
    )
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("stage", "line", "message"),
    [
        ("sft", "{", r"data.jsonl:2 is no JSON"),
        ("sft", "[]", r"data.jsonl:2 .* a document must be a JSON object"),
        ("sft", '{"text": "red"}', "it needs 'messages', a list"),
        ("language-model", '{"text": 3}', "it needs 'text', a text"),
        ("language-model", '{"text": ""}', "it needs 'text', a text"),
        ("sft", '{"messages": [{"role": "user"}]}', "every message needs 'role' and 'content'"),
        ("sft", '{"messages": [{"role": "user", "content": 3}]}', "'content', both texts"),
        ("reward", '{"messages": [{"role": "user", "content": "x"}], "answers": ["a", 2], "scores": [1, 2]}',
         "every answer must be text"),
        ("reward", '{"messages": [{"role": "user", "content": "x"}], "answers": ["a", "b"], "scores": [1, NaN]}',
         "every score must be a finite number"),
        ("reward", '{"messages": [{"role": "user", "content": "x"}], "answers": ["a", "b"], "scores": [true, 1]}',
         "every score must be a finite number"),
        ("sft", '{"messages": [{"role": "user", "content": "x"}]}', "needs an answer of the assistant"),
        ("ppo", '{"messages": [{"role": "assistant", "content": "x"}]}', "a prompt ends with the user's message"),
        ("reward", '{"messages": [{"role": "user", "content": "x"}], "answers": ["a"], "scores": [1]}', "at least two"),
        ("reward", '{"messages": [{"role": "user", "content": "x"}], "answers": ["a", "b"], "scores": [1]}',
         "as long as each other"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, stage: str, line: str, message: str) -> None:
    (tmp_path / "data.jsonl").write_text("\n" + line + "\n", encoding="utf-8")
    with pytest.raises(BadFileError, match=message):
        source("data.jsonl", stage, tmp_path)


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.jsonl is not there"):
        source("none.jsonl", "sft", tmp_path)
    with pytest.raises(UsageError, match=r"'data\.csv' is neither a generator \(lab/…\) nor a \.jsonl file"):
        source("data.csv", "sft", tmp_path)
    with pytest.raises(UsageError, match="unknown generator 'lab/bass'; did you mean 'lab/base'"):
        source("lab/bass", "sft", tmp_path)
    with pytest.raises(BadFileError, match="'lab/base' can't be used for stage sft: it needs 'messages'"):
        source("lab/base", "sft", tmp_path)
    with pytest.raises(BadFileError, match="'lab/prompts' can't be used for stage language-model: it needs 'text'"):
        source("lab/prompts", "language-model", tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(BadFileError, match="holds no documents"):
        source("empty.jsonl", "sft", tmp_path)


def test_a_separator_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "one\u2028two"}\n', encoding="utf-8")
    assert source("data.jsonl", "language-model", tmp_path).draw(random.Random(0)) == {"text": "one\u2028two"}


def test_rows_are_cut_from_documents_in_a_row() -> None:
    documents = [([1, 2, 3], [True, False, True]), ([4, 5], [True, True]), ([6, 7], [False, True])]
    assert pack(documents, 2, 2) == Rows([[1, 2, 3], [4, 5, 6]], [[True, False, True], [True, True, False]])
    with pytest.raises(ValueError, match="7 tokens do not fill 2 rows of 4"):
        pack(documents, 2, 3)


def test_a_steps_numbers_depend_on_seed_step_and_purpose() -> None:
    drawn = {(s, t, p): step_rng(s, t, p).random() for s in (0, 1) for t in (0, 1) for p in ("", "x")}
    assert len(set(drawn.values())) == len(drawn)
    assert step_rng(1, 0, "x").random() == drawn[1, 0, "x"]
