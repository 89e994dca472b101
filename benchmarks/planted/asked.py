"""Arrays → records → cells → the ledger: the door that real records go through, and a short cut behind it.

All that stands in one ledger is one family: where the adjusted p counts, every repetition gets a ledger of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.effects import ALPHA, ledger
from capeval.attribution.pairing import Pairs, cells, estimate
from capeval.columns import RECORD_COLUMNS
from capeval.core import Link, Stage, TaskSpec, Tree
from capeval.stats.paired import PairedDifference
from capeval.store.runs import as_records

EMPTY: dict[str, Any] = as_records([{"task": "t", "setting": "asked", "item": "i"}]).iloc[0].to_dict()
"""What a record holds where nothing is known."""
EDGE = ("parent", "child")


def records(node: str, task: str, scores: np.ndarray, **columns: Any) -> pd.DataFrame:
    """Records of one node and task: items 0, 1 … with one answer each, or (n, samples) of them.

    Args:
        node: Its name.
        task: Its name.
        scores: (n,) or (n, samples); NaN is missing.
        columns: Of `RECORD_COLUMNS`, constants or arrays of the scores' length.
    """
    n, samples = len(scores), 1 if scores.ndim == 1 else scores.shape[1]
    known = {
        "task": task, "capability": task, "setting": "asked", "item": np.repeat(np.arange(n).astype(str), samples),
        "sample": np.tile(np.arange(samples), n), "score": scores.ravel(), **columns,
    }  # fmt: skip
    filled = {name: known.get(name, EMPTY[name]) for name in RECORD_COLUMNS}
    return pd.DataFrame({"node": node, **filled})


def cluster_names(labels: np.ndarray | None, n: int) -> np.ndarray:
    """(n,) names of clusters for records: empty where there are none."""
    return np.full(n, "", dtype=object) if labels is None else np.char.add("c", labels.astype(str)).astype(object)


def spec(name: str, **more: Any) -> TaskSpec:
    """A task of right-or-wrong items with a margin of two points."""
    return TaskSpec(**{"name": name, "capability": name, "metric": "exact_match", "margin": 0.02, **more})


def tree(parents: Mapping[str, str], tasks: Sequence[TaskSpec], **more: Any) -> Tree:
    """A tree from {child: parent}; a root has the parent ''."""
    stages = tuple(
        Stage(name=name, kind="sft" if parent else "base",
              links=(Link(parent=parent, certainty="documented"),) if parent else ())
        for name, parent in parents.items()
    )  # fmt: skip
    return Tree(name="planted", stages=stages, tasks=tuple(tasks), **more)


def estimated(parent: np.ndarray, child: np.ndarray, labels: np.ndarray | None, task: TaskSpec) -> PairedDifference:
    """What the ledger estimates of child − parent on (n,) items, without the frames around it.

    Hundreds of thousands of repetitions are asked this way; `tests/test_planted.py` holds it against the ledger itself.
    """
    shared = Pairs(
        items=pd.RangeIndex(len(parent)), scores=np.column_stack([child, parent]), clusters=labels,
        dropped=0, reshot=0, represented=0, reworded=0, complete=np.ones(len(parent), bool),
    )  # fmt: skip
    return estimate(shared, np.array([1.0, -1.0]), task, alpha=ALPHA)


def one_edge(frame: pd.DataFrame, specs: Sequence[TaskSpec]) -> pd.DataFrame:
    """The ledger of parent → child over records of these two nodes, a row per task in their order."""
    planted = tree({"parent": "", "child": "parent"}, specs)
    return ledger(planted, cells(frame), planted.edges())
