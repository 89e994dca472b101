"""How far can word overlap stand in for people's labels? TruthfulQA answers of four GPT-3 base models, numbers only.

    CAPEVAL_DATA=/data python -m benchmarks.truthfulqa_overlap

The labels were given by one group and not reviewed (recorded/truthfulqa_gpt3_base). Answers that are labelled neither
true nor false (mixed, subjective, unknown, blank) are left out.
"""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capeval.harness.layouts import find, splits
from capeval.shipped import folder
from capeval.stats.rates import wilson

LABELS = {
    "true": True, "true: fact": True, "true: tautology": True, "mostly true": True,
    "false": False, "mostly false": False, "mostly untrue": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """Agreement of the overlap with the labels."""

    answers: int
    true: int
    """So many are labelled true."""
    auc: float
    """Chance that a true answer has a larger ROUGE-1 difference than a false one."""
    sensitivity: float
    """Share of true answers that are nearer to a true reference."""
    specificity: float
    """Share of false answers that are not."""

    @property
    def balanced(self) -> float:
        """Balanced accuracy."""
        return (self.sensitivity + self.specificity) / 2


def measured(mirror: Path) -> Measured:
    """Score the recorded answers as the task does."""
    import datasets
    from scipy.stats import rankdata

    spec = importlib.util.spec_from_file_location("scores", folder("tasks") / "truthfulness" / "scores.py")
    assert spec is not None and spec.loader is not None
    scores = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scores)
    layout = find("truthfulqa/truthful_qa", "generation")
    assert layout is not None
    docs = scores.truthfulqa_docs(datasets.Dataset.from_list(splits(layout, mirror, "generation")["validation"]))
    difference, label = [], []
    with (mirror / "recorded" / "truthfulqa_gpt3_base" / "outputs.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            truth = LABELS.get((row["truthfulness_annotated"] or "").strip().lower())
            if truth is not None:
                said = row["output"].strip().removeprefix("A:")
                doc = docs[int(row["id"].rpartition("/")[2])]
                difference.append(scores.truthfulqa(doc, [said])["rouge1_diff"])
                label.append(truth)
    d, y = np.array(difference), np.array(label)
    ranks = rankdata(d)
    true, false = int(y.sum()), int((~y).sum())
    auc = (ranks[y].sum() - true * (true + 1) / 2) / (true * false)
    return Measured(len(d), true, float(auc), float((d[y] > 0).mean()), float((d[~y] <= 0).mean()))


def main() -> None:
    """Print the agreement."""
    found = measured(Path(os.environ["CAPEVAL_DATA"]))
    print(f"{found.answers} answers, {found.true} of them true by label; AUC of the difference {found.auc:.3f}")
    for name, share, n in (
        ("true answers nearer to a true reference", found.sensitivity, found.true),
        ("false answers not nearer", found.specificity, found.answers - found.true),
    ):
        interval = wilson(share * n, n)
        print(f"{name}: {share:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
    print(f"balanced accuracy {found.balanced:.3f}")


if __name__ == "__main__":
    main()
