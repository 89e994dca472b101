"""One test of a claim, estimated: all nodes and tasks that a tree has for it, put together into one effect.

Nodes that a test pairs were asked the same items: their differences are averaged inside each item, so that three sizes
of a model don't count as three times the items. Tasks are other items: each counts alike, errors are added up as those
of independent sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

from capeval.attribution.claim_cells import Asked, asked, node_pairs, picked
from capeval.attribution.pairing import Cells, marks, pair
from capeval.core import ClaimTest, Pick, Source, TaskSpec, Tree
from capeval.errors import PairingError
from capeval.stats.independent import Side, independent_sum, sum_interval
from capeval.stats.paired import PairedDifference, paired_difference
from capeval.stats.rates import Interval, mean_interval

SIZES = 3
"""Fewer are no trend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Nodes and what each counts: +1 and −1 for a pair, the weights of a slope for a series of sizes."""

    name: str
    nodes: tuple[str, ...]
    weights: tuple[float, ...]
    allow_different_shots: bool = False
    confounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """A test's effect, or why there is none."""

    test: ClaimTest
    missing: str = ""
    """What the tree lacks; then nothing else is set."""
    contrast: str = ""
    tasks: str = ""
    settings: str = ""
    unit: str = "points"
    margin: float = math.nan
    delta: float = math.nan
    """Turned so that more is better, unless the test takes scores as they are."""
    se: float = math.nan
    p: float = math.nan
    """Two-sided, of no effect."""
    n: int = 0
    interval: Callable[[float], Interval] | None = None
    by_task: tuple[tuple[str, float, Interval], ...] = ()
    """Task, its own effect and 95 % interval."""
    confounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Items:
    """What a task's items say: one value each, and what they share."""

    task: str
    settings: tuple[str, ...]
    values: np.ndarray
    clusters: np.ndarray | None
    spec: TaskSpec
    alone: bool
    """Whether the values are scores, not differences of scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What all tests of a trace are put to."""

    tree: Tree
    cells: Cells
    """As `pairing.cells` and `summaries.with_summaries` make them."""
    measures: Mapping[str, tuple[Source, ...]]
    alpha: float
    seed: int
    """Of the cluster sign-flip test."""


@dataclass(slots=True)
class _Told:
    """What is noted while items are gathered, each once, in order."""

    used: dict[str, None] = field(default_factory=dict)
    """Names of the combinations that had answers."""
    confounds: dict[str, None] = field(default_factory=dict)
    unpaired: dict[str, None] = field(default_factory=dict)
    """Why some could not be paired."""


def estimate_test(evidence: Evidence, test: ClaimTest) -> list[Estimated]:
    """A test's effects: one, or one for each pair of nodes (`test.each`) and each unit in which it is measured."""
    combinations, missing = _combinations(evidence.tree, test)
    names = [test.measure, *filter(None, [test.minus, test.against_measure])]
    measured = {name: asked(evidence.tree, evidence.cells, evidence.measures[name]) for name in names}
    lacking = [f"'{name}'" for name, what in measured.items() if not what]
    if missing or lacking:
        return [Estimated(test=test, missing=missing or f"nobody was asked what measures {' or '.join(lacking)}")]
    groups = [[one] for one in combinations] if test.each else [combinations]
    found = [
        _estimated(evidence, test, group, measured, unit)
        for group in groups
        for unit in dict.fromkeys(one.spec.unit for one in measured[test.measure])
    ]
    testable = [one for one in found if not one.missing]
    return testable or found[:1]


def _combinations(tree: Tree, test: ClaimTest) -> tuple[list[Combination], str]:
    """What is compared, or what the tree lacks for it."""
    meant = _words(test.child)
    if not picked(tree, test.child):
        return [], f"no stage is {meant}"
    if test.form == "slope":
        series = _series(tree, test)
        return series, "" if series else f"fewer than {SIZES} different {test.axis} among the stages that are {meant}"
    pairs = node_pairs(tree, test)
    if not pairs:
        whose = "other stage" if test.relation == "any" else f"{test.relation} of it"
        return [], f"a stage is {meant}, but no {whose} is {_words(test.against)}"
    return [_pair(tree, child, other) for child, other in pairs], ""


