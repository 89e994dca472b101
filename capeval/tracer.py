"""tree → effects: gather what each node answered, put every contrast to it, keep what the report needs.

capeval trace instructgpt                                   # recorded data that ships
capeval trace mytree.yaml --suite cot                       # evaluates every node with a checkpoint
capeval compare runs/base-cot runs/sft-cot                  # two runs are a tree with one edge
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capeval import elicit, rereading, runner
from capeval.assembly import SEED, Elicited, assemble
from capeval.attribution.effects import ALPHA
from capeval.attribution.noise import with_noise
from capeval.attribution.pairing import cells
from capeval.core import Cell, Contrast, Link, Stage, TaskSpec, Tree
from capeval.digest import digest_file
from capeval.elicit import Items
from capeval.errors import MissingError, PairingError, UsageError, unknown
from capeval.literature import load_claims
from capeval.store.noise import NoiseFloor, asked_as, engine_of, find_floors, load_floor
from capeval.store.provenance import made_with
from capeval.store.runs import Run, as_records, load_node_records, load_run, with_node
from capeval.store.traces import Trace, load_trace
from capeval.strict import mapping, text, texts
from capeval.suites import load_suite
from capeval.zoo import load_tree, tree_path


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """How to trace a tree."""

    suite: str = ""
    """Evaluate every node that has a checkpoint with this suite; empty: recorded data only."""
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """Node → folder or hub id; takes the place of the tree file's uri."""
    alpha: float = ALPHA
    seed: int = SEED
    """Of the cluster sign-flip test."""
    claims: Path | None = None
    """A file of claims instead of those that ship."""
    elicit: bool = False
    """Ask parents again, in other settings, what their children newly solve."""


Evaluate = Callable[[Stage, str], Run]
"""(stage with its uri and revision, suite) → run; the runner's door with everything else already chosen."""

Elicit = Callable[[Stage, str, Items], Run | None]
"""(the same, items of the suite) → run in elicited settings; the door of `elicit`."""


def trace(
    tree: str,
    options: TraceOptions | None = None,
    *,
    evaluate: Evaluate | None = None,
    ask_again: Elicit | None = None,
) -> Trace:
    """Attribute what the records of a tree show to its stages.

    Args:
        tree: Name of a shipped tree, or a YAML file.
        options: Suite to evaluate, checkpoints, alpha.
        evaluate: Runs one checkpoint; needed when a suite is named. `capeval.runner.run` by default.
        ask_again: Asks one checkpoint some items in elicited settings. `capeval.elicit.elicit` by default.

    Raises:
        UsageError: unknown tree or node; a tree with recipes (`pipeline.trace_built`).
        MissingError: a checkpoint or data set that is not on this machine.
    """
    options = options or TraceOptions()
    loaded = load_tree(tree)
    names = [stage.name for stage in loaded.stages]
    for node in options.checkpoints:
        if node not in names:
            raise unknown("node", node, names, "capeval list trees")
    if options.checkpoints and not options.suite:
        raise UsageError("--checkpoint says where weights are; add --suite NAME to ask them something")
    if not options.checkpoints and any(stage.recipe for stage in loaded.stages):
        raise UsageError(
            f"tree '{loaded.name}' is trained first: `capeval trace {loaded.name}`, or `capeval.trace_built` in Python"
        )
    if options.elicit and not options.suite:
        raise UsageError("--elicit asks checkpoints again what a suite asked them; add --suite NAME")
    beside = tree_path(tree).parent
    runs = _runs(loaded, options, evaluate, beside=beside)
    beyond = _ask_again(loaded, runs, options, ask_again or _elicit_with_defaults, beside) if options.elicit else None
    return trace_runs(loaded, runs, options, elicited=beyond)


def _ask_again(tree: Tree, runs: Mapping[str, Run], options: TraceOptions, ask: Elicit, beside: Path) -> Elicited:
    """Every parent with a checkpoint, in its elicited settings."""
    stages = {stage.name: _chosen(stage, options, beside) for stage in tree.stages}
    needed = to_elicit(tree, runs, options.suite)
    again = {node: ask(stages[node], options.suite, items) for node, items in needed.items() if stages[node].uri}
    reads = [
        rereading.read_chains(runs[edge.child], runs[edge.parent], suite=options.suite)
        for edge in tree.edges()
        if all(node in runs and rereading.can_read(runs[node]) for node in (edge.child, edge.parent))
    ]
    return Elicited(
        answers=elicit.answers_of({node: run for node, run in again.items() if run is not None}),
        reads=rereading.together(reads),
    )


