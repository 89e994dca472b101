"""2 × 2 designs in a tree: four nodes that cross code and instructions, or what is missing for one.

A tree's file may name them (`factorials:`). Where it says nothing, the stages do: a code stage and its token-matched
control (a stage of kind continued) from one parent, and instruction tuning by one recipe on both.

    python -c "from capeval.attribution.designs import missing_cells; from capeval.zoo import load_tree; \\
        print(*missing_cells(load_tree('gpt-3.5')), sep='\\n')"
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from capeval.core import Factorial, Stage, StageKind, Tree

FACTORS = ("code", "instructions")


def designs_of(tree: Tree) -> tuple[Factorial, ...]:
    """The declared designs, then those that the stages give."""
    found = list(tree.factorials)
    declared = {frozenset(design.nodes) for design in found}
    for code in _of_kind(tree, "code"):
        for control in _controls(tree, code):
            for plain, both in _same_tuning(tree, control, code):
                nodes = (control.name, code.name, plain.name, both.name)
                if frozenset(nodes) not in declared:
                    found.append(_design(nodes))
    if len({design.name for design in found}) < len(found):  # several from the stages: their nodes tell them apart
        found = [d if d in tree.factorials else _design(d.nodes, f" ({d.both})") for d in found]
    return tuple(found)


def missing_cells(tree: Tree) -> list[str]:
    """Which branches a 2 × 2 of code and instructions still takes, a sentence for every code stage that begins one.

    Empty where the tree holds one.
    """
    if designs_of(tree):
        return []
    kinds = {stage.name: stage.kind for stage in tree.stages}
    codes = [stage for stage in _of_kind(tree, "code") if kinds.get(stage.parent or "") != "code"]
    return [_lacking(tree, code) for code in codes] or [_no_code(tree)]


def _lacking(tree: Tree, code: Stage) -> str:
    """What a code stage lacks to be one corner of a design."""
    if code.parent is None:
        return f"{code.name}: its parent is not known, so no control of it can start there"
    controls, tuned = _controls(tree, code), _children(tree, code, "sft")
    missing = []
    if not controls:
        missing.append(f"a control (continued from {code.parent}, as many tokens of something else)")
    if not tuned:
        missing.append(f"instruction tuning on {code.name}")
    recipe = f"the recipe of {' or '.join(stage.name for stage in tuned)}" if tuned else "the same recipe"
    where = " or ".join(stage.name for stage in controls) or "that control"
    return f"{code.name}: missing {', '.join([*missing, f'instruction tuning on {where} by {recipe}'])}"


def _no_code(tree: Tree) -> str:
    tuned = _of_kind(tree, "sft")
    start = " or ".join(dict.fromkeys(stage.parent for stage in tuned if stage.parent)) or "a base"
    have = f" ({', '.join(stage.name for stage in tuned)} tune a base without code)" if tuned else ""
    return (
        f"no stage is of kind code{have}: missing, from {start}, a code stage, its control (continued, as many tokens "
        "of "
        "something else), and instruction tuning by one recipe on both"
    )


def _design(nodes: Sequence[str], more: str = "") -> Factorial:
    neither, first, second, both = nodes
    return Factorial(
        name=f"{FACTORS[0]} × {FACTORS[1]}{more}",
        factors=FACTORS,
        neither=neither,
        first=first,
        second=second,
        both=both,
    )


def _controls(tree: Tree, code: Stage) -> list[Stage]:
    """Siblings that read something else."""
    return [stage for stage in _of_kind(tree, "continued") if code.parent and stage.parent == code.parent]


def _same_tuning(tree: Tree, control: Stage, code: Stage) -> Iterator[tuple[Stage, Stage]]:
    """(on the control, on code) tuned by one recipe; where no recipes are known, the only two there are."""
    plain, both = _children(tree, control, "sft"), _children(tree, code, "sft")
    unknown = not any(stage.recipe for stage in (*plain, *both))
    for one in plain:
        for other in both:
            alone = unknown and len(plain) == len(both) == 1
            if alone or (one.recipe and _recipe(one) == _recipe(other) and one.tags == other.tags):
                yield one, other


def _recipe(stage: Stage) -> dict[str, Any]:
    """What was done, whatever the seed."""
    return {key: value for key, value in stage.recipe.items() if key != "seed"}


def _of_kind(tree: Tree, kind: StageKind) -> list[Stage]:
    return [stage for stage in tree.stages if stage.kind == kind]


def _children(tree: Tree, parent: Stage, kind: StageKind) -> list[Stage]:
    return [stage for stage in _of_kind(tree, kind) if stage.parent == parent.name]
