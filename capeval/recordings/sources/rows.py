"""Reading the long JSONL format, and the names under which items pair."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from capeval.digest import digest
from capeval.errors import BadFileError, MissingError
from capeval.marks import marks_of
from capeval.recordings.scorers import Scored
from capeval.store.runs import number_repeats

Row = dict[str, Any]


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file.

    Raises:
        MissingError: when there is no such file.
        BadFileError: when a line is no JSON object.
    """
    if not path.is_file():
        raise MissingError(f"there is no {path}; set CAPEVAL_DATA (or --data) to the folder that holds recorded/")
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                value = json.loads(line)
            except ValueError as error:
                raise BadFileError(f"{path}, line {number}: {error}") from error
            if not isinstance(value, dict):
                raise BadFileError(f"{path}, line {number} is no JSON object")
            yield value


def item_keys(documents: Iterable[tuple[str, Any, Any]]) -> dict[str, str]:
    """(id, question, gold) in the data set's order → id → digest of question and gold, #2 on its second occurrence.

    Numbering follows the data set, not a recording, so every node's answer to the second copy pairs with its like.
    """
    listed = list(documents)
    keys = number_repeats(pd.Series([digest(question, gold) for _, question, gold in listed], dtype=object))
    return dict(zip((name for name, _, _ in listed), keys, strict=True))


def row(*, node: str, task: str, setting: str, item: str, scored: Scored, output: str | None, **more: Any) -> Row:
    """One record; `output` gives the answer's length in characters, None leaves it missing.

    Marks of the text (`marked`) come with `more`, where the output is the text.
    """
    return {
        "node": node,
        "task": task,
        "setting": setting,
        "item": item,
        "score": scored.score,
        "flag": scored.flag,
        "length": None if output is None else len(output.strip()),
        **more,
    }


def marked(scored: Scored, output: str | None) -> Row:
    """The marks of an answer whose text is at hand; none for an absent one."""
    if output is None or scored.score is None:
        return {}
    return marks_of(output if scored.read is None else scored.read, score=scored.score, lenient=scored.lenient)


def measured(value: float, output: str) -> Scored:
    """A measurement that is no right or wrong (toxicity, length); an empty output is flagged."""
    return Scored(score=float(value), extracted=None, flag="" if output.strip() else "empty")
