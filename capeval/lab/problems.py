"""Word problems with one-digit values: one to five steps, four templates, distractors, reversed questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from capeval.lab.draw import Draw
from capeval.lab.words import OBJECTS, PEOPLE, digits

Template = Literal["own", "box", "trade", "reversed"]
TRAINED: Template = "own"
"""The template of specialised training and of the in-distribution suite; tuning shows `own` and `box`."""
_LARGEST = 9
_VERBS = {"+": ("gets", "finds"), "-": ("loses", "gives away")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question with its answer and the steps that lead to it."""

    question: str
    answer: str
    chain: str
    """`3 + 2 = 5 . 5 - 1 = 4 .`"""
    start: int
    operations: tuple[tuple[str, int], ...]


def problem(draw: Draw, *, steps: int = 0, template: Template = TRAINED, distractor: bool = False) -> Problem:
    """Draw a problem of this split.

    Args:
        draw: Random numbers and split.
        steps: One to five; by default one to three.
        template: How it is told.
        distractor: Whether another person's things stand in the middle of it.
    """
    return draw.fresh(
        lambda: _problem(draw, steps or draw.rng.randint(1, 3), template, distractor),
        lambda p: (p.start, p.operations),
    )


def _problem(draw: Draw, steps: int, template: Template, distractor: bool) -> Problem:
    rng = draw.rng
    start = value = rng.randint(1, _LARGEST)
    operations: list[tuple[str, int]] = []
    chain = []
    for _ in range(steps):
        down = value == _LARGEST or (value > 0 and rng.random() < 0.5)
        sign, by = ("-", rng.randint(1, value)) if down else ("+", rng.randint(1, _LARGEST - value))
        after = value - by if down else value + by
        chain.append(f"{digits(value)} {sign} {digits(by)} = {digits(after)} .")
        operations.append((sign, by))
        value = after
    person, other = rng.sample(PEOPLE, 2)
    thing, other_thing = rng.sample(OBJECTS, 2)
    told, question = _tell(draw, template, (person, other, thing), start, operations)
    if distractor:
        told.insert(rng.randint(1, len(told)), f"{other} has {digits(rng.randint(1, _LARGEST))} {other_thing} .")
    answer = value
    if template == "reversed":
        told.append(f"now {person} has {digits(value)} {thing} .")
        answer, chain = start, _backwards(value, operations)
    return Problem(
        question=" ".join([*told, question]),
        answer=digits(answer),
        chain=" ".join(chain),
        start=start,
        operations=tuple(operations),
    )


def _tell(
    draw: Draw, template: Template, who: tuple[str, str, str], start: int, operations: list[tuple[str, int]]
) -> tuple[list[str], str]:
    person, other, thing = who
    if template == "box":
        told = [f"there are {digits(start)} {thing} in the box ."]
        told += [f"{digits(by)} more are put in ." if sign == "+" else f"{digits(by)} are taken from it ."
                 for sign, by in operations]  # fmt: skip
        return told, f"how many {thing} are in the box ?"
    if template == "trade":
        told = [f"{person} starts with {digits(start)} {thing} ."]
        told += [f"then {other} sells {digits(by)} to {person} ." if sign == "+" else
                 f"then {other} buys {digits(by)} from {person} ." for sign, by in operations]  # fmt: skip
        return told, f"how many {thing} are left at the end ?"
    told = [f"{person} has {'some' if template == 'reversed' else digits(start)} {thing} ."]
    told += [f"{person} {draw.rng.choice(_VERBS[sign])} {digits(by)} ." for sign, by in operations]
    asked = "did {p} have before ?" if template == "reversed" else "does {p} have now ?"
    return told, f"how many {thing} {asked.format(p=person)}"


def _backwards(value: int, operations: list[tuple[str, int]]) -> list[str]:
    chain = []
    for sign, by in reversed(operations):
        before = value - by if sign == "+" else value + by
        chain.append(f"{digits(value)} {'-' if sign == '+' else '+'} {digits(by)} = {digits(before)} .")
        value = before
    return chain
