"""What this machine can do: `python -m benchmarks.engine.machine JOB.json OUT.json`.

A large matrix product gives the floating-point limit, a large copy that of memory, both with the threads, the dtype and
on the device of the benchmark, in the same run: an engine is near the limit or not whatever the processor is called.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.engine.side import Job, main, wait_for

_SIDE = {"cpu": 2048, "cuda": 8192}
_COPIED = {"cpu": 2**30, "cuda": 2**30}
"""Bytes; several times the caches."""
_SECONDS = 1.5
BUSY = 0.1
"""Share of the machine in other programs' use from which times say little."""


def measure(job: Job) -> dict[str, Any]:
    """GFLOP/s of a matrix product, GB/s of a copy (read and written bytes), and the device's name."""
    import torch

    kind = job.device.partition(":")[0]
    side, dtype = _SIDE[kind], getattr(torch, job.dtype)
    a, b = (torch.randn(side, side, device=job.device).to(dtype) for _ in range(2))
    bytes_ = torch.ones(_COPIED[kind], dtype=torch.uint8, device=job.device)  # zeros may be one page, read from cache
    target = bytes_.clone()
    product = _fastest(lambda: a @ b, job.device)
    copy = _fastest(lambda: target.copy_(bytes_), job.device)
    return {
        "gflops": round(2 * side**3 / product / 1e9, 1), "gb_per_second": round(2 * bytes_.numel() / copy / 1e9, 1),
        "gpu": torch.cuda.get_device_name(job.device) if kind == "cuda" else "",
    }  # fmt: skip


def described() -> dict[str, Any]:
    """Machine and versions."""
    packages = ("torch", "transformers", "lm-eval", "tokenizers")
    return {
        "cores": os.cpu_count(),
        "processor": f"{platform.machine()} {_processor()}".strip(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def busy(seconds: float = 0.5) -> float:
    """Share of all cores that other programs use just now; 0 where /proc does not tell."""
    file = Path("/proc/stat")
    if not file.is_file():
        return 0.0

    def ticks() -> tuple[int, int]:
        """Idle ones (waiting for the disk included) and all."""
        counts = [int(n) for n in file.read_text(encoding="utf-8").splitlines()[0].split()[1:9]]
        return counts[3] + counts[4], sum(counts)

    idle, all_ = ticks()
    time.sleep(seconds)
    idle, all_ = (after - before for after, before in zip(ticks(), (idle, all_), strict=True))
    return round(1 - idle / max(1, all_), 2)


def _processor() -> str:
    """As /proc/cpuinfo calls it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _fastest(work: Callable[[], Any], device: str) -> float:
    """Seconds of the fastest of some repetitions."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < _SECONDS:
        wait_for(device)
        began = time.perf_counter()
        work()
        wait_for(device)
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main(measure)
