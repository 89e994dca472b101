"""Flips planted in recorded answers: real scores, real strata and tables, and a child whose truth is known.

The recorded items are the whole world here (6,510 of BBH in 27 subtasks, 1,667 of TAT-QA under 278 tables;
code-davinci-002, direct and chain of thought). A repetition draws items from it as the statistics suppose: BBH inside
its subtasks, TAT-QA by whole tables. The child is the recorded pair itself, the pair with its ends exchanged by coin
tosses (so that nothing is gained: by item in BBH, by table in TAT-QA), or the parent with items flipped, the harder
the likelier to be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.planted.asked import estimated, spec
from benchmarks.planted.shares import Share, share
from capeval.attribution.effects import ALPHA
from capeval.shipped import folder

RECORDED = "Planted in recorded answers: BBH (27 subtasks) and TAT-QA (278 tables), code-davinci-002"
NODE = "code-davinci-002"
ROLES = {"bbh": "strata", "tatqa": "sampled"}
DRAWN = {"bbh": (270, 1350), "tatqa": (32, 278)}
"""Items of BBH, tables of TAT-QA in one repetition."""
GAINED, LOST = 0.06, 0.14
"""Share of all items that are planted as gained and lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All recorded items of a task."""

    task: str
    direct: np.ndarray
    """(n,) scores; those of `cot` are the same items'."""
    cot: np.ndarray
    clusters: np.ndarray
    """(n,) codes of the subtask or table; items lie together by it."""


def world(task: str) -> World:
    """Read what ships with the tree gpt-3.5."""
    frame = pd.read_parquet(folder("model_zoo") / "records" / "gpt-3.5.parquet")
    mine = frame[(frame["node"] == NODE) & (frame["task"] == task)]
    ends = {str(name): part.set_index("item") for name, part in mine.groupby("setting", observed=True)}
    both = ends["direct"].join(ends["cot"]["score"].rename("cot"), how="inner").dropna(subset=["score", "cot"])
    both = both.sort_values("cluster", kind="stable")
    return World(
        task=task, direct=both["score"].to_numpy(float), cot=both["cot"].to_numpy(float),
        clusters=np.unique(both["cluster"].astype(str), return_inverse=True)[1],
    )  # fmt: skip


def _flip_chances(of: World) -> tuple[np.ndarray, np.ndarray]:
    """(n,) chance that an item is gained and lost: a parent's failure is gained more in easy clusters, a success lost
    more in hard ones; on average `GAINED` and `LOST` of all items."""
    ease = (np.bincount(of.clusters, of.direct) / np.bincount(of.clusters))[of.clusters]
    gain, loss = (1 - of.direct) * (0.2 + ease), of.direct * (1.2 - ease)
    return gain * GAINED / gain.mean(), loss * LOST / loss.mean()


def _sample(of: World, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Items of one repetition with the cluster that each is under; a table drawn twice is two tables."""
    counts = np.bincount(of.clusters)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    if of.task == "bbh":
        shares = np.floor(counts * size / counts.sum()).astype(int)
        items = [starts[c] + rng.integers(0, counts[c], shares[c]) for c in range(len(counts))]
        return np.concatenate(items), np.repeat(np.arange(len(counts)), shares)
    drawn = rng.integers(0, len(counts), size)
    items = [np.arange(starts[c], starts[c] + counts[c]) for c in drawn]
    return np.concatenate(items), np.repeat(np.arange(size), counts[drawn])


def _weights(of: World, size: int) -> np.ndarray:
    """What each recorded item counts in the truth: BBH's strata are drawn in whole numbers, near their shares."""
    counts = np.bincount(of.clusters)
    if of.task == "bbh":
        return (np.floor(counts * size / counts.sum()) / counts)[of.clusters]
    return np.ones(len(of.direct))


def recorded(task: str, reps: int) -> Iterator[Share]:
    """Coverage and false alarms of all plantings in one benchmark."""
    of, told = world(task), spec(task, cluster_role=ROLES[task])
    if task == "tatqa":  # F1 against a threshold is right or wrong here: what flips must be 0 or 1
        of = World(task=task, direct=(of.direct >= 0.5) * 1.0, cot=(of.cot >= 0.5) * 1.0, clusters=of.clusters)
    gain, loss = _flip_chances(of)
    for size in DRAWN[task]:
        weights = _weights(of, size)
        truths = {
            "recorded CoT − direct": float(np.average(of.cot - of.direct, weights=weights)),
            "the same, ends exchanged by coin tosses": 0.0,
            f"flips: {GAINED:.0%} gained, {LOST:.0%} lost": float(np.average(gain - loss, weights=weights)),
            "flips: as many gained as lost": 0.0,
        }
        for kind, truth in truths.items():
            rng = np.random.default_rng([61, size, list(truths).index(kind)])
            found = []
            for _ in range(reps):
                items, under = _sample(of, size, rng)
                found.append(estimated(*_ends(kind, of, items, under, (gain, loss), rng), under, told))
            unit = "items" if task == "bbh" else "tables"
            scenario = f"{task}, {size:,} {unit}, {kind}: {100 * truth:+.1f} points"
            covered = [one.low <= truth + 1e-12 and truth - 1e-12 <= one.high for one in found]
            yield share(RECORDED, scenario, "interval holds the truth", covered, at_least=0.95)
            if truth == 0.0:
                yield share(RECORDED, scenario, "p ≤ 0.05", [one.p <= ALPHA for one in found], at_most=0.05)


def _ends(
    kind: str, of: World, items: np.ndarray, under: np.ndarray, chances: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    parent, child = of.direct[items], of.cot[items]
    if kind.startswith("recorded"):
        return parent, child
    units = np.arange(len(items)) if of.task == "bbh" else under
    exchanged = rng.random(len(items))[units] < 0.5
    if kind.startswith("the same"):
        return np.where(exchanged, child, parent), np.where(exchanged, parent, child)
    gain, loss = (one[items] for one in chances)
    flipped = np.where(rng.random(len(items)) < gain + loss, 1 - parent, parent)
    if kind.endswith("as many gained as lost"):
        return np.where(exchanged, flipped, parent), np.where(exchanged, parent, flipped)
    return parent, flipped
