"""Measure the change point: how often a straight line is taken for a bend, how often the interval holds the truth.

Right-or-wrong items at six sizes, even steps on the log axis; an item's difficulty is partly its own at all sizes, and
in clusters partly that of its cluster at each size. The tables of docs/statistics.md are this program's output:

    python -m benchmarks.validate_change_point            # 1,000 repetitions: some two minutes on one core
    python -m benchmarks.validate_change_point --reps 100 # a quick look
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from capeval.stats.change_point import change_point

SIZES = 6
X = np.arange(SIZES, dtype=float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A planted curve."""

    n: int
    cluster: int = 1
    """Items in each cluster."""
    place: float | None = None
    """Where it bends, in steps between sizes from the smallest on; None: a straight line."""
    level: float = 0.1
    rise: float = 0.5
    """From the smallest (or the bend) to the largest size."""
    draws: int = 1_999

    @property
    def curve(self) -> np.ndarray:
        """(6,) chance of a right answer at each size."""
        start = self.place or 0.0
        found: np.ndarray = self.level + self.rise * np.maximum(0, X - start) / (X[-1] - start)
        return found

    def __str__(self) -> str:
        of = f", in clusters of {self.cluster}" if self.cluster > 1 else ""
        rise = f"{self.level:.0%} to {self.level + self.rise:.0%}" if self.rise else f"{self.level:.0%} at all sizes"
        bend = "straight" if self.place is None else f"bends at {self.place + 1:g} of 6"
        return f"n = {self.n}{of}: {rise}, {bend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a scenario gave."""

    rejects: float
    """Share in which the straight line is rejected at 5 %: the size where it is true, else the power."""
    covers: float
    """Share of the intervals that hold the bend, among all in which the straight line is rejected."""
    width: float
    """Median width of the interval, in steps between sizes."""


SCENARIOS = (
    *(Scenario(n=n) for n in (50, 100, 400)),
    *(Scenario(n=n, level=0.05, rise=0.0) for n in (50, 100, 400)),
    Scenario(n=100, level=0.02, rise=0.0),
    Scenario(n=192, cluster=6),
    Scenario(n=96, cluster=12),
    *(Scenario(n=n, place=place) for place in (1.0, 2.0, 2.5, 3.0, 4.0) for n in (100, 400)),
    Scenario(n=192, cluster=6, place=2.0),
)


def measure(scenario: Scenario, reps: int, seed: int = 0) -> Measured:
    """Simulate."""
    rng = np.random.default_rng(seed)
    rejected, held, widths = 0, 0, []
    for rep in range(reps):
        scores, labels = _draw(scenario, rng)
        found = change_point(scores, 10**X, clusters=labels, seed=rep, draws=scenario.draws)
        if found.p > 0.05:
            continue
        rejected += 1
        if not math.isnan(found.low):
            low, high = math.log10(found.low), math.log10(found.high)
            widths.append(high - low)
            held += scenario.place is not None and low - 1e-9 <= scenario.place <= high + 1e-9
    return Measured(
        rejects=rejected / reps,
        covers=held / rejected if rejected and scenario.place is not None else math.nan,
        width=float(np.median(widths)) if widths else math.nan,
    )


def _draw(scenario: Scenario, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """(n, 6) right or wrong, and the items' clusters."""
    n, groups = scenario.n, scenario.n // scenario.cluster
    labels = np.repeat(np.arange(groups), scenario.cluster)
    own = rng.normal(size=(n, 1)) * math.sqrt(0.4)
    noise = rng.normal(size=(n, SIZES))
    if scenario.cluster == 1:
        return (ndtr(own + noise * math.sqrt(0.6)) < scenario.curve).astype(float), None
    of_cluster = rng.normal(size=(groups, SIZES))[labels] * math.sqrt(0.3)
    return (ndtr(own + of_cluster + noise * math.sqrt(0.3)) < scenario.curve).astype(float), labels


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=1_000)
    reps = parser.parse_args().reps
    print("| scenario | straight line rejected | interval covers | median width, in steps |\n|---|---:|---:|---:|")
    for scenario in SCENARIOS:
        found = measure(scenario, reps)
        covers = "" if math.isnan(found.covers) else f"{found.covers:.1%}"
        width = "" if scenario.place is None else f"{found.width:.1f}"
        print(f"| {scenario} | {found.rejects:.1%} | {covers} | {width} |")


if __name__ == "__main__":
    main()
