"""Where the tree is drawn: boxes, edges and their labels as plain numbers, left to right, for the page's template.

The charts themselves are drawn by the page's script, because they follow what the reader selects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from capeval.attribution.sentences import size_text
from capeval.core import Stage, Tree
from capeval.report.words import clean

BOX_WIDTH, BOX_HEIGHT = 178, 72
PITCH, EDGE_PAD = 92, 14
"""Pixels: between rows, around the drawing."""
GAPS, PAGE_WIDTH = (128, 176), 1130
"""Pixels: least and most between columns, where an edge's label stands, and what the drawing may fill unscrolled."""


def tree_drawing(tree: Tree, contrasts: Sequence[Mapping[Any, Any]], nodes_with: Mapping[str, str]) -> dict[str, Any]:
    """Lay out a tree.

    Args:
        tree: Parents come before children; a parent that is not in the tree makes its child a root.
        contrasts: As `findings.contrasts` gives them; the edges among them label the drawing.
        nodes_with: By node, what is known of it: "scores" or "published"; others have no data.

    Returns:
        width, height (pixels), nodes (x, y, name, title, kind, data, about), edges (path, certainty, rival, parent,
        child, and for drawn readings label position x, y and `contrast`, an index into `contrasts` or None).
    """
    names = {stage.name for stage in tree.stages}
    parents = {s.name: s.parent if s.parent in names and s.parent != s.name else None for s in tree.stages}
    columns, rows = _places(tree, parents)
    gap = _gap(max(columns.values(), default=0))
    x = {name: EDGE_PAD + columns[name] * (BOX_WIDTH + gap) for name in columns}
    y = {name: EDGE_PAD + rows[name] * PITCH for name in rows}
    by_ends = {(c["parent"], c["child"]): i for i, c in enumerate(contrasts) if c["kind"] == "edge"}
    nodes = [_node(stage, x[stage.name], y[stage.name], nodes_with.get(stage.name, "")) for stage in tree.stages]
    edges = []
    for stage in tree.stages:
        for place, link in enumerate(stage.links):
            if link.parent not in names or link.parent == stage.name:
                continue
            drawn = place == 0
            edges.append(
                {
                    "path": _path(x[link.parent], y[link.parent], x[stage.name], y[stage.name], rival=not drawn),
                    "certainty": link.certainty, "rival": not drawn, "parent": link.parent, "child": stage.name,
                    "contrast": by_ends.get((link.parent, stage.name)) if drawn else None,
                    "x": x[stage.name] - 20, "y": y[stage.name] + BOX_HEIGHT / 2,
                }
            )  # fmt: skip
    return {
        "width": max(x.values(), default=0) + BOX_WIDTH + EDGE_PAD,
        "height": max(y.values(), default=0) + BOX_HEIGHT + EDGE_PAD,
        "box": {"width": BOX_WIDTH, "height": BOX_HEIGHT, "gap": gap},
        "nodes": nodes,
        "edges": edges,
    }


def known_nodes(scores: pd.DataFrame, published: pd.DataFrame) -> dict[str, str]:
    """By node: "scores" when it has records, else "published" when only aggregates are known."""
    known = {str(node): "published" for node in published["node"].unique()}
    return known | {str(node): "scores" for node in scores["node"].unique()}


def _places(tree: Tree, parents: Mapping[str, str | None]) -> tuple[dict[str, int], dict[str, float]]:
    """Column = generation; row = own slot for a leaf, middle of the children otherwise."""
    children: dict[str | None, list[str]] = {}
    for stage in tree.stages:
        children.setdefault(parents[stage.name], []).append(stage.name)
    columns: dict[str, int] = {}
    rows: dict[str, float] = {}
    slot = 0
    # explicit stack: a chain of releases can be longer than Python's recursion limit likes
    stack = [(name, 0, False) for name in reversed(children.get(None, []))]
    while stack:
        name, depth, leaving = stack.pop()
        own = children.get(name, [])
        if leaving:
            rows[name] = (rows[own[0]] + rows[own[-1]]) / 2
        elif own:
            columns[name] = depth
            stack.append((name, depth, True))
            stack.extend((child, depth + 1, False) for child in reversed(own))
        else:
            columns[name], rows[name] = depth, float(slot)
            slot += 1
    return columns, rows


def _gap(generations: int) -> int:
    """Between columns: as wide as the page lets it be, so that labels can name their task."""
    if not generations:
        return GAPS[0]
    room = (PAGE_WIDTH - 2 * EDGE_PAD - BOX_WIDTH * (generations + 1)) // generations
    return max(GAPS[0], min(GAPS[1], room))


def _node(stage: Stage, x: float, y: float, data: str) -> dict[str, Any]:
    facts = [stage.date, _size(stage.parameters)]
    return {
        "name": clean(stage.name), "title": clean(stage.title), "kind": stage.kind, "x": x, "y": y, "data": data,
        "about": " · ".join(clean(fact) for fact in facts if fact),
    }  # fmt: skip


def _size(parameters: float | None) -> str:
    return size_text(parameters) if parameters else ""


def _path(px: float, py: float, cx: float, cy: float, *, rival: bool) -> str:
    """An SVG path from the parent's right side to the child's left.

    A drawn link turns its corners next to the parent, so that its last part is straight and carries the label. A rival
    reading sweeps over and arrives a little lower.
    """
    start_x, start_y = px + BOX_WIDTH, py + BOX_HEIGHT / 2
    end_x, end_y = cx, cy + BOX_HEIGHT / 2
    if rival:
        start_y, end_y = start_y + 16, end_y + 20
        if end_x <= start_x:  # the rival stands in the same column or to the right: go round by the left
            start_x = px
            bend = min(start_x, end_x) - 60
        else:
            bend = (start_x + end_x) / 2
        return f"M{start_x:g} {start_y:g} C{bend:g} {start_y:g} {bend:g} {end_y:g} {end_x:g} {end_y:g}"
    if end_y == start_y:
        return f"M{start_x:g} {start_y:g} H{end_x:g}"
    trunk, turn = start_x + 12, 8 if end_y > start_y else -8
    return (
        f"M{start_x:g} {start_y:g} H{trunk - 8:g} Q{trunk:g} {start_y:g} {trunk:g} {start_y + turn:g} "
        f"V{end_y - turn:g} Q{trunk:g} {end_y:g} {trunk + 8:g} {end_y:g} H{end_x:g}"
    )
