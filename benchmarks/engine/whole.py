"""A small CI run from cold start to written results: `capeval run` against `lm_eval run`, the same three task files.

Whole processes with everything that a user waits for: importing, loading, building prompts, asking, scoring, writing.
The first pair does not count (the disk's cache fills); in it the scores are compared item by item, and lm-eval is only
there told to log its samples, which costs it time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.engine.rounds import ROOT, Bench, environment, python

LIMIT = 50
BATCHES = (8, 16, 32)
_NEAR = 1e-3
"""Of scores; they are 0 or 1."""


def spend(command: Sequence[str], threads: int, home: Path) -> dict[str, float]:
    """Wall seconds, processor seconds (children too) and largest memory (MB) of a whole process.

    Raises:
        SystemExit: with the end of what it said, when it fails.
    """
    log = home / "log.txt"
    began = time.perf_counter()
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**environment(threads), "HF_HOME": str(home / "hf")}, stdout=out, stderr=out
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-3000:]}")
    return {
        "seconds": round(seconds, 3), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mb": round(usage.ru_maxrss * 1024 / 1e6, 1),
    }  # fmt: skip


def measure(bench: Bench, checkpoint: Path, real: bool = True, limit: int = LIMIT) -> dict[str, Any]:
    """Rounds of first run, peer and second run.

    Args:
        bench: How to measure.
        checkpoint: The model.
        real: The real items (CAPEVAL_DATA), or those of the suite that ships.
        limit: Items of each task.

    Raises:
        SystemExit: a program fails, or scores differ.
    """
    home = bench.place / f"whole-{checkpoint.name}"
    shutil.rmtree(home / "peer", ignore_errors=True)
    home.mkdir(exist_ok=True)
    python("task_files", home, "real" if real else "shipped")
    tried = {
        batch: spend(_peer(bench, checkpoint, home, batch, limit), bench.threads, home)["seconds"]
        for batch in (BATCHES if len(bench.batches) > 1 else bench.batches[:1])
    }
    batch = min(tried, key=lambda one: tried[one])
    rounds, items = [], 0
    for turn in range(bench.rounds + 1):
        out = home / f"run-{os.getpid()}-{turn}"
        ours = _ours(bench, checkpoint, home, out, limit)
        first = spend(ours, bench.threads, home)
        theirs = spend(_peer(bench, checkpoint, home, batch, limit, samples=turn == 0), bench.threads, home)
        again = spend(ours, bench.threads, home)
        if turn == 0:
            items = check_scores(home, out)
        else:
            rounds.append({"ours": first, "theirs": theirs, "again": again})
        shutil.rmtree(out)
    return {"items": items, "tasks": _names(home), "batch": batch, "tried": tried, "rounds": rounds}


def check_scores(home: Path, run: Path) -> int:
    """Hold every item's score against lm-eval's; the number of items.

    Raises:
        SystemExit: naming the task in which they differ.
    """
    import pandas as pd

    records = pd.read_parquet(run / "records.parquet")
    metrics = {task["name"]: task for task in yaml.safe_load((home / "suite.yaml").read_text())["tasks"]}
    for name, task in metrics.items():
        files = sorted((home / "peer").rglob(f"samples_{name}_*.jsonl"), key=lambda file: file.stat().st_mtime)
        samples = [json.loads(line) for line in files[-1].read_text(encoding="utf-8").splitlines()]
        wanted = task["sources"][0].get("filter") or samples[0]["filter"]
        kept = sorted((s for s in samples if s["filter"] == wanted), key=lambda sample: int(sample["doc_id"]))
        theirs = [float(sample[task["metric"]]) for sample in kept]
        ours = records.loc[records["task"] == name, "score"].tolist()
        if len(ours) != len(theirs) or any(abs(a - b) > _NEAR for a, b in zip(ours, theirs, strict=True)):
            raise SystemExit(f"the scores of '{name}' differ: there is nothing to time")
    return len(records)


def _names(home: Path) -> list[str]:
    return [path.stem for path in sorted(home.glob("bench_*.yaml"))]


def _ours(bench: Bench, checkpoint: Path, home: Path, out: Path, limit: int) -> list[str]:
    return [
        sys.executable, "-m", "capeval", "run", "--model", str(checkpoint), "--suite", str(home / "suite.yaml"),
        "--limit", str(limit), "--out", str(out), "--device", bench.device, "--dtype", bench.dtype,
    ]  # fmt: skip


def _peer(bench: Bench, checkpoint: Path, home: Path, batch: int, limit: int, samples: bool = False) -> list[str]:
    return [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf",
        "--model_args", f"pretrained={checkpoint},dtype={bench.dtype}", "--device", bench.device,
        "--tasks", ",".join(_names(home)), "--include_path", str(home), "--limit", str(limit),
        "--batch_size", str(batch), "--output_path", str(home / "peer"), *(["--log_samples"] if samples else []),
    ]  # fmt: skip
