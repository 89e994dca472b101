"""What there is: the rows that `capeval list suites|tasks|trees|backends|scorers` prints: read from the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from capeval.backends import BACKENDS
from capeval.core import Tree
from capeval.recordings.scorers import SCORERS
from capeval.suites import list_suites, load_suite
from capeval.zoo import load_tree, tree_names

Row = dict[str, Any]
_NAMED = 6
"""Tasks of a suite that are named in its row; `capeval list tasks` names all."""


def catalogue(what: str) -> list[Row]:
    """Rows about all suites, tasks, trees, backends or scorers; the columns are the keys of each row."""
    return list(_LISTS[what]())


def _suites() -> Iterator[Row]:
    for name in list_suites():
        suite = load_suite(name)
        names = [task.name for task in suite.tasks]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield {
            "suite": name,
            "tasks": ", ".join(names[:_NAMED]) + more,
            "files": len(suite.sources),
            "about": suite.title,
        }


def _tasks() -> Iterator[Row]:
    for name in list_suites():
        for task in load_suite(name).tasks:
            yield {
                "task": task.name, "suite": name, "capability": task.capability, "settings": ", ".join(task.settings),
                "metric": task.metric, "margin": task.margin, "licence": task.licence,
            }  # fmt: skip


def _trees() -> Iterator[Row]:
    for name in tree_names():
        tree = load_tree(name)
        yield {"tree": name, "nodes": len(tree.stages), "data": _data(tree), "about": tree.title}


def _data(tree: Tree) -> str:
    kinds = {
        "recorded": bool(tree.records),
        "published": any(s.published for s in tree.stages),
        "loadable": any(s.uri for s in tree.stages),
        "trained": any(s.recipe for s in tree.stages),
    }
    return ", ".join(kind for kind, there in kinds.items() if there) or "none"


def _backends() -> Iterator[Row]:
    for name, door in BACKENDS.items():
        yield {"backend": name, "module": door.partition(":")[0]}


def _scorers() -> Iterator[Row]:
    for name, scorer in SCORERS.items():
        yield {"scorer": name, "about": (scorer.__doc__ or "").strip().splitlines()[0]}


_LISTS: dict[str, Callable[[], Iterator[Row]]] = {
    "suites": _suites,
    "tasks": _tasks,
    "trees": _trees,
    "backends": _backends,
    "scorers": _scorers,
}
