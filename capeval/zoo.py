"""Reads trees: the YAML files of model_zoo/ and the user's own.

>>> load_tree("instructgpt").stage("ppo-175b").parent
'sft-175b'
"""

from __future__ import annotations

from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from capeval import strict
from capeval.core import CERTAINTIES, CONTRAST_KINDS, STAGE_KINDS, Cell, Contrast, Factorial, Link, Series, Stage, Tree
from capeval.digest import digest
from capeval.errors import BadFileError, UsageError, unknown
from capeval.shipped import folder

LISTING = "capeval list trees"
_TREE_KEYS = {"name", "title", "description", "records", "stages", "contrasts", "edges", "series", "tasks", "scales",
              "suite", "factorials"}  # fmt: skip
_CONTRAST_KEYS = {"name", "kind", "child", "parent", "node", "settings", "cells", "tasks", "confounds",
                  "allow_different_shots", "control", "note"}  # fmt: skip
_EDGE_KEYS = {"confounds", "allow_different_shots"}
_STAGE_KEYS = {f.name for f in fields(Stage)} - {"digest"}
_LINK_KEYS = {f.name for f in fields(Link)}
_SERIES_KEYS = {f.name for f in fields(Series)}
_FACTORIAL_KEYS = {f.name for f in fields(Factorial)}
_CROSSED = ("neither", "first", "second", "both")
_FEWEST = 3
"""Nodes of a series: two are a contrast."""


def tree_names() -> list[str]:
    """Names of the trees that ship."""
    return sorted(path.stem for path in folder("model_zoo").glob("*.yaml") if path.stem != "claims")


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
    records = strict.text(data, "records", where)
    tree = Tree(
        name=strict.text(data, "name", where) or path.stem,
        title=strict.text(data, "title", where),
        description=strict.text(data, "description", where),
        stages=stages,
        contrasts=tuple(_contrast(c, names, where) for c in strict.mappings(data, "contrasts", where)),
        series=tuple(_series(s, names, where) for s in strict.mappings(data, "series", where)),
        factorials=tuple(_factorial(f, names, where) for f in strict.mappings(data, "factorials", where)),
        tasks=tuple(strict.task_spec(t, where) for t in strict.mappings(data, "tasks", where)),
        records=str(path.parent / records) if records else "",
        edge_notes=_edge_notes(data, where),
        scales=_scales(data, where),
        suite=strict.text(data, "suite", where),
        digest=digest(data),
    )
    _check_edges(tree, where)
    _check_paths(tree, where)
    _check_tasks(tree, where)
    return tree


def _stage(data: dict[str, Any], where: str) -> Stage:
    name = strict.text(data, "name", f"{where}: a stage")
    if not name:
        raise BadFileError(f"{where}: every stage needs a name")
    where = f"{where}: stage '{name}'"
    strict.refuse_unknown(data, _STAGE_KEYS, where, LISTING)
    text = {k: strict.text(data, k, where) for k in ("title", "date", "source", "note", "uri", "revision", "run")}
    return Stage(
        name=name,
        kind=strict.one_of(data.get("kind"), STAGE_KINDS, f"{where}: kind"),
        links=tuple(_link(link, where) for link in strict.mappings(data, "links", where)),
        parameters=strict.number(data.get("parameters"), f"{where}: parameters"),
        tokens=strict.number(data.get("tokens"), f"{where}: tokens"),
        published=strict.texts(data, "published", where),
        tags=strict.texts(data, "tags", where),
        recipe=strict.mapping(data, "recipe", where),
        **text,
    )