def to_elicit(tree: Tree, runs: Mapping[str, Run], suite: str) -> Mapping[str, Items]:
    """By parent, which items of the suite it is to be asked again, given what all nodes answered."""
    tree = _with_tasks(tree, runs)
    return elicit.needed(tree, cells(_records(tree, runs)), load_suite(suite))


def trace_runs(
    tree: Tree,
    runs: Mapping[str, Run],
    options: TraceOptions,
    *,
    replicas: Sequence[Mapping[str, Run]] = (),
    elicited: Elicited | None = None,
) -> Trace:
    """Attribute what runs of a tree's nodes show, beside the records that the tree ships.

    Args:
        tree: The tree.
        runs: Node → run.
        options: Suite, alpha, seed of the tests.
        replicas: The same of the tree trained again with other seeds, each a mapping like `runs`; it may lack nodes.
        elicited: What was asked beyond the suite.

    Raises:
        PairingError: when two runs score one task by different metrics.
        UsageError: when a replica of a node with a recipe is the same checkpoint again.
    """
    tree = _with_tasks(tree, runs)
    _check_replicas(tree, runs, replicas)
    records = _records(tree, runs)
    provenance = _provenance(options, tree, runs) | {"rows": len(records)}
    if elicited is not None and len(elicited.answers):
        asked = elicited.answers.groupby("node", sort=False)["setting"]
        provenance["elicited"] = {str(node): sorted(set(settings)) for node, settings in asked}
    if replicas:
        checkpoints = [{node: run.manifest.get("checkpoint") for node, run in replica.items()} for replica in replicas]
        provenance["replicas"] = checkpoints
    others = [
        pd.concat([with_node(run.records, node) for node, run in replica.items()], ignore_index=True)
        for replica in replicas
    ]
    found = assemble(
        tree, records, alpha=options.alpha, seed=options.seed, replicas=others,
        claims=load_claims(options.claims), elicited=elicited, provenance=provenance,
    )  # fmt: skip
    return _beside_noise(found, runs, find_floors(_folders(runs.values())))


def _beside_noise(found: Trace, runs: Mapping[str, Run], floors: Sequence[NoiseFloor]) -> Trace:
    """The trace with what numerics alone do beside its effects."""
    asked = {node: asked_as(run.manifest, node) for node, run in runs.items()}
    return replace(found, effects=with_noise(found.effects, asked, floors))


def _folders(runs: Iterable[Run | str | Path]) -> list[Path]:
    """Where runs lie: the path that was given, or where a run was written."""
    places = [str(run.manifest.get("folder") or "") if isinstance(run, Run) else str(run) for run in runs]
    return [Path(place) for place in places if place]


def _records(tree: Tree, runs: Mapping[str, Run]) -> pd.DataFrame:
    """What the tree ships and its nodes were asked, with `node` in front."""
    shipped = _without(_shipped_records(tree), runs)
    return pd.concat([shipped, *(with_node(run.records, node) for node, run in runs.items())], ignore_index=True)


def _check_replicas(tree: Tree, runs: Mapping[str, Run], replicas: Sequence[Mapping[str, Run]]) -> None:
    """Other weights, scored by the same rules."""
    everything = dict(runs)
    for number, replica in enumerate(replicas, start=1):
        everything |= {f"{node} (replica {number})": run for node, run in replica.items()}
    _refuse_other_scoring(everything)
    for stage in tree.stages:
        same = [replica[stage.name] for replica in (runs, *replicas) if stage.name in replica]
        digests = [about.get("digest") for run in same if isinstance(about := run.manifest.get("checkpoint"), Mapping)]
        if stage.recipe and len(set(digests)) < len(digests):
            raise UsageError(
                f"two replicas of node '{stage.name}' are one checkpoint: a training seed must make other weights; "
                f"`capeval trace {tree.name} --seeds N` trains and asks them"
            )


