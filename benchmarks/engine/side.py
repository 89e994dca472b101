"""What the processes of both sides share: the job, the clock, the memory, the threads.

Loading and a warm-up on other texts come before the clock, so that neither side has seen anything of the work.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from capeval.core import Request, RequestKind

KINDS: tuple[RequestKind, ...] = ("loglikelihood", "perplexity", "generate")
WARM_UP = (
    Request(kind="loglikelihood", text="The sky over the harbour is", continuation=" grey today"),
    Request(kind="loglikelihood", text="The sky over the harbour is", continuation=" blue"),
    Request(kind="perplexity", text="Boats leave in the morning and come back in the evening."),
    Request(
        kind="generate",
        text="One boat, two boats,",
        generation={"until": ["\n\n"], "max_gen_toks": 4, "do_sample": False},
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a side is to do."""

    checkpoint: str
    requests: str
    """File that `write_requests` wrote."""
    threads: int = 2
    device: str = "cpu"
    dtype: str = "float32"
    batches: tuple[int, ...] = (16,)
    """Rows of the peer's batches; several are tried in turn. capeval cuts its own."""
    count: bool = False
    """Also count the tokens that the work needs; the peer's tokeniser does, after the clock."""


@dataclass(slots=True)
class Clock:
    """Wall and processor seconds of a `with` block; the latter of all threads."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _began: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def __enter__(self) -> Clock:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began[0]
        self.cpu_seconds = time.process_time() - self._began[1]

    def told(self) -> dict[str, float]:
        """Both, rounded to a tenth of a millisecond."""
        return {"seconds": round(self.seconds, 4), "cpu_seconds": round(self.cpu_seconds, 4)}


def peak_mb(device: str) -> float:
    """Most memory that this process has held, in MB (10⁶ bytes); on a GPU what torch allocated there.

    `ru_maxrss` is not asked first: on Linux a new program inherits the peak of the process that started it.
    """
    if device.startswith("cuda"):
        import torch

        return float(round(torch.cuda.max_memory_allocated() / 1e6, 1))
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) * 1024 / 1e6, 1)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def limit_threads(threads: int) -> None:
    """As many threads, and no more cores than that, whatever an engine chooses for itself."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)


def wait_for(device: str) -> None:
    """Until a GPU has done what it was told."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def by_kind(requests: Sequence[Request]) -> dict[RequestKind, list[int]]:
    """Positions of the requests of each kind that occurs."""
    found = {kind: [i for i, request in enumerate(requests) if request.kind == kind] for kind in KINDS}
    return {kind: positions for kind, positions in found.items() if positions}


def warm_up_for(requests: Sequence[Request]) -> list[Request]:
    """Requests of the same kinds, with other texts."""
    return [request for request in WARM_UP if request.kind in by_kind(requests)]


def write_requests(requests: Sequence[Request], file: Path) -> None:
    """As JSON."""
    file.write_text(json.dumps([asdict(request) for request in requests]), encoding="utf-8")


def read_requests(file: Path) -> list[Request]:
    """What `write_requests` wrote."""
    return [Request(**one) for one in json.loads(file.read_text(encoding="utf-8"))]


def main(measure: Callable[[Job], Mapping[str, Any]]) -> None:
    """`python -m … JOB.json OUT.json`: read the job, set the threads, measure, write."""
    job_file, out = map(Path, sys.argv[1:])
    given = json.loads(job_file.read_text(encoding="utf-8"))
    job = Job(**{**given, "batches": tuple(given["batches"])})
    limit_threads(job.threads)
    out.write_text(json.dumps(measure(job)), encoding="utf-8")
