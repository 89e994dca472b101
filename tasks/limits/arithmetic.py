"""Sums, differences and products by the number of digits: drawn anew from a fixed seed, the same in every run."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterator
from typing import Any

DIGITS = range(1, 9)
ITEMS = 20
"""Of every operation and length."""
SHOTS = 4
_OPERATIONS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "addition": ("plus", operator.add),
    "subtraction": ("minus", operator.sub),
    "multiplication": ("times", operator.mul),
}


def items(**metadata: Any) -> Any:
    """lm-eval calls this with the task's metadata; split → data set."""
    import datasets

    del metadata
    return {"test": datasets.Dataset.from_list(list(_documents()))}


def _documents() -> Iterator[dict[str, Any]]:
    for operation, (word, compute) in _OPERATIONS.items():
        for digits in DIGITS:
            rng = random.Random(f"{operation} {digits}")
            asked = [(f"What is {a} {word} {b}?", str(compute(a, b))) for a, b in _pairs(rng, operation, digits)]
            shots = [f"Q: {question}\nA: {answer}" for question, answer in asked[:SHOTS]]
            for question, answer in asked[SHOTS:]:
                yield {
                    "kind": f"{operation}, {digits} digits" if digits > 1 else f"{operation}, 1 digit",
                    "prompt": "\n\n".join([*shots, f"Q: {question}\nA:"]),
                    "answer": answer,
                }


def _pairs(rng: random.Random, operation: str, digits: int) -> list[tuple[int, int]]:
    """Different pairs of numbers with exactly so many digits; of a difference, the larger comes first."""
    low, high = 10 ** (digits - 1), 10**digits - 1
    found: dict[tuple[int, int], None] = {}
    while len(found) < SHOTS + ITEMS:
        a, b = rng.randint(low, high), rng.randint(low, high)
        found[(max(a, b), min(a, b)) if operation == "subtraction" else (a, b)] = None
    return list(found)
