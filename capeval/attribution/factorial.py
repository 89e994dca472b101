"""2 × 2 designs that a tree holds: what code does, what instructions do, and what they do together, item by item.

    capeval trace lab

Also for a gain inside a node (chain of thought − direct), where the tree or suite declares the pair of settings: "code
gives chain of thought" is the first factor's effect on that difference, "only with instructions" the interaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.confounds import of_answers, of_contrast, read_otherwise, unreadable
from capeval.attribution.designs import designs_of
from capeval.attribution.factorial_words import factorial_sentence
from capeval.attribution.pairing import Cells, Pairs, marks, pair
from capeval.attribution.summaries import spec_in
from capeval.columns import FACTORIAL_COLUMNS
from capeval.core import Cell, Contrast, Factorial, TaskSpec, Tree
from capeval.errors import PairingError
from capeval.stats.answers import decide
from capeval.stats.factorial import EFFECTS, FactorialEffects, factorial
from capeval.stats.multiplicity import benjamini_hochberg
from capeval.stats.paired import PairedDifference
from capeval.stats.seeds import seed_interval

CELLS = ("neither", "first", "second", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A design on one task and setting, or on one setting minus another."""

    design: Factorial
    task: str
    settings: tuple[str, ...]
    spec: TaskSpec

    @property
    def setting(self) -> str:
        """For people."""
        return " − ".join(self.settings)

    @property
    def keys(self) -> list[tuple[str, str, str]]:
        """Cells: the four nodes in the first setting, then in the second."""
        return [(node, self.task, setting) for setting in self.settings for node in self.design.nodes]

    @property
    def span(self) -> float | None:
        """Largest score minus smallest possible one."""
        return float(len(self.settings)) if self.spec.unit == "points" and self._bounded else None

    @property
    def _bounded(self) -> bool:
        return not set(self.settings) & {"slope", "gap"}

    def scores(self, pairs: Pairs) -> np.ndarray:
        """(n, 4) what each node scores, or how much better it is in the first setting."""
        scores = pairs.scores
        return scores if len(self.settings) == 1 else scores[:, :4] - scores[:, 4:]


def factorial_table(tree: Tree, runs: Sequence[Cells], *, alpha: float, seed: int) -> pd.DataFrame:
    """Every 2 × 2 of the tree on everything that its four nodes were asked.

    Args:
        tree: Its designs are those of `designs.designs_of`; its contrasts within these nodes name pairs of settings.
        runs: Cells of each training run, the trace's own first.
        alpha: Level of the three answers.
        seed: Of the cluster sign-flip test.

    Returns:
        Columns of `columns.FACTORIAL_COLUMNS`, three rows each. All of them are one family of Benjamini-Hochberg.
    """
    rows: list[dict[str, Any]] = []
    for design in designs_of(tree):
        for asked in _questions(tree, design, runs[0]):
            rows += _rows(tree, asked, runs, alpha=alpha, seed=seed)
    for row, p in zip(rows, benjamini_hochberg([row["p"] for row in rows]), strict=True):
        row["p_adjusted"] = p
        row["answer"] = "cant_tell" if row["reason"] else decide(
            delta=row["delta"], p_adjusted=p, low_equivalence=row["low_equivalence"],
            high_equivalence=row["high_equivalence"], margin=row["margin"], alpha=alpha,
            orientation=row["orientation"],
        )  # fmt: skip
        row["sentence"] = factorial_sentence(row)
    return pd.DataFrame(rows, columns=list(FACTORIAL_COLUMNS))


def _questions(tree: Tree, design: Factorial, cells: Cells) -> Iterator[Asked]:
    specs = {task.name: task for task in tree.tasks}
    known = dict.fromkeys((task, setting) for node, task, setting in cells if node == design.neither)
    for task in dict.fromkeys(task for task, _ in known):
        single = [(setting,) for other, setting in known if other == task]
        for settings in dict.fromkeys((*single, *_setting_pairs(tree, design, task))):
            spec = spec_in(specs[task.partition(":")[0]], settings[0])
            asked = Asked(design=design, task=task, settings=settings, spec=spec)
            if all(key in cells for key in asked.keys):
                yield asked


def _setting_pairs(tree: Tree, design: Factorial, task: str) -> Iterator[tuple[str, str]]:
    """The differences between settings that the tree (or the suite of its runs) compares within these nodes."""
    for contrast in tree.contrasts:
        settings = [cell.setting for cell in contrast.cells]
        mine = {cell.node for cell in contrast.cells} <= set(design.nodes)
        about = not contrast.tasks or any(fnmatchcase(task.partition(":")[0], one) for one in contrast.tasks)
        if contrast.kind == "within" and mine and about and len(settings) == 2 and all(settings):
            yield str(settings[0]), str(settings[1])


