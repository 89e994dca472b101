"""Parents asked again: the items that an edge needs, in settings that the suite does not have.

    capeval trace lab --elicit

>>> elicit("models/base", "lab", {("lab-known", "asked"): ["1f0c…"]})     # doctest: +SKIP

What is asked follows from what was answered, so this comes after all nodes have been asked. The same runner, harness
and journal serve: a killed run goes on, and nothing is asked twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from capeval import harness, runner
from capeval.attribution.elicitation import ask_again
from capeval.attribution.pairing import Cells
from capeval.core import Suite, Tree
from capeval.runner import RunOptions
from capeval.store.runs import Run, as_records, with_node
from capeval.suites import load_suite

Items = harness.Items

FOLDER = "elicited"
"""Beside `runs` in a trace's folder."""


def needed(tree: Tree, cells: Cells, suite: Suite) -> Mapping[str, Items]:
    """By parent: (task, setting) of the suite → digests of the documents to ask again.

    Args:
        tree: Its edges say whose children newly solve something.
        cells: As `attribution.pairing.cells` makes them.
        suite: What the nodes were asked; what it lacks (recorded tasks) can't be asked again.
    """
    known = {(source.task, source.setting) for source in suite.sources}
    found: dict[str, dict[tuple[str, str], tuple[str, ...]]] = {}
    for (parent, task, setting), part in ask_again(tree, cells).groupby(["parent", "task", "setting"], sort=False):
        if (task, setting) in known:
            documents = part["item"].str.partition("#")[0]  # a repeated document is asked with all its repetitions
            found.setdefault(str(parent), {})[str(task), str(setting)] = tuple(sorted(set(documents)))
    return found


def elicit(model: str, suite: str, items: Items, *, options: RunOptions | None = None) -> Run | None:
    """Ask a checkpoint some items of a suite in elicited settings, and write a run folder as `runner.run` does.

    Args:
        model: Checkpoint folder or hub id.
        suite: The suite that the items are of.
        items: As `needed` gives them for one parent.
        options: How it was asked; `limit` must be that of its run, for the same documents to be there.

    Returns:
        The run, with the elicited settings; None where the suite's tasks can't be asked otherwise.

    Raises:
        Everything that `runner.run` raises.
    """
    options = options or RunOptions()
    what, wanted = _elicited(load_suite(suite), items, chat=options.chat)
    return runner.run(model, what, options=options, items=wanted) if what.sources else None


def _elicited(suite: Suite, items: Items, *, chat: bool) -> tuple[Suite, Items]:
    """The suite of the elicited settings, and which documents each is asked."""
    settings = {task.name: task.settings for task in suite.tasks}
    sources, asked = [], {}
    for base in suite.sources:
        if (base.task, base.setting) in items:
            templated = chat and base.presentation != "document"
            for source in harness.elicited(base, settings[base.task], templated=templated):
                sources.append(source)
                asked[source.task, source.setting] = items[base.task, base.setting]
    tasks = tuple(
        replace(task, summaries=(), reference="", abstention=(), calibration=False)
        for task in suite.tasks
        if any(source.task == task.name for source in sources)
    )
    name = f"{suite.name}-{FOLDER}"
    return replace(suite, name=name, tasks=tasks, sources=tuple(sources), contrasts=()), asked


def answers_of(runs: Mapping[str, Run]) -> pd.DataFrame:
    """The records of elicited runs, with the node in front."""
    parts = [with_node(run.records, node) for node, run in runs.items()]
    return pd.concat(parts, ignore_index=True) if parts else with_node(as_records([]), "")
