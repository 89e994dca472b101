"""Log-probabilities of given tokens: one forward pass a batch, logits only where something is scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from capeval.backends import Batch, Known
from capeval.backends.loading import Engine
from capeval.backends.tokens import Pair, pack
from capeval.core import Reply
from capeval.errors import EngineError

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


def score_rows(engine: Engine, rows: Sequence[Row], budget: int, known: Known = frozenset()) -> Iterator[Batch]:
    """Reply to each row as soon as all its parts are scored.

    Raises:
        EngineError: NaN logits, or not enough memory.
        BadFileError: tokens that the weights don't know.
    """
    replies = [(row.position, problem) for row in rows if (problem := _problem(row, engine.architecture.reach))]
    if fresh := [(position, problem) for position, problem in replies if position not in known]:
        yield fresh
    refused = {position for position, _ in replies}
    rows = [row for row in rows if row.position not in refused]
    done: dict[int, list[tuple[float, bool, int, int]]] = {row.position: [] for row in rows}
    wanted = {row.position: len(row.pairs) for row in rows}
    for batch in _batches(engine, rows, budget):
        parts = [part for part in batch if part.row not in known]
        if not parts:
            continue
        for part, (logprob, greedy) in zip(parts, _score(engine, parts), strict=True):
            done[part.row].append((logprob, greedy, len(part.target), part.cut))
        finished = [row for row in dict.fromkeys(p.row for p in parts) if len(done[row]) == wanted[row]]
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


def _batches(engine: Engine, rows: Sequence[Row], budget: int) -> Iterator[list[_Part]]:
    parts = []
    for row in rows:
        for context, target in row.pairs:
            engine.check_ids(context + target)
            inputs, cut = engine.architecture.read(context, target, engine.window)
            parts.append(_Part(row.position, inputs, target, cut))
    logits = max(1, engine.rows / _LOGITS_PER_TOKEN)
    parts.sort(key=lambda part: (-_cost(part, logits), part.inputs))
    for span in pack([_cost(part, logits) for part in parts], budget):
        yield [parts[i] for i in span]


def _cost(part: _Part, logits: float) -> int:
    return max(len(part.inputs), int(len(part.target) * logits))


def _score(engine: Engine, parts: Sequence[_Part]) -> list[tuple[float, bool]]:
    """(log-probability, whether greedy) of each part's target."""
    import torch

    try:
        with torch.inference_mode():
            inputs, targets = [part.inputs for part in parts], [part.target for part in parts]
            logits = engine.architecture.logits(engine.model, inputs, targets, engine.pad)
            return [_one(engine, rows.float(), target) for rows, target in zip(logits, targets, strict=True)]
    except torch.cuda.OutOfMemoryError as error:
        tokens = len(parts) * max(len(part.inputs) for part in parts)
        raise EngineError(f"the GPU's memory is too small for a batch of {tokens} tokens") from error


def _one(engine: Engine, rows: Any, target: list[int]) -> tuple[float, bool]:
    import torch

    if not bool(torch.isfinite(rows.amax(dim=-1)).all()):
        raise EngineError(
            f"{engine.name} gives NaN or infinite logits: its weights are damaged, or overflow in this dtype"
        )
    wanted = torch.tensor(target, device=rows.device)
    logprob = torch.log_softmax(rows, dim=-1).gather(1, wanted[:, None]).sum()
    return float(logprob), bool((rows.argmax(dim=-1) == wanted).all())


def _reply(parts: list[tuple[float, bool, int, int]]) -> Reply:
    logprobs, greedy, lengths, cuts = zip(*parts, strict=True)
    return Reply(logprob=sum(logprobs), greedy=all(greedy), n_tokens=sum(lengths), cut=sum(cuts))