def _link(data: dict[str, Any], where: str) -> Link:
    strict.refuse_unknown(data, _LINK_KEYS, f"{where}: link", LISTING)
    parent = strict.text(data, "parent", f"{where}: link")
    if not parent:
        raise BadFileError(f"{where} has a link without a parent")
    return Link(
        parent=parent,
        certainty=strict.one_of(data.get("certainty", "unknown"), CERTAINTIES, f"{where}: certainty"),
        source=strict.text(data, "source", f"{where}: link"),
        note=strict.text(data, "note", f"{where}: link"),
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
    control = strict.flag(data, "control", where, default=False)
    if control and (kind != "sibling" or len(cells) != 2 or any(c.setting for c in cells)):
        raise BadFileError(
            f"{where}: control: a token-matched control is the 'parent' of a contrast of kind sibling, in every setting"
        )
    return Contrast(
        name=strict.text(data, "name", where) or _contrast_name(cells),
        kind=kind,
        cells=cells,
        tasks=strict.texts(data, "tasks", where),
        confounds=strict.texts(data, "confounds", where),
        allow_different_shots=strict.flag(data, "allow_different_shots", where, default=False),
        control=control,
        note=strict.text(data, "note", where),
    )


def _series(data: dict[str, Any], names: set[str], where: str) -> Series:
    where = f"{where}: series '{data.get('name') or '?'}'"
    strict.refuse_unknown(data, _SERIES_KEYS, where, LISTING)
    name, axis = (strict.text(data, key, where) for key in ("name", "axis"))
    if not name or not axis:
        raise BadFileError(f"{where} needs 'name' and 'axis' (parameters, tokens, instruction types …)")
    written = strict.mapping(data, "nodes", where)
    for node in written:
        if node not in names:
            raise BadFileError(f"{where}: {unknown('node', node, names, LISTING)}")
    nodes = {node: strict.number(value, f"{where}: {node}") or 0.0 for node, value in written.items()}
    if any(value <= 0 for value in nodes.values()) or len(set(nodes.values())) < len(nodes):
        raise BadFileError(f"{where}: every node needs a number above 0 of its own (nodes: {{small: 1e6, large: 1e7}})")
    if len(nodes) < _FEWEST:
        raise BadFileError(f"{where}: a series takes {_FEWEST} nodes; two are a contrast of kind cross-size")
    return Series(name=name, axis=axis, nodes=dict(sorted(nodes.items(), key=lambda one: one[1])))


def _factorial(data: dict[str, Any], names: set[str], where: str) -> Factorial:
    where = f"{where}: factorial '{data.get('name') or '?'}'"
    strict.refuse_unknown(data, _FACTORIAL_KEYS, where, LISTING)
    factors = strict.texts(data, "factors", where)
    if len(factors) != 2 or len(set(factors)) < 2 or not all(factors):
        raise BadFileError(f"{where}: 'factors' names the two stages that are crossed ([code, instructions])")
    nodes = {key: strict.text(data, key, where) for key in _CROSSED}
    for key, node in nodes.items():
        if not node:
            raise BadFileError(f"{where} needs '{key}': it crosses four nodes ({', '.join(_CROSSED)})")
        if node not in names:
            raise BadFileError(f"{where}: {unknown('node', node, names, LISTING)}")
    if len(set(nodes.values())) < len(nodes):
        raise BadFileError(f"{where}: {', '.join(_CROSSED)} must be four different nodes")
    first, second = factors
    name = strict.text(data, "name", where) or f"{first} × {second}"
    return Factorial(name=name, factors=(first, second), **nodes)


def _cells(data: dict[str, Any], where: str) -> tuple[Cell, ...]:
    if data.get("cells") is not None:
        return tuple(_cell(cell, where) for cell in strict.mappings(data, "cells", where))
    settings = _settings(data, where)
    node = strict.text(data, "node", where)
    if data["kind"] == "within" and not node:
        raise BadFileError(f"{where} within a node needs 'node' and two 'settings'")
    child, parent = strict.text(data, "child", where, node), strict.text(data, "parent", where, node)
    if not child or not parent:
        raise BadFileError(f"{where} needs 'child' and 'parent' ('settings', if given, are two), or 'cells'")
    return Cell(node=child, setting=settings[0], weight=1.0), Cell(node=parent, setting=settings[1], weight=-1.0)


def _settings(data: dict[str, Any], where: str) -> tuple[str | None, str | None]:
    """The minuend's and the subtrahend's setting; null for every setting that they share."""
    found = data.get("settings")
    if found is None:
        return None, None
    if not isinstance(found, list) or len(found) != 2:
        raise BadFileError(f"{where}: 'settings' must be a list of two ([cot, direct]), not {found!r}")
    first, second = (strict.text({"settings": one}, "settings", where) or None for one in found)
    return first, second


def _cell(data: dict[str, Any], where: str) -> Cell:
    where = f"{where}: cell"
    strict.refuse_unknown(data, {"node", "setting", "weight"}, where, LISTING)
    weight = strict.number(data.get("weight"), f"{where}: weight")
    return Cell(
        node=strict.text(data, "node", where), setting=strict.text(data, "setting", where) or None, weight=weight or 0.0
    )


def _contrast_name(cells: tuple[Cell, ...]) -> str:
    if cells[0].node == cells[1].node:
        return f"{cells[0].node}: {cells[0].setting} − {cells[1].setting}"
    return f"{cells[1].node} → {cells[0].node}"


def _edge_key(key: str) -> str:
    parent, _, child = str(key).replace("→", "->").partition("->")
    return f"{parent.strip()} -> {child.strip()}"


def _edge_notes(data: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """By "parent -> child", only what was written."""
    notes: dict[str, dict[str, Any]] = {}
    edges = strict.mapping(data, "edges", where)
    for written in edges:
        key = _edge_key(written)
        edge = f"{where}: edge '{key}'"
        if key in notes:
            raise BadFileError(f"{edge} is written twice; keep one of the two")
        value = strict.mapping(edges, written, f"{where}: edges")
        strict.refuse_unknown(value, _EDGE_KEYS, edge, LISTING)
        notes[key] = dict(value)
        if "confounds" in value:
            notes[key]["confounds"] = strict.texts(value, "confounds", edge)
        if "allow_different_shots" in value:
            notes[key]["allow_different_shots"] = strict.flag(value, "allow_different_shots", edge, default=False)
    return notes


def _scales(data: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    scales = strict.mapping(data, "scales", where)
    return {name: strict.mapping(scales, name, f"{where}: scales") for name in scales}


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
    for key in tree.edge_notes:
        if key not in edges:
            raise BadFileError(f"{where}: {unknown('edge', key, edges, LISTING)}")


def _check_tasks(tree: Tree, where: str) -> None:
    """Every task once; a contrast's pattern that no task of the tree fits would silently compare nothing."""
    names = [task.name for task in tree.tasks]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadFileError(f"{where}: two tasks are called {', '.join(twice)}; give each its own name")
    if problem := strict.bad_companion(tree.tasks):
        raise BadFileError(f"{where}: {problem}")
    for sort, called in (("series", [s.name for s in tree.series]), ("factorials", [f.name for f in tree.factorials])):
        if twice := sorted({n for n in called if called.count(n) > 1}):
            raise BadFileError(f"{where}: two {sort} are called {', '.join(twice)}; give each its own name")
    for contrast in tree.contrasts:
        for pattern in contrast.tasks:
            if names and not any(fnmatchcase(name, pattern) for name in names):
                wrong = unknown("task", pattern, names, "capeval list tasks")
                raise BadFileError(
                    f"{where}: contrast '{contrast.name}': tasks: {wrong} A task that a suite brings needs an entry "
                    "under the tree's 'tasks' too."
                )
