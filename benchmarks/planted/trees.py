"""Trees of models: false attributions where no stage does anything, false finds among stages that do.

base → code → code-sft → ppo → ppo-ptx, and base → sft: five edges, {code} × {instructions} among them. Nine tasks:
items that are independent, in clusters (some heavy), in strata, sampled four times, continuous, with guessing, and some
of the answers missing. Everything goes through records, `cells` and `ledger`; a tree's rows are one family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.planted.asked import cluster_names, records, spec, tree
from benchmarks.planted.items import Layout, ability_for, answers, expected
from benchmarks.planted.shares import Share, mean_share, share
from capeval.attribution.effects import ledger
from capeval.attribution.pairing import cells
from capeval.core import Cell, Contrast, TaskSpec, Tree

PARENTS = {"base": "", "code": "base", "sft": "base", "code-sft": "code", "ppo": "code-sft", "ppo-ptx": "ppo"}
START = 0.5
"""Expected score of the base."""
NULL = "False attributions where no stage does anything"
MIXED = "False finds among true effects"
INTERACTION = "Interaction of {code} × {instructions}, as a difference of differences"
EFFECTS = {"gain": 1.0, "tax": -1.0}
PARTS = 5
"""Of a graded answer, each right or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A task of the planted trees."""

    layout: Layout
    role: str = "none"
    guess: float = 0.0
    samples: int = 1
    missing: float = 0.0
    continuous: bool = False

    def spec(self, name: str) -> TaskSpec:
        """What the ledger is told of it."""
        return spec(name, cluster_role=self.role, binary=not (self.continuous or self.samples > 1), chance=self.guess)


TASKS: Mapping[str, Asked] = {
    "independent": Asked(layout=Layout(n=100)),
    "many": Asked(layout=Layout(n=400)),
    "guessed": Asked(layout=Layout(n=150), guess=0.25),
    "equal": Asked(layout=Layout(n=150, clusters=32), role="sampled"),
    "heavy": Asked(layout=Layout(n=150, clusters=12, heavy=True), role="sampled"),
    "strata": Asked(layout=Layout(n=200, clusters=27), role="strata"),
    "sampled": Asked(layout=Layout(n=80), samples=4),
    "missing": Asked(layout=Layout(n=150), missing=0.05),
    "graded": Asked(layout=Layout(n=100), continuous=True),
}


def contrasts() -> tuple[Contrast, ...]:
    """(code-sft − code) − (sft − base): what instructions do after code beyond what they do without it."""
    weights = {"code-sft": 1.0, "code": -1.0, "sft": -1.0, "base": 1.0}
    parts = tuple(Cell(node=node, weight=weight) for node, weight in weights.items())
    return (Contrast(name="code × instructions", kind="difference", cells=parts),)


def planted_tree() -> Tree:
    """The tree with its tasks."""
    return tree(PARENTS, [asked.spec(name) for name, asked in TASKS.items()], contrasts=contrasts())


def answered(abilities: Mapping[str, Mapping[str, float]], rng: np.random.Generator) -> pd.DataFrame:
    """Records of all nodes on all tasks, from {task: {node: ability}}."""
    frames = []
    for name, asked in TASKS.items():
        labels = asked.layout.labels(rng)
        # strata are a fixed list: no node has a stratum of its own that other repetitions would lack
        kin = labels if asked.role == "sampled" else None
        levels = np.array([abilities[name][node] for node in PARENTS])
        samples = PARTS if asked.continuous else asked.samples
        scores = answers(levels, kin, asked.layout, rng, guess=asked.guess, samples=samples)
        if asked.continuous:
            scores = scores.mean(axis=2, keepdims=True)
        scores[rng.random(scores.shape) < asked.missing] = np.nan
        named = np.repeat(cluster_names(labels, asked.layout.n), scores.shape[2])
        frames += [records(node, name, one, cluster=named) for node, one in zip(PARENTS, scores, strict=True)]
    return pd.concat(frames, ignore_index=True)


def _levels(shifts: Mapping[str, float], guess: float) -> dict[str, float]:
    """Abilities of the nodes: the base's, and each stage's shift on top of its parent's."""
    found: dict[str, float] = {}
    for node, parent in PARENTS.items():
        found[node] = (found[parent] if parent else ability_for(START, guess=guess)) + shifts.get(node, 0.0)
    return found


