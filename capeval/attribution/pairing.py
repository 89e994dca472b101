"""Which items of two (or more) cells may be compared, one row per item.

A cell is what one node scored on one task in one setting. Items pair by their digest, so a changed question or gold is
another item and drops out by itself; shots must agree too, unless the author of the tree says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capeval.columns import WHY_WRONG
from capeval.core import TaskSpec
from capeval.errors import PairingError
from capeval.stats.paired import PairedDifference, paired_difference

REFUSED_SHARE = 0.01
"""Up to this share of pairs with different shots is dropped and counted; above it the comparison is refused."""

_NUMBERS = ("score", "gold_logprob", "lenient")
_TEXTS = ("subset", "cluster", "shots", "presentation", "prompt_digest", "rung")

Cells = Mapping[tuple[str, str, str], pd.DataFrame]
"""(node, task or task:subset, setting) → a row per item, indexed by it: score, cluster, shots, presentation, flags, and
`form`: whether the answer is better with its form forgiven, missing where nobody looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Items that all cells of a contrast have a score for."""

    items: pd.Index
    scores: np.ndarray
    """Shape (items, cells)."""
    clusters: np.ndarray | None
    """One label per item; None when the task has no clusters."""
    dropped: int
    """Items of any cell that are not among `items`."""
    reshot: int
    """Pairs whose shots differ: dropped, or kept when allowed."""
    represented: int
    """Kept pairs whose presentation differs."""
    reworded: int
    """Kept pairs of one presentation whose prompts differ all the same: the question is put in other words."""
    complete: np.ndarray
    """Per item, whether no cell's answer was truncated, unextracted, refused or empty."""


def cells(records: pd.DataFrame) -> dict[tuple[str, str, str], pd.DataFrame]:
    """Collapse records to one row per item: samples are averaged inside the item, subsets get cells of their own.

    Args:
        records: Columns of `columns.RECORD_COLUMNS` with `node` in front.
    """
    if records.empty:
        return {}
    keys = ["node", "task", "setting", "item"]
    flagged = {flag: (records["flag"] == flag).astype(float) for flag in WHY_WRONG}
    scored = records["score"].notna()
    # a missing sample must count neither as wrong nor as flagged
    frame = records[[*keys, *_TEXTS, *_NUMBERS]].assign(
        **{flag: values.where(scored) for flag, values in flagged.items()}
    )
    frame["form"] = (records["lenient"] > records["score"]).astype(float).where(scored & records["lenient"].notna())
    once = not frame.duplicated(keys).any()
    if not once:
        first = {c: "first" for c in _TEXTS}
        means = {c: "mean" for c in (*_NUMBERS, "form", *flagged)}
        frame = frame.groupby(keys, sort=False, observed=True).agg(first | means).reset_index()
    found: dict[tuple[str, str, str], pd.DataFrame] = {}
    for key, rows in frame.groupby(["node", "task", "setting"], sort=False, observed=True):
        node, task, setting = map(str, key)
        rows = rows.set_index("item").drop(columns=["node", "task", "setting"])
        found[(node, task, setting)] = rows
        for subset, part in ((str(name), rows_) for name, rows_ in rows.groupby("subset", sort=True)):
            if subset and len(part) < len(rows):
                found[(node, f"{task}:{subset}", setting)] = part
    return found


def pair(parts: Sequence[pd.DataFrame], settings: Sequence[str], *, allow_different_shots: bool = False) -> Pairs:
    """Join cells on their items.

    Args:
        parts: One frame per cell, as `cells` makes them.
        settings: Setting of each cell. Shots must agree among the cells of one setting; between settings they differ
            by design.
        allow_different_shots: Keep such pairs; the caller marks the effect as confounded.

    Raises:
        PairingError: when more than `REFUSED_SHARE` of the pairs were shown different shots.
    """
    everything = parts[0].index
    shared = everything
    for part in parts[1:]:
        if part.index.equals(shared) and len(shared) == len(everything):
            continue
        everything = everything.union(part.index, sort=False)
        shared = shared[shared.isin(part.index)]
    aligned = on_items(parts, shared)
    keep = np.logical_and.reduce([part["score"].notna().to_numpy() for part in aligned])
    alike = [[part for part, s in zip(aligned, settings, strict=True) if s == setting] for setting in set(settings)]
    reshot = _any(_differ(group, "shots") for group in alike) & keep
    share = reshot.sum() / max(int(keep.sum()), 1)
    if share > REFUSED_SHARE and not allow_different_shots:
        raise PairingError(
            f"{reshot.sum()} of {keep.sum()} items were asked with different shots at the two ends; "
            "allow_different_shots pairs them all the same and marks the effect as confounded",
            reason="different shots",
        )
    if not allow_different_shots:
        keep &= ~reshot
    represented = _any(_differ(group, "presentation") for group in alike) & keep
    reworded = _any(_differ(group, "prompt_digest") for group in alike) & keep & ~represented & ~reshot
    labels = _clusters(aligned)[keep]
    return Pairs(
        items=shared[keep],
        scores=np.column_stack([part["score"].to_numpy(float)[keep] for part in aligned]),
        clusters=labels if (labels != "").any() else None,
        dropped=len(everything) - int(keep.sum()),
        reshot=int(reshot.sum()),
        represented=int(represented.sum()),
        reworded=int(reworded.sum()),
        complete=complete(aligned)[keep],
    )


