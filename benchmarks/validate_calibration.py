"""Measure the calibration error's interval: does it cover the truth, and what would a plain bootstrap do?

    python -m benchmarks.validate_calibration              # the table of docs/statistics.md: some minutes on one core

Planted: confidences between 0.35 and 0.95 and a model that is right with a probability that lies `off` below each, so
that the calibration error is `off`. "Half": twice that above the median confidence, and nothing below. "Clusters": 10
items each, half of which share their luck.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from capeval.stats.calibration import adaptive_ece, ece_if_calibrated, ece_interval
from capeval.stats.standard_errors import Labels, Vector

Sample = tuple[Vector, Vector, Labels | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one scenario gave, over the repetitions."""

    error: float
    """Mean of the measured errors: above the truth, by luck."""
    if_calibrated: float
    coverage: float
    percentile: float
    """Coverage of the percentile bootstrap over items."""
    basic: float
    """Coverage of the basic bootstrap over items."""


def everywhere(n: int, off: float, rng: np.random.Generator) -> Sample:
    """Independent items, `off` below at every confidence."""
    p = rng.uniform(0.35, 0.95, n)
    return p, (rng.random(n) < p - off).astype(float), None


def half(n: int, off: float, rng: np.random.Generator) -> Sample:
    """Independent items, twice `off` below at high confidences only."""
    p = rng.uniform(0.35, 0.95, n)
    return p, (rng.random(n) < p - 2 * off * (p > 0.65)).astype(float), None


def clusters(n: int, off: float, rng: np.random.Generator) -> Sample:
    """Clusters of 10 items that share half of their luck."""
    p, labels = rng.uniform(0.35, 0.95, n), np.repeat(np.arange(n // 10), 10)
    shared = np.repeat(rng.random(n // 10), 10)
    luck = np.where(rng.random(n) < 0.5, shared, rng.random(n))
    return p, (luck < p - off).astype(float), labels


SCENARIOS: tuple[tuple[str, Callable[[np.random.Generator], Sample], float], ...] = (
    *((f"n = {n}, off by {off:g}", partial(everywhere, n, off), off) for n in (50, 100, 400) for off in (0, 0.1, 0.25)),
    *((f"n = 400, half off, {off:g} in all", partial(half, 400, off), off) for off in (0.05, 0.15)),
    *((f"40 clusters of 10, off by {off:g}", partial(clusters, 400, off), off) for off in (0, 0.1)),
)


def measure(draw: Callable[[np.random.Generator], Sample], truth: float, reps: int, resamples: int = 200) -> Measured:
    """Draw a scenario many times."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(reps):
        p, y, labels = draw(rng)
        error, interval = adaptive_ece(p, y), ece_interval(p, y, clusters=labels, resamples=resamples, seed=seed)
        plain = []
        for _ in range(resamples):
            chosen = rng.integers(len(p), size=len(p))
            plain.append(adaptive_ece(p[chosen], y[chosen]))
        low, high = np.quantile(plain, [0.025, 0.975])
        found.append(
            (
                error, ece_if_calibrated(p, resamples=20, seed=seed), interval.low <= truth <= interval.high,
                low <= truth <= high, max(0.0, 2 * error - high) <= truth <= 2 * error - low,
            )
        )  # fmt: skip
    means = np.mean(np.array(found, dtype=float), axis=0)
    names = ("error", "if_calibrated", "coverage", "percentile", "basic")
    return Measured(**dict(zip(names, map(float, means), strict=True)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=500)
    reps = parser.parse_args().reps
    print("| planted | mean error | if calibrated | covers, % | percentile bootstrap, % | basic bootstrap, % |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, draw, truth in SCENARIOS:
        m = measure(draw, truth, reps)
        shares = " | ".join(f"{100 * share:.1f}" for share in (m.coverage, m.percentile, m.basic))
        print(f"| {name} | {m.error:.3f} | {m.if_calibrated:.3f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
