"""Origin: which stage of a path gave a capability, which took some back, what is left at the leaf.

On the items that the whole path shares, the root's score and what every stage adds are the leaf's score. The origin is
the stage that certainly adds (adjusted p), whose node certainly stands above chance, and that adds the most of all such
above chance. The first node of the path competes with what it has above chance itself: what it could do already, no
stage gave. How often it is that stage when the items are drawn again is its support (`stats.path`).

    capeval trace instructgpt
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.origin_steps import Steps
from capeval.attribution.origin_words import path_sentence
from capeval.attribution.pairing import Cells
from capeval.attribution.paths import Path, Walker
from capeval.attribution.summaries import spec_in
from capeval.columns import ORIGIN_COLUMNS
from capeval.core import TaskSpec, Tree
from capeval.stats.multiplicity import benjamini_hochberg
from capeval.stats.paired import PairedDifference
from capeval.stats.path import PathGains, gains_above, largest, path_gains
from capeval.stats.rates import Interval, mean_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """One path with all that is estimated on it."""

    path: Path
    spec: TaskSpec
    gains: PathGains
    steps: tuple[PairedDifference, ...]
    reasons: tuple[str, ...]
    """Of each step: why nothing can be told, or nothing."""
    votes: np.ndarray
    """(training runs, nodes) who adds the most in each run that was asked the whole path."""

    @property
    def floor(self) -> float | None:
        return floor_of(self.spec)


def origin_table(tree: Tree, runs: Sequence[Cells], *, alpha: float, seed: int) -> pd.DataFrame:
    """Every root-to-leaf path on every task and setting that has a better end.

    Args:
        tree: Its stages are the paths; its task specs say chance, margin, clusters.
        runs: Cells of each training run, the trace's own first (`pairing.cells`, `summaries.with_summaries`).
        alpha: Level at which a stage certainly adds or takes.
        seed: Of the draws of items and of the cluster sign-flip test.

    Returns:
        Columns of `columns.ORIGIN_COLUMNS`. One hypothesis is a stage on a task and setting, however many paths
        share it: it counts once in the family of Benjamini-Hochberg, with the path that shares the most items; where
        another path shares other items, its p takes that place in turn.
    """
    specs = {task.name: task for task in tree.tasks}
    walkers = [Walker(tree, cells) for cells in runs]
    known = Steps(tree, runs[0], alpha=alpha, seed=seed)
    told = []
    for task, setting in dict.fromkeys((task, setting) for _, task, setting in runs[0]):
        spec = spec_in(specs[task.partition(":")[0]], setting)
        if spec.orientation == "none":
            continue
        others = [{path.nodes: path for path in walker.paths(task, setting)} for walker in walkers[1:]]
        for path in walkers[0].paths(task, setting):
            again = [other[path.nodes] for other in others if path.nodes in other]
            told.append(_tell(path, spec, again, known))
    adjusted = _adjusted(told)
    rows = [row for one, p in zip(told, adjusted, strict=True) for row in _rows(one, p, known, alpha)]
    return pd.DataFrame(rows, columns=list(ORIGIN_COLUMNS))


def floor_of(spec: TaskSpec) -> float | None:
    """Score of a guesser, turned so that more is better; None where no score is known to be none of the capability.

    0 is such a score for a rate that is better the higher it is. A metric that is better the lower it is has none
    unless its chance is declared; one in a unit of its own has none.
    """
    if spec.unit != "points":
        return None
    if spec.orientation == "lower":
        return -spec.chance if spec.chance > 0 else None
    return spec.chance


def _tell(path: Path, spec: TaskSpec, again: Sequence[Path], known: Steps) -> _Told:
    places = range(len(path.steps))
    turn = -1.0 if spec.orientation == "lower" else 1.0
    floor = floor_of(spec)
    gains = path_gains(
        turn * path.scores,
        floor=floor,
        clusters=path.clusters,
        role=spec.cluster_role if path.clusters is not None else "none",
        seed=known.seed,
    )
    runs = [path, *(other for other in again if len(other.items))]
    means = [turn * run.scores.mean(axis=0) for run in runs if len(run.items)]
    return _Told(
        path=path,
        spec=spec,
        gains=gains,
        steps=tuple(known.estimate(path, place, spec) for place in places),
        reasons=tuple(known.reason(path, place, spec) for place in places),
        votes=np.array([largest(gains_above(mean, floor)) for mean in means]).reshape(len(means), len(path.nodes)),
    )


def _adjusted(told: Sequence[_Told]) -> list[list[float]]:
    """Adjusted p of every step of every path."""
    family: dict[Hashable, tuple[int, float]] = {}
    each = []
    for one in told:
        mine = []
        for place, (found, reason) in enumerate(zip(one.steps, one.reasons, strict=True)):
            key = (one.path.task, one.path.setting, one.path.nodes[place : place + 2])
            p = float("nan") if reason else found.p  # what can't be told spends no error budget
            mine.append((key, p))
            if key not in family or found.n > family[key][0]:
                family[key] = (found.n, p)
        each.append(mine)
    places = {key: place for place, key in enumerate(family)}
    chosen = np.array([p for _, p in family.values()])
    shared = benjamini_hochberg(chosen)

    def adjust(key: Hashable, p: float) -> float:
        place = places[key]
        if np.array_equal(p, chosen[place], equal_nan=True):
            return float(shared[place])
        turned = chosen.copy()
        turned[place] = p
        return float(benjamini_hochberg(turned)[place])

    return [[adjust(key, p) for key, p in mine] for mine in each]


def _rows(one: _Told, adjusted: Sequence[float], known: Steps, alpha: float) -> list[dict[str, Any]]:
    path, spec = one.path, one.spec
    nan = float("nan")
    origin, why = _origin(one, adjusted, alpha)
    roles = [_role(one, place, adjusted, alpha, origin) for place in range(len(path.nodes))]
    score = _score_of(one, 0)
    rows: list[dict[str, Any]] = []
    for place, node in enumerate(path.nodes):
        found = one.steps[place - 1] if place else None
        named = place == origin
        rows.append(
            {
                "path": " → ".join(path.nodes), "leaf": path.nodes[-1], "capability": spec.capability,
                "task": path.task, "setting": path.setting, "node": node,
                "parent": path.nodes[place - 1] if place else "", "role": roles[place],
                "score": float(path.scores[:, place].mean()) if len(path.items) else nan,
                "contribution": found.delta if found else float(path.scores[:, 0].mean()) if len(path.items) else nan,
                "low": found.low if found else score.low, "high": found.high if found else score.high,
                "p": found.p if found else nan, "p_adjusted": adjusted[place - 1] if place else nan,
                "n": len(path.items), "support": float(one.gains.support[place]),
                "left": float(one.gains.left[place]) if named else nan,
                "left_low": float(one.gains.left_low[place]) if named else nan,
                "left_high": float(one.gains.left_high[place]) if named else nan,
                "chance": spec.chance if one.floor is not None else nan,
                "seeds": len(one.votes), "seed_support": float(one.votes[:, place].mean()) if len(one.votes) else nan,
                "orientation": spec.orientation, "unit": spec.unit, "reason": one.reasons[place - 1] if place else "",
                "confounds": "; ".join(known.confounds(path, place - 1, spec)) if place else "",
                "ended": path.ended, "sentence": "",
            }
        )  # fmt: skip
    rows[0 if origin is None else origin]["sentence"] = path_sentence(rows, origin, why)
    return rows


def _origin(one: _Told, adjusted: Sequence[float], alpha: float) -> tuple[int | None, str]:
    """Place of the node that gave the most, or None and why."""
    gains = one.gains.gains
    adds = [place for place, gain in enumerate(gains) if gain > one.spec.margin]
    certain = [place for place in adds if place == 0 or adjusted[place - 1] <= alpha]
    known = [place for place in certain if _above_chance(one, place)]
    if not known:
        if not adds:
            return None, "nothing is added beyond the margin"
        return None, "no gain is certain" if not certain else "nothing that gains stands certainly above chance"
    best = max(known, key=lambda place: float(gains[place]))  # of equals the first
    for place, reason in enumerate(one.reasons, start=1):
        if reason and gains[place] > gains[best]:
            return None, f"{one.path.nodes[place]} adds the most, and can't be told: {reason}"
    return best, ""


def _role(one: _Told, place: int, adjusted: Sequence[float], alpha: float, origin: int | None) -> str:
    if place == origin:
        return "origin"
    if place == 0:
        return "root"
    delta = one.steps[place - 1].delta
    if not adjusted[place - 1] <= alpha or not delta:
        return "none"
    return "gave" if (delta > 0) == (one.spec.orientation != "lower") else "took"


def _above_chance(one: _Told, place: int) -> bool:
    """Whether a node's score lies above chance with its whole interval; without a floor every score does."""
    if one.floor is None:
        return True
    ends = _score_of(one, place)
    return -ends.high > one.floor if one.spec.orientation == "lower" else ends.low > one.floor


def _score_of(one: _Told, place: int) -> Interval:
    """Interval of a node's score on the path's items."""
    values, spec = one.path.scores[:, place], one.spec
    binary = spec.binary and bool(np.isin(values, (0.0, 1.0)).all())
    clusters = one.path.clusters if spec.cluster_role == "sampled" else None
    return mean_interval(values, clusters=clusters, binary=binary, bounded=spec.unit == "points")
