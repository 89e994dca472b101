"""tree → checkpoints: train what is not built yet, each branch in its own process.

    capeval train lab                          # every node
    capeval train lab --node ppo-ptx           # a node and what it needs
    capeval train lab --set code-sft.steps=100 --seeds 3

A node lies in models/<name>-<digest>; the digest covers its recipe with every default and the seed, its data, the
training code, its parent and its reward model. What has a folder is not made again, whichever tree asks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from capeval.backends.checkpoint import fingerprint
from capeval.core import Stage, Tree
from capeval.digest import digest, digest_file
from capeval.errors import BadFileError, MissingError, UsageError, unknown
from capeval.fleet import Unit, Watch, work
from capeval.store.files import make_folder
from capeval.store.runs import folder_name
from capeval.training.nodes import FILE
from capeval.training.recipe import RECIPES, Given, Init, Ppo, Recipe, as_mapping, recipe
from capeval.training.stages import SHARED, STAGES
from capeval.zoo import LISTING, load_tree, tree_path

MODELS = Path("models")
TUNED = ("sft", "reward", "rlhf", "chat", "specialised")
"""Kinds of stages after which a model is asked through its chat template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What to build, and how it differs from the tree file."""

    nodes: tuple[str, ...] = ()
    """Only these and what they need; all by default."""
    scale: str = ""
    """Name of a scale of the tree file (`small`)."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """`node.field` → value; `*.field` for every node whose recipe has the field."""
    seed: int = 0
    """Added to every recipe's seed: 1, 2 … are replicas."""
    models: Path = MODELS
    workers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A node that can be built."""

    node: str
    recipe: Recipe
    digest: str
    folder: Path
    needs: tuple[str, ...]
    """The parent, and PPO's reward model."""
    parent: str | None
    tuned: bool
    """Whether it is asked through its chat template."""
    home: str

    @property
    def built(self) -> bool:
        """Whether its folder is whole."""
        return isinstance(self.recipe, Given) or (self.folder / FILE).is_file()


def train(tree: str, options: BuildOptions | None = None, *, watch: Watch = lambda *_: None) -> dict[str, Path]:
    """Build the nodes of a tree that are not built yet.

    Args:
        tree: Name of a shipped tree, or a YAML file.
        options: Nodes, scale, overrides, seed.
        watch: Told how far each node is.

    Returns:
        Node → folder.

    Raises:
        UsageError: an unknown tree, node, scale or field; a tree without recipes.
        BadFileError: a recipe that can't be used, or a node with a recipe whose parent has neither recipe nor uri.
        MissingError: data, or the checkpoint of such a parent, that is not there.
        EngineError: a diverging loss; what was built before stays.
    """
    options = options or BuildOptions()
    planned = plan(load_tree(tree), options, home=tree_path(tree).parent)
    work(build_units(planned), workers=options.workers, watch=watch)
    return {one.node: one.folder for one in planned}


def plan(tree: Tree, options: BuildOptions, *, home: Path) -> list[Planned]:
    """What would be built, parents first; raises as `train` does."""
    written = {stage.name: dict(stage.recipe) for stage in tree.stages if stage.recipe}
    if not written:
        raise UsageError(
            f"tree '{tree.name}' has no recipes, so there is nothing to train; `{LISTING}` shows the trees"
        )
    if options.scale:
        if options.scale not in tree.scales:
            raise unknown("scale", options.scale, tree.scales, LISTING)
        _override(written, tree.scales[options.scale], f"tree '{tree.name}', scale {options.scale}")
    _override(written, options.overrides, "--set")
    _check_rewards(written, {stage.name for stage in tree.stages})
    needed = {s.parent for s in tree.stages if s.name in written} | {_judge(own) for own in written.values()}
    found = {s.name: _given(s, home) for s in tree.stages if s.name in needed and s.uri and s.name not in written}
    for stage in _in_order([s for s in tree.stages if s.name in written], written):
        found[stage.name] = _planned(stage, written[stage.name], found, options, home)
    return _wanted(found, options.nodes)


def _check_rewards(written: Mapping[str, Mapping[str, Any]], names: set[str]) -> None:
    for name, own in written.items():
        if own.get("stage") != "ppo" or "reward" not in own:
            continue
        where, judge = f"node '{name}': recipe: reward", own["reward"]
        if not isinstance(judge, str):
            raise BadFileError(f"{where} must be the name of a node, not {judge!r}")
        if judge not in names:
            raise BadFileError(f"{where}: {unknown('node', judge, names, LISTING)}")
        if judge in written and written[judge].get("stage") != "reward":  # a given one is looked at when it is read
            raise BadFileError(f"{where} must name a node of stage reward; '{judge}' is {written[judge].get('stage')}")


