"""How many threads a CPU engine uses: one for each core that this process may really have.

torch counts the machine's cores. In a container or under a scheduler a process gets fewer, and more threads than cores
wait for one another: twice slower at best. While they wait they spin, so that beside another busy process every small
operation of two threads can last as long as the scheduler's time slice (`python -m benchmarks.attention --threads 2`
beside other work: milliseconds become a hundred without `wait_asleep`).
"""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Cores of this process: by its affinity and its control group's quota, rounded up."""
    allowed: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, _QUOTA.read_text().split())
    except (OSError, ValueError):  # no such file, or "max": no quota
        return allowed
    return max(1, min(allowed, -(-quota // period)))


def use_own_cores() -> None:
    """Let torch use no more threads than there are cores; who has set OMP_NUM_THREADS has decided."""
    import torch

    if not os.environ.get("OMP_NUM_THREADS") and torch.get_num_threads() > cores():
        torch.set_num_threads(cores())


def wait_asleep() -> None:
    """Let threads sleep while they wait for one another; OpenMP reads this once, when torch is imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def half_speed() -> float:
    """How many times faster than in float32 a product of matrices is in bfloat16 on this CPU; best of five each."""
    import time

    import torch

    def best(dtype: torch.dtype) -> float:
        a = torch.ones(768, 768, dtype=dtype)
        times = []
        for _ in range(6):
            start = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - start)
        return min(times[1:])

    return best(torch.float32) / best(torch.bfloat16)
