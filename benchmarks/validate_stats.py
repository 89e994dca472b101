"""Measure the statistics: does the 95 % interval cover 95 %, does the test at 5 % cry wolf in 5 % or less?

Every scenario is a truth that is known, because it is planted. Right-or-wrong items that are independent are counted
out exactly (all outcomes, times their probability); everything else is simulated through the public functions.
The tables of docs/statistics.md are this program's output (`make validate` runs it, then the checks on it):

    python -m benchmarks.validate_stats            # all scenarios, 4,000 repetitions each: some minutes on one core
    python -m benchmarks.validate_stats --reps 500 # a quick look
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy import stats

from capeval.core import ClusterRole
from capeval.stats.discordant import mcnemar_exact, tango
from capeval.stats.paired import PairedDifference, paired_difference
from capeval.stats.rates import Interval, mean_interval, wilson

NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a scenario gave; shares between 0 and 1, NaN where they don't apply."""

    group: str
    scenario: str
    coverage: float
    """Of the 95 % interval."""
    one_sided: float
    """The larger share of 90 % intervals that lie wholly to one side of the truth: the error of an equivalence."""
    size: float
    """Share of p ≤ 0.05 where the truth is no difference."""
    noise: float
    """Monte Carlo standard error of a share of 95 %; 0 when counted out."""


@cache
def _table(n: int, b: int, c: int) -> tuple[Interval, Interval, float]:
    return tango(b, c, n), tango(b, c, n, 0.9), mcnemar_exact(b, c)


def paired_binary(n: int, gains: float, losses: float) -> Measured:
    """Exact coverage and size of Tango and McNemar on n independent items."""
    truth, covered, above, below, alarms = gains - losses, 0.0, 0.0, 0.0, 0.0
    for b, c, chance in _outcomes(n, gains, losses):
        shown, equivalence, p = _table(n, b, c)
        covered += chance * (shown.low <= truth <= shown.high)
        above += chance * (equivalence.low > truth)
        below += chance * (equivalence.high < truth)
        alarms += chance * (p <= 0.05)
    return Measured(
        group="paired, right or wrong, independent",
        scenario=f"n = {n}, gains {gains:.0%}, losses {losses:.0%}",
        coverage=covered,
        one_sided=max(above, below),
        size=alarms if gains == losses else math.nan,
        noise=0.0,
    )


def _outcomes(n: int, gains: float, losses: float) -> Iterator[tuple[int, int, float]]:
    for b in range(n + 1):
        chance = float(stats.binom.pmf(b, n, gains))
        if chance < NEGLIGIBLE:
            continue
        rest = stats.binom.pmf(np.arange(n - b + 1), n - b, losses / (1 - gains))
        for c in np.flatnonzero(chance * rest > NEGLIGIBLE):
            yield b, int(c), chance * float(rest[c])