def tree_of_runs(runs: Mapping[str, Run], *, name: str, allow_different_shots: bool = False) -> Tree:
    """Runs as a tree: the first is the root, each other one its child; within-node contrasts come from the manifests.

    Raises:
        PairingError: when two runs score one task by different metrics.
    """
    root, *others = runs
    stages = [Stage(name=root, kind="base")]
    stages += [Stage(name=n, kind="release", links=(Link(parent=root, certainty="documented"),)) for n in others]
    specs: dict[str, TaskSpec] = {}
    for node, run in runs.items():
        for task in run.tasks:
            known = specs.setdefault(task.name, task)
            if len(task.summaries) > len(known.summaries):  # a run of before knows less of its task
                specs[task.name] = task
            if (known.metric, known.orientation, known.unit) != (task.metric, task.orientation, task.unit):
                raise PairingError(
                    f"task '{task.name}' is scored by {task.metric} ({task.orientation} is better, {task.unit}) in "
                    f"'{node}' and by {known.metric} ({known.orientation}, {known.unit}) elsewhere; "
                    "run or import one of them again"
                )
    _refuse_other_scoring(runs)
    contrasts = [
        Contrast(
            name=f"{node}: {a} − {b}",
            kind="within",
            cells=(Cell(node=node, setting=a, weight=1.0), Cell(node=node, setting=b, weight=-1.0)),
        )
        for node, run in runs.items()
        for a, b in run.manifest.get("contrasts", ())
    ]
    notes = {
        f"{root} -> {n}": {
            "allow_different_shots": allow_different_shots,
            "confounds": _asked_otherwise(runs[root], runs[n]),
        }
        for n in others
    }
    return Tree(
        name=name,
        stages=tuple(stages),
        contrasts=tuple(contrasts),
        tasks=tuple(specs.values()),
        edge_notes=notes,
    )


def _asked_otherwise(parent: Run, child: Run) -> list[str]:
    """What else differs between two runs: how their prompts begin, and the engine, dtype and device that answered."""
    ends = [engine_of(asked_as(run.manifest).numerics) for run in (parent, child)]
    keys = dict.fromkeys(key for end in ends for key in end) if all(ends) else ()
    told = [f"{key}: {a or 'default'} against {b or 'default'}" for key in keys
            if (a := ends[0].get(key, "")) != (b := ends[1].get(key, ""))]  # fmt: skip
    return _begun_otherwise(parent, child) + told


def _begun_otherwise(parent: Run, child: Run) -> list[str]:
    """Prompts of one presentation that begin with other special tokens (a BOS, or none): that alone moves scores."""
    mine, other = (_shown_files(run) for run in (parent, child))
    pairs = {(mine[file][1], other[file][1]) for file in mine.keys() & other.keys() if mine[file][0] == other[file][0]}
    return [f"prompts begin with {b or 'no special token'} against {a or 'none'}" for a, b in sorted(pairs) if a != b]


def _shown_files(run: Run) -> dict[tuple[str, str], tuple[str, str]]:
    """By task with setting, and file: the presentation, and the special tokens that its prompts begin with."""
    where = "the run's manifest: prompting"
    tasks = mapping(mapping(run.manifest, "prompting", "the run's manifest"), "tasks", where)
    found = {}
    for task in tasks:
        files = mapping(mapping(tasks, task, where), "files", where)
        for file in files:
            how = mapping(files, file, where)
            found[task, file] = text(how, "presentation", where), " ".join(texts(how, "begins_with", where))
    return found


def _refuse_other_scoring(runs: Mapping[str, Run]) -> None:
    """Another filter or metric setting makes another score of the same answer: that is no capability."""
    seen: dict[str, tuple[str, str]] = {}
    for node, run in runs.items():
        for rule, digest in dict(run.manifest.get("scoring") or {}).items():
            other, known = seen.setdefault(rule, (node, digest))
            if known != digest:
                raise PairingError(
                    f"'{rule}' is scored by another filter or metric in '{node}' than in '{other}', so a difference "
                    "would not be the model's; run both with one suite (what the journal knows is not asked again)"
                )


