"""Do the measures of style see what is known? Recorded answers of real models to the same instructions, numbers only.

    CAPEVAL_DATA=/data python -m benchmarks.style_table

RLHF lengthens answers (Stiennon et al. 2020; Singhal et al. 2023): the tuned child of each pair should be longer.
Hedging and balance are shown with their paired difference; a long answer has more room for "some … others".
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from capeval.stats.paired import paired_difference
from capeval.style import hedged, two_sided, words

MEASURES: Mapping[str, Callable[[str], float]] = {"words": words, "hedged": hedged, "two sides": two_sided}
PAIRS = (
    ("alpaca_eval_805", "text_davinci_001", "text_davinci_003"),
    ("alpaca_eval_805", "text_davinci_003", "gpt-3.5-turbo-0301"),
    ("alpaca_eval_805", "alpaca-7b", "alpaca-farm-ppo-human"),
    ("alpaca_eval_805", "oasst-sft-llama-33b", "oasst-rlhf-llama-33b"),
    ("self_instruct_252", "davinci", "text-davinci-001"),
    ("self_instruct_252", "text-davinci-001", "text-davinci-002"),
    ("self_instruct_252", "text-davinci-002", "text-davinci-003"),
)


def answers(mirror: Path, source: str) -> dict[str, dict[str, str]]:
    """Model → item → answer."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    with (mirror / "recorded" / source / "outputs.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            found[row["model"]][row["id"]] = row["output"] or ""
    return found


def compared(mirror: Path) -> Iterator[tuple[str, str, str, int, float, float, float, float]]:
    """Parent, child, measure, n, both means and the ends of the paired difference's 95 % interval."""
    for source, parent, child in PAIRS:
        said = answers(mirror, source)
        items = sorted(said[parent].keys() & said[child].keys())
        for name, measure in MEASURES.items():
            before, after = (np.array([float(measure(said[m][i])) for i in items]) for m in (parent, child))
            difference = paired_difference(after - before, binary=name == "two sides", bounded=name != "words")
            yield (
                parent, child, name, len(items), float(before.mean()), float(after.mean()),
                difference.low, difference.high,
            )  # fmt: skip


def main() -> None:
    """Print the table."""
    print("| parent | child | measure | n | parent | child | difference, 95 % |")
    print("|---|---|---|--:|--:|--:|---|")
    for parent, child, name, n, before, after, low, high in compared(Path(os.environ["CAPEVAL_DATA"])):
        digits = 1 if name == "words" else 3
        print(f"| {parent} | {child} | {name} | {n} | {before:.{digits}f} | {after:.{digits}f} "
              f"| {low:+.{digits}f} … {high:+.{digits}f} |")  # fmt: skip


if __name__ == "__main__":
    main()
