"""Unlock or inject: does the parent, asked otherwise, solve what the child newly solves?

Whatever other settings the suite asked the parent count (examples, steps, other wordings), and those that `--elicit`
added. `elicitation` says which items are new and which are controls, `stats.unlock` how the two are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capeval.attribution.elicitation import (
    GOLD,
    Groups,
    grew_from,
    groups,
    name_of,
    plain_settings,
    shows_the_way,
)
from capeval.attribution.guessing import chance_of_guessing
from capeval.attribution.pairing import Cells
from capeval.attribution.pairing import cells as cells_of
from capeval.attribution.sentences import amount, bare, interval_text
from capeval.columns import UNLOCK_COLUMNS
from capeval.core import Tree
from capeval.stats.multiplicity import benjamini_hochberg
from capeval.stats.unlock import Unlock, matched_difference, unlock_answer, unlock_difference


def unlock_table(
    tree: Tree, cells: Cells, records: pd.DataFrame, elicited: pd.DataFrame, *, alpha: float
) -> pd.DataFrame:
    """Every edge, task and plain setting whose child newly solves items and whose parent was asked otherwise.

    Args:
        tree: Its edges.
        cells: What its nodes were asked, as `pairing.cells` makes them.
        records: The same before they were collapsed: how many different answers were given, for the guessing.
        elicited: Parents' records in elicited settings, with `node` in front.
        alpha: Level of the answers.

    Returns:
        Columns of `columns.UNLOCK_COLUMNS`, in the order of the edges.
    """
    beyond = cells_of(elicited)
    everything = pd.concat([records, elicited], ignore_index=True) if len(elicited) else records
    of_task = dict(tuple(everything.groupby("task", sort=False))) if len(everything) else {}
    rows, found = [], []
    for one in groups(tree, cells):
        tries = _tries(one, cells, beyond)
        if tries is None:
            continue
        rows.append(_compare(one, tries, of_task[one.spec.name], alpha=alpha))
        found.append((one, tries))
    adjusted = _adjusted([result.p for result in rows])
    table = [
        _row(one, tries, result, p, _logprob(one, tries, cells, beyond), alpha)
        for (one, tries), result, p in zip(found, rows, adjusted, strict=True)
    ]
    return pd.DataFrame(table, columns=list(UNLOCK_COLUMNS))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tries:
    """What the parent makes of the items when it is asked otherwise."""

    settings: tuple[str, ...]
    solved: pd.Series
    """By item, whether any setting and sample is right; of the items that were asked."""


def _tries(one: Groups, cells: Cells, beyond: Cells) -> _Tries | None:
    """None where the parent was asked in no other setting, or none of the new items."""
    parent, task = one.edge.parent, one.spec.name
    own = [setting for node, name, setting in cells if (node, name) == (parent, task)]
    own = [setting for setting in own if setting in plain_settings(own) or shows_the_way(setting)]
    own = [setting for setting in own if setting not in (one.setting, one.confirming)]
    more = [s for node, name, s in beyond if (node, name) == (parent, task) and grew_from(s, one.setting)]
    more = [setting for setting in more if GOLD not in setting]
    both = one.new.union(one.control, sort=False)
    free = pd.DataFrame({setting: cells[parent, task, setting]["score"].reindex(both) for setting in own}, index=both)
    asked = pd.DataFrame({s: beyond[parent, task, s]["score"].reindex(both) for s in more}, index=both)
    # every item was asked all that the suite asks; of the elicited settings, those of its task file
    known = free.notna().all(axis=1) & (asked.notna().any(axis=1) if more else True)
    if not (own or more) or not known[one.new].any():
        return None
    solved = (pd.concat([free, asked], axis=1)[known] > 0.0).any(axis=1)
    return _Tries(settings=(*own, *more), solved=solved)


def _compare(one: Groups, tries: _Tries, given: pd.DataFrame, *, alpha: float) -> Unlock:
    new, control = (group[group.isin(tries.solved.index)] for group in (one.new, one.control))
    mine = given["setting"].isin(tries.settings) & (given["node"] == one.edge.parent)
    asked = given[mine & given["item"].isin(tries.solved.index)]
    chance = chance_of_guessing(asked, given, one.spec)
    labels = _clusters(given) if one.spec.cluster_role == "sampled" else pd.Series("", index=tries.solved.index)
    return unlock_difference(
        tries.solved[new].to_numpy(float), one.solvers[new].to_numpy(float),
        tries.solved[control].to_numpy(float), one.solvers[control].to_numpy(float),
        child_tries=one.child_tries, alpha=alpha,
        chance_new=chance[new].to_numpy(float), chance_control=chance[control].to_numpy(float),
        clusters_new=labels[new].to_numpy(object), clusters_control=labels[control].to_numpy(object),
    )  # fmt: skip


def _clusters(given: pd.DataFrame) -> pd.Series:
    return given.drop_duplicates("item").set_index("item")["cluster"]


def _logprob(one: Groups, tries: _Tries, cells: Cells, beyond: Cells) -> float:
    """How much more probable the gold is to the parent on new items than on controls; NaN where it is not known."""
    parent, task = one.edge.parent, one.spec.name
    part = cells[parent, task, one.setting]
    if "gold_logprob" not in part or part["gold_logprob"].isna().all():
        settings = {name_of(GOLD, one.setting, several=several) for several in (False, True)}
        parts = [beyond[parent, task, setting] for setting in settings if (parent, task, setting) in beyond]
        part = parts[0] if parts else part
    if "gold_logprob" not in part:
        return float("nan")
    known = part["gold_logprob"].dropna()
    new, control = (group[group.isin(known.index) & group.isin(tries.solved.index)] for group in (one.new, one.control))
    return matched_difference(
        known[new].to_numpy(float), one.solvers[new].to_numpy(float),
        known[control].to_numpy(float), one.solvers[control].to_numpy(float), child_tries=one.child_tries,
    )  # fmt: skip


def _adjusted(p: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg over the comparisons that could have said "unlocked"."""
    tested = [i for i, value in enumerate(p) if value == value]
    adjusted = [float("nan")] * len(p)
    for place, value in zip(tested, benjamini_hochberg([p[i] for i in tested]), strict=True):
        adjusted[place] = float(value)
    return adjusted