def claims(tree: str, folder: Path | None = None, file: Path | None = None) -> pd.DataFrame:
    """The claims ledger of a tree: of its stored trace, or of the records that it ships.

    Args:
        tree: Name of a shipped tree, or a YAML file.
        folder: A trace of it; traces/TREE where the tree ships no records.
        file: Claims other than those that ship.

    Returns:
        Columns of `columns.CLAIM_COLUMNS`.

    Raises:
        UsageError: no records and no trace, or a trace of another tree.
    """
    loaded = load_tree(tree)
    if folder is None and loaded.records:
        return trace(tree, TraceOptions(claims=file)).claims
    if file is not None:
        raise UsageError(
            f"a trace holds no records, so other claims can't be put to it; `capeval trace {tree} --claims {file}` does"
        )
    folder = folder or Path("traces") / loaded.name
    if not (folder / "trace.json").is_file():
        raise UsageError(
            f"tree '{loaded.name}' ships no records and {folder} holds no trace of it: `capeval trace {tree}` makes "
            "one, --trace FOLDER names another"
        )
    stored = load_trace(folder)
    if stored.tree.name != loaded.name:
        raise UsageError(f"{folder} is a trace of tree '{stored.tree.name}', not of '{loaded.name}'")
    return stored.claims


def inspect(run: Run, *, alpha: float = ALPHA) -> Trace:
    """Scores of one run and its within-node contrasts (CoT − direct)."""
    tree = tree_of_runs({run.node: run}, name=run.node)
    provenance = _versions() | {"runs": {run.node: _run_digest(run)}}
    return assemble(tree, with_node(run.records, run.node), alpha=alpha, provenance=provenance)


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    *,
    allow_different_shots: bool = False,
    alpha: float = ALPHA,
    noise: Sequence[str | Path] = (),
) -> Trace:
    """Paired difference b − a of two runs, as a trace with one edge.

    Args:
        a: A run or its folder.
        b: Likewise.
        allow_different_shots: Pair items although the examples shown differ; the effects are marked.
        alpha: Level of the answers; the equivalence interval is the 1 − 2α one.
        noise: Noise floors (`capeval noise`) to show beside the effects; those in `noise/` beside the runs by default.

    Raises:
        UsageError, BadFileError: a noise floor that is not there, or damaged.
        PairingError: no common items, different metrics, or different shots that were not allowed.
    """
    runs = [run if isinstance(run, Run) else load_run(run) for run in (a, b)]
    names = [run.node for run in runs]
    if names[0] == names[1]:
        names = [f"{names[0]} (a)", f"{names[1]} (b)"]
    by_name = dict(zip(names, runs, strict=True))
    tree = tree_of_runs(by_name, name=" → ".join(names), allow_different_shots=allow_different_shots)
    records = pd.concat([with_node(run.records, name) for name, run in by_name.items()], ignore_index=True)
    provenance = _versions() | {"runs": {n: _run_digest(r) for n, r in by_name.items()}}
    floors = [load_floor(place) for place in noise] if noise else find_floors(_folders((a, b)))
    found = assemble(tree, records, alpha=alpha, provenance=provenance)
    edges = found.effects[found.effects["kind"] == "edge"]
    if (edges["reason"] == "different shots").any():
        row = edges[edges["reason"] == "different shots"].iloc[0]
        raise PairingError(
            f"{names[0]} and {names[1]} were shown different shots on task '{row['task']}' ({row['setting']}); "
            "--allow-different-shots compares them all the same and marks the effects as confounded"
        )
    if edges.empty or not edges["n"].sum():
        raise PairingError(
            f"{names[0]} and {names[1]} share no scored items: {_asked(runs[0])} against {_asked(runs[1])}. "
            "Run both with the same suite and --limit."
        )
    return _beside_noise(found, by_name, floors)


def _asked(run: Run) -> str:
    pairs = run.records[["task", "setting"]].drop_duplicates()
    return ", ".join(f"{t} ({s})" for t, s in pairs.itertuples(index=False)) or "nothing"


def _shipped_records(tree: Tree) -> pd.DataFrame:
    if not tree.records:
        return with_node(as_records([]), "")
    nodes, tasks = {s.name for s in tree.stages}, {t.name for t in tree.tasks}
    return load_node_records(Path(tree.records), nodes=nodes, tasks=tasks, specs=tree.tasks)


