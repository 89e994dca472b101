"""Log-probabilities of given tokens: parts → scores (`rows.py` says what goes before and behind).

They are scored by the prefix tree (`trie/`); where a model's keys can't be shared, batch by batch (`_plainly`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from capeval.backends import Batch, Known
from capeval.backends.loading import Engine
from capeval.backends.rows import Part, Row, reply_to_rows
from capeval.backends.tokens import pack
from capeval.backends.trie.budget import Budget, in_halves
from capeval.backends.trie.score import Score, log_probabilities, score

_LOGITS_PER_TOKEN = 8_192
"""One scored token costs as much of the batch budget as its vocabulary over this: logits are what fills the memory."""


def score_rows(engine: Engine, rows: Sequence[Row], asked: int, known: Known = frozenset()) -> Iterator[Batch]:
    """Reply to each row as soon as all its parts are scored.

    Args:
        engine: A loaded model.
        rows: Requests.
        asked: Tokens that one batch may hold; 0: what was measured.
        known: Positions that take part in how batches are cut, and are not scored.

    Raises:
        EngineError: NaN logits, or not enough memory.
        BadFileError: tokens that the weights don't know.
    """
    return reply_to_rows(engine, rows, partial(_scored, engine, asked), known)


def _scored(
    engine: Engine, asked: int, parts: Sequence[Part], wanted: Sequence[int]
) -> Iterator[list[tuple[int, Score]]]:
    """(part, score), in batches that don't depend on what is known."""
    if isinstance(engine.forward, str):
        return _plainly(engine, parts, engine.plain(asked), frozenset(wanted))
    inputs, targets = [part.inputs for part in parts], [part.target for part in parts]
    return score(engine.forward, inputs, targets, engine.budget(asked), wanted)


def _plainly(
    engine: Engine, parts: Sequence[Part], budget: Budget, wanted: frozenset[int]
) -> Iterator[list[tuple[int, Score]]]:
    """One forward pass a batch, the longest parts first."""
    logits = max(1, engine.rows / _LOGITS_PER_TOKEN)
    costs = [max(len(part.inputs), int(len(part.target) * logits)) for part in parts]
    order = sorted(range(len(parts)), key=lambda number: (-costs[number], parts[number].inputs))
    for span in pack([costs[number] for number in order], budget):
        batch = [order[i] for i in span if order[i] in wanted]
        if batch:
            scores = in_halves([parts[number] for number in batch], partial(_pass, engine), budget)
            yield list(zip(batch, scores, strict=True))


def _pass(engine: Engine, parts: Sequence[Part]) -> list[Score]:
    import torch

    with torch.inference_mode():
        inputs, targets = [part.inputs for part in parts], [part.target for part in parts]
        logits = engine.architecture.logits(engine.model, inputs, targets, engine.pad)
        return [_one(rows, target, engine.name) for rows, target in zip(logits, targets, strict=True)]


def _one(rows: Any, target: list[int], name: str) -> Score:
    logprobs, greedy = log_probabilities(rows, np.arange(len(target)), target, name)
    return Score(sum(logprobs), all(greedy))
