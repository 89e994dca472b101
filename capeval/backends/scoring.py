"""Log-probabilities of given tokens: requests → parts → scores → replies.

Parts are scored by the prefix tree (`trie/`); where a model's keys can't be shared, batch by batch (`_plainly`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from capeval.backends import Batch, Known
from capeval.backends.loading import Engine
from capeval.backends.tokens import Pair, pack
from capeval.backends.trie.budget import Budget, in_halves
from capeval.backends.trie.score import Score, log_probabilities, score
from capeval.core import Reply

_LOGITS_PER_TOKEN = 8_192
"""One scored token costs as much of the batch budget as its vocabulary over this: logits are what fills the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request, tokenised."""

    position: int
    pairs: list[Pair]
    """One for a continuation; several for a text longer than the model's window."""
    whole: bool = False
    """Whether an empty list is an empty text, whose log-probability is 0, and no error."""


@dataclass(frozen=True, slots=True)
class _Part:
    row: int
    inputs: tuple[int, ...]
    target: list[int]
    cut: int


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
    replies = [(row.position, problem) for row in rows if (problem := _problem(row, engine.architecture.reach))]
    if fresh := [(position, problem) for position, problem in replies if position not in known]:
        yield fresh
    refused = {position for position, _ in replies}
    rows = [row for row in rows if row.position not in refused]
    parts = list(_parts(engine, rows))
    done: dict[int, list[tuple[Score, _Part]]] = {row.position: [] for row in rows}
    wanted = {row.position: len(row.pairs) for row in rows}
    for batch in _scored(engine, parts, asked, known):
        for number, found in batch:
            done[parts[number].row].append((found, parts[number]))
        touched = dict.fromkeys(parts[number].row for number, _ in batch)
        finished = [row for row in touched if len(done[row]) == wanted[row]]
        if finished:
            yield [(row, _reply(done.pop(row))) for row in finished]


def _scored(engine: Engine, parts: Sequence[_Part], asked: int, known: Known) -> Iterator[list[tuple[int, Score]]]:
    """(part, score), in batches that don't depend on what is known."""
    wanted = [number for number, part in enumerate(parts) if part.row not in known]
    if not wanted:
        return iter(())
    if isinstance(engine.forward, str):
        return _plainly(engine, parts, engine.plain(asked), frozenset(wanted))
    inputs, targets = [part.inputs for part in parts], [part.target for part in parts]
    return score(engine.forward, inputs, targets, engine.budget(asked), wanted)


def _problem(row: Row, reach: int) -> Reply | None:
    """The reply to a row that there is nothing to score in, or more than the model can read."""
    if row.whole:
        return None if row.pairs else Reply(logprob=0.0, greedy=True, n_tokens=0)
    target = row.pairs[0][1]
    if not target:
        return Reply(error="the continuation has no tokens")
    if len(target) > reach:
        return Reply(error=f"the continuation has {len(target)} tokens, the model's window {reach}")
    return None


def _parts(engine: Engine, rows: Sequence[Row]) -> Iterator[_Part]:
    # the pairs of one context share its list, and choices of one token what is read: held once
    known: dict[tuple[int, tuple[int, ...]], tuple[tuple[int, ...], int]] = {}
    for row in rows:
        for context, target in row.pairs:
            engine.check_ids(target)
            key = (id(context), (len(target), *target[:-1]))
            if key not in known:
                engine.check_ids(context)
                known[key] = engine.architecture.read(context, target, engine.window)
            inputs, cut = known[key]
            yield _Part(row.position, inputs, target, cut)


def _plainly(
    engine: Engine, parts: Sequence[_Part], budget: Budget, wanted: frozenset[int]
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


def _pass(engine: Engine, parts: Sequence[_Part]) -> list[Score]:
    import torch

    with torch.inference_mode():
        inputs, targets = [part.inputs for part in parts], [part.target for part in parts]
        logits = engine.architecture.logits(engine.model, inputs, targets, engine.pad)
        return [_one(rows, target, engine.name) for rows, target in zip(logits, targets, strict=True)]


def _one(rows: Any, target: list[int], name: str) -> Score:
    logprobs, greedy = log_probabilities(rows, np.arange(len(target)), target, name)
    return Score(sum(logprobs), all(greedy))


def _reply(parts: Sequence[tuple[Score, _Part]]) -> Reply:
    return Reply(
        logprob=sum(score.logprob for score, _ in parts),
        greedy=all(score.greedy for score, _ in parts),
        n_tokens=sum(len(part.target) for _, part in parts),
        cut=sum(part.cut for _, part in parts),
    )
