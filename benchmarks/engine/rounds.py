"""One workload and one model: the peer's best batch size, then A B A B, the answers compared after every round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.engine.agree import Agreement, DisagreementError, compare, named
from benchmarks.engine.limits import totals
from benchmarks.engine.machine import BUSY, busy
from benchmarks.engine.side import Job, read_requests
from capeval.core import Request
from capeval.digest import digest

ROOT = Path(__file__).parents[2]
BATCHES = (1, 8, 16, 32, 64)
_KEPT = ("seconds", "cpu_seconds", "load_seconds", "loaded_mb", "peak_mb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How to measure."""

    place: Path
    """Folder for checkpoints, requests and what the sides write."""
    rounds: int = 5
    threads: int = 2
    device: str = "cpu"
    dtype: str = "float32"
    calibrate: bool = False
    """Look for the peer's best batch size again, although one is known from before."""
    batches: tuple[int, ...] = BATCHES


def environment(threads: int) -> dict[str, str]:
    """Of every measured process: its threads, no hub, no progress bars."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    quiet = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error", "LMEVAL_LOG_LEVEL": "ERROR"}
    return {**os.environ, **dict.fromkeys(names, str(threads)), **quiet, "HF_HUB_OFFLINE": "1"}


def python(module: str, *arguments: object, threads: int = 1) -> str:
    """Run a module of this package as a process of its own; what it printed last.

    Raises:
        SystemExit: with the end of what it said, when it fails.
    """
    command = [sys.executable, "-m", f"benchmarks.engine.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(threads), capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def run_side(side: str, job: Job, place: Path) -> dict[str, Any]:
    """What a side measured, in a process of its own."""
    work, out = place / f"{side}-job.json", place / f"{side}-out.json"
    work.write_text(json.dumps(asdict(job)), encoding="utf-8")
    python(side, work, out, threads=job.threads)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def measure(bench: Bench, checkpoint: Path, work: Path) -> dict[str, Any]:
    """Rounds of both sides on one file of requests.

    Returns:
        Numbers only: requests, the peer's batch, rounds (each side's times and memory), agreement, tokens.

    Raises:
        DisagreementError: answers that differ.
    """
    requests = read_requests(work)
    job = Job(
        checkpoint=str(checkpoint), requests=str(work), threads=bench.threads, device=bench.device, dtype=bench.dtype
    )
    tried = best_batch(bench, job, len(requests))
    job = replace(job, batches=(min(tried, key=lambda batch: tried[batch]),))
    rounds, agreements, ties = [], [], Ties(bench.place, str(checkpoint))
    for turn in range(bench.rounds):
        ours = run_side("ours", job, bench.place)
        theirs = run_side("theirs", replace(job, count=turn == 0), bench.place)
        agreement = compare(requests, ours["replies"], theirs["replies"], strict=bench.dtype == "float32")
        if bench.dtype == "float32":
            ties.explain(requests, agreement, ours["replies"], theirs["replies"])
        rounds.append({"ours": _kept(ours), "theirs": _kept(theirs)})
        agreements.append(agreement)
        if turn == 0:
            lengths = [r["n_tokens"] for r, q in zip(ours["replies"], requests, strict=True) if q.kind == "generate"]
            needed = totals(theirs["needed"], lengths)
            tokens = {
                **needed,
                "width": theirs["needed"]["width"],
                "longest": max(lengths, default=0),
                "theirs": theirs["forwarded"],
                **_counts(ours),
            }
    return {
        "requests": len(requests), "batch": job.batches[0], "tried": {str(b): s for b, s in tried.items()},
        "rounds": rounds, "tokens": tokens,
        "agreement": {
            "largest": max(one.largest for one in agreements), "texts": agreements[0].texts,
            "different": max(len(one.different) for one in agreements), "ties": sorted(ties.known.values()),
        },
    }  # fmt: skip


def best_batch(bench: Bench, job: Job, requests: int) -> Mapping[int, float]:
    """Batch size → the peer's seconds; of an earlier run of the same work, model, threads and device, or tried now.

    What a busy machine says is not kept: it could name a batch size that is not the peer's best.
    """
    file = bench.place / "batches.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    what = [job.threads, job.device, job.dtype, list(bench.batches)]
    key = f"{Path(job.checkpoint).name} {Path(job.requests).stem} {digest(what, Path(job.requests).read_text())}"
    if bench.calibrate or key not in known:
        several, others = len(bench.batches) > 1 and requests > 1, busy()
        found = run_side("theirs", replace(job, batches=bench.batches), bench.place)["tried"] if several else {}
        known[key] = found or {str(bench.batches[0]): 0.0}
        if max(others, busy()) <= BUSY:
            file.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return {int(batch): seconds for batch, seconds in known[key].items()}


@dataclass(slots=True)
class Ties:
    """Requests whose texts part where float32 can't tell two logits apart; each is shown once."""

    place: Path
    checkpoint: str
    known: dict[tuple[int, str, str], float]

    def __init__(self, place: Path, checkpoint: str) -> None:
        self.place, self.checkpoint, self.known = place, checkpoint, {}

    def explain(
        self, requests: Sequence[Request], agreement: Agreement, ours: Sequence[Mapping[str, Any]], theirs: list[Any]
    ) -> None:
        """Show every text that differs to be a tie.

        Raises:
            DisagreementError: for one that is none.
        """
        fresh = [i for i in agreement.different if (i, ours[i]["text"], theirs[i]) not in self.known]
        if not fresh:
            return
        pairs, out = self.place / "pairs.json", self.place / "gaps.json"
        longest = [int(requests[i].generation.get("max_gen_toks", 256)) for i in fresh]
        asked = [
            {"prompt": requests[i].text, "ours": ours[i]["text"], "theirs": theirs[i], "longest": n}
            for i, n in zip(fresh, longest, strict=True)
        ]
        pairs.write_text(json.dumps(asked), encoding="utf-8")
        python("ties", self.checkpoint, pairs, out)
        for i, gap in zip(fresh, json.loads(out.read_text(encoding="utf-8")), strict=True):
            if gap is None:
                raise DisagreementError(
                    named(i, requests[i]) + f"texts of {len(ours[i]['text'])} and {len(theirs[i])} characters differ "
                    "where float64 sees no tie"
                )
            self.known[i, ours[i]["text"], theirs[i]] = gap


def _kept(side: Mapping[str, Any]) -> dict[str, float]:
    return {name: side[name] for name in _KEPT}


def _counts(side: Mapping[str, Any]) -> dict[str, int]:
    return {"ours": int(side["counts"]["forwarded"])} if side["counts"].get("forwarded") else {}
