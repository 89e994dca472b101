"""Reads trees: the YAML files of model_zoo/ and the user's own.

>>> load_tree("instructgpt").stage("ppo-175b").parent
'sft-175b'
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from capeval import strict
from capeval.core import CERTAINTIES, CONTRAST_KINDS, STAGE_KINDS, Cell, Contrast, Link, Stage, Tree
from capeval.digest import digest
from capeval.errors import BadFileError, UsageError, unknown
from capeval.shipped import folder

LISTING = "capeval list trees"
_TREE_KEYS = {"name", "title", "description", "records", "stages", "contrasts", "edges", "tasks"}
_CONTRAST_KEYS = {"name", "kind", "child", "parent", "node", "settings", "cells", "tasks", "confounds",
                  "allow_different_shots", "note"}  # fmt: skip
_EDGE_KEYS = {"confounds", "allow_different_shots"}
_STAGE_KEYS = {f.name for f in fields(Stage)} - {"digest"}
_LINK_KEYS = {f.name for f in fields(Link)}


def tree_names() -> list[str]:
    """Names of the trees that ship."""
    return sorted(path.stem for path in folder("model_zoo").glob("*.yaml"))


def tree_path(name: str) -> Path:
    """The file of a shipped tree, or of the user's own when `name` ends in .yaml.

    Raises:
        UsageError: for a name that is neither.
    """
    own = Path(name)
    if own.suffix in (".yaml", ".yml"):
        if not own.is_file():
            raise UsageError(f"there is no tree file {own}. `{LISTING}` shows the trees that ship.")
        return own
    if name not in tree_names():
        raise unknown("tree", name, tree_names(), LISTING)
    return folder("model_zoo") / f"{name}.yaml"


def load_tree(name: str) -> Tree:
    """Read a tree by its shipped name or by the path of a YAML file.

    Raises:
        UsageError: unknown name.
        BadFileError: malformed YAML, unknown keys, cycles, unknown parents; the message names file, key and remedy.
    """
    path = tree_path(name)
    where = str(path)
    data = strict.read_yaml(path)
    strict.refuse_unknown(data, _TREE_KEYS, where, LISTING)
    stages = _order([_stage(s, where) for s in strict.mappings(data, "stages", where)], where)
    names = {s.name for s in stages}
    tree = Tree(
        name=str(data.get("name", path.stem)),
        title=str(data.get("title", "")),
        description=str(data.get("description", "")),
        stages=stages,
        contrasts=tuple(_contrast(c, names, where) for c in strict.mappings(data, "contrasts", where)),
        tasks=tuple(strict.task_spec(t, where) for t in strict.mappings(data, "tasks", where)),
        records=str(path.parent / data["records"]) if data.get("records") else "",
        edge_notes={_edge_key(key): dict(value or {}) for key, value in (data.get("edges") or {}).items()},
        digest=digest(data),
    )
    _check_edges(tree, where)
    _check_paths(tree, where)
    return tree


def _stage(data: dict[str, Any], where: str) -> Stage:
    if not data.get("name"):
        raise BadFileError(f"{where}: every stage needs a name")
    where = f"{where}: stage '{data['name']}'"
    strict.refuse_unknown(data, _STAGE_KEYS, where, LISTING)
    text = {k: str(data.get(k) or "") for k in ("title", "date", "source", "note", "uri", "revision", "run")}
    return Stage(
        name=str(data["name"]),
        kind=strict.one_of(data.get("kind"), STAGE_KINDS, f"{where}: kind"),
        links=tuple(_link(link, where) for link in strict.mappings(data, "links", where)),
        parameters=strict.number(data.get("parameters"), f"{where}: parameters"),
        tokens=strict.number(data.get("tokens"), f"{where}: tokens"),
        published=tuple(map(str, data.get("published") or ())),
        recipe=data.get("recipe") or {},
        **text,
    )


def _link(data: dict[str, Any], where: str) -> Link:
    strict.refuse_unknown(data, _LINK_KEYS, f"{where}: link", LISTING)
    if "parent" not in data:
        raise BadFileError(f"{where} has a link without a parent")
    return Link(
        parent=str(data["parent"]),
        certainty=strict.one_of(data.get("certainty", "unknown"), CERTAINTIES, f"{where}: certainty"),
        source=str(data.get("source") or ""),
        note=str(data.get("note") or ""),
    )


def _order(stages: list[Stage], where: str) -> tuple[Stage, ...]:
    """Parents before children, otherwise as written; each digest covers the parent's."""
    if not stages:
        raise BadFileError(f"{where}: a tree needs stages")
    names = [s.name for s in stages]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadFileError(f"{where}: two stages are called {', '.join(twice)}")
    for stage in stages:
        for link in stage.links:
            if link.parent not in names:
                raise BadFileError(f"{where}: stage '{stage.name}': {unknown('parent', link.parent, names, LISTING)}")
    done: dict[str, Stage] = {}
    waiting = stages
    while waiting:
        ready = [s for s in waiting if s.parent is None or s.parent in done]
        if not ready:
            raise BadFileError(f"{where}: the parents of {', '.join(s.name for s in waiting)} form a cycle")
        for stage in ready:
            parent = done[stage.parent].digest if stage.parent else ""
            own = [stage.name, stage.kind, stage.uri, stage.revision, dict(stage.recipe)]
            done[stage.name] = replace(stage, digest=digest(own, parent))
        waiting = [s for s in waiting if s.name not in done]
    return tuple(done.values())


