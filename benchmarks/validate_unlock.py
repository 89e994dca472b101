"""How often the unlock test says "unlocked" or "injected", on items whose truth is planted.

    python -m benchmarks.validate_unlock            # the whole grid, about a minute
    python -m benchmarks.validate_unlock --reps 100

Every item has a difficulty; models solve it by a logistic curve of skill minus difficulty, independently given both.
The elicited parent is more able than the parent asked plainly, so it solves what is easy, as the child does: that alone
must never be called unlocked. A stage that unlocks lets the child solve items that the parent *has* and does not show;
a stage that injects lets it solve items by a coin of its own.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from capeval.stats.guessing import chance_of_any
from capeval.stats.unlock import MARGIN, Unlock, unlock_difference


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How items and models are drawn."""

    items: int = 300
    others: int = 6
    """Models that say how hard items are."""
    spread: float = 1.5
    """Standard deviation of difficulty, in logits."""
    child: float = 0.0
    """Skill of the child, in logits."""
    parent: float = -1.5
    elicited: float = -0.3
    slopes: tuple[float, float] = (1.0, 1.0)
    """Discrimination of child and elicited parent; the others' is 1: unequal ones leave the Rasch model."""
    other_slopes: tuple[float, float] = (1.0, 1.0)
    """Range of the others' discrimination."""
    cluster: int = 1
    """Items of one cluster share half of the variance of their difficulty, and of each model's luck."""
    chance: float = 0.0
    """Of one guess, for every model."""
    tries: int = 1
    """Guesses of the elicited parent."""
    unlocked: float = 0.0
    """Share of items that the parent has without showing it, and the child shows."""
    injected: float = 0.0
    """Share of items that the stage puts into the child whatever they are like."""
    confirm: int = 1
    """Times that the child is asked."""


class Rates(NamedTuple):
    """Shares of the answers over repetitions, and the mean of what was compared."""

    unlocked: float
    injected: float
    cant_tell: float
    delta: float
    covered: float
    """Share of the 95 % intervals that hold the mean difference over all repetitions."""
    n_new: float


def draw(world: World, rng: np.random.Generator) -> Unlock:
    """One benchmark, asked of all models and compared."""
    n, groups = world.items, np.arange(world.items) // world.cluster

    def shared(scale: float) -> np.ndarray:
        if world.cluster == 1:
            return rng.normal(0, scale, n)
        return (rng.normal(0, scale, groups[-1] + 1)[groups] + rng.normal(0, scale, n)) / np.sqrt(2)

    hard = shared(world.spread)

    def solves(skill: float, slope: float = 1.0, tries: int = 1) -> np.ndarray:
        known = rng.random(n) < 1 / (1 + np.exp(-slope * (skill - hard)))
        return known | (rng.random(n) < chance_of_any(world.chance, tries))

    has = rng.random(n) < world.unlocked
    told = rng.random(n) < world.injected
    child = [solves(world.child, world.slopes[0]) | has | told for _ in range(world.confirm)]
    parent = solves(world.parent)
    elicited = solves(world.elicited, world.slopes[1], world.tries) | has
    slopes = rng.uniform(*world.other_slopes, world.others)
    others = sum(
        (solves(skill, slope) for skill, slope in zip(np.linspace(-2, 2, world.others), slopes, strict=True)),
        np.zeros(n),
    )
    new, control = ~parent & np.all(child, axis=0), ~parent & ~np.any(child, axis=0)
    guessing = chance_of_any(world.chance, world.tries)
    return unlock_difference(
        elicited[new], others[new], elicited[control], others[control], child_tries=world.confirm,
        chance_new=guessing, chance_control=guessing,
        clusters_new=groups[new], clusters_control=groups[control],
    )  # fmt: skip


def rates(world: World, *, reps: int = 400, seed: int = 0) -> Rates:
    """How often each answer is given."""
    rng = np.random.default_rng(seed)
    found = [draw(world, rng) for _ in range(reps)]
    share = {answer: float(np.mean([one.answer == answer for one in found])) for answer in
             ("unlocked", "injected", "cant_tell")}  # fmt: skip
    matched = [one for one in found if one.n_control]
    delta = float(np.mean([one.delta for one in matched])) if matched else math.nan
    covered = float(np.mean([one.low <= delta <= one.high for one in matched])) if matched else math.nan
    n_new = float(np.mean([one.n_new for one in found]))
    return Rates(**share, delta=delta, covered=covered, n_new=n_new)


GRID: dict[str, World] = {
    "null: difficulty shared, Rasch": World(),
    "null: difficulty spread wide": World(spread=3.0),
    "null: elicited as able as the child": World(elicited=0.0, child=0.5),
    "null: few items": World(items=80),
    "null: many items": World(items=1500),
    "null: one other model": World(others=1),
    "null: others of unequal discrimination": World(other_slopes=(0.3, 2.0), items=1000),
    "null: child and parent discriminate better than others": World(slopes=(2.0, 2.0), items=1000),
    "null: guesses of one in four, eight tries": World(chance=0.25, tries=8, items=600),
    "null: confirmed by a second wording": World(confirm=2),
    "null: clusters of five": World(cluster=5),
    "unlocked: a difference of about the margin": World(unlocked=0.115, items=600),
    "unlocked: four in ten items": World(unlocked=0.4),
    "unlocked: few items": World(unlocked=0.4, items=80),
    "unlocked: guesses of one in ten, two tries": World(unlocked=0.4, chance=0.1, tries=2),
    "unlocked: clusters of five": World(unlocked=0.4, cluster=5),
    "injected: four in ten items": World(injected=0.4),
    "injected: weak parent": World(injected=0.4, elicited=-2.5, parent=-3.0, child=-2.0),
    "injected: few items": World(injected=0.4, items=80),
    "injected: guesses of one in ten, two tries": World(injected=0.4, chance=0.1, tries=2),
    "injected: all items, no controls left": World(injected=1.0, elicited=-4.0, parent=-4.0, items=80),
}


def main() -> None:
    """Print the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=2000)
    args = parser.parse_args()
    print(f"{args.reps} repetitions, margin {MARGIN:g}\n")
    print("| truth | unlocked | injected | can't tell | mean difference | covered | new items |")
    print("|---|---|---|---|---|---|---|")
    for name, world in GRID.items():
        one = rates(world, reps=args.reps)
        print(f"| {name} | {one.unlocked:.1%} | {one.injected:.1%} | {one.cant_tell:.1%} | {one.delta:+.2f} "
              f"| {one.covered:.1%} | {one.n_new:.0f} |".replace("+nan", "–").replace("nan%", "–"))  # fmt: skip


if __name__ == "__main__":
    main()
