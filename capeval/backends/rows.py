"""Requests for log-probabilities → parts that an engine scores → replies, whichever engine it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from capeval.backends import Batch, Known
from capeval.backends.loading import Reading
from capeval.backends.tokens import Pair, encode_pairs, rolling_windows
from capeval.backends.trie.score import Score
from capeval.core import Reply, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request, tokenised."""

    position: int
    pairs: list[Pair]
    """One for a continuation; several for a text longer than the model's window."""
    whole: bool = False
    """Whether an empty list is an empty text, whose log-probability is 0, and no error."""


@dataclass(frozen=True, slots=True)
class Part:
    """One pair of a row, as the model reads it."""

    row: int
    """Position of the request."""
    inputs: tuple[int, ...]
    """What is read before the target's last token is predicted."""
    target: list[int]
    cut: int
    """Tokens dropped on the left."""


def continuations(reading: Reading, requests: Sequence[Request]) -> list[Row]:
    """One row for each prompt and what follows it."""
    texts = [(request.text, request.continuation) for request in requests]
    pairs = encode_pairs(reading.tokenizer, texts, reading.prefix, reading.architecture.joined)
    return [Row(position=i, pairs=[pair]) for i, pair in enumerate(pairs)]


def whole_texts(reading: Reading, requests: Sequence[Request]) -> list[Row]:
    """One row for each text, window by window, every token scored once."""
    tokenizer, prefix, window = reading.tokenizer, reading.prefix, reading.window
    return [
        Row(position=i, pairs=rolling_windows(tokenizer, request.text, prefix, window), whole=True)
        for i, request in enumerate(requests)
    ]


Scorer = Callable[[Sequence[Part], Sequence[int]], Iterator[list[tuple[int, Score]]]]
"""(parts, numbers of those that are wanted) → (number, score), in batches."""


def reply_to_rows(reading: Reading, rows: Sequence[Row], scored: Scorer, known: Known = frozenset()) -> Iterator[Batch]:
    """Reply to each row as soon as all its parts are scored.

    Args:
        reading: Of the checkpoint.
        rows: Requests.
        scored: The engine.
        known: Positions that take part in how batches are cut, and are not scored.

    Raises:
        BadFileError: tokens that the weights don't know.
    """
    replies = [(row.position, problem) for row in rows if (problem := _problem(row, reading.architecture.reach))]
    if fresh := [(position, problem) for position, problem in replies if position not in known]:
        yield fresh
    refused = {position for position, _ in replies}
    rows = [row for row in rows if row.position not in refused]
    parts = list(_parts(reading, rows))
    wanted = [number for number, part in enumerate(parts) if part.row not in known]
    if not wanted:
        return
    done: dict[int, list[tuple[Score, Part]]] = {row.position: [] for row in rows}
    expected = {row.position: len(row.pairs) for row in rows}
    for batch in scored(parts, wanted):
        for number, found in batch:
            done[parts[number].row].append((found, parts[number]))
        touched = dict.fromkeys(parts[number].row for number, _ in batch)
        finished = [row for row in touched if len(done[row]) == expected[row]]
        if finished:
            yield [(row, _reply(done.pop(row))) for row in finished]


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


def _parts(reading: Reading, rows: Sequence[Row]) -> Iterator[Part]:
    # the pairs of one context share its list, and choices of one token what is read: held once
    known: dict[tuple[int, tuple[int, ...]], tuple[tuple[int, ...], int]] = {}
    for row in rows:
        for context, target in row.pairs:
            reading.check_ids(target)
            key = (id(context), (len(target), *target[:-1]))
            if key not in known:
                reading.check_ids(context)
                known[key] = reading.architecture.read(context, target, reading.window)
            inputs, cut = known[key]
            yield Part(row.position, inputs, target, cut)


def _reply(parts: Sequence[tuple[Score, Part]]) -> Reply:
    return Reply(
        logprob=sum(score.logprob for score, _ in parts),
        greedy=all(score.greedy for score, _ in parts),
        n_tokens=sum(len(part.target) for _, part in parts),
        cut=sum(part.cut for _, part in parts),
    )
