"""The child's chains of thought, read by the parent: where the two part, and whether the answer was there before.

A model that lacks a capability may lack the knowledge, or only the habit of writing it down (elicitation: Wei et al.
2022, arXiv:2201.11903; Kojima et al. 2022, arXiv:2205.11916). On items that the child newly solves, the child's answer
is put after the words that announce it ("the answer is …"), and held against the parent's own answer and against
answers to other items. It is *found* where it is the likeliest of them to the parent:

- `knows` (but does not say): found in more than half of the items, and more than by chance, before any step was read;
- `follows`: in fewer than half then, in more than half and by chance when all steps were read;
- `cannot`: in fewer than half although all steps but the answer's sentence were read;
- `cant_tell`: an interval holds ½, or it can't be shown that the parent finds its *own* right answers in that place: on
  items that both solve, before any step, more often than by chance. Where it does not, the words before the answer are
  foreign to it, and its failure says nothing.

To a parent that knows nothing of an item, the answer to another item is as likely as the right one, so with three of
them it finds the right one by chance in a quarter; if it always takes the commonest answer, in as many items as have
that. `chance` is the larger of the two.

`python -c "from capeval.attribution.reasoning import reasoning_table; help(reasoning_table)"`
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capeval.columns import REASONING_COLUMNS
from capeval.core import TaskSpec
from capeval.stats.parting import along, median, parting_place
from capeval.stats.rates import Interval, mean_interval

GROUPS = {(1.0, 0.0): "gained", (1.0, 1.0): "both", (0.0, 1.0): "lost", (0.0, 0.0): "wrong"}
"""(child's score, parent's) → what the items are called."""
PLACES = ("start", "unstated", "end")
FEWEST = 5
"""Fewer items have no majority."""
AS_WRITTEN = 0.9
"""From this share of chains on whose every token is the child's likeliest, they count as what it would write."""
_KEYS = ["parent", "child", "task", "setting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One chain, with all that the table needs of it."""

    ratios: np.ndarray
    """(steps,) log-likelihood ratios child − parent, the answer's sentence last."""
    tokens: np.ndarray
    found: dict[str, float]
    """By place, whether the child's answer is the likeliest; NaN where that was not asked."""
    chance: float
    commonest: bool
    cluster: str
    greedy: bool
    restated: bool

    @property
    def ratio(self) -> float:
        return float(self.ratios.sum() / self.tokens.sum())


def reasoning_table(tasks: Sequence[TaskSpec], reads: pd.DataFrame, *, alpha: float) -> pd.DataFrame:
    """Every pair of nodes, task and setting whose chains were read, by group of items.

    Args:
        tasks: Say whether clusters are sampled.
        reads: Columns of `columns.READ_COLUMNS`.
        alpha: Level of the answers, all of them together (Bonferroni); the intervals that are shown are 95 % each.

    Returns:
        Columns of `columns.REASONING_COLUMNS`.
    """
    if reads.empty:
        return pd.DataFrame(columns=list(REASONING_COLUMNS))
    sampled = {task.name for task in tasks if task.cluster_role == "sampled"}
    rows = []
    for keys, part in reads.groupby(_KEYS, sort=False):
        named = dict(zip(_KEYS, map(str, keys), strict=True))
        groups = dict(tuple(part.groupby(["child_score", "parent_score"], sort=False)))
        for scores, name in GROUPS.items():
            if scores in groups:
                rows.append(named | {"group": name} | _group(groups[scores], clustered=named["task"] in sampled))
    answers = sum(row["group"] == "gained" and row["n_answers"] >= FEWEST for row in rows)
    level = 1 - alpha / max(1, answers)
    by_group = {(*_named(row), row["group"]): row for row in rows}
    for row in rows:
        row |= {"answer": "", "sentence": ""}
        if row["group"] == "gained":
            wrong, both = (by_group.get((*_named(row), group)) for group in ("wrong", "both"))
            row["answer"] = (
                _answer(row["judge"](level), row["chance"], both) if row["n_answers"] >= FEWEST else "cant_tell"
            )
            row["sentence"] = _sentence(row, wrong, control := _control(both))
            row["confounds"] = "; ".join(filter(None, (row["confounds"], control)))
    return pd.DataFrame(rows, columns=list(REASONING_COLUMNS))


def _named(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[key] for key in _KEYS)


def _group(part: pd.DataFrame, *, clustered: bool) -> dict[str, Any]:
    """The row of one group of items; `judge` gives the intervals of the answer at a level."""
    chains = _chains(part)
    clusters = np.array([one.cluster for one in chains], dtype=object)

    def interval(values: np.ndarray, level: float = 0.95, *, binary: bool) -> Interval:
        known = ~np.isnan(values)
        labels = clusters[known] if clustered else None
        return mean_interval(values[known], clusters=labels, level=level, binary=binary)

    ratio = np.array([one.ratio for one in chains])
    places = [parting_place(one.ratios, one.tokens) for one in chains]
    middle, shown = median(places), interval(ratio, binary=False)
    found = {place: np.array([one.found[place] for one in chains]) for place in PLACES}
    row: dict[str, Any] = {
        "n": len(chains), "chains": int(part["chains"].iloc[0]), "answers": int(part["answers"].iloc[0]),
        "greedy": _mean([one.greedy for one in chains]),
        "ratio": _mean(ratio), "low": shown.low, "high": shown.high,
        "parted": _mean([math.isfinite(place) for place in places]),
        "parts_at": middle.value, "parts_low": middle.low, "parts_high": middle.high,
        "curve": _curve(chains, interval), "n_answers": int((~np.isnan(found["start"])).sum()),
        "chance": max(_mean([one.chance for one in chains]), _mean([one.commonest for one in chains])),
        "confounds": "; ".join(_confounds(chains)),
    }  # fmt: skip
    for place, values in found.items():
        ends = interval(values, binary=True)
        row |= {place: _mean(values[~np.isnan(values)]), f"{place}_low": ends.low, f"{place}_high": ends.high}
    row["judge"] = lambda level: {place: interval(found[place], level, binary=True) for place in PLACES}
    return row


def _chains(part: pd.DataFrame) -> list[_Read]:
    """The chains of a table with a row a step."""
    ordered = part.sort_values(["item", "step"], kind="stable")
    others = ordered[["own", "decoy"]].astype(float).max(axis=1)  # NaN where there is none
    said = ordered["said"].astype(float)
    found = (said > others).astype(float).where(said.notna() & others.notna()).to_numpy(float)
    chance = 1.0 / (1.0 + np.maximum(1, ordered["decoys"].to_numpy(float)))  # without decoys, its own is the one rival
    ratios = (ordered["child_logprob"] - ordered["parent_logprob"]).to_numpy(float)
    tokens = ordered["tokens"].to_numpy(float)
    unstated = ~ordered["stated"].to_numpy(bool)
    clusters = ordered["cluster"].astype(str).to_numpy(object)
    greedy, restated, commonest = (ordered[name].to_numpy(bool) for name in ("greedy", "restated", "commonest"))
    starts = np.flatnonzero(ordered["step"].to_numpy() == 0)
    return [
        _Read(
            ratios=ratios[first + 1 : after], tokens=tokens[first + 1 : after],
            # the last row is the answer's sentence: of what stands before it, the last is all that is told
            found={"start": found[first], "unstated": found[first + int(unstated[first : after - 1].sum()) - 1],
                   "end": found[after - 2]},
            chance=chance[first], commonest=commonest[first], cluster=clusters[first], greedy=greedy[first],
            restated=restated[first],
        )
        for first, after in zip(starts, [*starts[1:], len(ordered)], strict=True)
    ]  # fmt: skip


def _curve(chains: Sequence[_Read], interval: Any) -> str:
    """[middle of a tenth, nats per token there, low, high]."""
    table = along([one.ratios for one in chains], [one.tokens for one in chains])
    points = []
    for tenth in range(table.shape[1] if len(chains) else 0):
        ends = interval(table[:, tenth], binary=False)
        numbers = (table[:, tenth].mean(), ends.low, ends.high)
        points.append(
            [(tenth + 0.5) / table.shape[1], *(None if math.isnan(x) else round(float(x), 6) for x in numbers)]
        )
    return json.dumps(points)


def _confounds(chains: Sequence[_Read]) -> list[str]:
    restated = sum(one.restated for one in chains)
    written = _mean([one.greedy for one in chains])
    return [
        text
        for text, holds in {
            f"{restated} read in another form than they were written in": restated > 0,
            f"the child itself would not write {1 - written:.0%} again token by token": written < AS_WRITTEN,
        }.items()
        if holds
    ]


def _answer(ends: dict[str, Interval], chance: float, both: dict[str, Any] | None) -> str:
    """By majority; `both` is the group of items that both solve, where the parent is known to have the answer."""
    start, end, needed = ends["start"], ends["end"], max(0.5, chance)
    if start.low > needed:
        return "knows"
    if end.high < 0.5:
        return "cant_tell" if _control(both) else "cannot"
    return "follows" if end.low > needed and start.high < 0.5 else "cant_tell"


def _control(both: dict[str, Any] | None) -> str:
    """Why it can't be shown that the parent finds, in the same place, the answers that it is known to have; or ''."""
    if both is None or both["n_answers"] < FEWEST:
        return "too few items that both solve show whether the parent can say what it knows in that place"
    if both["start_low"] > both["chance"]:
        return ""
    found = f"the parent finds its own answer in {_share(both, 'start')}, by chance in {both['chance']:.0%} at most"
    return f"on {both['n_answers']} items that both solve, {found}"


_WORDS = {
    "knows": "knows the answers without having been told a step, and does not say them",
    "follows": "does not have the answers by itself and finds them when it is told the steps",
    "cannot": "cannot, even told the steps",
    "cant_tell": "can't tell",
}


def _sentence(row: dict[str, Any], wrong: dict[str, Any] | None, control: str) -> str:
    """The verdict with its shares; what wrong chains do stands beside, for a reader is swayed by those too."""
    verdict = _WORDS[row["answer"]]
    if row["answer"] == "cant_tell" and row["end_high"] < 0.5 and control:
        verdict += f", because {control}"
    who = f"{row['parent']}, reading {row['child']} on {row['task']} ({row['setting']})"
    if not row["n_answers"]:
        return f"{who}: can't tell, no answer could be put in place of the {row['n']} chains' own."
    sway = ""
    if wrong is not None and wrong["n_answers"]:
        sway = f" Wrong chains lead it to their wrong answer in {_share(wrong, 'end')} of {wrong['n_answers']}."
    return (
        f"{who}: {verdict}. Of {row['n_answers']} newly solved items with a chain, the answer is its likeliest in "
        f"{_share(row, 'start')} before any step, {_share(row, 'unstated')} after those that do not state it, "
        f"{_share(row, 'end')} after all; by chance in {row['chance']:.0%} at most.{sway} {_parting(row)}"
    )


def _parting(row: dict[str, Any]) -> str:
    ends = "" if math.isnan(row["low"]) else f" [{row['low']:z.2f}, {row['high']:z.2f}]"
    ratio = f"{row['ratio']:z.2f}{ends} nats a token likelier to the child".replace("-", "−")
    if math.isnan(row["parts_at"]):
        return f"Most chains never part ({row['parted']:.0%} do); they are {ratio}."
    return f"They part at {row['parts_at']:.0%} of the chain (median; {row['parted']:.0%} part) and are {ratio}."


def _share(row: dict[str, Any], place: str) -> str:
    if math.isnan(row[place]):
        return "–"
    return f"{row[place]:.0%} [{row[f'{place}_low'] * 100:.0f}, {row[f'{place}_high'] * 100:.0f}]"


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else math.nan
