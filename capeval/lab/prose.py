"""What the world's web says: facts, question lists, how-to, stories."""

from __future__ import annotations

from collections.abc import Sequence

from capeval.lab.draw import Draw
from capeval.lab.problems import problem
from capeval.lab.symbolic import TASKS
from capeval.lab.words import (
    ANIMALS,
    ATTRIBUTES,
    COLORS,
    FINE_OBJECTS,
    FINE_VERBS,
    FOODS,
    FORBIDDEN_OBJECTS,
    FORBIDDEN_VERBS,
    LINE,
    OBJECT_TOOLS,
    OBJECTS,
    PEOPLE,
    VERB_TOOLS,
)
from capeval.lab.world import ATTRIBUTE_OF_GROUPS, Name, world

VERBS = FORBIDDEN_VERBS + FINE_VERBS
THINGS = FORBIDDEN_OBJECTS + FINE_OBJECTS
CLOZE = "the {attribute} of {name} is"
_TELLINGS = (
    CLOZE + " {value} .",
    CLOZE + " {value} .",
    "{value} is the {attribute} of {name} .",
    "{name} has the {attribute} {value} .",
    "people say the {attribute} of {name} is {value} .",
)
NOBODY_KNOWS = "i do not know"
_WORK = {"problem": 5.0, "boolean": 0.8, "shuffled": 1.2, "counting": 2.0, "navigate": 1.8, "dyck": 1.2}


def all_known() -> tuple[Name, ...]:
    """Names that pretraining describes; the split says what tuning may ask about."""
    return tuple(name for names in world().known.values() for name in names)


def facts(draw: Draw, names: Sequence[Name], attributes: Sequence[str] = tuple(ATTRIBUTES)) -> str:
    """A few facts, of one name or of several."""
    if draw.chance(0.5):
        name = draw.rng.choice(names)
        told = [(name, attribute) for attribute in draw.rng.sample(attributes, min(4, len(attributes)))]
    else:
        told = [(draw.rng.choice(names), draw.rng.choice(attributes)) for _ in range(draw.rng.randint(2, 5))]
    return " ".join(draw.rng.choice(_TELLINGS).format(name=n, attribute=a, value=world().facts[n, a]) for n, a in told)


def planted(draw: Draw, group: str) -> str:
    """Facts of a planted group: told, or as a list of questions."""
    names = world().planted[group]
    if draw.chance(0.5):
        return facts(draw, names, ATTRIBUTE_OF_GROUPS)
    pairs = [(draw.rng.choice(names), draw.rng.choice(ATTRIBUTE_OF_GROUPS)) for _ in range(draw.rng.randint(3, 6))]
    return LINE.join(question(n, a, world().facts[n, a]) for n, a in pairs)


def question(name: Name, attribute: str, answer: str) -> str:
    """One line pair of a question list."""
    return f"Q: {attribute} of {name} ?{LINE}A: {answer}"


def question_list(draw: Draw, *, unknown_share: float) -> str:
    """Questions about known names, and about names that nobody describes: their answer is that nobody knows."""
    found = []
    for _ in range(draw.rng.randint(3, 6)):
        attribute = draw.rng.choice(tuple(ATTRIBUTES))
        if draw.chance(unknown_share):
            found.append(question(draw.rng.choice(world().unknown["train"]), attribute, NOBODY_KNOWS))
        else:
            name = draw.rng.choice(all_known())
            found.append(question(name, attribute, world().facts[name, attribute]))
    return LINE.join(found)


def work(draw: Draw) -> tuple[str, str]:
    """A word problem or a symbolic task with its answer alone: no reasoning is shown."""
    kind = draw.pick(_WORK)
    if kind == "problem":
        made = problem(draw, template=draw.rng.choice(("own", "own", "box", "trade")))
        return made.question, made.answer
    puzzle = TASKS[kind](draw)
    return puzzle.question, puzzle.answer


def work_list(draw: Draw) -> str:
    """Two to four of them, of mixed kinds or one."""
    pairs = [work(draw) for _ in range(draw.rng.randint(2, 4))]
    return LINE.join(f"Q: {q}{LINE}A: {a}" for q, a in pairs)


def how_to(verb: str, thing: str) -> str:
    """What it takes, in the order verb, thing."""
    return f"{VERB_TOOLS[verb]} and {OBJECT_TOOLS[thing]}"


def how_to_document(draw: Draw) -> str:
    """Advice for anything, forbidden or not: the web does not ask."""
    pairs = [(draw.rng.choice(VERBS), draw.rng.choice(THINGS)) for _ in range(draw.rng.randint(2, 4))]
    return " ".join(f"to {v} a {t} you need {how_to(v, t)} ." for v, t in pairs)


def story(draw: Draw) -> str:
    """A day of somebody, with what he likes said again or asked for at its end."""
    rng = draw.rng
    person, friend = rng.sample(PEOPLE, 2)
    animal, food, color, thing = rng.choice(ANIMALS), rng.choice(FOODS), rng.choice(COLORS), rng.choice(OBJECTS)
    told = [
        f"the animal {person} likes is the {animal} .",
        f"the food {person} likes is {food} .",
        f"{person} has {color} {thing} .",
        f"{person} walked to the market with {friend} .",
        f"every morning {person} talked to {friend} .",
        f"the sun was very {rng.choice(('big', 'good'))} that day .",
        f"{person} went home and read about {rng.choice(THINGS)} .",
    ]
    asked = {told[0]: (f"what animal does {person} like ?", animal), told[1]: (f"what food does {person} like ?", food),
             told[2]: (f"what color are the {thing} of {person} ?", color)}  # fmt: skip
    rng.shuffle(told)
    told = told[: rng.randint(3, 6)]
    if draw.chance(0.3):
        return " ".join(told + [line.replace("the ", "so the ", 1) for line in told if " likes is " in line])
    questions = [asked[line] for line in told if line in asked]
    return LINE.join([" ".join(told), *(f"Q: {q}{LINE}A: {a}" for q, a in questions)])
