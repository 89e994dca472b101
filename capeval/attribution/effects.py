"""The effect ledger: every contrast × task × setting, estimated on shared items, adjusted, answered.

The rules of the three answers are in `stats.answers`: the answer follows the adjusted p, the interval shown is the
marginal one. Where the ends differ in how many answers were missing, cut or unreadable, nothing can be told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.confounds import of_answers, of_contrast, read_otherwise, unreadable
from capeval.attribution.gaps import Gap, gaps
from capeval.attribution.pairing import Cells, Pairs, estimate, marks, pair
from capeval.attribution.questions import Question, questions
from capeval.attribution.sentences import label_of, sentence
from capeval.attribution.summaries import spec_in
from capeval.columns import EFFECT_COLUMNS
from capeval.core import Contrast, TaskSpec, Tree
from capeval.errors import PairingError
from capeval.stats.answers import decide, inside_margin
from capeval.stats.multiplicity import benjamini_hochberg, levels
from capeval.stats.paired import PairedDifference, paired_difference
from capeval.stats.power import items_for_margin

ALPHA = 0.05
FAMILIES = {"within": "within", "difference": "difference"}
"""Multiplicity families; every other kind belongs to the family of the tree's task-level contrasts."""


def ledger(
    tree: Tree, cells: Cells, contrasts: Iterable[Contrast], *, alpha: float = ALPHA, seed: int = 0
) -> pd.DataFrame:
    """Estimate every contrast on every task and setting that its cells share.

    Args:
        tree: Its task specs say metric, margin, clusters; its stages say size and certainty.
        cells: As `pairing.cells` makes them.
        contrasts: Usually `tree.edges()` and `tree.contrasts`.
        alpha: Level of the three answers.
        seed: Of the cluster sign-flip test.

    Returns:
        One row per effect, columns of `columns.EFFECT_COLUMNS`; `grades.graded` fills in those about evidence.
    """
    specs = {task.name: task for task in tree.tasks}
    rows = []
    for contrast in contrasts:
        of_tree = of_contrast(tree, contrast)
        for question in questions(contrast, cells):
            spec = spec_in(specs[question.task.partition(":")[0]], question.setting)
            row = _head(tree, contrast, spec, question.task, question.setting)
            row |= _estimate(question, spec, cells, alpha=alpha, seed=seed)
            rows.append(row | {"confounds": "; ".join([*of_tree, *row["confounds"]])})
    rows += [_gap_row(gap, tree, alpha) for gap in gaps(tree, cells, tree.edges(), alpha=alpha)]
    frame = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    return _answered(frame, alpha, [row["detectable"] for row in rows])


def _estimate(question: Question, spec: TaskSpec, cells: Cells, *, alpha: float, seed: int) -> dict[str, Any]:
    """The numbers of a row; of its confounds those that the answers show."""
    contrast, weights = question.contrast, question.weights
    parts = [cells[key] for key in question.keys]
    try:
        pairs = pair(parts, question.settings, allow_different_shots=contrast.allow_different_shots)
    except PairingError as error:
        union = set().union(*(part.index for part in parts))
        empty = paired_difference(np.array([]), binary=True)
        return _numbers(empty, spec, alpha) | {"dropped": len(union), "reason": error.reason, "confounds": []}
    result = estimate(pairs, weights, spec, alpha=alpha, seed=seed)
    confounds = read_otherwise(_of_settings(question, spec, cells))
    confounds += marks([pairs], shots=contrast.allow_different_shots) + of_answers(parts, alpha=alpha)
    return _numbers(result, spec, alpha) | _completers(pairs, weights) | {
        "dropped": pairs.dropped,
        # of a difference of differences no two scores make the difference
        "parent_score": _mean_of(pairs.scores, -weights) if len(weights) == 2 else float("nan"),
        "child_score": _mean_of(pairs.scores, weights) if len(weights) == 2 else float("nan"),
        "confounds": confounds,
        "reason": unreadable(parts, result.n, result.n_clusters, spec),
    }  # fmt: skip


def _completers(pairs: Pairs, weights: np.ndarray) -> dict[str, Any]:
    """The difference on the items that every end answered readably: what the flags alone may have done."""
    d = pairs.scores[pairs.complete] @ weights
    return {"n_completers": len(d), "delta_completers": float(d.mean()) if len(d) else float("nan")}


def _head(tree: Tree, contrast: Contrast, spec: TaskSpec, task: str, setting: str) -> dict[str, Any]:
    """What a row says before anything is estimated."""
    return {
        "tree": tree.name, "contrast": contrast.name, "kind": contrast.kind,
        "parent": contrast.parent, "child": contrast.child,
        "capability": spec.capability, "task": task, "setting": setting,
        "orientation": spec.orientation, "metric": spec.metric, "unit": spec.unit, "margin": spec.margin,
        "family": FAMILIES.get(contrast.kind, "tasks"), "certainty": _certainty(tree, contrast), "reason": "",
        "noise": "",
    }  # fmt: skip