def _rows(tree: Tree, asked: Asked, runs: Sequence[Cells], *, alpha: float, seed: int) -> list[dict[str, Any]]:
    spec, design = asked.spec, asked.design
    parts = [runs[0][key] for key in asked.keys]
    pairs = _pairs(asked, runs[0])
    if isinstance(pairs, str):
        reason, effects, means, marked = pairs, _estimated(asked, None, alpha, seed), [math.nan] * 4, list[str]()
    else:
        effects = _estimated(asked, pairs, alpha, seed)
        means = asked.scores(pairs).mean(axis=0).tolist() if len(pairs.items) else [math.nan] * 4
        reason = unreadable(parts, effects.interaction.n, effects.interaction.n_clusters, spec)
        marked = _of_answers(asked, runs[0], alpha) + marks([pairs], shots=False)
    by_run = [found for run in runs if (found := _scores(asked, run)) is not None]
    rows = []
    for effect in EFFECTS:
        one: PairedDifference = getattr(effects, effect)
        weights = np.array(EFFECTS[effect])
        limit = asked.span * float(weights[weights > 0].sum()) if asked.span else math.inf
        over = seed_interval([float((scores @ weights).mean()) for scores in by_run], limit=limit)
        beyond = _beyond_scale(asked, means) if effect == "interaction" else []
        confounds = dict.fromkeys([*_of_tree(tree, design, effect), *marked, *beyond])
        rows.append(
            {
                "design": ", ".join(design.nodes), "factors": " × ".join(design.factors), "task": asked.task,
                "setting": asked.setting, "capability": spec.capability, "effect": effect,
                "name": _name(design, effect), "n": one.n, "delta": one.delta, "low": one.low, "high": one.high,
                "p": math.nan if reason else one.p,  # what can't be told spends no error budget
                "low_equivalence": one.low_equivalence, "high_equivalence": one.high_equivalence, "mde": one.mde,
                **{f"score_{cell}": mean for cell, mean in zip(CELLS, means, strict=True)},
                "orientation": spec.orientation, "unit": spec.unit, "margin": spec.margin, "reason": reason,
                "seeds": max(1, over.n), "seed_low": over.low, "seed_high": over.high,
                "confounds": "; ".join(confounds),
            }
        )  # fmt: skip
    return rows


def _estimated(asked: Asked, pairs: Pairs | None, alpha: float, seed: int) -> FactorialEffects:
    scores = np.empty((0, 4)) if pairs is None else asked.scores(pairs)
    grouped = pairs is not None and pairs.clusters is not None and asked.spec.cluster_role != "none"
    return factorial(
        scores,
        clusters=pairs.clusters if pairs is not None and grouped else None,
        role=asked.spec.cluster_role if grouped else "none",
        span=asked.span,
        alpha=alpha,
        seed=seed,
    )


def _pairs(asked: Asked, cells: Cells) -> Pairs | str:
    """The items that all four nodes have, or why they can't be paired."""
    try:
        return pair([cells[key] for key in asked.keys], [setting for _, _, setting in asked.keys])
    except PairingError as error:
        return error.reason or str(error)


def _scores(asked: Asked, cells: Cells) -> np.ndarray | None:
    """(n, 4) of one training run; None where it was not asked all of it."""
    if not all(key in cells for key in asked.keys):
        return None
    pairs = _pairs(asked, cells)
    return None if isinstance(pairs, str) or not len(pairs.items) else asked.scores(pairs)


def _name(design: Factorial, effect: str) -> str:
    first, second = design.factors
    return {"first": first, "second": second, "interaction": f"{first} × {second}"}[effect]


def _of_answers(asked: Asked, cells: Cells, alpha: float) -> list[str]:
    """What the answers say besides their scores: shares of unreadable ones, and how the others were read."""
    settings = asked.spec.settings if asked.setting in asked.spec.summaries else asked.settings
    keys = [[(node, asked.task, setting) for node in asked.design.nodes] for setting in settings]
    groups = [[cells[key] for key in ends] for ends in keys if all(key in cells for key in ends)]
    found = read_otherwise(groups)
    for group in groups:
        found += of_answers(group, alpha=alpha)
    return found


def _beyond_scale(asked: Asked, means: Sequence[float]) -> list[str]:
    """Whether two effects that add up would leave the scale: then less than their sum is all that is left to find."""
    neither, first, second, _ = means
    sum_ = first + second - neither
    if asked.span is None or len(asked.settings) > 1 or -asked.spec.margin <= sum_ <= 1 + asked.spec.margin:
        return []
    return [f"the scale ends: both effects added up would make {100 * sum_:.0f} points".replace("-", "−")]


def _of_tree(tree: Tree, design: Factorial, effect: str) -> list[str]:
    """What the tree says of the pairs that an effect rests on: sizes, tokens.

    Their data are what the design is about. A factor on top of a node, without a control of its own, is further
    training as well; in the interaction that cancels.
    """
    firsts = ((design.first, design.neither), (design.both, design.second))
    seconds = ((design.second, design.neither), (design.both, design.first))
    found = []
    for child, parent in {"first": firsts, "second": seconds, "interaction": (*firsts, *seconds)}[effect]:
        cells = (Cell(node=child, weight=1.0), Cell(node=parent, weight=-1.0))
        found += of_contrast(tree, Contrast(name="", kind="sibling", cells=cells, control=True))
    child, parent = firsts[0] if effect == "first" else seconds[0]
    if effect != "interaction" and tree.stage(child).parent == parent:
        found.append(f"further training as well: {child} has no control that reads as many tokens")
    return found
