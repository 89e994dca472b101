"""One test of a claim, estimated: all nodes and tasks that a tree has for it, put together into one effect.

Tasks are other items: each counts alike, and errors are added up as those of independent sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from capeval.attribution.claims.cells import Asked, Combination, asked, combinations_of, paired_with
from capeval.attribution.claims.items import Evidence, Items, Told, gather
from capeval.attribution.confounds import SHOWN_GAP
from capeval.attribution.grades import SEEDS, not_retrained
from capeval.core import ClaimTest
from capeval.stats.independent import Side, independent_sum, sum_interval
from capeval.stats.paired import PairedDifference, paired_difference
from capeval.stats.rates import Interval, mean_interval
from capeval.stats.seeds import SeedInterval, seed_interval


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
    """Turned so that more is better, unless the test takes scores as they are; the mean over training runs."""
    se: float = math.nan
    p: float = math.nan
    """Two-sided, of no effect."""
    n: int = 0
    interval: Callable[[float], Interval] | None = None
    given: tuple[float, float] | None = None
    """One-sided p for the claim and against it, of a test that brings its own."""
    by_task: tuple[tuple[str, float, Interval], ...] = ()
    """Task, its own effect and 95 % interval."""
    forgiven: Estimated | None = None
    """The effect where the form of answers is forgiven; None where that makes no difference, or is not known."""
    confounds: tuple[str, ...] = ()
    runs: SeedInterval | None = None
    """Over training runs."""
    control: SeedInterval | None = None
    """The same of the stages against their token-matched controls; None where one of them has none."""
    fixed: str = ""
    """A node on the way from the root that no training seed changes."""


def estimate_test(evidence: Evidence, test: ClaimTest) -> list[Estimated]:
    """A test's effects: one, or one for each pair of nodes (`test.each`) and each unit in which it is measured."""
    combinations, missing = combinations_of(evidence.tree, test)
    names = [test.measure, *filter(None, [test.minus, test.against_measure])]
    measured = {name: asked(evidence.tree, evidence.runs[0], evidence.measures[name]) for name in names}
    lacking = [f"'{name}'" for name, what in measured.items() if not what]
    if missing or lacking:
        return [Estimated(test=test, missing=missing or f"nobody was asked what measures {' or '.join(lacking)}")]
    groups = [[one] for one in combinations] if test.each else [combinations]
    found = [
        _estimated(evidence, test, group, unit)
        for group in groups
        for unit in dict.fromkeys(one.spec.unit for one in measured[test.measure])
    ]
    testable = [one for one in found if not one.missing]
    return testable or found[:1]


def _gathered(
    evidence: Evidence, test: ClaimTest, combinations: Sequence[Combination], unit: str, told: Told
) -> list[tuple[Items, float]] | str:
    """Every task's items with what the task counts, or why there are none."""
    cells, measures = evidence.runs[0], evidence.measures
    others = asked(evidence.tree, cells, measures[test.against_measure]) if test.against_measure else []
    weighted: list[tuple[Items, float]] = []
    for sign, measure in ((1.0, test.measure), *([(-1.0, test.minus)] if test.minus else [])):
        part = [one for one in asked(evidence.tree, cells, measures[measure]) if one.spec.unit == unit]
        tasks = dict.fromkeys(one.task for one in part)
        gathered = [gather(evidence, test, combinations, _of(part, task), _of(others, task), told) for task in tasks]
        found = [items for items in gathered if items is not None]
        if not found:
            return _nobody(combinations, part, told)
        weighted += [(items, sign / len(found)) for items in found]
    return weighted


def _estimated(
    evidence: Evidence,
    test: ClaimTest,
    combinations: Sequence[Combination],
    unit: str,
) -> Estimated:
    told = Told()
    weighted = _gathered(evidence, test, combinations, unit, told)
    if isinstance(weighted, str):
        return Estimated(test=test, missing=weighted)
    values = [_Values.of(items, _shared(weighted), evidence) for items, _ in weighted]
    sides = [one.side() for one in values]
    whole, interval = together(sides, [weight for _, weight in weighted], evidence.alpha)
    nodes = [node for combination in told.used.values() for node in combination.nodes]
    retrained = len(evidence.runs) >= SEEDS
    found = Estimated(
        test=test,
        contrast=", ".join(told.used),
        tasks=", ".join(items.task for items, _ in weighted),
        settings=", ".join(dict.fromkeys(name for items, _ in weighted for name in items.settings)),
        unit=unit,
        margin=test.margin if test.margin is not None else max(items.spec.margin for items, _ in weighted),
        delta=whole.delta,
        se=whole.se,
        p=values[0].p if len(sides) == 1 else whole.p,
        n=whole.n,
        interval=interval,
        by_task=tuple(
            (items.task, side.mean, side.interval(0.95)) for (items, _), side in zip(weighted, sides, strict=True)
        ),
        confounds=(*told.confounds, *(f"left out: {one}" for one in told.unreadable)),
        runs=_over_runs(weighted),
        control=_against_controls(evidence, test, list(told.used.values()), unit) if retrained else None,
        fixed=next(iter(not_retrained(evidence.tree, nodes)), "") if retrained else "",
    )
    return replace(found, forgiven=_forgiven(evidence, test, list(told.used.values()), unit, found))