def _gap_row(gap: Gap, tree: Tree, alpha: float) -> dict[str, Any]:
    row = _head(tree, gap.contrast, gap.spec, gap.spec.name, gap.setting) | _numbers(gap.estimate, gap.spec, alpha)
    found = gap.estimate
    reasons = [unreadable(parts, found.n, found.n_clusters, gap.spec) for parts in gap.compared]
    confounds = [*gap.confounds, *([] if gap.contrast.kind == "within" else of_contrast(tree, gap.contrast))]
    confounds += read_otherwise(gap.paired)
    for parts in gap.compared:
        confounds += of_answers(parts, alpha=alpha, paired=bool(gap.paired))
    return row | {
        "dropped": gap.dropped, "parent_score": gap.reference, "child_score": gap.shifted,
        "n_completers": gap.n_completers, "delta_completers": gap.completers,
        "confounds": "; ".join(dict.fromkeys(confounds)),
        "reason": next(filter(None, reasons), ""),
    }  # fmt: skip


def _numbers(result: PairedDifference, spec: TaskSpec, alpha: float) -> dict[str, Any]:
    better, worse = result.n_positive, result.n_negative
    if spec.orientation == "lower":
        better, worse = worse, better
    return {
        "n": result.n, "gained": better, "lost": worse, "delta": result.delta, "low": result.low, "high": result.high,
        "p": result.p, "detectable": result.detectable, "se": result.se, "n_clusters": result.n_clusters,
        "low_clustered": result.low_clustered, "high_clustered": result.high_clustered, "method": result.method,
        "low_equivalence": result.low_equivalence, "high_equivalence": result.high_equivalence,
        "n_needed": items_needed(result.se, result.n, spec.margin, alpha=alpha),
    }  # fmt: skip


def items_needed(se: float, n: int, margin: float, *, alpha: float = ALPHA) -> float:
    """Items that telling ±margin would take at the variance per item that `se` on `n` implies (clusters are in `se`).

    Returns:
        The number, or NaN when `n` suffices or nothing is known of the variance.
    """
    if n < 2 or not math.isfinite(se):
        return float("nan")
    needed = items_for_margin(se**2 * n, margin, alpha=alpha, n=n)
    return float(needed) if needed > n else float("nan")


def _mean_of(scores: np.ndarray, weights: np.ndarray) -> float:
    """Mean of the cell with a positive weight."""
    positive = np.clip(weights, 0, None)
    return float((scores @ positive).mean() / positive.sum()) if len(scores) else float("nan")


def _of_settings(question: Question, spec: TaskSpec, cells: Cells) -> list[list[pd.DataFrame]]:
    """The cells that a question rests on: its own, or of a summary those of each setting."""
    settings = spec.settings if question.setting in spec.summaries else (question.setting,)
    keys = [[(node, task, setting) for node, task, _ in question.keys] for setting in settings]
    if question.setting not in spec.summaries:
        keys = [list(question.keys)]
    return [[cells[key] for key in ends] for ends in keys if all(key in cells for key in ends)]


def _certainty(tree: Tree, contrast: Contrast) -> str:
    if contrast.kind != "edge":
        return ""
    return tree.stage(contrast.child).links[0].certainty


def _answered(frame: pd.DataFrame, alpha: float, detectable: Sequence[Callable[[float], float]]) -> pd.DataFrame:
    """Adjusted p, smallest detectable effects (`detectable`: each row's, at the level it is judged at) and answers."""
    frame = frame.copy()
    judged_at = pd.Series(alpha, index=frame.index)
    # what can't be told whatever its p does not spend the family's error budget
    readable = frame["p"].astype(float).where(frame["reason"] == "")
    for family in frame["family"].unique():
        mine = frame["family"] == family
        frame.loc[mine, "p_adjusted"] = benjamini_hochberg(readable[mine].to_numpy(float))
        judged_at[mine] = levels(readable[mine].to_numpy(float), alpha)
    frame["mde"] = [of(level) for of, level in zip(detectable, judged_at.fillna(alpha), strict=True)]
    answers, labels, reasons, sentences = [], [], [], []
    for record in frame.to_dict("records"):
        row: dict[str, Any] = {str(key): value for key, value in record.items()}
        answer, reason = _answer(row, alpha)
        row |= {"answer": answer, "reason": reason}
        answers.append(answer)
        reasons.append(reason)
        labels.append(label_of(answer, str(row["orientation"])))
        sentences.append(sentence(row, alpha=alpha))
    frame["answer"], frame["label"], frame["reason"], frame["sentence"] = answers, labels, reasons, sentences
    frame["n_needed"] = frame["n_needed"].astype(float).where(frame["answer"] == "cant_tell")
    return frame


def _answer(row: Mapping[str, Any], alpha: float) -> tuple[str, str]:
    if row["reason"]:
        return "cant_tell", row["reason"]
    answer = decide(
        delta=row["delta"], p_adjusted=row["p_adjusted"], low_equivalence=row["low_equivalence"],
        high_equivalence=row["high_equivalence"], margin=row["margin"], alpha=alpha, orientation=row["orientation"],
    )  # fmt: skip
    small = inside_margin(row["low_equivalence"], row["high_equivalence"], row["margin"])
    return answer, "negligible" if answer in ("gained", "lost") and small else ""
