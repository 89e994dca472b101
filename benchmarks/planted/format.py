"""Changes that are no capability: the child knows what the parent knows, but its answers are read or lost otherwise.

A stage may be said to have *lost* points by its form, since an answer that can't be read is a wrong one; but never
without a mark beside it, and not at all where the ends differ by more than ten points in what was read. Measured is the
share of repetitions that claim a change and give no mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from benchmarks.planted.asked import EDGE, one_edge, records, spec, tree
from benchmarks.planted.items import Layout, answers
from benchmarks.planted.shares import Share, share
from capeval.attribution.anatomy import anatomy_table
from capeval.attribution.effects import ALPHA
from capeval.attribution.flips import flip_table
from capeval.attribution.pairing import cells

SILENT = "Changes of form, not of capability"
GAPS = (0.05, 0.09, 0.15, 0.40)
"""Share of the child's answers that change their form beyond the parent's."""
BEFORE = 0.02
"""Share of the parent's answers that have that form already."""
RIGHT = 0.25
"""Ability: six of ten answers are right."""

Form = Callable[[np.ndarray, np.ndarray, np.random.Generator], Mapping[str, object]]
"""(right answers, answers whose form changes, chance) → what the records show."""


def _flagged(flag: str) -> Form:
    def form(right: np.ndarray, changed: np.ndarray, rng: np.random.Generator) -> Mapping[str, object]:
        lenient = right if flag == "unextracted" else np.where(changed, np.nan, right)
        return {"scores": np.where(changed, 0.0, right), "flag": np.where(changed, flag, ""), "lenient": lenient}

    return form


def _rung(right: np.ndarray, changed: np.ndarray, rng: np.random.Generator) -> Mapping[str, object]:
    """Found by a more lenient rung, which takes the wrong number in half of the answers."""
    misread = changed & (rng.random(len(right)) < 0.5)
    rung = np.where(changed, "any number", "strict")
    return {"scores": np.where(misread, 0.0, right), "rung": rung, "lenient": right}


def _sentence(right: np.ndarray, changed: np.ndarray, rng: np.random.Generator) -> Mapping[str, object]:
    """Right, in a sentence that exact match doesn't take."""
    return {"scores": np.where(changed, 0.0, right), "lenient": right}


def _lost(chance: Callable[[np.ndarray], np.ndarray]) -> Form:
    """Engine errors, as often as `chance` of the right answers' vector says."""

    def form(right: np.ndarray, changed: np.ndarray, rng: np.random.Generator) -> Mapping[str, object]:
        gone = rng.random(len(right)) < changed.mean() * chance(right)
        return {"scores": np.where(gone, np.nan, right), "error": np.where(gone, "planted", "")}

    return form


IN_SENTENCES = "right, in a sentence that the metric doesn't take"
FORMS: Mapping[str, Form] = {
    "unextractable": _flagged("unextracted"),
    "cut by the length limit": _flagged("truncated"),
    "found by a more lenient rung, half of them misread": _rung,
    IN_SENTENCES: _sentence,
    "missing at random": _lost(np.ones_like),
    "missing where wrong twice as often as where right": _lost(lambda right: (2.0 - right) / (2.0 - right).mean()),
}


def form_only(name: str, n: int, reps: int) -> Iterator[Share]:
    """One form of change, at all gaps."""
    form, task = FORMS[name], spec("planted")
    for gap in (0.0, *GAPS):
        rng = np.random.default_rng([51, list(FORMS).index(name), n, round(100 * gap)])
        told = []
        for _ in range(reps):
            right = answers(np.full(2, RIGHT), None, Layout(n=n), rng)[..., 0]
            frames = [
                _records(node, form(one, rng.random(n) < changed, rng))
                for node, one, changed in zip(EDGE, right, (BEFORE, BEFORE + gap), strict=True)
            ]
            told.append(one_edge(pd.concat(frames, ignore_index=True), [task]))
        rows = pd.concat(told)
        claims = rows["answer"].isin(["gained", "lost"]).to_numpy()
        marked = (rows["confounds"] != "").to_numpy()
        scenario = f"{name}: {gap:.0%} more of n = {n:,}"
        yield share(SILENT, scenario, "gained or lost without a mark", claims & ~marked, at_most=0.05)
        yield share(SILENT, scenario, "gained or lost, marked", claims & marked)
        if name.startswith("missing"):
            covered = ((rows["low"] <= 1e-12) & (rows["high"] >= -1e-12)).to_numpy()
            least = 0.95 if name.endswith("at random") else np.nan
            yield share(SILENT, scenario, "interval holds no difference", covered, at_least=least)
        if gap > 0.10:
            yield share(SILENT, scenario, "can't tell, with the reason", (rows["reason"] != "").to_numpy())


def split_by_cause(gap: float, n: int, reps: int) -> Iterator[Share]:
    """Whether the split of a loss says *format*, where sentences hold the right answer and records say so."""
    form, planted = FORMS[IN_SENTENCES], tree({"parent": "", "child": "parent"}, [spec("planted")])
    rng, told = np.random.default_rng([52, n, round(100 * gap)]), []
    for _ in range(reps):
        right = answers(np.full(2, RIGHT), None, Layout(n=n), rng)[..., 0]
        frames = [
            _records(node, form(one, rng.random(n) < changed, rng))
            for node, one, changed in zip(EDGE, right, (BEFORE, BEFORE + gap), strict=True)
        ]
        records_of_all = pd.concat(frames, ignore_index=True)
        flips = flip_table(records_of_all, planted.edges(), planted.tasks)
        causes = anatomy_table(planted, cells(records_of_all), flips, alpha=ALPHA)
        told.append(bool((causes[causes["cause"] == "format"]["high"] < 0).any()))
    scenario = f"{IN_SENTENCES}: {gap:.0%} more of n = {n:,}"
    yield share(SILENT, scenario, "a certain loss by format is split off", told, at_least=0.95)


def _records(node: str, shown: Mapping[str, object]) -> pd.DataFrame:
    columns = dict(shown)
    return records(node, "planted", np.asarray(columns.pop("scores")), **columns)
