"""Evidence grades: how much an effect's attribution to its stage has been put to the test.

- A: what B asks; and every stage from the root on was trained with three seeds or more, the t interval over these runs
  excludes 0 on the same side, and so does that of the contrast with the stage's token-matched control.
- B: the adjusted p is at most α, on one training run or on runs that don't agree.
- C: the unadjusted p is at most α.
- D: none of these, or nothing can be told.

The size of an effect plays no part, nor does the MDE: that a small effect was found is not against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from capeval.attribution.confounds import since_fork, tokens_of
from capeval.attribution.sentences import size_text
from capeval.core import Contrast, Stage, Tree

SEEDS = 3
"""Training runs that grade A needs: with two, t with one degree of freedom says next to nothing."""
TOKEN_MATCH = 1.25
"""A control whose training tokens differ by more than this factor is not token-matched. (How many tokens PPO reads
depends on how long its answers turn out, so they can't agree exactly.)"""


def graded(effects: pd.DataFrame, tree: Tree, replicas: pd.DataFrame, *, alpha: float) -> pd.DataFrame:
    """The ledger with `grade`, and in `grade_reason` what keeps it from being A.

    Args:
        effects: The ledger with its columns about seeds (`seeds.with_seeds`).
        tree: Says what was trained, and which contrasts are with a control (`Contrast.control`).
        replicas: `columns.REPLICA_COLUMNS`; says in which runs nothing can be told.
        alpha: Level of the grades.
    """
    rows = [{str(key): value for key, value in row.items()} for row in effects.to_dict("records")]
    by_key = {(row["kind"], row["contrast"], row["task"], row["setting"]): row for row in rows}
    unread = replicas[replicas["reason"] != ""].groupby(["kind", "contrast", "task", "setting"], observed=True).size()
    unreadable = {key: int(n) for key, n in unread.items()}
    found = []
    for row in rows:
        grade, reason = _on_one_run(row, alpha)
        if grade == "B":
            reason = "; ".join([*_over_runs(row, tree, unreadable), *_against_control(row, tree, unreadable, by_key)])
            grade = "B" if reason else "A"
        found.append((grade, reason))
    grades = pd.DataFrame(found, columns=["grade", "grade_reason"], index=effects.index)
    return effects.assign(**grades)


def controls_of(tree: Tree, row: Mapping[str, Any]) -> list[Contrast]:
    """The contrasts that set a stage, or a contrast that is one itself, against as much other training.

    A stage's controls are children of its own parent.
    """
    own = [c for c in tree.contrasts if c.control and (c.kind, c.name) == (row["kind"], row["contrast"])]
    if own or row["kind"] != "edge":
        return own
    return [
        contrast
        for contrast in tree.contrasts
        if contrast.control
        and contrast.child == row["child"]
        and tree.stage(contrast.parent).parent == tree.stage(contrast.child).parent
    ]


def not_retrained(tree: Tree, nodes: Iterable[str]) -> list[str]:
    """Nodes on the way from the roots to these, reward models included, that no recipe makes: no seed changes them."""
    waiting, seen = list(nodes), dict[str, Stage]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name] = stage = tree.stage(name)
            judge = str(stage.recipe.get("reward") or "")
            known = {s.name for s in tree.stages}
            waiting += [n for n in (stage.parent, judge) if n and n in known]
    return [name for name, stage in seen.items() if not stage.recipe]


def _on_one_run(row: Mapping[str, Any], alpha: float) -> tuple[str, str]:
    if row["answer"] == "cant_tell" and row["reason"]:
        return "D", "nothing can be told"
    if row["p_adjusted"] <= alpha and row["delta"]:
        return "B", ""
    if row["p"] <= alpha and row["delta"]:
        return "C", "p above α after adjustment"
    return "D", "p above α"


def _over_runs(row: Mapping[str, Any], tree: Tree, unreadable: Mapping[Any, int]) -> list[str]:
    """What keeps an effect from having been found over training seeds."""
    seeds = int(row["seeds"])
    if seeds < SEEDS:
        return ["one training run" if seeds == 1 else f"{seeds} training runs"]
    if fixed := not_retrained(tree, (row["parent"], row["child"])):
        return [f"{fixed[-1]} was not trained again"]
    key = (row["kind"], row["contrast"], row["task"], row["setting"])
    if n := unreadable.get(key, 0):
        return [f"nothing can be told in {n} of {seeds} training runs"]
    return [] if _excludes_zero(row, row["delta"]) else ["seed interval includes 0"]


def _against_control(
    row: Mapping[str, Any], tree: Tree, unreadable: Mapping[Any, int], by_key: Mapping[Any, Mapping[str, Any]]
) -> list[str]:
    """What keeps an effect from having been told from that of as much other training."""
    if row["kind"] == "within":  # both ends are the same weights
        return []
    controls = controls_of(tree, row)
    if not controls:
        return ["no control branch"]
    found = []
    for control in controls:
        if unlike := _unmatched(tree, control):
            found.append(unlike)
        elif control.name != row["contrast"] and int(row["seeds"]) >= SEEDS:
            found += _held_up(control, row, tree, unreadable, by_key)
    return found


def _held_up(
    control: Contrast,
    row: Mapping[str, Any],
    tree: Tree,
    unreadable: Mapping[Any, int],
    by_key: Mapping[Any, Mapping[str, Any]],
) -> list[str]:
    """What keeps the contrast with the control from pointing the same way over training seeds."""
    other = by_key.get((control.kind, control.name, row["task"], row["setting"]))
    if other is None:
        return [f"{control.parent} was not asked this"]
    told = {**other, "delta": row["delta"]}  # the same side of 0 is asked for
    return [f"against {control.parent}: {reason}" for reason in _over_runs(told, tree, unreadable)]


def _unmatched(tree: Tree, control: Contrast) -> str:
    """Whether the control read another number of tokens, as far as that is known."""
    own, other = (tokens_of(stages) for stages in since_fork(tree, control.child, control.parent))
    if own is None or other is None:
        return f"nobody says how many tokens {control.parent} read"
    if max(own, other) <= TOKEN_MATCH * min(own, other):
        return ""
    return f"{control.parent} is no match in tokens ({size_text(own)} against {size_text(other)})"


def _excludes_zero(row: Mapping[str, Any], delta: float) -> bool:
    """Whether the interval over seeds lies on delta's side of 0; a missing end lies nowhere."""
    return bool(row["seed_low"] > 0) if delta > 0 else bool(row["seed_high"] < 0)
