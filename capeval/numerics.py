"""checkpoint × suite → noise floor: the same items asked again in another order, dtype and engine.

    capeval noise --model models/base --suite lab --dtypes float32,bfloat16

Every way of asking has a folder with a journal of its own, so no answer of one is taken for another's: another order or
batch does not change a journal's keys. A killed command goes on where it stopped.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from capeval.attribution.noise import measure
from capeval.backends import AUTO, BACKENDS
from capeval.core import Suite
from capeval.errors import MissingError, PairingError, UsageError, unknown
from capeval.fleet import ALL, Watch
from capeval.runner import RUNS, RunOptions, how, node_name, open_model, run
from capeval.store.noise import FOLDER, Noise, NoiseFloor, Variant, asked_as, engine_of, save_floor
from capeval.store.provenance import made_with
from capeval.store.runs import Run, folder_name
from capeval.suites import load_suite

REFERENCE = "reference"
BATCHES = (1_024, 4_096, 512, 2_048)
"""Tokens of a batch of the first order, the second …: smaller and larger ones than engines choose by themselves."""
ORDERS = len(BATCHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseOptions:
    """What is varied."""

    ask: RunOptions = field(default_factory=RunOptions)
    """The reference: how runs are asked whose noise is wanted. `out` is the folder for all."""
    orders: int = 2
    """Other orders of the requests, each with batches of another size."""
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    """Number formats; the reference's own is no variant."""
    backends: tuple[str, ...] = ()
    """Engines, in the reference's dtype; the reference's own is no variant, one that is not here is skipped."""


def noise(
    model: str, suite: str | Suite, options: NoiseOptions | None = None, *, watch: Watch = lambda *_: None
) -> tuple[NoiseFloor, Path]:
    """Measure what numerics alone do to a checkpoint's scores, and store it beside the runs.

    Args:
        model: Checkpoint folder or hub id.
        suite: Suite name, or path of a suite file, or a suite.
        options: The reference and what is varied.
        watch: Told how far each variant is.

    Returns:
        The floor, and the file that holds it.

    Raises:
        UsageError: nothing that could be varied; an unknown dtype, backend or suite.
        PairingError: no item has a score in the reference and in a variant.
        Everything that `runner.run` raises; what was answered stays.
    """
    options = options or NoiseOptions()
    what = suite if isinstance(suite, Suite) else load_suite(suite)
    backend = open_model(model, options.ask)
    node = options.ask.node or node_name(model)
    # `auto` is settled once, so that no variant changes more than it says
    ask = replace(options.ask, node=node, backend=backend.numerics["backend"], progress=False)
    named = "-".join(map(folder_name, (node, what.name, ask.backend)))
    place = options.ask.out or RUNS / FOLDER / f"{named}{how(options.ask)}"
    ways, skipped = _ways(model, replace(options, ask=ask), dict(backend.numerics))
    asked = {REFERENCE: ask} | {variant.name: chosen for variant, chosen in ways}
    runs: dict[str, Run] = {}
    for number, (name, chosen) in enumerate(asked.items()):
        watch(ALL, number, len(asked))
        with _telling(watch, name) as tell:
            runs[name] = run(model, what, options=replace(chosen, out=place / _folder(name, chosen), watch=tell))
    watch(ALL, len(asked), len(asked))
    floor = _floor(runs, [variant for variant, _ in ways], what, skipped)
    if not any(row.n for row in floor.noise):
        raise PairingError(
            f"no item of suite '{what.name}' has a score in the reference and in a variant; the records in {place} "
            "say why (error)"
        )
    return floor, save_floor(floor, place)


