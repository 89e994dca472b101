"""Which nodes, tasks and settings of a tree a claim's test is about.

A claim speaks of sorts of stages ("sft, not after other sft") and of measures ("in-context learning"); here they become
pairs of nodes and the cells that hold their answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from capeval.attribution.confounds import of_contrast
from capeval.attribution.pairing import Cells
from capeval.attribution.series import series_of
from capeval.attribution.summaries import spec_in
from capeval.core import SUMMARIES, Cell, ClaimTest, Contrast, Pick, Relation, Source, Stage, TaskSpec, Tree
from capeval.stats.trend import MIN_SIZES, slope_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Nodes and what each counts: +1 and −1 for a pair, the weights of a slope for a series of sizes."""

    name: str
    nodes: tuple[str, ...]
    weights: tuple[float, ...]
    allow_different_shots: bool = False
    confounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One task in one setting, or one setting minus another of the same task."""

    task: str
    """Task, or task:subset."""
    setting: str
    minus: str
    spec: TaskSpec
    """As it is read in the setting."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The setting, and the one that is subtracted."""
        return (self.setting, self.minus) if self.minus else (self.setting,)

    @property
    def name(self) -> str:
        """For people."""
        return " − ".join(self.settings)


def picked(tree: Tree, pick: Pick) -> list[Stage]:
    """The stages that are meant."""
    return [stage for stage in tree.stages if _is(tree, stage, pick)]


def node_pairs(tree: Tree, test: ClaimTest) -> list[tuple[str, str]]:
    """(child, other) for every picked stage and what it is compared with; other is '' where it stands by itself."""
    children = picked(tree, test.child)
    if test.relation is None:
        return [(child.name, "") for child in children]
    others = {stage.name for stage in picked(tree, test.against)}
    return [
        (child.name, other)
        for child in children
        for other in _related(tree, child, test.relation)
        if other in others and other != child.name
    ]


def asked(tree: Tree, cells: Cells, sources: Sequence[Source]) -> list[Asked]:
    """What of a measure this tree was asked, whatever the node."""
    known = dict.fromkeys((task, setting) for _, task, setting in cells)
    found: dict[tuple[str, str, str], Asked] = {}
    for source in sources:
        for task, setting in known:
            spec = _spec(tree, source, task)
            if spec is None or not _counts(source, spec, setting):
                continue
            if source.minus and (task, source.minus) not in known:
                continue
            found.setdefault(
                (task, setting, source.minus),
                Asked(task=task, setting=setting, minus=source.minus, spec=spec_in(spec, setting)),
            )
    return list(found.values())


def _is(tree: Tree, stage: Stage, pick: Pick) -> bool:
    if (pick.kind and stage.kind not in pick.kind) or stage.kind == "reward":
        return False
    if not set(pick.tags) <= set(stage.tags) or set(pick.without) & set(stage.tags):
        return False
    return not pick.below or (stage.parent is not None and tree.stage(stage.parent).kind in pick.below)


def _related(tree: Tree, stage: Stage, relation: Relation) -> Iterator[str]:
    siblings = [s.name for s in tree.stages if s.parent == stage.parent and s.parent is not None]
    if relation == "parent" and stage.parent:
        yield stage.parent
    elif relation == "sibling":
        yield from siblings
    elif relation == "cousin" and stage.parent:
        aunts = {s.name for s in tree.stages if s.parent == tree.stage(stage.parent).parent and s.parent is not None}
        yield from (s.name for s in tree.stages if s.parent in aunts - {stage.parent})
    elif relation == "ancestor":
        parent = stage.parent
        while parent:
            yield parent
            parent = tree.stage(parent).parent
    elif relation == "any":
        yield from (s.name for s in tree.stages)
    elif relation in ("larger", "smaller") and stage.parameters:
        size, larger = stage.parameters, relation == "larger"
        known = [(s.name, s.parameters) for s in tree.stages if s.parameters and s.parameters != size]
        yield from (name for name, other in known if (other > size) == larger)


def _spec(tree: Tree, source: Source, task: str) -> TaskSpec | None:
    """The spec of a task that the source is about: tasks by name, or the headline tasks of a capability."""
    name, _, subset = task.partition(":")
    spec = next((one for one in tree.tasks if one.name == name), None)
    if spec is None:
        return None
    if source.tasks:
        named = task in source.tasks or (spec.headline and any(fnmatchcase(task, one) for one in source.tasks))
        return spec if named else None
    return spec if spec.capability in source.capability and spec.headline and not subset else None


def _counts(source: Source, spec: TaskSpec, setting: str) -> bool:
    """Whether a setting is one of the source's; without any, a task's summary of level stands for its settings."""
    if source.settings:
        return any(fnmatchcase(setting, pattern) for pattern in source.settings)
    level = [summary for summary in spec.summaries if summary in ("area", "mean")]
    return setting in level if level else setting not in SUMMARIES


def combinations_of(tree: Tree, test: ClaimTest) -> tuple[list[Combination], str]:
    """What is compared, or what the tree lacks for it."""
    meant = words_of(test.child)
    if not picked(tree, test.child):
        return [], f"no stage is {meant}"
    if test.form == "slope":
        series = _series(tree, test)
        few = f"fewer than {MIN_SIZES} different {test.axis} among the stages that are {meant}"
        return series, "" if series else few
    pairs = node_pairs(tree, test)
    if not pairs:
        whose = "other stage" if test.relation == "any" else f"{test.relation} of it"
        return [], f"a stage is {meant}, but no {whose} is {words_of(test.against)}"
    return [paired_with(tree, child, other) for child, other in pairs], ""


def paired_with(tree: Tree, child: str, other: str) -> Combination:
    """A node minus another, with what the tree says of the two; other is '' where it stands by itself."""
    if not other:
        return Combination(name=child, nodes=(child,), weights=(1.0,))
    declared = [
        c for c in (*tree.edges(), *tree.contrasts) if len(c.cells) == 2 and (c.child, c.parent) == (child, other)
    ]
    cells = (Cell(node=child, weight=1.0), Cell(node=other, weight=-1.0))
    contrast = Contrast(
        name=f"{other} → {child}",
        kind="sibling",
        cells=cells,
        confounds=tuple(dict.fromkeys(text for c in declared for text in c.confounds)),
        control=any(c.control for c in declared),
    )
    return Combination(
        name=contrast.name,
        nodes=(child, other),
        weights=(1.0, -1.0),
        allow_different_shots=any(c.allow_different_shots for c in declared),
        confounds=tuple(of_contrast(tree, contrast)),
    )


def _series(tree: Tree, test: ClaimTest) -> list[Combination]:
    """Series of picked nodes along the axis, weighted for a least-squares slope on log10 of the quantity."""
    meant = {stage.name for stage in picked(tree, test.child)}
    return [
        Combination(
            name=", ".join(series.nodes),
            nodes=tuple(series.nodes),
            weights=tuple(map(float, slope_weights(list(series.nodes.values())))),
        )
        for series in series_of(tree)
        if series.axis == test.axis and set(series.nodes) <= meant
    ]


def words_of(pick: Pick) -> str:
    """A pick in words."""
    parts = [" or ".join(pick.kind) or "any kind"]
    parts += [f"tagged {tag}" for tag in pick.tags]
    parts += [f"not {tag}" for tag in pick.without]
    parts += [f"on {' or '.join(pick.below)}"] * bool(pick.below)
    return ", ".join(parts)