def _row(one: Groups, tries: _Tries, found: Unlock, p_adjusted: float, logprob: float, alpha: float) -> dict[str, Any]:
    answer = unlock_answer(found, p_adjusted, alpha=alpha)
    row = {
        "parent": one.edge.parent, "child": one.edge.child, "capability": one.spec.capability, "task": one.spec.name,
        "setting": one.setting, "elicited": ", ".join(tries.settings),
        **{key: getattr(found, key) for key in
           ("n_new", "n_control", "share_new", "share_control", "delta", "low", "high", "most", "p", "margin")},
        "p_adjusted": p_adjusted, "logprob": logprob, "answer": answer,
        "confounds": "; ".join(_confounds(one, tries, found)),
    }  # fmt: skip
    return row | {"sentence": _sentence(row)}


def _confounds(one: Groups, tries: _Tries, found: Unlock) -> list[str]:
    """What weakens the answer, or its reading."""
    examples = [s for s in tries.settings if "-shot" in s and shows_the_way(s) and not s.startswith("zero-shot")]
    return [
        text
        for text, holds in {
            "examples may teach the form of the answer": bool(examples),
            "new solves not confirmed by another wording": not one.confirming,
            f"left out as not confirmed: {one.unconfirmed}": one.unconfirmed > 0,
            f"left out without a control as hard: {found.unmatched}": found.unmatched > 0,
            "held against guessing alone: too few controls as hard": not found.n_control,
            "no other node says how hard an item is": not one.others,
        }.items()
        if holds
    ]


def _sentence(row: dict[str, Any]) -> str:
    """The verdict in words, with both shares and the interval of their difference."""
    who, what = f"{row['parent']} → {row['child']}", f"{row['task']} ({row['setting']})"
    verdict = str(row["answer"]).replace("cant_tell", "can't tell")
    share = f"{bare(row['share_new'], 'points', signed=False)} % of {row['n_new']} new items"
    if row["n_control"]:
        control = bare(row["share_control"], "points", signed=False)
        share += f" against {control} % of {row['n_control']} as hard"
    ends = interval_text(row["low"], row["high"], "points")
    if not row["n_control"]:
        difference = f"{ends}, margin {row['margin'] * 100:.0f}; too few items as hard to compare them with"
        return (
            f"{who}: {verdict} on {what}: asked otherwise ({row['elicited']}), the parent solves {share} beyond "
            f"guessing ({difference})."
        )
    difference = f"{amount(row['delta'], 'points')} {ends}, margin {row['margin'] * 100:.0f}"
    return (
        f"{who}: {verdict} on {what}: asked otherwise ({row['elicited']}), the parent solves {share} beyond guessing "
        f"(difference {difference})."
    )