def _truth(rows: pd.DataFrame, abilities: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """Planted difference of every row; of the interaction that of the differences."""
    found = []
    for task, kind, parent, child in zip(rows["task"], rows["kind"], rows["parent"], rows["child"], strict=True):
        mean = {node: float(expected(a, guess=TASKS[task].guess)) for node, a in abilities[task].items()}
        edge = mean[child] - mean[parent]
        found.append(edge if kind == "edge" else edge - (mean["sft"] - mean["base"]))
    return np.array(found)


def false_attributions(reps: int) -> Iterator[Share]:
    """The global null: all stages leave all abilities as they are."""
    planted, rng = planted_tree(), np.random.default_rng(41)
    abilities = {name: _levels({}, asked.guess) for name, asked in TASKS.items()}
    rows = []
    for rep in range(reps):
        found = ledger(planted, cells(answered(abilities, rng)), (*planted.edges(), *planted.contrasts))
        rows.append(found.assign(rep=rep, claimed=found["answer"].isin(["gained", "lost"])))
    told = pd.concat(rows)
    edges = told[told["family"] == "tasks"]
    tests = len(edges) // reps
    scenario = f"no effect anywhere: {tests} tests of 5 edges and 9 tasks"
    any_claim = edges.groupby("rep")["claimed"].any().to_numpy()
    yield share(NULL, scenario, "trees with any gained or lost", any_claim, at_most=0.05)
    yield share(NULL, scenario, "rows that say gained or lost", edges["claimed"].to_numpy(), at_most=0.05)
    differences = told[told["kind"] == "difference"]
    any_claim = differences.groupby("rep")["claimed"].any().to_numpy()
    yield share(NULL, "the same, the family of interactions: 9 tests", "trees with any", any_claim, at_most=0.05)
    for name in TASKS:
        small = (edges[edges["task"] == name]["p"] <= 0.05).to_numpy()
        yield share(NULL, f"the same, task '{name}'", "rows with p ≤ 0.05 before adjustment", small, at_most=0.05)
    covered = (told["low"] <= 1e-12) & (told["high"] >= -1e-12)
    yield share(NULL, "the same, all rows", "interval holds 0", covered.to_numpy(), at_least=0.95)


def false_finds(reps: int, active: float, size: float) -> Iterator[Share]:
    """A mixture: each stage changes each task with chance `active`, by ±`size` in ability; the rest are nulls."""
    planted, rng = planted_tree(), np.random.default_rng([42, round(100 * active)])
    false, covered, wrong_way, right = [], [], [], []
    for _ in range(reps):
        shifts = {
            name: {node: size * rng.choice([-1.0, 1.0]) * (rng.random() < active) for node in PARENTS if PARENTS[node]}
            for name in TASKS
        }
        abilities = {name: _levels(shifts[name], asked.guess) for name, asked in TASKS.items()}
        found = ledger(planted, cells(answered(abilities, rng)), (*planted.edges(), *planted.contrasts))
        truth = _truth(found, abilities)
        covered += list((found["low"] <= truth + 1e-12) & (found["high"] >= truth - 1e-12))
        edges = (found["family"] == "tasks").to_numpy()
        answer = found["answer"].map({"gained": 1.0, "lost": -1.0}).fillna(0.0).to_numpy()[edges]
        sign = np.sign(np.round(truth[edges], 9))
        false.append(float(((answer != 0) & (answer != sign)).sum() / max(1, (answer != 0).sum())))
        wrong_way += list(answer[sign != 0] == -sign[sign != 0])
        right += list(answer[sign != 0] == sign[sign != 0])
    scenario = f"{active:.0%} of the stages × tasks change by ±{size:g} in ability"
    yield mean_share(MIXED, scenario, "false share of gained and lost (FDR)", false, at_most=0.05)
    yield share(MIXED, scenario, "true effects called the wrong way", wrong_way, at_most=0.01)
    yield share(MIXED, scenario, "true effects found", right)
    yield share(MIXED, scenario, "interval holds the planted difference", covered, at_least=0.95)


def interactions(reps: int) -> Iterator[Share]:
    """Main effects alone must show no interaction; a planted one must be covered."""
    planted = planted_tree()
    for name, extra in (("main effects, no interaction", 0.0), ("an interaction of +0.5 in ability", 0.5)):
        rng = np.random.default_rng([43, round(10 * extra)])
        covered, claimed = [], []
        abilities = {}
        for task, asked in TASKS.items():
            levels = _levels({"code": 0.3, "sft": 0.3, "code-sft": 0.3}, asked.guess)
            # no interaction means no difference of differences in the score, which is where it is read
            mean = {node: float(expected(a, guess=asked.guess)) for node, a in levels.items()}
            target = mean["code"] + mean["sft"] - mean["base"]
            levels["code-sft"] = ability_for(target, guess=asked.guess) + extra
            levels["ppo"] = levels["ppo-ptx"] = levels["code-sft"]
            abilities[task] = levels
        for _ in range(reps):
            found = ledger(planted, cells(answered(abilities, rng)), planted.contrasts)
            truth = _truth(found, abilities)
            covered += list((found["low"] <= truth + 1e-12) & (found["high"] >= truth - 1e-12))
            claimed += list(found["answer"].isin(["gained", "lost"]))
        yield share(INTERACTION, name, "interval holds the planted difference", covered, at_least=0.95)
        yield share(INTERACTION, name, "called gained or lost", claimed, at_most=np.nan if extra else 0.05)
