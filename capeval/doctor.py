"""What this machine can run, and what is missing: `capeval doctor`.

Every line is looked up, nothing is assumed: packages by their metadata, devices by torch, data by its files.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from capeval import sandbox
from capeval.backends import BackendSettings, open_backend
from capeval.backends.choice import choose, machine_choice
from capeval.backends.cores import half_speed, use_own_cores, wait_asleep
from capeval.backends.trie.attention import described
from capeval.errors import CapevalError, MissingError
from capeval.zoo import load_tree, tree_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked up."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    """What to do when it is missing."""


def doctor(model: str = "") -> list[Check]:
    """Look at the machine; no check changes anything.

    Args:
        model: A checkpoint that is to be loaded: what the engine chooses for it.

    Raises:
        UsageError, BadFileError, MissingError: a model that can't be loaded.
    """
    return [*_core(), *_engines(), _backend(), *(_model(model) if model else ()), _sandbox(), *_data()]


def _model(model: str) -> Iterator[Check]:
    choice = choose(model, BackendSettings())
    backend = open_backend(choice.backend, model, BackendSettings())
    backend.load()
    chosen = dict(backend.chosen)
    how = f"by {choice.backend} (because {choice.why}), {backend.numerics['dtype']} on {backend.numerics['device']}"
    yield Check(what="model", ok=True, found=f"{model} {how}")
    plain = chosen.pop("plain", "")
    shared = f"one by one: {plain}" if plain else "as a tree: what they share is computed once"
    yield Check(what="  prompts", ok=True, found=shared)
    for what, found in chosen.items():
        yield Check(what=f"  {what}", ok=True, found=found)


def _core() -> Iterator[Check]:
    yield Check(
        what="python", ok=True, found=f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"
    )
    yield Check(what="capeval", ok=True, found=metadata.version("capeval"))
    names = tree_names()
    broken = []
    for name in names:
        try:
            load_tree(name)
        except CapevalError as error:
            broken.append(str(error))
    yield Check(what="trees", ok=not broken, found=f"{len(names)} ship" if not broken else broken[0],
                remedy="reinstall capeval")  # fmt: skip


def _engines() -> Iterator[Check]:
    for package in ("torch", "transformers", "lm-eval"):
        module = package.replace("-", "_")
        found = metadata.version(package) if util.find_spec(module) else ""
        yield Check(what=package, ok=bool(found), found=found or "not installed", remedy="pip install 'capeval[hf]'")
    if util.find_spec("torch"):
        wait_asleep()
        import torch

        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        use_own_cores()
        yield Check(what="device", ok=True, found=", ".join(gpus) or f"CPU, {torch.get_num_threads()} threads")
        yield Check(what="attention", ok=True, found=described("cuda" if gpus else "cpu"))
        faster = "" if gpus else f"; products in bfloat16 are {half_speed():.1f} times as fast here (--dtype bfloat16)"
        yield Check(what="dtype", ok=True, found=("the checkpoint's own" if gpus else "float32") + faster)


def _backend() -> Check:
    choice = machine_choice()
    return Check(what="backend", ok=True, found=f"auto takes {choice.backend}, because {choice.why}")


def _sandbox() -> Check:
    """The one thing that is tried, not looked up: a tiny program that finds every wall where it should be."""
    try:
        sandbox.check()
    except MissingError as error:
        return Check(
            what="sandbox", ok=False, found=str(error), remedy=f"{sandbox.INSTALL}; only the suites with code need it"
        )
    return Check(what="sandbox", ok=True, found=f"bubblewrap with {sandbox.interpreter()}")


def _data() -> Iterator[Check]:
    mirror = os.environ.get("CAPEVAL_DATA", "")
    remedy = "set CAPEVAL_DATA to a folder with a sub-folder per data set; without it, data sets come from the hub"
    if not mirror:
        yield Check(what="CAPEVAL_DATA", ok=False, found="not set", remedy=remedy)
        return
    root = Path(mirror)
    yield Check(what="CAPEVAL_DATA", ok=root.is_dir(), found=mirror, remedy=remedy)
    for name in ("gsm8k", "bbh"):
        here = root / name
        yield Check(what=f"data: {name}", ok=here.is_dir(), found=str(here) if here.is_dir() else "not in CAPEVAL_DATA",
                    remedy=f"the suite 'cot' will look for {name} on the hub")  # fmt: skip
