"""What is asked and what is answered, as arrays: the truth behind them is known, because it is planted here.

Two ways to plant. **Flips** say directly how many items a child gains and loses: the discordance is what it is said to
be. **Abilities** say how able a node is; an item is answered right when ability beats difficulty (a probit model with a
floor for guessing: Birnbaum 1968, in Lord & Novick), and expected scores have a closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

SPREAD = 1.0
"""Standard deviation of the items' difficulties: many are answered by all nodes or by none."""
WITHIN = 0.6
"""Of what differs between the nodes' answers to one item beyond ability and difficulty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many items, and how they hang together."""

    n: int
    clusters: int = 0
    """0: items share nothing."""
    heavy: bool = False
    """Whether some clusters hold many times the items of others (log-normal sizes, σ = 1)."""
    correlation: float = 0.1
    """Intra-cluster correlation of gains and losses."""

    def sizes(self, rng: np.random.Generator) -> np.ndarray:
        """(clusters,) items in each: one at least, `n` in all."""
        beyond = self.n - self.clusters
        if not self.heavy:
            return 1 + beyond // self.clusters + (np.arange(self.clusters) < beyond % self.clusters)
        weights = rng.lognormal(0.0, 1.0, self.clusters)
        return 1 + rng.multinomial(beyond, weights / weights.sum())

    def labels(self, rng: np.random.Generator) -> np.ndarray | None:
        """(n,) cluster of every item, or None."""
        return np.repeat(np.arange(self.clusters), self.sizes(rng)) if self.clusters else None

    def __str__(self) -> str:
        if not self.clusters:
            return f"n = {self.n:,}"
        return f"n = {self.n:,} in {self.clusters} {'heavy' if self.heavy else 'equal'} clusters"


def flips(
    labels: np.ndarray | None,
    n: int,
    gains: float,
    losses: float,
    rng: np.random.Generator,
    *,
    correlation: float = 0.0,
) -> np.ndarray:
    """(n,) child − parent: 1, −1 or 0, by chance `gains`, `losses` of all items.

    Args:
        labels: (n,) clusters, each with gains and losses of its own (Dirichlet) around those means; None: no clusters.
        n: Items.
        gains: Expected share that the child alone gets right.
        losses: Expected share that the parent alone gets right.
        rng: Source of chance.
        correlation: Intra-cluster correlation.
    """
    means = np.array([gains, losses, 1 - gains - losses])
    chances = np.tile(means, (n, 1))
    if labels is not None and correlation > 0:
        drawn = np.zeros((int(labels.max()) + 1, 3))
        positive = means > 0  # a share of exactly 0 has no Dirichlet
        drawn[:, positive] = rng.dirichlet(means[positive] * (1 - correlation) / correlation, len(drawn))
        chances = drawn[labels]
    u = rng.random(n)
    return np.where(u < chances[:, 0], 1.0, np.where(u < chances[:, 0] + chances[:, 1], -1.0, 0.0))


def ends(d: np.ndarray, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores of parent and child with difference `d`; where they agree, both are right with chance `rate`."""
    both = (rng.random(d.shape) < rate).astype(float)
    parent = np.where(d > 0, 0.0, np.where(d < 0, 1.0, both))
    return parent, parent + d


def answers(
    abilities: np.ndarray, labels: np.ndarray | None, layout: Layout, rng: np.random.Generator,
    *, guess: float = 0.0, samples: int = 1,
) -> np.ndarray:  # fmt: skip
    """Scores (nodes, n, samples), 0 or 1, of nodes whose answers hang together by the items' difficulties.

    Right iff ability − difficulty + noise > 0, or by a lucky guess. All parts are normal and each node has the same
    variances, so that the expected score is `expected(ability)` whatever the clusters: equal abilities, no effect.

    Args:
        abilities: (nodes,).
        labels: (n,) clusters; every node then does better in some of them and worse in others.
        layout: Says n and the clusters' correlation.
        rng: Source of chance.
        guess: Chance of a right guess where the answer isn't known.
        samples: Answers to each item by each node.
    """
    nodes, n = len(abilities), layout.n
    difficulty = rng.normal(0.0, SPREAD, n)
    own = rng.normal(0.0, WITHIN, (nodes, n, samples))
    if labels is not None:
        kin = rng.normal(0.0, WITHIN, (nodes, int(labels.max()) + 1))[:, labels, None]
        own = math.sqrt(layout.correlation) * kin + math.sqrt(1 - layout.correlation) * own
    knows = abilities[:, None, None] - difficulty[None, :, None] + own > 0
    return (knows | (rng.random(own.shape) < guess)).astype(float)


def expected(ability: float | np.ndarray, *, guess: float = 0.0) -> np.ndarray:
    """Expected score of a node: guess + (1 − guess) · Φ(ability / √(SPREAD² + WITHIN²))."""
    found: np.ndarray = guess + (1 - guess) * special.ndtr(np.asarray(ability) / math.hypot(SPREAD, WITHIN))
    return found


def ability_for(score: float, *, guess: float = 0.0) -> float:
    """The ability whose expected score this is."""
    return float(special.ndtri((score - guess) / (1 - guess)) * math.hypot(SPREAD, WITHIN))