def _given(stage: Stage, home: Path) -> Planned:
    folder = home / Path(stage.uri).expanduser()
    if not (folder / "config.json").is_file():
        raise MissingError(
            f"node '{stage.name}': there is no checkpoint in {folder}; what others are trained from must be a folder, "
            "its path meant from the tree file's"
        )
    return Planned(
        node=stage.name, recipe=Given(uri=stage.uri), digest=fingerprint(folder), folder=folder, needs=(), parent=None,
        tuned=stage.kind in TUNED, home=str(home),
    )  # fmt: skip


def _judge(written: Mapping[str, Any]) -> str | None:
    return written.get("reward") if written.get("stage") == "ppo" else None


def _in_order(stages: Sequence[Stage], written: Mapping[str, Any]) -> list[Stage]:
    """Reward models before the PPO nodes that name them."""
    ordered: list[Stage] = []
    waiting = list(stages)
    names = {stage.name for stage in stages}
    while waiting:
        done = {stage.name for stage in ordered}
        ready = [s for s in waiting if {s.parent, _judge(written[s.name])} & names <= done]
        if not ready:
            raise BadFileError(f"the parents and reward models of {', '.join(s.name for s in waiting)} form a cycle")
        ordered += ready
        waiting = [stage for stage in waiting if stage not in ready]
    return ordered


def _planned(
    stage: Stage, written: Mapping[str, Any], before: Mapping[str, Planned], options: BuildOptions, home: Path
) -> Planned:
    where = f"node '{stage.name}': recipe"
    made = recipe(written, where)
    made = replace(made, seed=made.seed + options.seed)
    if isinstance(made, Init) == (stage.parent is not None):
        raise BadFileError(f"{where}: stage init makes a root, every other stage needs a parent")
    needs = [stage.parent] if stage.parent else []
    needs += [made.reward] if isinstance(made, Ppo) else []
    for need in needs:
        if need not in before:
            raise BadFileError(
                f"{where}: '{need}' has neither recipe nor uri, so '{stage.name}' can't be built from it"
            )
    own = digest(
        as_mapping(made), _data_digests(made, home), _code_digest(made.stage), [before[need].digest for need in needs]
    )
    tuned = stage.kind in TUNED or any(before[need].tuned for need in needs[:1])
    return Planned(
        node=stage.name, recipe=made, digest=own, folder=_folder(options.models, stage.name, own), needs=tuple(needs),
        parent=stage.parent, tuned=tuned, home=str(home),
    )  # fmt: skip


def _folder(models: Path, node: str, own: str) -> Path:
    """Where a node is or will be; another tree may have built the same under another name."""
    for there in sorted(models.glob(f"*-{own}")) if models.is_dir() else []:
        if (there / FILE).is_file():
            return there
    return models / f"{folder_name(node)}-{own}"


def _wanted(found: Mapping[str, Planned], nodes: Sequence[str]) -> list[Planned]:
    if not nodes:
        return list(found.values())
    wanted: set[str] = set()
    for node in nodes:
        if node not in found:
            raise unknown("node", node, found, LISTING)
        queue = [node]
        while queue:
            name = queue.pop()
            wanted.add(name)
            queue += found[name].needs
    return [one for name, one in found.items() if name in wanted]


def _override(written: dict[str, dict[str, Any]], overrides: Mapping[str, Any], where: str) -> None:
    for key, value in overrides.items():
        node, _, path = str(key).partition(".")
        if not path:
            raise UsageError(f"{where}: '{key}' must be NODE.FIELD=VALUE (sft.steps=100), or *.FIELD=VALUE")
        if node != "*" and node not in written:
            raise unknown("node", node, written, LISTING)
        *inner, last = path.split(".")
        first = path.partition(".")[0]
        hit = [name for name in written if node == name or (node == "*" and first in _fields(written[name]))]
        if not hit:
            raise UsageError(f"{where}: no recipe of the tree has a field '{path}'")
        for name in hit:
            place = written[name]
            for part in inner:
                if not isinstance(place.get(part, {}), Mapping):
                    raise UsageError(f"{where}: '{key}': '{part}' of '{name}' holds a value, no fields of its own")
                place[part] = dict(place.get(part) or {})
                place = place[part]
            place[last] = value


def _fields(written: Mapping[str, Any]) -> set[str]:
    kind = RECIPES.get(str(written.get("stage")))
    return {f.name for f in fields(kind)} if kind else set()


def _data_digests(made: Recipe, home: Path) -> list[str]:
    from capeval.training.data import source
    from capeval.training.init import tokenizer_digest

    if isinstance(made, Init):
        return [tokenizer_digest(made.tokenizer, home)]
    keys = (("data", made.stage), ("ptx_data", "language-model"))
    names = [(getattr(made, key, ""), stage) for key, stage in keys]
    return [source(name, stage, home).digest for name, stage in names if name]


