"""The least time that a workload can take on a machine, from its matrix product and its copy.

A roofline (Williams, Waterman & Patterson 2009, Communications of the ACM 52(4)): the larger of the floating-point
operations over the machine's rate and the bytes over its memory's. Counted are the tokens that a trie needs, not those
that an engine forwards, so work done twice does not look like speed. Bytes are those of the weights alone, once for
scoring and once a step for generating with all rows in one batch; keys and values come on top: it is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.engine.checkpoints import Shape
from benchmarks.engine.distinct import Needed, with_answers

BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}


def totals(counted: Mapping[str, Any], answers: Sequence[int]) -> dict[str, int]:
    """Tokens, pairs, scored positions and steps of a workload, with the answers that were generated.

    Args:
        counted: What `distinct.count` gave.
        answers: Tokens of each generated answer, in the order of its prompts.
    """
    more = with_answers(counted["prompts"], answers) if answers else Needed(0, 0)
    asked_once = [n for prompt, n in zip(counted["prompts"], answers, strict=True) if prompt]
    return {
        "tokens": counted["tokens"] + more.tokens,
        "pairs": counted["pairs"] + more.pairs,
        "scored": counted["scored"] + sum(asked_once),
        "steps": max(1, *answers) if answers else 1,
        "answers": sum(asked_once),
    }


def operations(shape: Shape, total: Mapping[str, int]) -> int:
    """Floating-point operations: a multiplication and an addition for each weight and token, for each number of a key
    and of a value and pair, and the output head where something is scored.
    """  # fmt: skip
    body = 2 * shape.body * total["tokens"]
    attention = 4 * shape.width * shape.layers * total["pairs"]
    head = 2 * shape.hidden * shape.vocabulary * total["scored"]
    return body + attention + head


def least_seconds(shape: Shape, total: Mapping[str, int], speed: Mapping[str, float], dtype: str) -> float:
    """The larger of what the arithmetic and what reading the weights takes.

    Args:
        shape: Of the model.
        total: What `totals` gave.
        speed: gflops and gb_per_second, as `machine.measure` tells them.
        dtype: Of the weights.
    """
    weights = (shape.body + shape.hidden * shape.vocabulary) * BYTES[dtype]
    arithmetic = operations(shape, total) / (speed["gflops"] * 1e9)
    return max(arithmetic, weights * total["steps"] / (speed["gb_per_second"] * 1e9))
