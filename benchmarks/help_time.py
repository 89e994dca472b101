"""How long `capeval --help` takes as a whole process: `python -m benchmarks.help_time`. The bound is 0.3 s."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15


def main() -> None:
    """Print the median, minimum and maximum of some runs after one warm-up."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "capeval", "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    counted = times[1:]
    spread = f"min {min(counted):.3f}, max {max(counted):.3f}, n {RUNS}"
    print(f"capeval --help: median {statistics.median(counted):.3f} s, {spread}")


if __name__ == "__main__":
    main()