def _contrast(data: dict[str, Any], names: set[str], where: str) -> Contrast:
    where = f"{where}: contrast '{data.get('name') or data.get('kind') or '?'}'"
    strict.refuse_unknown(data, _CONTRAST_KEYS, where, LISTING)
    kind = strict.one_of(data.get("kind"), CONTRAST_KINDS, f"{where}: kind")
    cells = _cells(data, where)
    for cell in cells:
        if cell.node not in names:
            raise BadFileError(f"{where}: {unknown('node', cell.node, names, LISTING)}")
    if abs(sum(c.weight for c in cells)) > 1e-9 or not any(c.weight > 0 for c in cells):
        raise BadFileError(f"{where}: the weights of its cells must sum to 0, with one above 0")
    return Contrast(
        name=str(data.get("name") or _contrast_name(cells)),
        kind=kind,
        cells=cells,
        tasks=tuple(map(str, data.get("tasks") or ())),
        confounds=tuple(map(str, data.get("confounds") or ())),
        allow_different_shots=bool(data.get("allow_different_shots", False)),
        note=str(data.get("note") or ""),
    )


def _cells(data: dict[str, Any], where: str) -> tuple[Cell, ...]:
    if data.get("cells"):
        return tuple(_cell(cell, where) for cell in strict.mappings(data, "cells", where))
    settings = data.get("settings") or [None, None]
    if data["kind"] == "within" and "node" not in data:
        raise BadFileError(f"{where} within a node needs 'node' and two 'settings'")
    child, parent = data.get("child", data.get("node")), data.get("parent", data.get("node"))
    if child is None or parent is None or len(settings) != 2:
        raise BadFileError(f"{where} needs 'child' and 'parent' ('settings', if given, are two), or 'cells'")
    return (
        Cell(node=str(child), setting=settings[0], weight=1.0),
        Cell(node=str(parent), setting=settings[1], weight=-1.0),
    )


def _cell(data: dict[str, Any], where: str) -> Cell:
    strict.refuse_unknown(data, {"node", "setting", "weight"}, f"{where}: cell", LISTING)
    weight = strict.number(data.get("weight"), f"{where}: weight")
    return Cell(node=str(data.get("node")), setting=data.get("setting"), weight=weight or 0.0)


def _contrast_name(cells: tuple[Cell, ...]) -> str:
    if cells[0].node == cells[1].node:
        return f"{cells[0].node}: {cells[0].setting} − {cells[1].setting}"
    return f"{cells[1].node} → {cells[0].node}"


def _edge_key(key: str) -> str:
    parent, _, child = str(key).replace("→", "->").partition("->")
    return f"{parent.strip()} -> {child.strip()}"


def _check_paths(tree: Tree, where: str) -> None:
    """A path goes from an ancestor to its descendant, in at least one reading of the links."""
    ancestors: dict[str, set[str]] = {}
    for stage in tree.stages:
        parents = [link.parent for link in stage.links]
        ancestors[stage.name] = set(parents).union(*(ancestors.get(parent, set()) for parent in parents))
    for contrast in tree.contrasts:
        if contrast.kind == "path" and contrast.parent not in ancestors[contrast.child]:
            raise BadFileError(
                f"{where}: contrast '{contrast.name}': {contrast.parent} is no ancestor of {contrast.child}, so this "
                "is no path; kind sibling, release or cross-size may be meant"
            )


def _check_edges(tree: Tree, where: str) -> None:
    edges = {f"{e.parent} -> {e.child}" for e in tree.edges()}
    for key, value in tree.edge_notes.items():
        if key not in edges:
            raise BadFileError(f"{where}: {unknown('edge', key, edges, LISTING)}")
        strict.refuse_unknown(value, _EDGE_KEYS, f"{where}: edge '{key}'", LISTING)
