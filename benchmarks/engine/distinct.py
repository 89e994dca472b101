"""How many tokens a workload needs at least: each distinct prefix of what is read, once.

Rows of tokens that begin alike form a trie; a causal model's state after a prefix depends on nothing else, so a node of
the trie has to be read once however many rows pass through it. Counted from lm-eval's tokens, without either engine.

>>> needed([(1, 2, 3), (1, 2, 4), (1, 2, 3)])
Needed(tokens=4, pairs=9)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from capeval.core import Request


class Needed(NamedTuple):
    """What reading rows of tokens takes when nothing is read twice."""

    tokens: int
    """Distinct prefixes."""
    pairs: int
    """(query, key) pairs of causal attention: the sum of their lengths."""


def needed(rows: Iterable[Sequence[int]]) -> Needed:
    """Nodes of the trie of the rows. Sorted, a row shares with all before it what it shares with the one before it."""
    tokens, pairs = 0, 0
    before: tuple[int, ...] = ()
    for row in sorted(tuple(row) for row in rows):
        shared = 0
        for a, b in zip(before, row, strict=False):
            if a != b:
                break
            shared += 1
        tokens += len(row) - shared
        pairs += (len(row) * (len(row) + 1) - shared * (shared + 1)) // 2
        before = row
    return Needed(tokens, pairs)


def with_answers(prompts: Sequence[int], answers: Sequence[int]) -> Needed:
    """What generating adds: every token of an answer but its last is read, behind its prompt.

    Args:
        prompts: Tokens of each prompt; 0 for one that was asked before.
        answers: Tokens of each answer.
    """
    read = [(prompt, max(0, answer - 1)) for prompt, answer in zip(prompts, answers, strict=True) if prompt]
    pairs = sum(prompt * answer + answer * (answer + 1) // 2 for prompt, answer in read)
    return Needed(sum(answer for _, answer in read), pairs)


def count(model: Any, requests: Sequence[Request]) -> dict[str, Any]:
    """The least that the requests take, by lm-eval's own tokenising.

    Args:
        model: A decoder-only `HFLM`.
        requests: The work.

    Returns:
        tokens and pairs as `Needed` has them, without answers to generate; scored: positions whose logits are needed;
        prompts: tokens of each prompt to continue, 0 where it is another request's too; width: tokens of the longest
        row.
    """
    rows, scored, prompts = [], 0, []
    seen: set[str] = set()
    for request in requests:
        if request.kind == "generate":
            ids = model.tok_encode(request.text)
            prompts.append(0 if request.text in seen else len(ids))
            seen.add(request.text)
            rows.append(ids)
            continue
        for context, target in _pairs(model, request):
            rows.append((context + target)[-(model.max_length + 1) :][:-1])
            scored += len(target)
    return {
        **needed(rows)._asdict(), "scored": scored, "prompts": prompts, "width": max(map(len, rows), default=0)
    }  # fmt: skip


def _pairs(model: Any, request: Request) -> Iterator[tuple[list[int], list[int]]]:
    """(context, target) of a request whose tokens are scored; several windows of a long text."""
    if request.kind == "loglikelihood":
        if request.text:
            yield model._encode_pair(request.text, request.continuation)
        else:
            yield [model.prefix_token_id], model.tok_encode(request.continuation, add_special_tokens=False)
        return
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    windows = get_rolling_token_windows(
        token_list=model.tok_encode(request.text),
        prefix_token=model.prefix_token_id,
        max_seq_len=model.max_length,
        context_len=1,
    )
    yield from map(make_disjoint_window, windows)
