"""A tree with recipes, from nothing to a trace: train what is not built, ask every node, attribute.

    capeval trace lab
    capeval trace lab --seeds 3          # and again with other seeds of the training

Training and asking share the processes: a node is asked as soon as it is built and a core is free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from capeval import rereading, runner
from capeval.assembly import Elicited
from capeval.attribution.readings import CHAINS, DECOYS, readings
from capeval.backends import AUTO, ONE_ENGINE
from capeval.backends.choice import machine_choice
from capeval.backends.vllm.settings import version as vllm_version
from capeval.builder import BuildOptions, Planned, build_units, options_as_mapping, plan, training_of, width
from capeval.core import Tree
from capeval.digest import digest, digest_file
from capeval.elicit import FOLDER, Items, answers_of, elicit
from capeval.errors import UsageError
from capeval.fleet import Unit, Watch, work
from capeval.lab.corpora import world_digest
from capeval.runner import RunOptions
from capeval.store.files import make_folder, read_json, read_parquet, write_json, write_parquet
from capeval.store.runs import Run, folder_name, load_run
from capeval.store.traces import Trace
from capeval.suites import load_suite
from capeval.tracer import TraceOptions, to_elicit, trace_runs
from capeval.training.recipe import Given
from capeval.zoo import load_tree, tree_path

_ASKED = "asked.json"
_READS = "reads.parquet"
_COST_OF_ASKING = 300.0
"""In the unit of `builder.cost`."""


def has_recipes(tree: str) -> bool:
    """Whether a tree can be trained."""
    return any(stage.recipe for stage in load_tree(tree).stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replica:
    """The tree trained with one seed."""

    seed: int
    planned: list[Planned]
    places: dict[str, Path]
    """Where the run of each node that can be asked lies."""
    label: str
    """Stands before the names of its units."""


def trace_built(  # noqa: PLR0913  training, asking and attributing, each with its own options
    tree: str,
    folder: Path,
    *,
    build: BuildOptions | None = None,
    ask: RunOptions | None = None,
    options: TraceOptions | None = None,
    seeds: int = 1,
    watch: Watch = lambda *_: None,
) -> Trace:
    """Train, ask and attribute a tree; with several seeds, train and ask it as often, side by side.

    Args:
        tree: Name of a shipped tree, or a YAML file; its stages have recipes.
        folder: The trace's; the runs lie in its folder `runs`, those of a further seed S in `replicaS/runs`.
        build: What is trained, and how.
        ask: How nodes are asked; tuned ones are asked through their chat template in any case.
        options: Suite (the tree's own by default), alpha and seed of the tests.
        seeds: Training runs: `build.seed` and the numbers after it. The first is the one that the trace is about.
        watch: Told how far each unit (a node, or `ask NODE`) is.

    Raises:
        Everything that `builder.train` and `runner.run` raise; what was built and answered stays.
    """
    build, ask, options = build or BuildOptions(), ask or RunOptions(), options or TraceOptions()
    loaded = load_tree(tree)
    suite = options.suite or loaded.suite
    if not suite:
        raise UsageError(f"tree '{loaded.name}' names no suite; add --suite NAME (`capeval list suites`)")
    replicas = [_replica(loaded, tree, folder, build, build.seed + number) for number in range(seeds)]
    units: list[Unit] = []
    for replica in replicas:
        units += _units(replica, suite, ask)
    work(units, workers=build.workers, watch=watch)
    runs = [{node: load_run(place) for node, place in replica.places.items()} for replica in replicas]
    planned = replicas[0].planned
    training = training_of(planned)
    of_tree = _with_built(loaded, planned, training)
    options = replace(options, suite=suite)
    again = _again(of_tree, runs[0], replicas[0], options, folder, ask, build.workers, watch) if options.elicit else {}
    reads = _reads(of_tree, runs[0], replicas[0], options.suite, folder, build.workers, watch) if options.elicit else []
    elicited = Elicited(answers=answers_of(again), reads=rereading.together(reads))
    found = trace_runs(of_tree, runs[0], options, replicas=runs[1:], elicited=elicited)
    asked = {
        replica.places[node]: run for replica, one in zip(replicas, runs, strict=True) for node, run in one.items()
    } | {folder / FOLDER / folder_name(node): run for node, run in again.items()}
    cost = _cost([training_of(replica.planned) for replica in replicas], list(asked.values()))
    provenance = {**found.provenance, "built": {**options_as_mapping(build), "seeds": seeds}, "cost": cost}
    return replace(found, provenance=provenance, training=training)


def _replica(tree: Tree, name: str, folder: Path, build: BuildOptions, seed: int) -> _Replica:
    planned = plan(tree, replace(build, seed=seed), home=tree_path(name).parent)
    first = seed == build.seed
    own = folder if first else folder / f"replica{seed}"
    # a checkpoint that is not trained is the same in every replica, and answers once
    places = {
        one.node: (folder if isinstance(one.recipe, Given) else own) / "runs" / folder_name(one.node)
        for one in planned
        if one.recipe.stage != "reward"
    }
    return _Replica(seed=seed, planned=planned, places=places, label="" if first else f"replica {seed}: ")


def _units(replica: _Replica, suite: str, ask: RunOptions) -> list[Unit]:
    """What is not built and not asked of one replica."""
    units = build_units(replica.planned)
    names = {unit.name for unit in units}
    by_name = {one.node: one for one in replica.planned}
    for node, place in replica.places.items():
        one = by_name[node]
        own = replace(ask, node=node, out=place, chat=ask.chat or one.tuned)
        mark = _mark(one, suite, own)
        if _known(place, mark) or (replica.label and isinstance(one.recipe, Given)):
            continue
        units.append(
            Unit(
                name=f"ask {node}",
                function="capeval.pipeline:ask_node",
                arguments={"planned": one, "suite": suite, "ask": own, "mark": mark},
                needs=(node,) if node in names else (),
                here=_one_engine(ask),
                cost=_COST_OF_ASKING * width(one, by_name),
            )
        )
    label = replica.label
    return [replace(unit, name=label + unit.name, needs=tuple(label + need for need in unit.needs)) for unit in units]


def _one_engine(ask: RunOptions) -> bool:
    """Whether all nodes are asked by one engine in this process."""
    name = machine_choice(ask.device).backend if ask.backend == AUTO else ask.backend
    return name in ONE_ENGINE


def _again(  # noqa: PLR0913  who is asked what again, and where it is kept
    tree: Tree, runs: Mapping[str, Run], replica: _Replica, options: TraceOptions, folder: Path, ask: RunOptions,
    workers: int, watch: Watch,
) -> dict[str, Run]:  # fmt: skip
    """Parents in elicited settings, once all nodes have been asked."""
    by_name = {one.node: one for one in replica.planned}
    places, units = {}, []
    for node, items in to_elicit(tree, runs, options.suite).items():
        one, place = by_name[node], folder / FOLDER / folder_name(node)
        own = replace(ask, node=node, out=place, chat=ask.chat or one.tuned)
        mark = digest(_mark(one, options.suite, own), sorted([*key, *value] for key, value in items.items()))
        places[node] = place
        if not _known(place, mark):
            arguments = {"planned": one, "suite": options.suite, "items": items, "ask": own, "mark": mark}
            units.append(Unit(name=f"elicit {node}", function="capeval.pipeline:elicit_node", arguments=arguments,
                              here=_one_engine(ask)))  # fmt: skip
    work(units, workers=workers, watch=watch)
    return {node: load_run(place) for node, place in places.items() if (place / "manifest.json").is_file()}


def _reads(  # noqa: PLR0913  who reads whose chains, and where that is kept
    tree: Tree, runs: Mapping[str, Run], replica: _Replica, suite: str, folder: Path, workers: int, watch: Watch
) -> list[pd.DataFrame]:
    """Every edge's chains of thought, read by its parent, where the child writes some."""
    units, places = [], []
    for edge in tree.edges():
        if not {edge.child, edge.parent} <= runs.keys() or not readings(runs[edge.child], runs[edge.parent]):
            continue
        place = folder / rereading.FOLDER / folder_name(edge.child)
        ends = {node: replica.places[node] for node in (edge.child, edge.parent)}
        known = [(runs[node].manifest["checkpoint"], digest_file(at / "records.parquet")) for node, at in ends.items()]
        mark = digest(known, load_suite(suite).digest, CHAINS, DECOYS)
        places.append(place)
        if not _known(place, mark, _READS):
            both = (runs[edge.child], runs[edge.parent])
            who = {"child": ends[edge.child], "parent": ends[edge.parent]}
            arguments = {**who, "suite": suite, "place": place, "mark": mark}
            here = any(run.manifest["settings"]["numerics"]["backend"] in ONE_ENGINE for run in both)
            name = f"read {edge.child}"
            units.append(Unit(name=name, function="capeval.pipeline:read_edge", arguments=arguments, here=here))
    work(units, workers=workers, watch=watch)
    return [read_parquet(place / _READS) for place in places]


def _cost(training: Sequence[Mapping[str, Mapping[str, Any]]], runs: Sequence[Run]) -> dict[str, float]:
    counts = [run.manifest["counts"] for run in runs]
    return {
        "training": sum(float(about["seconds"]) for replica in training for about in replica.values()),
        "asking": sum(float(run.manifest.get("cpu_seconds", 0)) for run in runs),
        "answers": sum(count["distinct"] for count in counts),
        "asked": sum(count["asked"] for count in counts),
    }


def ask_node(planned: Planned, suite: str, ask: RunOptions, mark: str, watch: Callable[[int, int], None]) -> None:
    """One node's run, in a worker's process."""
    with _marked(ask, mark):
        runner.run(str(planned.folder), suite, options=replace(ask, watch=watch))


def elicit_node(
    planned: Planned, suite: str, items: Items, ask: RunOptions, mark: str, watch: Callable[[int, int], None]
) -> None:
    """One parent, asked again, in a worker's process."""
    with _marked(ask, mark):
        elicit(str(planned.folder), suite, items, options=replace(ask, watch=watch))


def read_edge(child: Path, parent: Path, suite: str, place: Path, mark: str, watch: Callable[[int, int], None]) -> None:
    """One child's chains, read by its parent, in a worker's process."""
    runs = [load_run(folder) for folder in (child, parent)]
    found = rereading.read_chains(*runs, suite=suite, folder=make_folder(place), options=RunOptions(watch=watch))
    write_parquet(place / _READS, found)
    write_json(place / _ASKED, {"mark": mark})


@contextmanager
def _marked(ask: RunOptions, mark: str) -> Iterator[None]:
    """A run folder that is ready to be written, and carries the mark once it was."""
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    assert ask.out is not None
    if (ask.out / _ASKED).is_file():  # of another checkpoint or suite: its answers stay in the journal, it gives way
        (ask.out / "manifest.json").unlink(missing_ok=True)
    # without a mark it is nobody's: a kill from here on leaves what the next call may replace
    write_json(make_folder(ask.out) / _ASKED, {"mark": ""})
    yield
    write_json(ask.out / _ASKED, {"mark": mark})


def _mark(planned: Planned, suite: str, ask: RunOptions) -> str:
    """What decides a run: a stored one with the same mark is not asked for again."""
    versions = {package: metadata.version(package) for package in ("torch", "transformers", "lm-eval")}
    versions["vllm"] = vllm_version()
    world = [world_digest(), os.environ.get("LAB_SPLIT", "")]
    how = {key: value for key, value in asdict(ask).items() if key not in ("out", "watch", "progress")}
    return digest(planned.digest, load_suite(suite).digest, how, versions, world)


def _known(place: Path, mark: str, result: str = "manifest.json") -> bool:
    if not (place / _ASKED).is_file() or not (place / result).is_file():
        return False
    said: Any = read_json(place / _ASKED)
    return isinstance(said, Mapping) and said.get("mark") == mark


def _with_built(tree: Tree, planned: list[Planned], training: Mapping[str, Mapping[str, Any]]) -> Tree:
    """The tree of the nodes that were asked for, with where their checkpoints lie and how many tokens they read."""
    folders = {one.node: one for one in planned}
    stages = tuple(
        replace(
            stage,
            uri=str(folders[stage.name].folder),
            digest=folders[stage.name].digest,
            tokens=training.get(stage.name, {}).get("tokens", stage.tokens),
        )
        for stage in tree.stages
        if stage.name in folders
    )
    names = {stage.name for stage in stages}
    contrasts = tuple(c for c in tree.contrasts if {cell.node for cell in c.cells} <= names)
    return replace(tree, stages=stages, contrasts=contrasts)
