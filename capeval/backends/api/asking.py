"""What is sent for one request of a suite, or for several that share a prompt, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from capeval.backends import Batch
from capeval.backends.api import scoring
from capeval.backends.api.client import TooLongError, Wire
from capeval.core import Reply


def scored_reply(score: scoring.Score, cut: int) -> Reply:
    """A score as a reply."""
    return Reply(logprob=score.logprob, greedy=score.greedy, n_tokens=score.tokens, cut=cut)


async def answer(position: int, body: Mapping[str, Any], read: Any, wire: Wire) -> Batch:
    """One request, one reply; a prompt that the server finds too long is that request's error."""
    try:
        return [(position, await wire.ask(body, read))]
    except TooLongError as error:
        return [(position, Reply(error=f"the prompt does not fit into the model's window: {error}"))]


async def probe(wire: Wire) -> Batch:
    """Whether the server returns the log-probabilities of a prompt; the reply's error says why not."""
    body = scoring.echo_body("One two three four five six.", False)
    fine = await wire.ask(body, scoring.has_prompt_logprobs)
    return [(0, Reply(logprob=0.0) if fine else Reply(error="it sent none"))]


async def score(position: int, context: list[int], target: list[int], room: int, by_id: bool, wire: Wire) -> Batch:
    """One continuation by its ids; `room`: what the window has for it and its prompt, 0 when that is not known."""
    if not target:
        return [(position, Reply(error="the continuation has no tokens"))]
    if room and len(target) >= room:
        return [(position, Reply(error=f"the continuation has {len(target)} tokens, the model's window {room + 1}"))]
    ids = [*context, *target]
    cut = max(0, len(ids) - room) if room else 0
    body, length = scoring.echo_body(ids[cut:], by_id), len(ids) - cut
    return await answer(
        position, body, lambda answer: scored_reply(scoring.read_ids(answer, length, len(target)), cut), wire
    )


async def score_choices(context: tuple[int, ...], asked: list[tuple[int, int]], room: int, wire: Wire) -> Batch:
    """All one-token continuations of a prompt in one request: (position, token) each."""
    cut = max(0, len(context) - room) if room else 0
    ids = [token for _, token in asked]
    body = scoring.choices_body(context[cut:], list(dict.fromkeys(ids)))
    try:
        scores = await wire.ask(body, lambda answer: scoring.read_choices(answer, ids))
    except TooLongError as error:
        return [(position, Reply(error=f"the prompt does not fit into the model's window: {error}"))
                for position, _ in asked]  # fmt: skip
    return [(position, scored_reply(score, cut)) for (position, _), score in zip(asked, scores, strict=True)]


async def score_text(position: int, pairs: list[tuple[list[int], list[int]]], by_id: bool, wire: Wire) -> Batch:
    """A text window by window."""
    scores = []
    for context, target in pairs:
        length, targets = len(context) + len(target), len(target)
        body = scoring.echo_body([*context, *target], by_id)
        scores.append(await wire.ask(body, partial(scoring.read_ids, length=length, targets=targets)))
    logprob = sum(score.logprob for score in scores)
    greedy = all(score.greedy for score in scores)
    return [(position, Reply(logprob=logprob, greedy=greedy, n_tokens=sum(score.tokens for score in scores)))]