def _pair(tree: Tree, child: str, other: str) -> Combination:
    if not other:
        return Combination(name=child, nodes=(child,), weights=(1.0,))
    notes = tree.edge_notes.get(f"{other} -> {child}", {})
    declared = [c for c in tree.contrasts if len(c.cells) == 2 and (c.child, c.parent) == (child, other)]
    confounds = [*notes.get("confounds", ()), *(text for c in declared for text in c.confounds)]
    stages = tree.stage(child), tree.stage(other)
    sizes = sorted({stage.parameters for stage in stages if stage.parameters})
    if len(sizes) > 1:
        confounds.append("size: " + " against ".join(f"{size:.3g}" for size in sizes))
    links = stages[0].links
    if links and links[0].parent == other and links[0].certainty in ("disputed", "unknown"):
        confounds.append(f"the link is {links[0].certainty}")
    return Combination(
        name=f"{other} → {child}",
        nodes=(child, other),
        weights=(1.0, -1.0),
        allow_different_shots=bool(notes.get("allow_different_shots"))
        or any(c.allow_different_shots for c in declared),
        confounds=tuple(dict.fromkeys(confounds)),
    )


def _series(tree: Tree, test: ClaimTest) -> list[Combination]:
    """Nodes of one sort at several sizes; the weights are those of a least-squares slope on log10 of the size."""
    sorts: dict[tuple[str, tuple[str, ...]], dict[str, float]] = {}
    for stage in picked(tree, test.child):
        size = {"parameters": stage.parameters, "tokens": stage.tokens}.get(test.axis)
        if size:
            sorts.setdefault((stage.kind, stage.tags), {})[stage.name] = size
    found = []
    for nodes in sorts.values():
        if len(set(nodes.values())) >= SIZES:
            x = np.log10(list(nodes.values()))
            weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
            found.append(Combination(name=", ".join(nodes), nodes=tuple(nodes), weights=tuple(map(float, weights))))
    return found


def _estimated(
    evidence: Evidence,
    test: ClaimTest,
    combinations: Sequence[Combination],
    measured: Mapping[str, Sequence[Asked]],
    unit: str,
) -> Estimated:
    told = _Told()
    sides: list[Side] = []
    weights: list[float] = []
    found: list[_Items] = []
    for sign, measure in ((1.0, test.measure), *([(-1.0, test.minus)] if test.minus else [])):
        part = [one for one in measured[measure] if one.spec.unit == unit]
        others = measured[test.against_measure] if test.against_measure else part
        items = [_items(evidence, test, combinations, (part, others, task), told)
                 for task in dict.fromkeys(one.task for one in part)]  # fmt: skip
        known = [one for one in items if one is not None and len(one.values)]
        if not known:
            return Estimated(test=test, missing=_nobody(combinations, part, told))
        sides += [_side(one, evidence) for one in known]
        weights += [sign / len(known)] * len(known)
        found += known

    @cache
    def interval(level: float) -> Interval:
        return sides[0].interval(level) if len(sides) == 1 else sum_interval(sides, weights, level)

    whole = independent_sum(sides, weights, alpha=evidence.alpha)
    return Estimated(
        test=test,
        contrast=", ".join(told.used),
        tasks=", ".join(one.task for one in found),
        settings=", ".join(dict.fromkeys(name for one in found for name in one.settings)),
        unit=unit,
        margin=test.margin if test.margin is not None else max(one.spec.margin for one in found),
        delta=whole.delta,
        se=whole.se,
        p=_exact(found[0], evidence) if len(sides) == 1 else whole.p,
        n=whole.n,
        interval=interval,
        by_task=tuple((one.task, side.mean, side.interval(0.95)) for one, side in zip(found, sides, strict=True)),
        confounds=tuple(told.confounds),
    )


