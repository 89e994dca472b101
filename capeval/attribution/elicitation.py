"""Which items a parent is asked again: what its child newly solves, and control items that are as hard.

>>> shows_the_way("8-shot"), shows_the_way("cot"), shows_the_way("zero-shot")
(True, True, False)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import ASK_AGAIN_COLUMNS
from capeval.core import Contrast, TaskSpec, Tree

BEYOND = "(elicited)"
"""Ends the names of settings that a suite does not have: they were asked because an edge needed them."""
GOLD = "log-probability of the gold"
"""No try: the answer is given, and how probable it is to the parent is read."""
CONTROLS = 3
"""Control items that are asked again for each new one, at most."""
FEWEST_NEW = 5
"""Fewer new items can't be told from luck, so nobody is asked again for them."""

STEPWISE = frozenset({"cot", "steps", "zero-shot-cot"})
"""Settings of suites that ask for steps."""

_PLAIN = re.compile(r"0-shot|zero-shot|direct|asked|cloze|document|output|wording-\d+|qa|instruction|qa\+instruction")
_SHOWS = re.compile(r"[1-9]\d*-shot|few-shot(-.*)?|zero-shot-.+|cot|steps|.* \(elicited\)")


def shows_the_way(setting: str) -> bool:
    """Whether a setting shows examples or asks for steps, rather than putting the bare question."""
    return _SHOWS.fullmatch(setting) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The new and the control items of one edge, task and setting."""

    edge: Contrast
    spec: TaskSpec
    setting: str
    confirming: str
    """Another wording, in which the child is to give the same result; '' where the task has too few."""
    new: pd.Index
    """Items that the child solves (also in the confirming wording, and in every sample) and the parent does not."""
    control: pd.Index
    """Items that neither solves."""
    solvers: pd.Series
    """By item, how many of the other nodes solve it."""
    unconfirmed: int
    """Items that the child solves in this setting and fails in the confirming one, or in a sample: it may be luck."""
    others: tuple[str, ...]
    """The nodes that say how hard an item is."""

    @property
    def child_tries(self) -> int:
        """Settings in which the child was asked."""
        return 2 if self.confirming else 1

    @property
    def score(self) -> pd.Series:
        """By item, the matching score of `stats.unlock`: everybody's solves but the parent's."""
        own = pd.Series(0.0, index=self.solvers.index)
        own[self.new] = self.child_tries
        return (self.solvers + 0.5).apply(np.floor) + own


def groups(tree: Tree, cells: Cells) -> Iterator[Groups]:
    """Every edge, task and plain setting whose child newly solves some items.

    Scores that are right or wrong, higher better; a plain setting puts the bare question. Edges to another base model
    are left out: pretraining has no parent to bring anything out of.
    """
    specs = {task.name: task for task in tree.tasks if task.binary and task.orientation == "higher"}
    kinds = {stage.name: stage.kind for stage in tree.stages}
    asked: dict[str, list[str]] = {}
    for _, task, setting in cells:
        if task in specs and setting not in specs[task].summaries and setting not in asked.setdefault(task, []):
            asked[task].append(setting)
    for edge in tree.edges():
        for task, settings in asked.items() if kinds[edge.child] != "base" else ():
            plain = plain_settings(settings)
            for setting in plain:
                found = _groups(tree, cells, edge, specs[task], setting, plain)
                if found is not None and len(found.new) >= FEWEST_NEW:
                    yield found


def plain_settings(settings: Sequence[str]) -> list[str]:
    """The settings that put the bare question; a task's only one does unless it shows the way."""
    if len(settings) == 1:
        return [s for s in settings if not shows_the_way(s)]
    return [s for s in settings if _PLAIN.fullmatch(s)]


def name_of(how: str, setting: str, *, several: bool) -> str:
    """The name of an elicited setting; it says which plain setting it grew from where the task has several.

    >>> name_of("8-shot", "asked", several=False), name_of("8-shot", "wording-2", several=True)
    ('8-shot (elicited)', 'wording-2, 8-shot (elicited)')
    """
    return f"{setting}, {how} {BEYOND}" if several else f"{how} {BEYOND}"


