"""A tree with recipes, from nothing to a trace: train what is not built, ask every node, attribute.

    capeval trace lab

Training and asking share the processes: a node is asked as soon as it is built and a core is free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from capeval import runner
from capeval.builder import BuildOptions, Planned, build_units, options_as_mapping, plan, training_of, width
from capeval.core import Tree
from capeval.digest import digest
from capeval.errors import UsageError
from capeval.fleet import Unit, Watch, work
from capeval.lab.corpora import world_digest
from capeval.runner import RunOptions
from capeval.store.files import make_folder, read_json, write_json
from capeval.store.runs import folder_name, load_run
from capeval.store.traces import Trace
from capeval.suites import load_suite
from capeval.tracer import TraceOptions, trace_runs
from capeval.zoo import load_tree, tree_path

_ASKED = "asked.json"
_COST_OF_ASKING = 300.0
"""In the unit of `builder.cost`."""


def has_recipes(tree: str) -> bool:
    """Whether a tree can be trained."""
    return any(stage.recipe for stage in load_tree(tree).stages)


def trace_built(
    tree: str,
    folder: Path,
    *,
    build: BuildOptions | None = None,
    ask: RunOptions | None = None,
    options: TraceOptions | None = None,
    watch: Watch = lambda *_: None,
) -> Trace:
    """Train, ask and attribute a tree.

    Args:
        tree: Name of a shipped tree, or a YAML file; its stages have recipes.
        folder: The trace's; the runs lie in its folder `runs`.
        build: What is trained, and how.
        ask: How nodes are asked; tuned ones are asked through their chat template in any case.
        options: Suite (the tree's own by default), alpha and seed of the tests.
        watch: Told how far each unit (a node, or `ask NODE`) is.

    Raises:
        Everything that `builder.train` and `runner.run` raise; what was built and answered stays.
    """
    build, ask, options = build or BuildOptions(), ask or RunOptions(), options or TraceOptions()
    loaded = load_tree(tree)
    suite = options.suite or loaded.suite
    if not suite:
        raise UsageError(f"tree '{loaded.name}' names no suite; add --suite NAME (`capeval list suites`)")
    planned = plan(loaded, build, home=tree_path(tree).parent)
    asked = [one for one in planned if one.recipe.stage != "reward"]
    units = build_units(planned)
    names = {unit.name for unit in units}
    by_name = {one.node: one for one in planned}
    places = {one.node: folder / "runs" / folder_name(one.node) for one in asked}
    for one in asked:
        own = replace(ask, node=one.node, out=places[one.node], chat=ask.chat or one.tuned)
        mark = _mark(one, suite, own)
        if _known(places[one.node], mark):
            continue
        units.append(
            Unit(
                name=f"ask {one.node}",
                function="capeval.pipeline:ask_node",
                arguments={"planned": one, "suite": suite, "ask": own, "mark": mark},
                needs=(one.node,) if one.node in names else (),
                cost=_COST_OF_ASKING * width(one, by_name),
            )
        )
    work(units, workers=build.workers, watch=watch)
    runs = {node: load_run(place) for node, place in places.items()}
    found = trace_runs(_with_built(loaded, planned), runs, replace(options, suite=suite))
    training = training_of(planned)
    counts = [run.manifest["counts"] for run in runs.values()]
    cost = {
        "training": sum(float(about["seconds"]) for about in training.values()),
        "asking": sum(float(run.manifest.get("cpu_seconds", 0)) for run in runs.values()),
        "answers": sum(count["distinct"] for count in counts),
        "asked": sum(count["asked"] for count in counts),
    }
    provenance = {**found.provenance, "built": options_as_mapping(build), "cost": cost}
    return replace(found, provenance=provenance, training=training)


def ask_node(planned: Planned, suite: str, ask: RunOptions, mark: str, watch: Callable[[int, int], None]) -> None:
    """One node's run, in a worker's process."""
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    assert ask.out is not None
    if (ask.out / _ASKED).is_file():  # of another checkpoint or suite: its answers stay in the journal, it gives way
        (ask.out / "manifest.json").unlink(missing_ok=True)
    # without a mark it is nobody's: a kill from here on leaves what the next call may replace
    write_json(make_folder(ask.out) / _ASKED, {"mark": ""})
    runner.run(str(planned.folder), suite, options=replace(ask, watch=watch))
    write_json(ask.out / _ASKED, {"mark": mark})


def _mark(planned: Planned, suite: str, ask: RunOptions) -> str:
    """What decides a run: a stored one with the same mark is not asked for again."""
    versions = {package: metadata.version(package) for package in ("torch", "transformers", "lm-eval")}
    world = [world_digest(), os.environ.get("LAB_SPLIT", "")]
    how = {key: value for key, value in asdict(ask).items() if key not in ("out", "watch", "progress")}
    return digest(planned.digest, load_suite(suite).digest, how, versions, world)


def _known(place: Path, mark: str) -> bool:
    if not (place / _ASKED).is_file() or not (place / "manifest.json").is_file():
        return False
    said: Any = read_json(place / _ASKED)
    return isinstance(said, Mapping) and said.get("mark") == mark


def _with_built(tree: Tree, planned: list[Planned]) -> Tree:
    """The tree of the nodes that were asked for, with where their checkpoints lie."""
    folders = {one.node: one for one in planned}
    stages = tuple(
        replace(stage, uri=str(folders[stage.name].folder), digest=folders[stage.name].digest)
        for stage in tree.stages
        if stage.name in folders
    )
    names = {stage.name for stage in stages}
    contrasts = tuple(c for c in tree.contrasts if {cell.node for cell in c.cells} <= names)
    return replace(tree, stages=stages, contrasts=contrasts)