def _nobody(combinations: Sequence[Combination], part: Sequence[Asked], told: _Told) -> str:
    """Why no pair of nodes has answers."""
    nodes = shorten(", ".join(combination.name for combination in combinations), 60)
    if told.unpaired:
        return f"{nodes}: the ends can't be paired ({'; '.join(told.unpaired)})"
    what = shorten(", ".join(dict.fromkeys(f"{one.task} ({one.name})" for one in part)), 60)
    return f"{nodes}: not asked {what}"


def _items(
    evidence: Evidence,
    test: ClaimTest,
    combinations: Sequence[Combination],
    asked_: tuple[Sequence[Asked], Sequence[Asked], str],
    told: _Told,
) -> _Items | None:
    """One task's items, each the mean over all node pairs and settings that were asked it."""
    part, others, task = asked_
    columns: list[pd.Series] = []
    clusters: dict[str, str] = {}
    settings = [one for one in part if one.task == task]
    for combination in combinations:
        for one in settings:
            against = one if others is part else next((other for other in others if other.task == task), None)
            if against is None:
                continue
            pairs = _paired(evidence.cells, combination, (one, against), told)
            if pairs is None:
                continue
            turn = -1.0 if one.spec.orientation == "lower" and not test.raw else 1.0
            columns.append(turn * pairs[0])
            clusters |= pairs[1]
    if not columns:
        return None
    table = pd.concat(columns, axis=1, join="inner")
    labels = np.array([clusters.get(item, "") for item in table.index], dtype=object)
    spec = settings[0].spec
    return _Items(
        task=task,
        settings=tuple(one.name for one in settings),
        values=table.to_numpy(float).mean(axis=1),
        clusters=labels if spec.cluster_role != "none" and (labels != "").any() else None,
        spec=spec,
        alone=test.alone and not settings[0].minus,
    )


def _paired(
    cells: Cells, combination: Combination, ends: tuple[Asked, Asked], told: _Told
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
    told.used.setdefault(combination.name)
    for text in (*combination.confounds, *marks([pairs], shots=allowed)):
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


def _side(items: _Items, evidence: Evidence) -> Side:
    """What one task says, with its interval at any level."""
    values, spec = items.values, items.spec
    sampled = items.clusters if spec.cluster_role == "sampled" else None

    def score(level: float) -> Interval:
        binary = bool(np.isin(values, (0.0, 1.0)).all())
        return mean_interval(values, clusters=sampled, level=level, binary=binary, bounded=spec.unit == "points")

    def difference(level: float) -> Interval:
        found = _difference(items, evidence, level)
        return Interval(found.low, found.high)

    return Side(
        mean=float(values.mean()), n=len(values), interval=score if items.alone else difference, clusters=sampled
    )


def _difference(items: _Items, evidence: Evidence, level: float = 0.95) -> PairedDifference:
    spec = items.spec
    return paired_difference(
        items.values,
        clusters=items.clusters,
        role="none" if items.clusters is None else spec.cluster_role,
        binary=spec.binary and bool(np.isin(items.values, (-1.0, 0.0, 1.0)).all()),
        bounded=spec.unit == "points",
        alpha=evidence.alpha,
        level=level,
        seed=evidence.seed,
    )


def _exact(items: _Items, evidence: Evidence) -> float:
    """The test's own p where one task is all: exact where it can be; of a score by itself there is none."""
    return math.nan if items.alone else _difference(items, evidence).p


def _words(pick: Pick) -> str:
    """A pick in words."""
    parts = [" or ".join(pick.kind) or "any kind"]
    parts += [f"tagged {tag}" for tag in pick.tags]
    parts += [f"not {tag}" for tag in pick.without]
    parts += [f"on {' or '.join(pick.below)}"] * bool(pick.below)
    return ", ".join(parts)


def shorten(text: str, most: int) -> str:
    """The beginning of a list, where it is long."""
    return text if len(text) <= most else text[: most - 1].rpartition(" ")[0] + " …"
