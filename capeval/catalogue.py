"""What there is: the rows that `capeval list suites|tasks|trees|backends|scorers|claims` prints, read from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from capeval.backends import BACKENDS
from capeval.core import TaskSpec, Tree
from capeval.literature import load_claims
from capeval.recordings.scorers import SCORERS
from capeval.suites import list_suites, load_suite
from capeval.zoo import load_tree, tree_names

Row = dict[str, Any]


def catalogue(what: str) -> list[Row]:
    """Rows about all suites, tasks, trees, backends, scorers or claims; the columns are the keys of each row."""
    return list(_LISTS[what]())


def tasks(suite: str) -> list[Row]:
    """The tasks of one suite, with all that they declare.

    Raises:
        UsageError: no such suite.
    """
    return [_task(suite, task) for task in load_suite(suite).tasks]


def _suites() -> Iterator[Row]:
    for name in list_suites():
        suite = load_suite(name)
        yield {"suite": name, "tasks": len(suite.tasks), "files": len(suite.sources), "about": suite.title}


def _tasks() -> Iterator[Row]:
    # a suite made of others only repeats them
    for name in (name for name in list_suites() if not _composed(name)):
        yield from tasks(name)


def _composed(name: str) -> bool:
    return any(other.startswith(f"{name}/") for other in list_suites())


def _task(suite: str, task: TaskSpec) -> Row:
    cluster = f"{task.cluster} ({task.cluster_role})" if task.cluster_role != "none" else ""
    return {
        "task": task.name, "suite": suite, "capability": task.capability, "metric": task.metric,
        "chance": task.chance, "margin": task.margin, "cluster": cluster, "licence": task.licence,
        "citation": task.citation or task.source, "settings": ", ".join([*task.settings, *task.summaries]),
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


def _claims() -> Iterator[Row]:
    for claim in load_claims().claims:
        tests = "; ".join(test.name for test in claim.tests)
        yield {"claim": claim.id, "by": claim.grade, "text": claim.text, "tests": tests}


_LISTS: dict[str, Callable[[], Iterator[Row]]] = {
    "suites": _suites,
    "tasks": _tasks,
    "trees": _trees,
    "backends": _backends,
    "scorers": _scorers,
    "claims": _claims,
}
