"""How a node was asked, for people and for its manifest: prompts as the engine reads them, and what did not fit.

capeval run --model ./checkpoint --suite cot --show 1
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capeval import harness
from capeval.backends import Piece
from capeval.core import Reply

Pieces = Callable[[str], list[Piece]]
_SHOWN = 8_000
"""Characters of a first prompt that a manifest keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt as the engine reads it."""

    task: str
    """Task and setting."""
    path: str
    presentation: str
    item: int
    """Place of the document in its file, from 1."""
    shots: int
    pieces: tuple[Piece, ...]
    continuations: tuple[str, ...]
    """What is scored after it; empty where an answer is generated."""
    generation: Mapping[str, Any]


def prompt(one: harness.Asked, number: int, pieces: Pieces) -> Prompt:
    """One document of a task file, by its place from 0; `pieces` as `Backend.pieces`."""
    document = one.documents[number]
    first = document.requests[0][0]
    shots = int(one.task.config.num_fewshot) - document.dropped
    return Prompt(
        task=one.label, path=one.source.path, presentation=one.presentation, item=number + 1, shots=shots,
        pieces=tuple(pieces(first.text)),
        continuations=tuple(s[0].continuation for s in document.requests if s[0].continuation),
        generation=first.generation,
    )  # fmt: skip


def prompting(asked: Sequence[harness.Asked], pieces: Pieces) -> dict[str, Any]:
    """By task and setting: the first prompt, and of every file its form, its shots and what its prompts begin with."""
    tasks: dict[str, dict[str, Any]] = {}
    for one in asked:
        first = prompt(one, 0, pieces)
        leading = itertools.takewhile(lambda piece: piece.special, first.pieces)
        text = "".join(piece.text for piece in first.pieces)[:_SHOWN]
        files = tasks.setdefault(one.label, {"first_prompt": text, "files": {}})["files"]
        files[one.source.path] = {
            "presentation": first.presentation, "shots": int(one.task.config.num_fewshot),
            "begins_with": [piece.text for piece in leading],
        }  # fmt: skip
    return tasks


def dropped(asked: Sequence[harness.Asked]) -> dict[str, dict[str, int]]:
    """By task and setting: prompts that lost whole shots, and how many."""
    found: dict[str, dict[str, int]] = {}
    for one in asked:
        lost = [document.dropped for document in one.documents if document.dropped]
        if lost:
            part = found.setdefault(one.label, {"prompts": 0, "shots": 0})
            part["prompts"] += len(lost)
            part["shots"] += sum(lost)
    return found


def cut(asked: Sequence[harness.Asked], replies: Sequence[Reply]) -> dict[str, dict[str, int]]:
    """By task and setting: prompts that did not fit into the model's window, and the tokens that they lost."""
    prompts: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    following = iter(replies)
    for one in asked:
        name = one.label
        for _ in harness.requests_of([one]):
            lost = next(following).cut
            prompts[name] += lost > 0
            tokens[name] += lost
    return {name: {"prompts": n, "tokens": tokens[name]} for name, n in prompts.items() if n}


def unfinished(records: pd.DataFrame) -> dict[str, dict[str, int]]:
    """By task and setting: answers that ended at the length limit, and how many of them count as right."""
    ended = records[(records["finish"] == "length") & (records["rung"] == "")]  # a ladder reads whole lines only
    return {
        f"{task} {setting}": {"answers": len(part), "right": int(((part["flag"] == "") & (part["score"] == 1.0)).sum())}
        for (task, setting), part in ended.groupby(["task", "setting"], sort=False)
    }
