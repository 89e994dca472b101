"""Coverage, false alarms and power over n, discordance and number of clusters, equal and heavy.

Coverage: does the 95 % interval hold the planted difference? Items, clusters and their sizes are drawn anew each time.
Power: a pilot without any effect prints its smallest detectable effect; exactly this effect is planted into new items,
and the answer is asked: of one test, and of a family in which nothing else happens.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.planted.asked import EDGE, estimated, one_edge, records, spec
from benchmarks.planted.items import Layout, ends, flips
from benchmarks.planted.shares import Share, share
from capeval.attribution.effects import ALPHA
from capeval.core import TaskSpec
from capeval.stats.paired import PairedDifference

SIZES = (30, 100, 300, 1319)
DISCORDANCE = (0.02, 0.10, 0.30)
CLUSTERS = (6, 12, 32, 278)
RATE = 0.5
"""Share of right answers among the items on which both ends agree."""
TILT = {"none": 0.0, "a loss": -0.6}
"""Difference over discordance: no effect, or four losses to every gain."""

COVERAGE = "Coverage of the 95 % interval, over n, discordance and clusters"
POWER = "Power at the smallest detectable effect that is printed"
FOUND = (0.75, 0.88)
"""Asked of the power, which is 80 % by name: p takes few values where items are few. In clusters from 70 %, because the
error that the promise rests on is itself known badly."""
FAMILY = 20
SKEWED = (0.85, "a few clusters hold nearly all of the loss")
"""Known: two of a hundred items differ, in clusters, mostly one way: no interval from few clusters sees the tail."""
UNSURE = (0.55, "an error from six clusters, hardly any of them with flips, is known badly itself")
"""Known, of the power."""


def layouts() -> Iterator[Layout]:
    """Independent items, then every number of clusters that n has room for (two items in each, on average)."""
    for n in SIZES:
        yield Layout(n=n)
        for count in CLUSTERS:
            if 2 * count <= n or (count, n) == (278, 300):
                yield from (Layout(n=n, clusters=count, heavy=heavy) for heavy in (False, True))


def task_for(layout: Layout) -> TaskSpec:
    """Clusters, where there are some, are a sample of their kind."""
    return spec("planted", cluster_role="sampled" if layout.clusters else "none")


def draw(layout: Layout, gains: float, losses: float, rng: np.random.Generator) -> PairedDifference:
    """One repetition: new clusters, new items, new answers, estimated."""
    labels = layout.labels(rng)
    d = flips(labels, layout.n, gains, losses, rng, correlation=layout.correlation if layout.clusters else 0.0)
    return estimated(*ends(d, RATE, rng), labels, task_for(layout))


def split(discordance: float, delta: float) -> tuple[float, float]:
    """(gains, losses) that add up to the discordance and differ by delta."""
    return (discordance + delta) / 2, (discordance - delta) / 2


def coverage(layout: Layout, reps: int) -> Iterator[Share]:
    """Coverage for every discordance and both truths; false alarms where the truth is none."""
    for discordance in DISCORDANCE:
        for name, tilt in TILT.items():
            rng = np.random.default_rng([31, layout.n, layout.clusters, layout.heavy, round(1000 * discordance)])
            truth = tilt * discordance
            found = [draw(layout, *split(discordance, truth), rng) for _ in range(reps)]
            scenario, group = f"{layout}, {discordance:.0%} discordant, effect: {name}", group_of(layout)
            covered = [one.low <= truth + 1e-12 and truth - 1e-12 <= one.high for one in found]
            known = SKEWED if layout.clusters and tilt and discordance == min(DISCORDANCE) else None
            what = "interval holds the truth"
            yield share(COVERAGE, scenario, what, covered, at_least=0.95, known=known, group=group)
            if not tilt:
                small = [one.p <= ALPHA for one in found]
                yield share(COVERAGE, scenario, "p ≤ 0.05", small, at_most=ALPHA, group=group)


def group_of(layout: Layout) -> str:
    """Number of clusters, with a word for heavy ones."""
    return f"{layout.clusters} heavy" if layout.heavy else f"{layout.clusters}"


def power(layout: Layout, reps: int) -> Iterator[Share]:
    """How often the effect that a pilot's MDE promises is found, for every discordance."""
    for discordance in DISCORDANCE:
        rng = np.random.default_rng([32, layout.n, layout.clusters, layout.heavy, round(1000 * discordance)])
        hits, planted = [], []
        for _ in range(reps):
            promised = draw(layout, *split(discordance, 0.0), rng).mde
            planted.append(promised)
            gains, losses = split(max(discordance, promised), promised)
            hits.append(draw(layout, gains, losses, rng).p <= ALPHA)
        scenario = f"{layout}, {discordance:.0%} discordant, MDE {100 * float(np.mean(planted)):.1f} points on average"
        low, high = (0.70 if layout.clusters else FOUND[0]), FOUND[1]
        known = UNSURE if layout.clusters == min(CLUSTERS) else None
        group = group_of(layout)
        yield share(POWER, scenario, "found, one test", hits, at_least=low, at_most=high, known=known, group=group)


def family_power(n: int, reps: int) -> Iterator[Share]:
    """The same in a ledger of twenty tasks, of which one has the effect: the adjusted p decides."""
    rng, hits, planted, others = np.random.default_rng([33, n]), [], [], []
    for _ in range(reps):
        promised = float(_family(n, 0.0, rng)["mde"].iloc[0])
        planted.append(promised)
        found = _family(n, promised, rng)["answer"].isin(["gained", "lost"]).to_numpy()
        hits.append(found[0])
        others.append(found[1:].any())
    scenario = f"n = {n:,}, 10% discordant, MDE {100 * float(np.mean(planted)):.1f} points on average, {FAMILY} tasks"
    low, high = FOUND
    yield share(POWER, scenario, "found, adjusted for the family", hits, at_least=low, at_most=high)
    yield share(POWER, scenario, "any other task said to change as well", others)


def _family(n: int, delta: float, rng: np.random.Generator) -> pd.DataFrame:
    """The ledger of tasks that don't change, but for the first."""
    specs, frames = [spec(f"t{i}") for i in range(FAMILY)], []
    for i, task in enumerate(specs):
        shift = 0.0 if i else delta
        scores = ends(flips(None, n, *split(max(0.1, shift), shift), rng), RATE, rng)
        frames += [records(node, task.name, one) for node, one in zip(EDGE, scores, strict=True)]
    return one_edge(pd.concat(frames, ignore_index=True), specs)