def _floor(runs: Mapping[str, Run], variants: Sequence[Variant], suite: Suite, skipped: list[str]) -> NoiseFloor:
    reference = runs[REFERENCE]
    checkpoint = reference.manifest["checkpoint"]
    rows: list[Noise] = []
    for variant in variants:
        rows += measure(reference.records, runs[variant.name].records, reference.tasks, variant.name)
    return NoiseFloor(
        reference=asked_as(reference.manifest),
        uri=checkpoint["uri"],
        revision=checkpoint["revision"],
        suite={"name": suite.name, "digest": suite.digest},
        limit=reference.manifest["settings"]["limit"],
        variants=tuple(_with_run(variant, runs[variant.name]) for variant in variants),
        noise=tuple(rows),
        provenance={
            **made_with("numpy", "pandas", "scipy"),
            "host": {"platform": platform.platform(), "machine": platform.machine()},
            "skipped": skipped,
        },
    )


def _ways(
    model: str, options: NoiseOptions, numerics: dict[str, str]
) -> tuple[list[tuple[Variant, RunOptions]], list[str]]:
    """Every variant with how it is asked, and what was skipped, in words; variants of one dtype stand together."""
    ask, skipped = options.ask, []
    found: list[tuple[Variant, RunOptions]] = []
    for seed in range(1, options.orders + 1):
        size = BATCHES[(seed - 1) % ORDERS]
        variant = Variant(name=f"order {seed}", kind="order", numerics=numerics, order=seed, batch_tokens=size)
        found.append((variant, replace(ask, order=seed, batch_tokens=size)))
    seen = [engine_of(numerics)]
    for kind, name, chosen in _engines(options, numerics):
        try:
            other = dict(open_model(model, chosen).numerics)
        except MissingError as error:
            if kind != "backend":
                raise
            skipped.append(f"{name}: {error}")
            continue
        if engine_of(other) not in seen:
            seen.append(engine_of(other))
            found.append((Variant(name=name, kind=kind, numerics=other, batch_tokens=ask.batch_tokens), chosen))
        elif kind == "dtype" and "dtype" not in other:
            skipped.append(f"{name}: backend '{ask.backend}' has no choice of it")
    if not found:
        told = f" ({'; '.join(skipped)})" if skipped else ""
        raise UsageError(
            f"there is only the reference, and nothing to hold against it{told}: ask for --orders 1 or more, another "
            "--dtypes or another --backends"
        )
    return found, skipped


def _engines(options: NoiseOptions, numerics: dict[str, str]) -> Iterator[tuple[str, str, RunOptions]]:
    """(kind, name, how it is asked) of other dtypes and engines."""
    for dtype in dict.fromkeys(options.dtypes):
        yield "dtype", dtype, replace(options.ask, dtype=dtype)
    for name in dict.fromkeys(options.backends):
        if name not in BACKENDS or name == AUTO:
            raise unknown("backend", name, BACKENDS, "capeval list backends")
        if name != options.ask.backend:  # whose own options another engine does not understand
            yield "backend", name, replace(options.ask, backend=name, dtype=numerics.get("dtype", ""), model_args={})


def _folder(name: str, chosen: RunOptions) -> str:
    """Of one way of asking; the batch's size is part of it, because a journal's keys don't have it."""
    return folder_name(name.replace(" ", "")) + (f"-{chosen.batch_tokens}" if chosen.batch_tokens else "")


def _with_run(variant: Variant, done: Run) -> Variant:
    told = {key: done.manifest[key] for key in ("versions", "seconds", "cpu_seconds") if key in done.manifest}
    return replace(variant, counts=done.manifest["counts"], asked=told)


class _telling:  # noqa: N801 (a context manager)
    """Says when a unit begins and ends, each once, and passes on how far it is."""

    def __init__(self, watch: Watch, unit: str) -> None:
        self._watch, self._unit, self._ended = watch, unit, False

    def __enter__(self) -> _telling:
        self._watch(self._unit, 0, 0)
        return self

    def __call__(self, done: int, total: int) -> None:
        self._ended = done == total
        self._watch(self._unit, done, total)

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None and not self._ended:
            self._watch(self._unit, 1, 1)
