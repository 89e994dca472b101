"""Measure, write, show. See `benchmarks.engine`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.engine import rounds, table, whole
from benchmarks.engine.checkpoints import SHAPES, shape_of
from benchmarks.engine.limits import least_seconds, operations
from benchmarks.engine.machine import BUSY, busy, described
from benchmarks.engine.rounds import BATCHES, Bench, python, run_side
from benchmarks.engine.side import Job
from benchmarks.engine.workloads import REAL, WORKLOADS, file_of

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results.json"
WHOLE = "whole"
_SHIPPED = ("smoke", WHOLE)
"""Works that need no real items."""
_QUICK_LIMIT = 8
_SIZES = [1, 30, 120]
_WHOLE_UP_TO = 30
"""Million parameters: larger models are left out of the whole runs unless nothing else is asked for."""


def main() -> None:
    """Parse, measure cell by cell, write after each."""
    chosen = _parse()
    if chosen.table:
        text = table.page(json.loads(chosen.table.read_text(encoding="utf-8")))
        table.update(README, text)
        print(text)
        return
    if set(chosen.only) - set(_SHIPPED) and not _data():
        raise SystemExit(f"set CAPEVAL_DATA to the folder of the data sets; --only {' '.join(_SHIPPED)} needs none")
    chosen.place.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "sched_setaffinity"):  # every process that is started inherits it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: chosen.threads])
    bench = Bench(
        place=chosen.place, rounds=chosen.rounds, threads=chosen.threads, device=chosen.device, dtype=chosen.dtype,
        calibrate=chosen.calibrate, batches=tuple(chosen.batches),
    )  # fmt: skip
    found = _start(chosen, bench)
    for size, work in ((size, work) for size in chosen.sizes for work in chosen.only):
        if work == WHOLE and size > _WHOLE_UP_TO and len(chosen.only) > 1:
            continue  # 150 items would take the peer a quarter of an hour a round
        _measure(found, bench, chosen, size, work)
        chosen.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = table.page(found)
    if chosen.out == RESULTS:
        table.update(README, text)
    print(text)


def _start(chosen: argparse.Namespace, bench: Bench) -> dict[str, Any]:
    """What holds for all cells; with --keep the cells of the file that was written before.

    Raises:
        SystemExit: when those are of another machine or other versions.
    """
    same = {"machine": described(), "threads": bench.threads, "device": bench.device, "dtype": bench.dtype,
            "rounds": bench.rounds}  # fmt: skip
    kept: dict[str, list[Any]] = {"cells": [], "whole": []}
    commands = [chosen.command]
    if chosen.keep and chosen.out.is_file():
        before = json.loads(chosen.out.read_text(encoding="utf-8"))
        commands = [*before["commands"], *commands]
        if other := [key for key, value in same.items() if before[key] != value]:
            raise SystemExit(f"{chosen.out} was measured otherwise ({', '.join(other)}); leave --keep out")
        kept = {key: before[key] for key in kept}
    speed = run_side("machine", _job(bench), bench.place)
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"commands": list(dict.fromkeys(commands)), "date": date, **same, "speed": speed, **kept}


def _measure(found: dict[str, Any], bench: Bench, chosen: argparse.Namespace, size: int, work: str) -> None:
    """One workload under one model; its row replaces an older one."""
    checkpoint = chosen.model or _checkpoint(bench, size)
    shape = shape_of(checkpoint)
    model = chosen.model.name if chosen.model else f"{shape.parameters / 1e6:.0f} M ({shape.layers} × {shape.hidden})"
    where: dict[str, Any] = {"work": work, "model": model, "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M")}
    where["busy"] = busy()
    print(f"{where['date'][-5:]} {work}, {model}", file=sys.stderr, flush=True)
    if where["busy"] > BUSY:
        print(
            f"other programs use {where['busy']:.0%} of this machine: the times say little", file=sys.stderr, flush=True
        )
    if work == WHOLE:
        limit = _QUICK_LIMIT if chosen.quick else whole.LIMIT
        done = where | whole.measure(bench, checkpoint, real=_data(), limit=limit)
        found["whole"] = [old for old in found["whole"] if old["model"] != model] + [done]
        return
    asked = tuple(name for name in chosen.only if name != WHOLE)
    items = _requests(bench.place, size, asked, chosen.quick)[work]
    file = file_of(bench.place, work, size, chosen.quick)
    one: dict[str, Any] = where | {"title": WORKLOADS[work].title, "items": items, "shape": asdict(shape)}
    one |= rounds.measure(bench, checkpoint, file)
    one["operations"] = operations(shape, one["tokens"])
    one["least_seconds"] = round(least_seconds(shape, one["tokens"], found["speed"], bench.dtype), 4)
    found["cells"] = [old for old in found["cells"] if (old["work"], old["model"]) != (work, model)] + [one]


def _checkpoint(bench: Bench, size: int) -> Path:
    """The random model; its tokenizer learns from the real work, or from what ships where there is none."""
    names = REAL if _data() else ("smoke",)
    _requests(bench.place, min(SHAPES), names)
    texts = [file_of(bench.place, name, min(SHAPES), quick=False) for name in names]
    return Path(python("checkpoints", bench.place, size, *texts))


@cache
def _requests(place: Path, size: int, works: tuple[str, ...], quick: bool = False) -> Mapping[str, int]:
    """Write the requests of some workloads, once; the items of each."""
    return dict(json.loads(python("workloads", place, size, *works, *(["--quick"] if quick else []))))


def _data() -> bool:
    """Whether the real items are here."""
    return bool(os.environ.get("CAPEVAL_DATA"))


def _job(bench: Bench) -> Job:
    return Job(checkpoint="", requests="", threads=bench.threads, device=bench.device, dtype=bench.dtype)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine", description=sys.modules["benchmarks.engine"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=[*WORKLOADS, WHOLE], metavar="WORK",
                        help=f"of {', '.join([*WORKLOADS, WHOLE])} (default: all that have real items)")  # fmt: skip
    parser.add_argument("--sizes", nargs="+", type=int, choices=SHAPES,
                        help="million parameters, about (default: 1 30 120; --quick: 1)")  # fmt: skip
    parser.add_argument("--model", type=Path, help="a checkpoint of your own instead")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", help="other than float32: differences are reported, not refused")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES),
                        help="the peer's batch sizes to try; its fastest is taken (default: 1 8 16 32 64)")  # fmt: skip
    parser.add_argument("--calibrate", action="store_true", help="try them again although the fastest is known")
    parser.add_argument("--quick", action="store_true", help="a quarter of the items, short answers, one round")
    parser.add_argument("--place", type=Path, default=Path(tempfile.gettempdir()) / "capeval-bench",
                        help="folder for models and work files, kept for the next time")  # fmt: skip
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.relative_to(rounds.ROOT)}; --quick: in --place")
    parser.add_argument("--keep", action="store_true", help="keep what else is in the file that is written")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only rebuild the table from a file")
    chosen = parser.parse_args()
    chosen.command = shlex.join(["python", "-m", "benchmarks.engine", *sys.argv[1:]])
    if chosen.quick:
        chosen.sizes, chosen.rounds = chosen.sizes or [min(SHAPES)], 1
        chosen.out = chosen.out or chosen.place / "quick.json"
    if chosen.model:
        million = shape_of(chosen.model).parameters / 1e6
        chosen.sizes = [min(SHAPES, key=lambda size: abs(size - million))]
    if not chosen.only and not _data():
        print("CAPEVAL_DATA is not set: only what ships is asked, and the table stays as it is", file=sys.stderr)
        chosen.only, chosen.sizes, chosen.out = _SHIPPED, [min(SHAPES)], chosen.out or chosen.place / "shipped.json"
    chosen.sizes = chosen.sizes or _SIZES
    chosen.only, chosen.out = tuple(chosen.only or (*REAL, WHOLE)), chosen.out or RESULTS
    return chosen


if __name__ == "__main__":
    main()
