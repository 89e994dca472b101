"""How cost grows: tokens forwarded, counted, against items, shots and choices, and against the trie's distinct tokens.

    python -m benchmarks.growth

Counts don't depend on the model, so it is a tiny one, and prompts are random tokens of usual lengths. What the engine
forwards must stay within 1.15 of the distinct tokens, the least that any engine can do: else this fails.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

BOUND = 1.15


def requests(items: int, shots: int, choices: int, draw: random.Random) -> Iterator[tuple[list[int], list[int]]]:
    """(what is read, target): a head of examples of 60 to 120 tokens, questions of 30 to 90, choices of 1 to 6."""

    def some(least: int, most: int) -> list[int]:
        return [draw.randrange(3, 500) for _ in range(draw.randint(least, most))]

    head = [1] + [token for _ in range(shots) for token in some(60, 120)]
    for _ in range(items):
        question = head + some(30, 90)
        for _ in range(choices):
            target = some(1, 6)
            yield (question + target)[:-1], target


def count(sequences: list[tuple[list[int], list[int]]], forward: Any, budget: Any) -> tuple[int, int]:
    """(tokens forwarded, distinct tokens)."""
    from dataclasses import replace

    from capeval.backends.trie.forward import Counts
    from capeval.backends.trie.score import score

    inputs, targets = [list(x) for x, _ in sequences], [y for _, y in sequences]
    forward.counts = Counts()
    answered = sum(len(batch) for batch in score(forward, inputs, targets, replace(budget), range(len(inputs))))
    if answered != len(inputs):
        raise SystemExit(f"only {answered} of {len(inputs)} were scored")
    return forward.counts.forwarded, forward.counts.distinct


def main() -> None:
    """Print the table."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from capeval.backends.trie.budget import Budget
    from capeval.backends.trie.forward import Forward

    config = LlamaConfig(
        vocab_size=512, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=8192,
    )  # fmt: skip
    forward = Forward(LlamaForCausalLM(config).eval(), "tiny")
    print("| items | shots | choices | every prompt whole | distinct | forwarded | forwarded / distinct |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    worst = 0.0
    shapes = (
        [(n, 5, 4) for n in (5, 20, 80, 320)] + [(80, n, 4) for n in (0, 1, 10, 25)] + [(80, 5, n) for n in (1, 2, 16)]
    )
    for items, shots, choices in shapes:
        sequences = list(requests(items, shots, choices, random.Random(0)))
        forwarded, distinct = count(sequences, forward, Budget(tokens=2048))
        whole = sum(len(read) for read, _ in sequences)
        worst = max(worst, forwarded / distinct)
        print(
            f"| {items} | {shots} | {choices} | {whole:,} | {distinct:,} | {forwarded:,} | {forwarded / distinct:.3f} |"
        )
    if worst > BOUND:
        raise SystemExit(f"{worst:.3f} times the distinct tokens: the bound is {BOUND}")


if __name__ == "__main__":
    main()