def _without(recorded: pd.DataFrame, runs: Mapping[str, Run]) -> pd.DataFrame:
    """Recorded rows of a node give way to its run on the same task: two models must not share a cell."""
    asked = {(node, task) for node, run in runs.items() for task in run.records["task"].unique()}
    keep = [pair not in asked for pair in zip(recorded["node"], recorded["task"], strict=True)]
    return recorded.loc[np.array(keep, dtype=bool)]


def _runs(tree: Tree, options: TraceOptions, evaluate: Evaluate | None, *, beside: Path) -> dict[str, Run]:
    """Stored runs that the tree names, and fresh ones of its checkpoints when a suite is named."""
    runs = {stage.name: load_run(_place(stage.run, beside)) for stage in tree.stages if stage.run}
    if not options.suite:
        return runs
    stages = [_chosen(stage, options, beside) for stage in tree.stages if stage.name not in runs]
    loadable = [stage for stage in stages if stage.uri]
    if not loadable:
        raise MissingError(
            f"no node of tree '{tree.name}' has a checkpoint to run suite '{options.suite}' on; "
            "name one with --checkpoint NODE=PATH, or give the stage a uri in the tree file"
        )
    evaluate = evaluate or _run_with_defaults
    return runs | {stage.name: evaluate(stage, options.suite) for stage in loadable}


def _chosen(stage: Stage, options: TraceOptions, beside: Path) -> Stage:
    """The stage with the checkpoint that is to be run; one from the command line has no revision."""
    if stage.name in options.checkpoints:
        return replace(stage, uri=options.checkpoints[stage.name], revision="")
    return replace(stage, uri=_place(stage.uri, beside)) if stage.uri else stage


def _place(path: str, beside: Path) -> str:
    """A path in a tree file is meant from that file's folder, when something is there; else it stays as it is."""
    return str(beside / path) if (beside / path).exists() else path


def _run_with_defaults(stage: Stage, suite: str) -> Run:
    return runner.run(stage.uri, suite, options=runner.RunOptions(node=stage.name, revision=stage.revision))


def _elicit_with_defaults(stage: Stage, suite: str, items: Items) -> Run | None:
    options = runner.RunOptions(node=stage.name, revision=stage.revision)
    return elicit.elicit(stage.uri, suite, items, options=options)


def _with_tasks(tree: Tree, runs: Mapping[str, Run]) -> Tree:
    """The tree with the task specs and within-node contrasts of its runs.

    Raises:
        PairingError: when a run scores a task by another metric than the tree's records.
    """
    if not runs:
        return tree
    ran = tree_of_runs(runs, name=tree.name)
    known = {t.name: t for t in tree.tasks}
    for task in ran.tasks:
        if task.name in known and known[task.name].metric != task.metric:
            raise PairingError(
                f"task '{task.name}' is scored by {task.metric} in the runs and by {known[task.name].metric} in the "
                f"records of tree '{tree.name}'; give one of them another name"
            )
    tasks = (*tree.tasks, *(t for t in ran.tasks if t.name not in known))
    notes = {name: dict(note) for name, note in tree.edge_notes.items()}
    for stage in tree.stages:
        parent, child = runs.get(stage.parent or ""), runs.get(stage.name)
        if parent and child:
            note = notes.setdefault(f"{stage.parent} -> {stage.name}", {})
            found = _asked_otherwise(parent, child)
            note["confounds"] = [*note.get("confounds", ()), *found]
    return replace(tree, tasks=tasks, contrasts=(*tree.contrasts, *ran.contrasts), edge_notes=notes)


def _provenance(options: TraceOptions, tree: Tree, runs: Mapping[str, Run]) -> dict[str, Any]:
    return _versions() | {
        "tree_digest": tree.digest,
        "records_digest": digest_file(Path(tree.records)) if tree.records else "",
        "suite": options.suite,
        "runs": {node: _run_digest(run) for node, run in runs.items()},
    }


def _run_digest(run: Run) -> dict[str, Any]:
    keys = ("checkpoint", "suite", "settings", "versions", "seeds", "counts", "cut", "dropped", "unfinished")
    told = {key: run.manifest[key] for key in keys if key in run.manifest}
    prompting = run.manifest.get("prompting") or {}
    return told | {"prompting": {key: prompting[key] for key in ("system", "shots_as") if key in prompting}}


def _versions() -> dict[str, Any]:
    return made_with("numpy", "pandas", "scipy")
