"""The items of one task that a claim's test rests on, one value each: what its nodes differ by, or score.

Nodes that a test pairs were asked the same items: their differences are averaged inside each item, so that three sizes
of a model don't count as three times the items; so are several training runs of one recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from capeval.attribution.claims.cells import Asked, Combination
from capeval.attribution.confounds import of_answers, unreadable
from capeval.attribution.pairing import Cells, marks, pair
from capeval.core import ClaimTest, Source, TaskSpec, Tree
from capeval.errors import PairingError

ENOUGH = 0.9
"""Where the nodes that are averaged share less of their items, it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What all tests of a trace are put to."""

    tree: Tree
    runs: tuple[Cells, ...]
    """Of each training run of the tree, the trace's own first, as `summaries.with_summaries` makes them."""
    measures: Mapping[str, tuple[Source, ...]]
    scaling: pd.DataFrame
    """Columns of `columns.SCALING_COLUMNS`."""
    unlock: pd.DataFrame
    """Columns of `columns.UNLOCK_COLUMNS`."""
    alpha: float
    seed: int
    """Of the cluster sign-flip test."""
    forgiven: tuple[Cells, ...] = ()
    """The runs with the form of answers forgiven (`forgiven`); empty where that is not known."""


def forgiven(cells: Cells) -> Cells:
    """The cells with the form of answers forgiven, where that is known (`lenient`); empty where it is nowhere."""
    if not any(part["lenient"].notna().any() for part in cells.values()):
        return {}
    return {
        key: part.assign(score=part["lenient"].where(part["lenient"].notna() & part["score"].notna(), part["score"]))
        if part["lenient"].notna().any() else part
        for key, part in cells.items()
    }  # fmt: skip


@dataclass(slots=True)
class Told:
    """What is noted while items are gathered, each once, in order."""

    used: dict[str, Combination] = field(default_factory=dict)
    """By name, the combinations that had answers."""
    confounds: dict[str, None] = field(default_factory=dict)
    unpaired: dict[str, None] = field(default_factory=dict)
    """Why some could not be paired."""
    unreadable: dict[str, None] = field(default_factory=dict)
    """Of which nothing can be told, and why: they are left out, as the ledger answers "can't tell" to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What a task's items say: one value each, and what they share."""

    task: str
    settings: tuple[str, ...]
    by_run: Mapping[int, pd.Series]
    """Training run → value of each item; the trace's own is 0."""
    clusters: Mapping[str, str]
    spec: TaskSpec
    alone: bool
    """Whether the values are scores, not differences of scores."""


def gather(
    evidence: Evidence,
    test: ClaimTest,
    combinations: Sequence[Combination],
    settings: Sequence[Asked],
    others: Sequence[Asked],
    told: Told,
) -> Items | None:
    """One task's items; None where no combination of nodes was asked it.

    Args:
        evidence: The tree's answers.
        test: Says which way is better, and whether scores stand by themselves.
        combinations: What is averaged inside an item.
        settings: Of the task; these are averaged too.
        others: What the subtrahend is asked, where that is another setting; empty: the same.
        told: What is noted on the way.
    """
    against = others[0] if others else None
    if test.against_measure and against is None:
        return None
    by_run: dict[int, pd.Series] = {}
    clusters: dict[str, str] = {}
    for run, cells in enumerate(evidence.runs):
        columns = []
        for combination in combinations:
            for one in settings:
                found = _paired(cells, combination, (one, against or one), told if run == 0 else Told(), evidence.alpha)
                if found is not None:
                    turn = -1.0 if one.spec.orientation == "lower" and not test.raw else 1.0
                    columns.append(turn * found[0])
                    clusters |= found[1]
        if columns:
            table = pd.concat(columns, axis=1, join="inner")
            most = max(map(len, columns))
            if run == 0 and len(table) < ENOUGH * most:
                told.confounds.setdefault(f"only {len(table)} of {most} items are shared by all")
            by_run[run] = table.mean(axis=1)
    if 0 not in by_run or by_run[0].empty:
        return None
    return Items(
        task=settings[0].task,
        settings=tuple(one.name for one in settings),
        by_run=by_run,
        clusters=clusters,
        spec=settings[0].spec,
        alone=test.alone and not settings[0].minus,
    )


def _paired(
    cells: Cells, combination: Combination, ends: tuple[Asked, Asked], told: Told, alpha: float
) -> tuple[pd.Series, dict[str, str]] | None:
    """The weighted sum of a combination's cells by item, and the items' clusters; None where cells lack or differ."""
    keys, weights = _cells_of(combination, *ends)
    if not all(key in cells for key in keys):
        return None
    allowed = combination.allow_different_shots
    settings = [setting for _, _, setting in keys]
    try:
        pairs = pair([cells[key] for key in keys], settings, allow_different_shots=allowed)
    except PairingError as error:
        told.unpaired.setdefault(error.reason or str(error))
        return None
    groups = 0 if pairs.clusters is None else len(set(pairs.clusters))
    parts = [cells[key] for key in keys]
    if why := unreadable(parts, len(pairs.items), groups, ends[0].spec):
        told.unreadable.setdefault(f"{combination.name} ({why})")
        return None
    told.used.setdefault(combination.name, combination)
    of_ends = of_answers(parts, alpha=alpha) if len(parts) == 2 else []
    for text in (*combination.confounds, *marks([pairs], shots=allowed), *of_ends):
        told.confounds.setdefault(text)
    known = {} if pairs.clusters is None else dict(zip(pairs.items, pairs.clusters, strict=True))
    return pd.Series(pairs.scores @ weights, index=pairs.items), known


def _cells_of(combination: Combination, one: Asked, against: Asked) -> tuple[list[tuple[str, str, str]], np.ndarray]:
    """Cells and weights: every node in its setting, and minus the other setting where the measure says so."""
    keys, weights = [], []
    for node, weight in zip(combination.nodes, combination.weights, strict=True):
        how = one if weight > 0 or one is against else against
        for setting, sign in zip(how.settings, (1.0, -1.0), strict=False):
            keys.append((node, how.task, setting))
            weights.append(sign * weight)
    return keys, np.array(weights)
