"""Which nodes of a tree differ in one quantity, so that a score can be read against it.

A tree's file may say so (`series:`). Where it says nothing, sizes speak for themselves: nodes that were made by the
same sorts of stages, from the root on, and differ in their number of parameters (or of tokens) are a series.

    python -c "from capeval.attribution.series import series_of; from capeval.zoo import load_tree; \\
        print(*(f'{s.name}: {dict(s.nodes)}' for s in series_of(load_tree('instructgpt'))), sep='\\n')"
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from capeval.core import Series, Stage, Tree
from capeval.stats.trend import MIN_SIZES

AXES: dict[str, Callable[[Stage], float | None]] = {
    "parameters": lambda stage: stage.parameters,
    "tokens": lambda stage: stage.tokens,
}
"""Quantities that stages say of themselves."""


def series_of(tree: Tree) -> tuple[Series, ...]:
    """The declared series, then those that sizes give.

    Stages are of one sort when every stage from the root to them has the same kind and tags; a series over tokens also
    asks for one number of parameters. Two nodes of one sort and one size can't both stand on the curve: then there is
    no series unless the tree's file chooses.
    """
    found = list(tree.series)
    declared = {(series.axis, frozenset(series.nodes)) for series in found}
    for axis, size in AXES.items():
        for nodes in _groups(tree, axis, size):
            if (axis, frozenset(nodes)) not in declared:
                found.append(Series(name=_name(tree, list(nodes)), axis=axis, nodes=nodes))
    return tuple(found)


def _groups(tree: Tree, axis: str, size: Callable[[Stage], float | None]) -> list[dict[str, float]]:
    groups: dict[Hashable, dict[str, float]] = {}
    for stage in tree.stages:
        value = size(stage)
        if value and value > 0 and stage.kind != "reward":
            other = stage.parameters if axis == "tokens" else None
            groups.setdefault((_sort(tree, stage), other), {})[stage.name] = value
    return [
        dict(sorted(nodes.items(), key=lambda one: one[1]))
        for nodes in groups.values()
        if len(set(nodes.values())) == len(nodes) >= MIN_SIZES
    ]


def _sort(tree: Tree, stage: Stage) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Kinds and tags of all stages from the root to this one."""
    above = _sort(tree, tree.stage(stage.parent)) if stage.parent else ()
    return (*above, (stage.kind, stage.tags))


def _name(tree: Tree, nodes: list[str]) -> str:
    """What its nodes are called alike (`ppo-ptx-1.3b`, `ppo-ptx-6b` → `ppo-ptx`), or the kind of its stages."""
    parts = [node.replace("-", " ").replace("_", " ").split() for node in nodes]
    alike = [word for word in parts[0] if all(word in other for other in parts[1:])]
    stage = tree.stage(nodes[0])
    return "-".join(alike) or ", ".join((stage.kind, *stage.tags))