def single_rate(n: int, rate: float) -> Measured:
    """Exact coverage of Wilson's interval."""
    chances = stats.binom.pmf(np.arange(n + 1), n, rate)
    shown = [wilson(k, n) for k in range(n + 1)]
    narrow = [wilson(k, n, 0.9) for k in range(n + 1)]
    return Measured(
        group="one score, right or wrong, independent",
        scenario=f"n = {n}, rate {rate:.0%}",
        coverage=sum(p for p, i in zip(chances, shown, strict=True) if i.low <= rate <= i.high),
        one_sided=max(
            sum(p for p, i in zip(chances, narrow, strict=True) if i.low > rate),
            sum(p for p, i in zip(chances, narrow, strict=True) if i.high < rate),
        ),
        size=math.nan,
        noise=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """How many clusters, how large, and how alike the items inside them."""

    count: int
    items: float
    """Mean number of items in a cluster; at least one is in each."""
    spread: float
    """Coefficient of variation of the sizes, of what goes beyond the first item: 0 for equal sizes."""
    correlation: float
    """Intra-cluster correlation of gains and losses."""

    def sizes(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the sizes."""
        if self.spread == 0:
            return np.full(self.count, round(self.items))
        beyond = self.items - 1
        shape = 1 / (self.spread**2 - 1 / beyond) if self.spread**2 > 1 / beyond else 1e6
        return 1 + generator.negative_binomial(shape, shape / (shape + beyond), self.count)

    def label(self) -> str:
        """Words for the table."""
        sizes = "equal" if self.spread == 0 else f"{self.items:g} ± {self.spread * (self.items - 1):.1f}"
        return f"{self.count} clusters of {self.items:g} items ({sizes}), ICC {self.correlation:g}"


def _probabilities(clusters: Clusters, means: tuple[float, ...], generator: np.random.Generator) -> np.ndarray:
    if clusters.correlation == 0:
        return np.tile(means, (clusters.count, 1))
    strength = (1 - clusters.correlation) / clusters.correlation
    # a share of exactly 0 has no Dirichlet; it stays out of the draw
    drawn = np.zeros((clusters.count, len(means)))
    positive = np.array(means) > 0
    drawn[:, positive] = generator.dirichlet(np.array(means)[positive] * strength, clusters.count)
    return drawn


def _differences(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(G, 3) counts of gains, losses, ties → d and labels per item."""
    d = np.repeat(np.tile([1.0, -1.0, 0.0], len(counts)), counts.ravel())
    return d, np.repeat(np.arange(len(counts)), counts.sum(axis=1))


def _tally(group: str, name: str, truth: float, results: list[PairedDifference]) -> Measured:
    low, high = np.array([r.low for r in results]), np.array([r.high for r in results])
    above = np.mean([r.low_equivalence > truth + 1e-12 for r in results])
    below = np.mean([r.high_equivalence < truth - 1e-12 for r in results])
    return Measured(
        group=group,
        scenario=name,
        coverage=float(np.mean((low <= truth + 1e-12) & (truth - 1e-12 <= high))),
        one_sided=float(max(above, below)),
        size=float(np.mean([r.p <= 0.05 for r in results])) if truth == 0 else math.nan,
        noise=math.sqrt(0.95 * 0.05 / len(results)),
    )


def paired_clustered(
    clusters: Clusters, gains: float, losses: float, reps: int, role: ClusterRole = "sampled"
) -> Measured:
    """Sampled clusters: every repetition draws new clusters, their sizes, their gains and losses, and the items.

    With role `none` the clusters are there, and the statistics are not told.
    """
    generator = np.random.default_rng(20)
    results = []
    for _ in range(reps):
        shares = _probabilities(clusters, (gains, losses, 1 - gains - losses), generator)
        d, labels = _differences(generator.multinomial(clusters.sizes(generator), shares))
        results.append(paired_difference(d, clusters=labels, role=role, binary=True))
    name = f"{clusters.label()}, gains {gains:.0%}, losses {losses:.0%}"
    return _tally("paired, right or wrong, in sampled clusters", name, gains - losses, results)


def score_clustered(clusters: Clusters, rate: float, reps: int) -> Measured:
    """One score over sampled clusters."""
    generator = np.random.default_rng(21)
    shown, narrow = [], []
    for _ in range(reps):
        shares = _probabilities(clusters, (rate, 1 - rate), generator)
        counts = generator.multinomial(clusters.sizes(generator), shares)
        scores = np.repeat(np.tile([1.0, 0.0], len(counts)), counts.ravel())
        labels = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
        shown.append(mean_interval(scores, clusters=labels, binary=True))
        narrow.append(mean_interval(scores, clusters=labels, binary=True, level=0.9))
    return Measured(
        group="one score, right or wrong, in sampled clusters",
        scenario=f"{clusters.label()}, rate {rate:.0%}",
        coverage=float(np.mean([i.low <= rate <= i.high for i in shown])),
        one_sided=float(max(np.mean([i.low > rate for i in narrow]), np.mean([i.high < rate for i in narrow]))),
        size=math.nan,
        noise=math.sqrt(0.95 * 0.05 / reps),
    )


def paired_stratified(sizes: tuple[int, ...], gains: float, losses: float, unlike: bool, reps: int) -> Measured:
    """Fixed strata: the same subtasks every time, alike or each with gains and losses of its own."""
    shares = np.tile([gains, losses, 1 - gains - losses], (len(sizes), 1))
    if unlike:
        shares = _probabilities(
            Clusters(count=len(sizes), items=1, spread=0, correlation=0.25), tuple(shares[0]), np.random.default_rng(7)
        )
        if gains == losses:  # mirrored in pairs, so that the truth stays at no difference
            shares[1::2] = shares[: len(sizes) - 1 : 2][:, [1, 0, 2]]
    truth = float(np.array(sizes) @ (shares[:, 0] - shares[:, 1])) / sum(sizes)
    truth = 0.0 if abs(truth) < 1e-12 else truth
    generator = np.random.default_rng(22)
    results = []
    for _ in range(reps):
        d, labels = _differences(generator.multinomial(sizes, shares))
        results.append(paired_difference(d, clusters=labels, role="strata", binary=True))
    spread = f"{min(sizes)} to {max(sizes)}" if len(set(sizes)) > 1 else f"{sizes[0]}"
    kind = "unlike" if unlike else "alike"
    name = f"{len(sizes)} strata of {spread} items, {kind}, gains {gains:.0%}, losses {losses:.0%}"
    return _tally("paired, right or wrong, in fixed strata", name, truth, results)


def wald(clusters: Clusters, gains: float, losses: float, reps: int) -> Measured:
    """What is not used: mean ± t(G − 1) · SE with Miller's clustered error, on the draws of `paired_clustered`."""
    generator = np.random.default_rng(20)
    truth, ends = gains - losses, []
    quantiles = stats.t.ppf(np.array([0.975, 0.95]), clusters.count - 1)
    for _ in range(reps):
        shares = _probabilities(clusters, (gains, losses, 1 - gains - losses), generator)
        counts = generator.multinomial(clusters.sizes(generator), shares)
        n, sums = counts.sum(), counts[:, 0] - counts[:, 1]
        delta = sums.sum() / n
        beyond = sums - delta * counts.sum(axis=1)
        se = math.sqrt(clusters.count / (clusters.count - 1) * float(beyond @ beyond)) / n
        ends.append([delta - quantiles[0] * se, delta + quantiles[0] * se, delta - quantiles[1] * se,
                     delta + quantiles[1] * se])  # fmt: skip
    low, high, low_narrow, high_narrow = np.array(ends).T
    return Measured(
        group="for comparison, not used: mean ± t(G − 1) · SE (Miller 2024) in sampled clusters",
        scenario=f"{clusters.label()}, gains {gains:.0%}, losses {losses:.0%}",
        coverage=float(np.mean((low <= truth) & (truth <= high))),
        one_sided=float(max(np.mean(low_narrow > truth), np.mean(high_narrow < truth))),
        size=math.nan,
        noise=math.sqrt(0.95 * 0.05 / reps),
    )


def paired_continuous(n: int, changed: float, shift: float, reps: int) -> Measured:
    """F1-like differences: most items unchanged, the rest anywhere between −1 and 1, shifted."""
    generator = np.random.default_rng(23)
    results = []
    for _ in range(reps):
        moved = generator.random(n) < changed
        d = np.where(moved, np.clip(generator.beta(2, 2, n) * 2 - 1 + shift, -1, 1), 0.0)
        results.append(paired_difference(d, binary=False))
    reference = np.clip(stats.beta(2, 2).ppf((np.arange(200_000) + 0.5) / 200_000) * 2 - 1 + shift, -1, 1)
    truth = 0.0 if shift == 0 else changed * float(reference.mean())
    name = f"n = {n}, {changed:.0%} changed, difference {truth:.3f}"
    return _tally("paired, continuous, independent", name, truth, results)


RATES = ((0.02, 0.02), (0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.08, 0.02), (0.3, 0.05), (0.05, 0.0))
CLUSTERED_RATES = ((0.1, 0.1), (0.3, 0.05), (0.05, 0.0))
STRATA = ((4,) * 27, (20,) * 5, (40,) * 26, (1, 2, 3, 5, 8, 10, 12, 20, 40, 60), (2,) * 50)
CLUSTERS = tuple(
    Clusters(count=count, items=items, spread=spread, correlation=correlation)
    for count, items in ((32, 3.0), (32, 12.0), (8, 3.0), (8, 12.0))
    for spread in (0.0, 1.2)
    for correlation in (0.05, 0.3)
)


def scenarios(reps: int) -> list[Callable[[], Measured]]:
    """All of them, in the order of the table, each to be measured by calling it."""
    uneven = [c for c in CLUSTERS if c.spread and c.correlation == 0.3]
    continuous = ((30, 0.3, 0.0), (100, 0.3, 0.0), (100, 0.3, 0.3), (100, 0.05, 0.0), (400, 0.3, 0.3))
    return [
        *(partial(single_rate, n, rate) for n, rate in ((30, 0.5), (100, 0.5), (100, 0.9), (100, 0.98), (500, 0.9))),
        *(partial(score_clustered, c, rate, reps) for c in uneven for rate in (0.6, 0.9)),
        *(partial(paired_binary, n, *rates) for n in (30, 100, 400) for rates in RATES),
        *(partial(paired_clustered, c, *rates, reps) for c in CLUSTERS for rates in CLUSTERED_RATES),
        *(
            partial(paired_stratified, sizes, *rates, unlike, reps)
            for sizes in STRATA
            for rates in ((0.1, 0.1), (0.05, 0.3), (0.0, 0.05))
            for unlike in (False, True)
        ),
        *(partial(paired_continuous, *case, reps) for case in continuous),
        *(partial(wald, c, *rates, reps) for c in uneven for rates in CLUSTERED_RATES),
    ]


def table(measured: list[Measured]) -> Iterator[str]:
    """Markdown lines."""
    group = ""
    for m in measured:
        if m.group != group:
            group = m.group
            yield f"\n**{group}**\n"
            yield "| scenario | 95 % interval covers | equivalence error ≤ | false alarms at 5 % |"
            yield "|---|---:|---:|---:|"
        size = "" if math.isnan(m.size) else f"{m.size:.1%}"
        yield f"| {m.scenario} | {m.coverage:.1%} | {m.one_sided:.1%} | {size} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--reps", type=int, default=4000, help="repetitions of each simulated scenario")
    reps = parser.parse_args().reps
    print(f"{reps} repetitions: a simulated share of 95 % is known to ±{1.96 * math.sqrt(0.0475 / reps):.1%}.")
    for line in table([measure() for measure in scenarios(reps)]):
        print(line)


if __name__ == "__main__":
    main()