@lru_cache(maxsize=8)
def _code_digest(stage: str) -> str:
    """Other training code makes other weights: the stage's own module and what all of them share."""
    folder = Path(__file__).parent / "training"
    own = STAGES[stage].partition(":")[0].rpartition(".")[2]
    names = {own, *SHARED, *(("fit", "sampling", "reward") if stage in ("reward", "ppo") else ())}
    files = [folder / f"{name}.py" for name in sorted(names)]
    return digest([[file.name, digest_file(file)] for file in files])


def build_units(planned: Sequence[Planned]) -> list[Unit]:
    """A unit for every node that is not built."""
    by_name = {one.node: one for one in planned}
    missing = [one for one in planned if not one.built]
    names = {one.node for one in missing}
    return [
        Unit(
            name=one.node,
            function="capeval.builder:build",
            arguments={
                "planned": one,
                "folders": {need: by_name[need].folder for need in one.needs},
                "parents": {need: by_name[need].digest for need in one.needs},
            },
            needs=tuple(need for need in one.needs if need in names),
            cost=cost(one.recipe) * width(one, by_name),
        )
        for one in missing
    ]


def width(one: Planned, by_name: Mapping[str, Planned]) -> float:
    """How much longer a token takes than in a model of 4 layers, 128 wide: about as width × layers."""
    while one.parent and one.parent in by_name:
        one = by_name[one.parent]
    model = one.recipe.model if isinstance(one.recipe, Init) else {}
    sizes = (model.get("hidden_size", 128), model.get("num_hidden_layers", 4))
    return sizes[0] * sizes[1] / 512 if all(isinstance(size, int) for size in sizes) else 1.0


def cost(made: Recipe) -> float:
    """About how many thousand tokens of plain training take as long: enough for the order and the time that is left."""
    if isinstance(made, Init | Given):
        return 50.0
    if isinstance(made, Ppo):  # answers are sampled, and read by four models
        pages = made.ptx_batch * made.context * made.epochs if made.gamma else 0
        return made.steps * (made.batch * made.epochs * 60 + pages) / 1e3
    width = getattr(made, "context", 24 * 6)
    return made.steps * made.batch * width / 1e3


def build(
    planned: Planned, folders: Mapping[str, Path], parents: Mapping[str, str], watch: Callable[[int, int], None]
) -> str:
    """Make one node; its folder appears whole or not at all, and a killed call goes on from its last state."""
    import time

    import torch
    from transformers.utils.logging import disable_progress_bar

    from capeval.store.provenance import made_with
    from capeval.training.loop import seconds_before
    from capeval.training.nodes import Job, save
    from capeval.training.samples import samples
    from capeval.training.stages import run_stage

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    disable_progress_bar()  # of loading and saving, a moment each; the caller shows the training's own
    partial = make_folder(planned.folder.with_name(planned.folder.name + ".partial"))
    started = time.process_time() - seconds_before(partial)
    reward = planned.recipe.reward if isinstance(planned.recipe, Ppo) else ""
    job = Job(
        node=planned.node,
        parent=folders[planned.parent] if planned.parent else None,
        reward=folders[reward] if reward else None,
        folder=partial,
        home=Path(planned.home),
        watch=watch,
    )
    outcome = run_stage(planned.recipe, job)
    about = {
        "node": planned.node,
        "stage": planned.recipe.stage,
        "parent": planned.parent,
        "needs": dict(parents),
        "recipe": as_mapping(planned.recipe),
        "seed": planned.recipe.seed,
        "digest": planned.digest,
        "data": [{"source": one.name, "digest": one.digest} for one in outcome.data],
        "steps": getattr(planned.recipe, "steps", 0),
        "tokens": outcome.tokens,
        "seconds": round(time.process_time() - started, 1),
        "curves": {name: list(series) for name, series in outcome.curves.items()},
        "samples": samples(outcome, planned.recipe),
        **made_with("torch", "transformers"),
    }
    save(outcome, partial, about)
    for leftover in partial.glob("resume.pt*"):
        leftover.unlink()
    if planned.folder.exists():
        shutil.rmtree(planned.folder)
    partial.rename(planned.folder)
    return str(planned.folder)


def training_of(planned: Sequence[Planned]) -> dict[str, dict[str, Any]]:
    """What the built nodes' training.json say, for the report."""
    from capeval.training.nodes import about

    return {one.node: about(one.folder) for one in planned if not isinstance(one.recipe, Given)}


def options_as_mapping(options: BuildOptions) -> dict[str, Any]:
    """What a trace keeps of how its nodes were built."""
    kept = asdict(options)
    return {"scale": kept["scale"], "overrides": dict(kept["overrides"]), "seed": kept["seed"]}