def grew_from(elicited: str, setting: str) -> bool:
    """Whether an elicited setting is this plain setting, asked otherwise."""
    before, comma, _ = elicited.rpartition(", ")
    return not comma or before == setting


def ask_again(tree: Tree, cells: Cells, *, controls: int = CONTROLS) -> pd.DataFrame:
    """The items that elicited settings are needed for.

    Of control items only those that are as hard as a new one, and at most `controls` of them for each new one. Items
    are named by digests, so the first in their order are a random choice.

    Returns:
        Columns of `columns.ASK_AGAIN_COLUMNS`.
    """
    rows = []
    for one in groups(tree, cells):
        score = one.score
        hard = score[one.control]
        wanted = list(one.new)
        for value, count in score[one.new].value_counts().items():
            wanted += sorted(hard.index[hard == value])[: controls * count]
        rows += [(one.edge.parent, one.spec.name, one.setting, item) for item in wanted]
    return pd.DataFrame(rows, columns=list(ASK_AGAIN_COLUMNS)).drop_duplicates(ignore_index=True)


def _groups(
    tree: Tree, cells: Cells, edge: Contrast, spec: TaskSpec, setting: str, plain: Sequence[str]
) -> Groups | None:
    confirming = _confirming(setting, plain)
    keys = [(edge.parent, setting), (edge.child, setting), *([(edge.child, confirming)] if confirming else [])]
    found = [cells.get((node, spec.name, one)) for node, one in keys]
    parts = [part["score"] for part in found if part is not None]
    if len(parts) < len(keys):
        return None
    scores = pd.concat(parts, axis=1, join="inner").dropna()
    parent, child = scores.iloc[:, 0], scores.iloc[:, 1:]
    new = scores.index[(parent == 0.0) & (child == 1.0).all(axis=1)]
    control = scores.index[(parent == 0.0) & (child == 0.0).all(axis=1)]
    solved = scores.index[(parent == 0.0) & (child.iloc[:, 0] > 0.0)]
    both = new.union(control, sort=False)
    others = {
        node: part["score"].reindex(both)
        for node in _witnesses(tree, edge)
        if (part := cells.get((node, spec.name, setting))) is not None and part["score"].reindex(both).notna().all()
    }
    solvers = sum(others.values(), pd.Series(0.0, index=both))
    return Groups(
        edge=edge, spec=spec, setting=setting, confirming=confirming, new=new, control=control, solvers=solvers,
        unconfirmed=len(solved) - len(new), others=tuple(others),
    )  # fmt: skip


def _confirming(setting: str, plain: Sequence[str]) -> str:
    """The next wording, where there are three: it confirms the child's solve, and the rest are tries of the parent.

    A wording does one or the other: weights that are hardly changed say in the same wording what they said before.
    """
    return plain[(plain.index(setting) + 1) % len(plain)] if len(plain) > 2 else ""


def _witnesses(tree: Tree, edge: Contrast) -> list[str]:
    """Nodes that say how hard an item is, apart from what the stage did.

    Neither end, and no node that went through a stage of the child's kind which the parent did not go through: two
    tunings on the same instructions teach the same items, so that the one would say of what the other put in that it
    is easy.
    """
    kind = tree.stage(edge.child).kind
    before = {edge.parent, *_ancestors(tree, edge.parent)}
    found = []
    for stage in tree.stages:
        line = {stage.name, *_ancestors(tree, stage.name)}
        treated = {name for name in line - before if tree.stage(name).kind == kind}
        if stage.name not in (edge.parent, edge.child) and edge.child not in line and not treated:
            found.append(stage.name)
    return found


def _ancestors(tree: Tree, name: str) -> list[str]:
    parents = {stage.name: stage.parent for stage in tree.stages}
    found: list[str] = []
    while (parent := parents.get(name)) is not None and parent not in found:
        found.append(parent)
        name = parent
    return found
