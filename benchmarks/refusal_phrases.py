"""The rival of the grammar in `capeval.refusal`, not shipped: weights of phrases, learnt from the labels.

    python -m benchmarks.refusal_phrases        # prints the table of docs/refusal.md

Ridge-penalised logistic regression on the words, pairs and triples of an answer's first 80 characters that at least
eight answers of the dev side have. It is asked about systems that it has seen and about each that it has not.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from benchmarks.validate_refusal import CUT, Answer, Judge, answers, by_grammar, precision_recall

AT_LEAST = 8
RIDGE = 1.0


def phrases(text: str) -> set[str]:
    """Words, pairs and triples."""
    words = re.findall(r"[a-z']+", text.lower().replace("’", "'"))
    return {" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)}


def learnt(given: Sequence[Answer]) -> Judge:
    """A judge that has learnt from these answers."""
    counts = Counter(phrase for answer in given for phrase in phrases(answer.text))
    places = {phrase: i for i, phrase in enumerate(p for p, n in counts.items() if n >= AT_LEAST)}

    def row(answer: Answer) -> np.ndarray:
        held = np.zeros(len(places) + 1)
        held[[places[p] for p in phrases(answer.text) if p in places] + [-1]] = 1.0
        return held

    matrix = np.array([row(answer) for answer in given])
    signs = np.array([1.0 if answer.human != "compliance" else -1.0 for answer in given])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin, free = signs * (matrix @ weights), np.append(weights[:-1], 0.0)
        slope = RIDGE * free - matrix.T @ (signs / (1 + np.exp(margin)))
        return float(np.logaddexp(0, -margin).sum() + RIDGE / 2 * free @ free), slope

    weights = minimize(loss, np.zeros(len(places) + 1), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return lambda answer: "full" if row(answer) @ weights > 0 else "compliance"


def table(everything: Sequence[Answer]) -> list[str]:
    """A line per system and one for all, test side: seen, unseen, grammar; precision / recall in %."""
    cut = [replace(answer, text=answer.text[:CUT]) for answer in everything]
    dev, test = ([a for a in cut if a.side == side] for side in ("dev", "test"))
    systems = sorted({answer.system for answer in cut})
    seen = learnt(dev)
    unseen = {name: learnt([a for a in dev if a.system != name]) for name in systems}
    judges: list[Judge] = [seen, lambda answer: unseen[answer.system](answer), by_grammar]
    lines = ["| system | phrases, system seen | phrases, system not seen | grammar |", "|---|---|---|---|"]
    for name in [*systems, "all five"]:
        part = [answer for answer in test if name in (answer.system, "all five")]
        rates = [precision_recall(part, judge) for judge in judges]
        lines.append(f"| {name} | " + " | ".join(f"{100 * p.value:.1f} / {100 * r.value:.1f}" for p, r in rates) + " |")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refusal_phrases", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CAPEVAL_DATA", ".")), help="the mirror")
    print("\n".join(table(answers(parser.parse_args(argv).data))))


if __name__ == "__main__":
    main()
