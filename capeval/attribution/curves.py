"""What the items of one task say over the sizes of a series: slope, bend, and the curve with its intervals.

`python -c "from capeval.attribution.curves import look; help(look)"`
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from capeval.attribution.pairing import Cells, pair
from capeval.attribution.scores import score_of
from capeval.attribution.summaries import spec_in
from capeval.core import SUMMARIES, Series, TaskSpec, Tree
from capeval.errors import PairingError
from capeval.stats.change_point import MIN_CLUSTERS, ChangePoint, change_point
from capeval.stats.change_point import MIN_SIZES as SIZES_OF_A_BEND
from capeval.stats.paired import PairedDifference, paired_difference
from capeval.stats.trend import trend

LOGPROB = "log-probability of the right answer"
_BOTH_WAYS = ("slope", "gap")
"""Summaries that may be negative, as a difference of settings may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One series on one task, in one setting or in one minus another."""

    series: Series
    nodes: tuple[str, ...]
    """Those of the series that were asked, in ascending order."""
    task: str
    """Task, or task:subset."""
    settings: tuple[str, ...]
    """One, or the minuend and what is subtracted from it item by item."""
    spec: TaskSpec
    """As it is read in the setting."""

    @property
    def sizes(self) -> list[float]:
        """In the nodes' order."""
        return [self.series.nodes[node] for node in self.nodes]

    @property
    def setting(self) -> str:
        """For people."""
        return " − ".join(self.settings)

    def parts(self, cells: Cells) -> list[pd.DataFrame]:
        """Its cells: every node in the first setting, then every node in the second."""
        return [cells[(node, self.task, setting)] for setting in self.settings for node in self.nodes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What the items say of one metric."""

    slope: PairedDifference
    """Per tenfold size."""
    bend: ChangePoint | None
    refused: str
    """Why there is no bend to speak of."""
    dropped: int
    points: str
    """JSON: [size, mean, low, high] of every size; what is not known is null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """The continuous metric beside one that knows only right and wrong."""

    name: str
    unit: str
    curve: Curve


def look(question: Question, parts: Sequence[pd.DataFrame], spec: TaskSpec, *, alpha: float, seed: int) -> Curve | None:
    """Slope, bend and curve on the items that all sizes have a score for; None where there are none.

    Args:
        question: Says which sizes, and whether one setting is subtracted from another.
        parts: Its cells (`Question.parts`), or those of another metric of the same items.
        spec: How that metric is read.
        alpha: 1 − alpha is the level of the change point's interval.
        seed: Of the sign flips.

    Raises:
        PairingError: when the sizes were shown different examples.
    """
    k = len(question.nodes)
    pairs = pair(parts, [setting for setting in question.settings for _ in question.nodes])
    if not len(pairs.items):
        return None
    differs = len(question.settings) == 2
    scores = pairs.scores[:, :k] - pairs.scores[:, k:] if differs else pairs.scores
    both_ways = differs or question.settings[0] in _BOTH_WAYS
    clusters = None if spec.cluster_role == "none" else pairs.clusters
    slope = trend(
        scores, question.sizes, clusters=clusters, role="none" if clusters is None else spec.cluster_role,
        span=None if spec.unit != "points" else 2.0 if both_ways else 1.0, alpha=alpha, seed=seed,
    )  # fmt: skip
    sampled = clusters if spec.cluster_role == "sampled" else None
    refused = _refused(k, len(scores), sampled)
    bend = None
    if not refused:
        bend = change_point(scores, question.sizes, clusters=sampled, level=1 - alpha, seed=seed)
    points = [
        [size, *_point(scores[:, i], clusters, spec, both_ways=both_ways, seed=seed)]
        for i, size in enumerate(question.sizes)
    ]
    return Curve(slope=slope, bend=bend, refused=refused, dropped=pairs.dropped, points=_json(points))


def companion(question: Question, tree: Tree, cells: Cells, *, alpha: float, seed: int) -> Companion | None:
    """The continuous metric of the same items, where a score that knows only right and wrong has one."""
    for name, spec, parts in _candidates(question, tree, cells):
        try:
            curve = look(question, parts, spec, alpha=alpha, seed=seed)
        except PairingError:
            continue
        if curve is not None:
            return Companion(name=name, unit=spec.unit, curve=curve)
    return None


def _candidates(question: Question, tree: Tree, cells: Cells) -> Iterator[tuple[str, TaskSpec, list[pd.DataFrame]]]:
    """Metric, how it is read, and its cells: the declared task first, then what the records know."""
    mine = question.parts(cells)
    other = next((task for task in tree.tasks if task.name == question.spec.continuous), None)
    if other is not None:
        theirs = [cells.get((node, other.name, setting)) for setting in question.settings for node in question.nodes]
        if all(part is not None for part in theirs):
            parts = [part[part.index.isin(own.index)] for part, own in zip(theirs, mine, strict=True)
                     if part is not None]  # fmt: skip
            yield other.name, spec_in(other, question.settings[0]), parts
    thresholded = question.spec.binary or set(question.settings) & set(SUMMARIES)
    if thresholded and all(part["gold_logprob"].notna().any() for part in mine):
        nats = replace(question.spec, binary=False, unit="nats", orientation="higher", chance=0.0)
        yield LOGPROB, nats, [part.assign(score=part["gold_logprob"]) for part in mine]


def _refused(sizes: int, items: int, sampled: np.ndarray | None) -> str:
    if sizes < SIZES_OF_A_BEND:
        return f"{sizes} sizes: where a rise begins takes {SIZES_OF_A_BEND}"
    groups = items if sampled is None else len(set(sampled) - {""}) + int((sampled == "").sum())
    if groups < MIN_CLUSTERS:
        return f"{groups} {'items' if sampled is None else 'clusters'}: where a rise begins takes {MIN_CLUSTERS}"
    return ""


def _point(
    values: np.ndarray, clusters: np.ndarray | None, spec: TaskSpec, *, both_ways: bool, seed: int
) -> tuple[float, float, float]:
    """Mean and 95 % interval at one size."""
    if both_ways:
        found = paired_difference(
            values, clusters=clusters, role="none" if clusters is None else spec.cluster_role,
            binary=spec.binary and bool(np.isin(values, (-1.0, 0.0, 1.0)).all()), bounded=spec.unit == "points",
            seed=seed,
        )  # fmt: skip
        return found.delta, found.low, found.high
    labels = np.full(len(values), "", dtype=object) if clusters is None else clusters
    ends = score_of(pd.DataFrame({"score": values, "cluster": labels}), spec).interval(0.95)
    return float(values.mean()), ends.low, ends.high


def _json(points: Sequence[Sequence[float]]) -> str:
    return json.dumps([[float(x) if math.isfinite(x) else None for x in point] for point in points])