def _forgiven(
    evidence: Evidence, test: ClaimTest, used: Sequence[Combination], unit: str, whole: Estimated
) -> Estimated | None:
    """The effect where no answer is held against its form (the gold in a sentence counts), if that is another one."""
    lenient = replace(evidence, runs=evidence.forgiven)
    weighted = _gathered(lenient, test, used, unit, Told()) if evidence.forgiven else ""
    if isinstance(weighted, str):
        return None
    sides = [_Values.of(items, _shared(weighted), lenient).side() for items, _ in weighted]
    found, interval = together(sides, [weight for _, weight in weighted], evidence.alpha)
    if not abs(found.delta - whole.delta) >= SHOWN_GAP:
        return None
    return Estimated(
        test=test, unit=unit, margin=whole.margin, delta=found.delta, n=found.n,
        interval=interval,
    )  # fmt: skip


def together(
    sides: Sequence[Side], weights: Sequence[float], alpha: float
) -> tuple[PairedDifference, Callable[[float], Interval]]:
    """The weighted sum of what independent tasks say, and its interval at any level: of one task its own."""

    @cache
    def interval(level: float) -> Interval:
        return sides[0].interval(level) if len(sides) == 1 else sum_interval(sides, weights, level)

    return independent_sum(sides, weights, alpha=alpha), interval


def _shared(weighted: Sequence[tuple[Items, float]]) -> list[int]:
    """The training runs that were asked all of it."""
    return sorted(set.intersection(*(set(items.by_run) for items, _ in weighted)))


def _over_runs(weighted: Sequence[tuple[Items, float]]) -> SeedInterval:
    means = [sum(weight * float(items.by_run[run].mean()) for items, weight in weighted) for run in _shared(weighted)]
    return seed_interval(means)


def _against_controls(
    evidence: Evidence, test: ClaimTest, used: Sequence[Combination], unit: str
) -> SeedInterval | None:
    """The test over training runs with every stage set against its control; None where one has none."""
    tree = evidence.tree
    controls = {c.child: c.parent for c in tree.contrasts if c.control}
    pairs = [combination.nodes for combination in used if len(combination.nodes) == 2]
    if not pairs or any(child not in controls for child, _ in pairs):
        return None
    if test.relation != "parent" and any(controls[child] != other for child, other in pairs):
        return None  # the claim names its own counterpart: it is that one, or none
    swapped = [paired_with(tree, child, controls[child]) for child, _ in pairs]
    weighted = _gathered(evidence, test, swapped, unit, Told())
    return None if isinstance(weighted, str) else _over_runs(weighted)


def _of(some: Sequence[Asked], task: str) -> list[Asked]:
    return [one for one in some if one.task == task]


def _nobody(combinations: Sequence[Combination], part: Sequence[Asked], told: Told) -> str:
    """Why no pair of nodes has answers."""
    nodes = _shorten(", ".join(combination.name for combination in combinations), 60)
    if told.unreadable:
        return f"nothing can be told of {_shorten(', '.join(told.unreadable), 160)}"
    if told.unpaired:
        return f"{nodes}: the ends can't be paired ({'; '.join(told.unpaired)})"
    what = _shorten(", ".join(dict.fromkeys(f"{one.task} ({one.name})" for one in part)), 60)
    return f"{nodes}: not asked {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """One task's values over all training runs, with the tests that suit them."""

    values: np.ndarray
    clusters: np.ndarray | None
    items: Items
    evidence: Evidence

    @classmethod
    def of(cls, items: Items, runs: Sequence[int], evidence: Evidence) -> _Values:
        """The mean over training runs, inside each item."""
        table = pd.concat([items.by_run[run] for run in runs], axis=1, join="inner")
        labels = np.array([items.clusters.get(item, "") for item in table.index], dtype=object)
        grouped = items.spec.cluster_role != "none" and bool((labels != "").any())
        values = table.to_numpy(float).mean(axis=1)
        return cls(values=values, clusters=labels if grouped else None, items=items, evidence=evidence)

    def side(self) -> Side:
        """Mean, and its interval at any level."""
        sampled = self.clusters if self.items.spec.cluster_role == "sampled" else None
        interval = self._of_score if self.items.alone else self._of_difference
        return Side(mean=float(self.values.mean()), n=len(self.values), interval=interval, clusters=sampled)

    @property
    def p(self) -> float:
        """The test's own p of no difference, exact where it can be; of a score by itself there is none."""
        return math.nan if self.items.alone else self._difference(0.95).p

    def _of_score(self, level: float) -> Interval:
        spec, values = self.items.spec, self.values
        sampled = self.clusters if spec.cluster_role == "sampled" else None
        binary = bool(np.isin(values, (0.0, 1.0)).all())
        return mean_interval(values, clusters=sampled, level=level, binary=binary, bounded=spec.unit == "points")

    def _of_difference(self, level: float) -> Interval:
        found = self._difference(level)
        return Interval(found.low, found.high)

    def _difference(self, level: float) -> PairedDifference:
        spec = self.items.spec
        return paired_difference(
            self.values,
            clusters=self.clusters,
            role="none" if self.clusters is None else spec.cluster_role,
            binary=spec.binary and bool(np.isin(self.values, (-1.0, 0.0, 1.0)).all()),
            bounded=spec.unit == "points",
            alpha=self.evidence.alpha,
            level=level,
            seed=self.evidence.seed,
        )


def _shorten(text: str, most: int) -> str:
    """The beginning of a list, where it is long."""
    return text if len(text) <= most else text[: most - 1].rpartition(" ")[0] + " …"
