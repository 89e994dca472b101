"""Which of a child's answers are chains of thought that its parent may read, and what their answers are held against.

`python -c "from capeval.attribution.readings import readings; help(readings)"`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd

from capeval.attribution.elicitation import STEPWISE
from capeval.chains import Chain, cut_chain
from capeval.store.runs import Run

CHAINS = 100
"""Of each task, setting and group of items, at most. Items are named by digests: the first are a random choice."""
DECOYS = 3
"""Answers to other items that an answer is held against."""

Key = tuple[str, str, str]
"""task, setting, item"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One chain that is to be read."""

    key: Key
    about: Mapping[str, Any]
    """What is known before: `columns.READ_COLUMNS` up to `restated`."""
    chain: Chain
    presentations: tuple[str, str]
    """Of the child's prompt and of the parent's."""
    digests: tuple[str, str]
    """Of the two prompts."""
    own: str
    """The parent's answer; '' where it has none, or the child's."""
    decoys: tuple[str, ...]

    @property
    def places(self) -> list[int]:
        """After how many steps answers are compared: none, all that do not state it, all."""
        if not self.chain.answer:
            return []
        unstated = self.chain.stated.index(True) - 1 if True in self.chain.stated else len(self.chain.steps)
        return sorted({0, unstated, len(self.chain.steps)})


def readings(child: Run, parent: Run, *, settings: Collection[str] = STEPWISE, most: int = CHAINS) -> list[Reading]:
    """The chains worth reading, by task, setting and group of items; nothing is asked, no weights are needed."""
    exact = {task.name for task in child.tasks if task.binary and task.orientation == "higher"}
    keys = ["task", "setting", "item"]
    parts = [run.records[(run.records["sample"] == 0) & run.records["task"].isin(exact)] for run in (child, parent)]
    mine = parts[0][parts[0]["setting"].isin(settings) & (parts[0]["finish"] != "")]
    both = mine.merge(parts[1], on=keys, suffixes=("", "_parent"), validate="one_to_one")
    both = both[both["score"].isin((0.0, 1.0)) & both["score_parent"].isin((0.0, 1.0))]
    found: list[Reading] = []
    for _, part in both.groupby(["task", "setting"], sort=False):
        pool = _answers(part)
        for _, group in part.groupby(["score", "score_parent"], sort=True):
            rows = group.sort_values("item", kind="stable").to_dict("records")
            chains = [(row, chain) for row in rows if (chain := _chain(row))]
            counts = {"answers": len(rows), "chains": len(chains)}
            found += [_reading(row, chain, pool, counts) for row, chain in chains[:most]]
    return found


def _chain(row: Mapping[Any, Any]) -> Chain | None:
    """A whole answer in steps; what was cut, refused or not understood is none."""
    return cut_chain(str(row["response"]), _text(row["extracted"])) if row["flag"] == "" else None


def _answers(part: pd.DataFrame) -> list[tuple[str, str]]:
    """The child's answers with their items, in the order of the items' digests."""
    ordered = part.sort_values("item", kind="stable")
    return [(str(i), t) for i, a in zip(ordered["item"], ordered["extracted"], strict=True) if (t := _text(a))]


def _reading(
    row: Mapping[Any, Any], chain: Chain, pool: Sequence[tuple[str, str]], counts: Mapping[str, int]
) -> Reading:
    said, own = _text(row["extracted"]), _text(row["extracted_parent"])
    right = row["score"] == row["score_parent"] == 1.0  # in other words, it is no rival
    own = "" if right or own.lower() == said.lower() else own
    decoys = tuple(islice(_others(row["item"], {said.lower(), own.lower()}, pool), DECOYS))
    often = Counter(answer.lower() for _, answer in pool)
    about = {
        "task": row["task"], "setting": row["setting"], "item": row["item"], "cluster": row["cluster"],
        "child_score": row["score"], "parent_score": row["score_parent"], **counts,
        "commonest": all(often[said.lower()] > often[answer.lower()] for answer in decoys or (own,)),
        "restated": row["presentation"] != row["presentation_parent"],
    }  # fmt: skip
    return Reading(
        key=(row["task"], row["setting"], row["item"]), about=about, chain=chain, own=own,
        presentations=(row["presentation"], row["presentation_parent"]),
        digests=(row["prompt_digest"], row["prompt_digest_parent"]),
        decoys=decoys,
    )  # fmt: skip


def _others(item: str, taken: set[str], pool: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Other answers, as the items after this one give them, in a circle."""
    start = next((place for place, (name, _) in enumerate(pool) if name == item), 0)
    for _, answer in (*pool[start + 1 :], *pool[:start]):
        if answer.lower() not in taken:
            taken.add(answer.lower())
            yield answer


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
