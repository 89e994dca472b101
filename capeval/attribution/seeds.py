"""Effects over training runs: the same contrast, the same items, other seeds of the training.

Replica 0 is the run that the ledger is about. What asks several runs takes a list of cells (`pairing.Cells`), one entry
per training run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.confounds import unreadable
from capeval.attribution.gaps import gaps
from capeval.attribution.pairing import Cells, Pairs, pair
from capeval.attribution.questions import Question, questions
from capeval.attribution.summaries import spec_in
from capeval.columns import REPLICA_COLUMNS
from capeval.core import Contrast, Tree
from capeval.errors import PairingError
from capeval.stats.seeds import seed_interval, split_variance

_KEY = ["kind", "contrast", "task", "setting"]


def replica_table(tree: Tree, contrasts: Iterable[Contrast], seeds: Sequence[Cells], *, alpha: float) -> pd.DataFrame:
    """What every training run says of every contrast; columns of `columns.REPLICA_COLUMNS`.

    Args:
        tree: Its task specs say metric and clusters.
        contrasts: As the ledger's.
        seeds: Cells of each training run, the ledger's own first; one alone gives no rows.
        alpha: Of the gaps' estimates.
    """
    columns = list(REPLICA_COLUMNS)
    if len(seeds) < 2:
        return pd.DataFrame(columns=columns)
    rows: list[dict[str, Any]] = []
    for contrast in contrasts:
        for question in questions(contrast, seeds[0]):
            rows += _of_runs(question, tree, seeds)
    for replica, cells in enumerate(seeds):
        for gap in gaps(tree, cells, tree.edges(), alpha=alpha):
            found = gap.estimate
            reasons = [unreadable(parts, found.n, found.n_clusters, gap.spec) for parts in gap.compared]
            row = _head(replica, gap.contrast, gap.spec.name, gap.setting)
            rows.append(row | {"n": found.n, "delta": found.delta, "reason": next(filter(None, reasons), "")})
    return pd.DataFrame(rows, columns=columns)


def with_seeds(effects: pd.DataFrame, replicas: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """The ledger with its columns about seeds, from a table of `replica_table`."""
    known = replicas[replicas["delta"].notna()]
    by_key = {
        key: (rows["delta"].to_numpy(float), rows["share"].iloc[0])
        for key, rows in known.groupby(_KEY, sort=False, observed=True)
    }
    rows = []
    for *key, unit in effects[[*_KEY, "unit"]].itertuples(index=False, name=None):
        deltas, share = by_key.get(tuple(key), (np.array([]), float("nan")))
        limit = 1.0 if unit == "points" and key[0] != "difference" else math.inf
        found = seed_interval(deltas, level=level, limit=limit)
        several = found.n > 1
        rows.append((max(1, found.n), found.mean if several else float("nan"), found.low, found.high, share))
    names = ["seeds", "seed_delta", "seed_low", "seed_high", "seed_share"]
    return effects.assign(**pd.DataFrame(rows, columns=names, index=effects.index))


def _of_runs(question: Question, tree: Tree, seeds: Sequence[Cells]) -> list[dict[str, Any]]:
    """One contrast in each training run."""
    spec = spec_in(tree.task(question.task.partition(":")[0]), question.setting)
    rows, kept = [], []
    for replica, cells in enumerate(seeds):
        pairs = _pairs(question, cells)
        if pairs is None:
            continue
        d = pairs.scores @ question.weights
        kept.append((pairs.items, d))
        clusters = 0 if pairs.clusters is None else len(set(pairs.clusters))
        reason = unreadable([cells[key] for key in question.keys], len(d), clusters, spec)
        row = _head(replica, question.contrast, question.task, question.setting)
        rows.append(row | {"n": len(d), "delta": float(d.mean()), "reason": reason})
    share = _share(kept)
    return [row | {"share": share} for row in rows]


def _pairs(question: Question, cells: Cells) -> Pairs | None:
    """The contrast's items in one training run; None where it was not asked, or asked in another way."""
    if not all(key in cells for key in question.keys):
        return None
    try:
        pairs = pair(
            [cells[key] for key in question.keys],
            question.settings,
            allow_different_shots=question.contrast.allow_different_shots,
        )
    except PairingError:
        return None
    return pairs if len(pairs.items) else None


def _share(runs: Sequence[tuple[pd.Index, np.ndarray]]) -> float:
    """The run's share of the variance, on the items that all runs have."""
    if not runs:
        return float("nan")
    shared = runs[0][0]
    for items, _ in runs[1:]:
        shared = shared if items.equals(shared) else shared[shared.isin(items)]
    return split_variance([d[items.get_indexer(shared)] for items, d in runs]).seed_share


def _head(replica: int, contrast: Contrast, task: str, setting: str) -> dict[str, Any]:
    return {
        "replica": replica, "kind": contrast.kind, "contrast": contrast.name, "parent": contrast.parent,
        "child": contrast.child, "task": task, "setting": setting,
    }  # fmt: skip