def on_items(parts: Sequence[pd.DataFrame], shared: pd.Index) -> list[pd.DataFrame]:
    """The cells on these items, in their order."""
    return [part if part.index.equals(shared) else part.loc[shared] for part in parts]


def complete(aligned: Sequence[pd.DataFrame]) -> np.ndarray:
    """Per item of cells on the same items, whether no answer was truncated, unextracted, refused or empty."""
    flagged = [part[flag].to_numpy(float) > 0 for part in aligned for flag in WHY_WRONG]
    return ~_any(flagged)


def marks(found: Sequence[Pairs], *, shots: bool) -> list[str]:
    """What differs between the ends of the pairs that were kept, with on how many items.

    Args:
        found: The pairs that an effect rests on.
        shots: Whether pairs with different shots were kept.
    """
    counts = {
        "shots": sum(pairs.reshot for pairs in found) * shots,
        "presentation": sum(pairs.represented for pairs in found),
        "prompt": sum(pairs.reworded for pairs in found),
    }
    return [f"different {what} on {n} items" for what, n in counts.items() if n]


def estimate(
    pairs: Pairs, weights: np.ndarray, spec: TaskSpec, *, alpha: float, level: float = 0.95, seed: int = 0
) -> PairedDifference:
    """The weighted sum of paired cells, by the rules for the task's scores and clusters.

    Args:
        pairs: Items with a score in every cell.
        weights: (cells,).
        spec: Says whether scores are binary and bounded, and what clusters are.
        alpha: Level of the decision.
        level: Confidence of the interval that is shown.
        seed: Of the cluster sign-flip test.
    """
    d = pairs.scores @ weights
    clustered = pairs.clusters is not None and spec.cluster_role != "none"
    return paired_difference(
        d,
        clusters=pairs.clusters if clustered else None,
        role=spec.cluster_role if clustered else "none",
        binary=bool(np.isin(d, (-1.0, 0.0, 1.0)).all()) and spec.binary,
        bounded=spec.unit == "points",
        alpha=alpha,
        level=level,
        seed=seed,
    )


def shares(part: pd.DataFrame) -> dict[str, float]:
    """Share of a cell's items that are missing (of all), truncated or unextracted (of those with a score)."""
    scored = ~np.isnan(part["score"].to_numpy(float))
    rates = {
        flag: float(part[flag].to_numpy(float)[scored].mean()) if scored.any() else 0.0
        for flag in ("truncated", "unextracted")
    }
    return {"missing": float(1 - scored.mean()) if len(part) else 0.0, **rates}


def _differ(group: Sequence[pd.DataFrame], column: str) -> np.ndarray:
    """Per item, whether the cells disagree; a cell that does not know ('') disagrees with nobody about its prompt."""
    values = [part[column].to_numpy(dtype=object) for part in group]
    different = np.zeros(len(values[0]), bool)
    for other in values[1:]:
        apart = values[0] != other
        different |= apart & (values[0] != "") & (other != "") if column == "prompt_digest" else apart
    return different


def _any(masks: Iterable[np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.logical_or.reduce(list(masks))
    return found


def _clusters(aligned: Sequence[pd.DataFrame]) -> np.ndarray:
    """The items' clusters, from whichever cell knows them.

    Raises:
        PairingError: when two cells put an item into different clusters.
    """
    labels = aligned[0]["cluster"].to_numpy(dtype=object).copy()
    for part in aligned[1:]:
        other = part["cluster"].to_numpy(dtype=object)
        if ((labels != other) & (labels != "") & (other != "")).any():
            raise PairingError(
                "the two ends put the same items into different clusters; import or run one of them again",
                reason="different clusters",
            )
        labels = np.where(labels == "", other, labels)
    return labels
