"""Symbolic tasks in the manner of BIG-Bench Hard: boolean, shuffled objects, counting, navigate, dyck; arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from capeval.lab.draw import Draw
from capeval.lab.words import ANIMALS, COLORS, FOODS, PEOPLE, digits

_KINDS = {"animals": ANIMALS, "foods": FOODS, "colors": COLORS}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzle:
    """A question with its answer, and the steps that lead to it where there are any."""

    question: str
    answer: str
    chain: str = ""
    code: str = ""
    """The same as a program."""


def boolean(draw: Draw) -> Puzzle:
    """`true and false or true ?`, read from left to right."""

    def make() -> tuple[str, list[str], bool]:
        value = draw.chance(0.5)
        words, chain = [str(value).lower()], []
        for _ in range(draw.rng.randint(2, 5)):
            operator, operand = draw.rng.choice(["and", "or"]), draw.chance(0.5)
            after = (value and operand) if operator == "and" else (value or operand)
            chain.append(f"{value} {operator} {operand} = {after} .".lower())
            words += [operator, str(operand).lower()]
            value = after
        return " ".join(words), chain, value

    text, chain, value = draw.fresh(make, lambda made: made[0])
    return Puzzle(
        question=f"{text} ?", answer=str(value).lower(), chain=" ".join(chain), code=f"x = {text}\nprint ( x )"
    )


def shuffled(draw: Draw) -> Puzzle:
    """Three people swap what they have."""

    def make() -> tuple[list[str], list[str], list[tuple[str, str]], str]:
        people, colors = draw.rng.sample(PEOPLE, 3), draw.rng.sample(COLORS, 3)
        swaps = []
        for _ in range(draw.rng.randint(1, 3)):
            a, b = draw.rng.sample(people, 2)
            swaps.append((a, b))
        return people, colors, swaps, draw.rng.choice(people)

    people, colors, swaps, asked = draw.fresh(make, lambda made: made)
    has = dict(zip(people, colors, strict=True))
    told = [f"{p} has {has[p]} ." for p in people]
    chain, code = [], [f"{' , '.join(people)} = {' , '.join(colors)}"]
    for a, b in swaps:
        has[a], has[b] = has[b], has[a]
        told.append(f"{a} and {b} swap .")
        code.append(f"{a} , {b} = {b} , {a}")
        chain.append(" , ".join(f"{p} {has[p]}" for p in people) + " .")
    return Puzzle(
        question=" ".join([*told, f"what does {asked} have ?"]),
        answer=has[asked],
        chain=" ".join(chain),
        code="\n".join([*code, f"print ( {asked} )"]),
    )


def counting(draw: Draw) -> Puzzle:
    """How many words of one kind stand in a row of two kinds."""
    kind, other = draw.rng.sample(list(_KINDS), 2)
    words = draw.words([_KINDS[kind], _KINDS[other]], draw.rng.randint(3, 6))
    count, chain = 0, []
    for word in words:
        count += word in _KINDS[kind]
        chain.append(f"{word} {count} .")
    row = " ".join(words)
    return Puzzle(
        question=f"{row} . how many {kind} ?",
        answer=digits(count),
        chain=" ".join(chain),
        code=f"n = 0\nfor x in [ {row} ] :\nif x in {kind} : n = n + 1\nprint ( n )",
    )


def navigate(draw: Draw) -> Puzzle:
    """Up and down between 0 and 9."""

    def make() -> list[int]:
        places = [draw.rng.randint(1, 9)]
        for _ in range(draw.rng.randint(1, 4)):
            places.append(draw.rng.choice([p for p in range(10) if p != places[-1]]))
        return places

    def moves_of(places: list[int]) -> list[int]:
        return [after - before for before, after in pairwise(places)]

    # the same content as a word problem's: a program may come from either
    places = draw.fresh(make, lambda made: (made[0], tuple(("+" if m > 0 else "-", abs(m)) for m in moves_of(made))))
    moves = moves_of(places)
    told = [f"start at {places[0]} ."] + [f"go {'up' if m > 0 else 'down'} {abs(m)} ." for m in moves]
    chain = [
        f"{before} {'+' if m > 0 else '-'} {abs(m)} = {before + m} ." for before, m in zip(places, moves, strict=False)
    ]
    code = [f"x = {places[0]}"] + [f"x = x {'+' if m > 0 else '-'} {abs(m)}" for m in moves]
    return Puzzle(
        question=" ".join([*told, "where are you ?"]),
        answer=str(places[-1]),
        chain=" ".join(chain),
        code="\n".join([*code, "print ( x )"]),
    )


def dyck(draw: Draw) -> Puzzle:
    """Which brackets close what is open."""

    def make() -> tuple[list[str], list[str]]:
        row: list[str] = []
        opened: list[str] = []
        for _ in range(draw.rng.randint(3, 7)):
            if opened and draw.chance(0.4):
                row.append(_CLOSING[opened.pop()])
            else:
                opened.append(draw.rng.choice("([{"))
                row.append(opened[-1])
        if not opened:
            opened.append(draw.rng.choice("([{"))
            row.append(opened[-1])
        return row, opened

    row, opened = draw.fresh(make, lambda made: made[0])
    return Puzzle(question=f"close {' '.join(row)} ?", answer=" ".join(_CLOSING[b] for b in reversed(opened)))


TASKS: dict[str, Callable[[Draw], Puzzle]] = {
    "boolean": boolean, "shuffled": shuffled, "counting": counting, "navigate": navigate, "dyck": dyck,
}  # fmt: skip


def addition(draw: Draw) -> tuple[str, str]:
    """Two numbers of two or three digits: (`3 4 + 5 2 =`, `8 6`)."""

    def make() -> tuple[int, int]:
        top = 99 if draw.chance(0.7) else 499
        return draw.rng.randint(10, top), draw.rng.randint(10, top)

    a, b = draw.fresh(make, lambda made: made)
    return f"{digits(a)} + {digits(b)} =", digits(a + b)


def addition_document(draw: Draw) -> str:
    """A page of sums."""
    return "\n".join(" ".join(addition(draw)) for _ in range(draw.rng.randint(4, 10)))
