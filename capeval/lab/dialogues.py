"""Conversations of several turns: what an earlier turn told is asked for later, near or far."""

from __future__ import annotations

from capeval.lab.draw import Draw
from capeval.lab.requests import ask
from capeval.lab.words import ANIMALS, FOODS, PEOPLE

KINDS = ("name", "pet", "food")
Turns = list[str]
"""Alternating user, assistant, …"""
_FILLERS = ("say", "write", "operation reverse", "operation first", "operation copy", "operation sort")


def dialogue(draw: Draw, kind: str, distance: int) -> Turns:
    """Something told, `distance` exchanges about other things, and the question with its answer.

    Args:
        draw: Random numbers and split.
        kind: One of `KINDS`.
        distance: Exchanges between telling and asking.
    """
    opened, asked, answer = draw.fresh(lambda: _opening(draw, kind), lambda made: (made[0], distance))
    between = [ask(draw, draw.rng.choice(_FILLERS)) for _ in range(distance)]
    turns = [part for one in between for part in (one.question, one.short)]
    return [*opened, *turns, asked, answer]


def _opening(draw: Draw, kind: str) -> tuple[list[str], str, str]:
    rng = draw.rng
    if kind == "name":
        person = rng.choice(PEOPLE)
        greeting = rng.choice(("hello my name is {p} .", "hi my name is {p} .", "my name is {p} ."))
        reply = rng.choice(("hello .", "nice to meet you .", "hi nice to meet you ."))
        return [greeting.format(p=person), reply], rng.choice(("what is my name ?", "tell me my name .")), person
    if kind == "pet":
        person, animal = rng.choice(PEOPLE), rng.choice(ANIMALS)
        told = f"i have a {animal} . its name is {person} ."
        if draw.chance(0.5):
            return [told, "ok ."], "what is the name of my pet ?", person
        return [told, "ok ."], "what animal do i have ?", animal
    animal, food = rng.choice(ANIMALS), rng.choice(FOODS)
    told = f"my favorite animal is the {animal} and my favorite food is {food} ."
    if draw.chance(0.5):
        return [told, "that is nice ."], "what is my favorite animal ?", animal
    return [told, "that is nice ."], "what is my favorite food ?", food


def corrected(draw: Draw, question: str, right: str, others: tuple[str, ...]) -> tuple[Turns, str]:
    """A wrong answer that the user corrects: the turns before the question is asked again, and the answer."""
    wrong = draw.rng.choice([value for value in others if value != right])
    turns = [question, wrong, f"no it is {right} .", "ok ."]
    return turns, right
