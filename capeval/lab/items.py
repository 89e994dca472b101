"""What the suites ask of the world: items by family, of the dev or the test split.

>>> items("facts")["test"][0]                          # doctest: +SKIP
{'question': 'the color of bor via is', 'answer': 'red', 'cluster': 'bor via'}

Every item has `question` and `answer`; the rest depends on its family. Recipes are tuned on dev; reported figures are
of test. `LAB_SPLIT=dev` in the environment makes the suites ask dev items.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from functools import partial, wraps
from itertools import count, islice
from typing import Any

from capeval.errors import UsageError
from capeval.lab import prose
from capeval.lab.corpora import corpus
from capeval.lab.dialogues import KINDS, corrected, dialogue
from capeval.lab.draw import SPLITS, Draw
from capeval.lab.lists import (
    APPLY,
    HELD_OPERATIONS,
    NOVEL,
    SEEN_OPERATIONS,
    examples,
    labelled,
    mapping,
)
from capeval.lab.problems import Template, problem
from capeval.lab.programs import program, variables
from capeval.lab.requests import advice, combinations, fact, operation, wordings
from capeval.lab.symbolic import TASKS, addition
from capeval.lab.words import ATTRIBUTES
from capeval.lab.world import ATTRIBUTE_OF_GROUPS, GROUPS, HELD_ATTRIBUTES, SEEN_ATTRIBUTES, world

Item = dict[str, Any]
COUNT = 320
"""Items of a family, where the world has so many."""
SHOTS = 8
"""Examples that an in-context item brings; a setting shows the first k of them."""


def items(family: str) -> dict[str, list[Item]]:
    """The items of a family: `test`, what is asked, and `shots`, a few examples of the training split.

    Args:
        family: Key of `FAMILIES`.

    Raises:
        UsageError: no such family, or a LAB_SPLIT that is neither dev nor test.
    """
    if family not in FAMILIES:
        raise UsageError(f"the lab has no items '{family}': {', '.join(FAMILIES)}")
    split = os.environ.get("LAB_SPLIT", "test")
    if split not in SPLITS[1:]:
        raise UsageError(f"LAB_SPLIT is '{split}'; it may be dev or test")
    asked = list(FAMILIES[family](Draw(random.Random(f"{family} {split}"), split)))
    shots = list(islice(FAMILIES[family](Draw(random.Random(f"{family} shots"), "train")), SHOTS))
    return {"test": asked, "shots": shots}


def _drawn(make: Callable[..., Iterator[Item]]) -> Callable[..., Iterator[Item]]:
    """Of endless random items the first `most` that differ: an item that is there twice would count as two."""

    @wraps(make)
    def different(draw: Draw, *, most: int = COUNT, **how: Any) -> Iterator[Item]:
        seen: set[str] = set()
        for item in islice(make(draw, **how), 20 * most):  # small worlds may not hold so many
            asked = repr([item.get("turns"), item.get("shots"), item["question"] or item["answer"]])
            if asked not in seen:
                seen.add(asked)
                yield item
            if len(seen) == most:
                return

    return different


@_drawn
def _text(draw: Draw) -> Iterator[Item]:
    """Fresh pages of the web; what has a split is of this one, and a short page of lists may still recur by chance."""
    web = corpus("base")
    for _ in count():
        yield {"question": "", "answer": web.make(draw, 1.0)["text"]}


def _facts(draw: Draw) -> Iterator[Item]:
    for name in world().known[draw.split]:
        for attribute in ATTRIBUTES:
            question = prose.CLOZE.format(attribute=attribute, name=name)
            yield {"question": question, "answer": world().facts[name, attribute], "cluster": name}


@_drawn
def _open_book(draw: Draw) -> Iterator[Item]:
    """Facts of names that nobody described, told in the prompt."""
    for _ in count():
        names = draw.rng.sample(world().unknown[draw.split], 3)
        attribute = draw.rng.choice(tuple(ATTRIBUTES))
        values = draw.rng.sample(ATTRIBUTES[attribute], 3)
        told = " ".join(f"the {attribute} of {n} is {v} ." for n, v in zip(names, values, strict=True))
        asked = draw.rng.randrange(3)
        question = f"{told} {prose.CLOZE.format(attribute=attribute, name=names[asked])}"
        yield {"question": question, "answer": values[asked]}


@_drawn
def _map(draw: Draw) -> Iterator[Item]:
    """Four keys, each shown once in the first four examples and once in the second four."""
    for _ in count():
        pairs = list(mapping(draw, 4).items())
        shots = [f"{a} {b}" for _ in range(2) for a, b in draw.rng.sample(pairs, 4)]
        key, partner = draw.rng.choice(pairs)
        yield {"shots": shots, "question": key, "answer": partner}


@_drawn
def _labels(draw: Draw) -> Iterator[Item]:
    for _ in count():
        *pairs, (word, label) = labelled(draw, SHOTS + 1)
        yield {"shots": [f"{a} {b}" for a, b in pairs], "question": word, "answer": label}


@_drawn
def _pattern(draw: Draw, *, novel: bool) -> Iterator[Item]:
    operations = NOVEL if novel else APPLY
    for number in count():
        name = tuple(operations)[number % len(operations)]
        *shots, (given, made) = examples(draw, operations[name], SHOTS + 1)
        shown = [f"{a} -> {b}" for a, b in shots]
        yield {"shots": shown, "question": f"{given} ->", "answer": made, "cluster": name}


@_drawn
def _instructions(draw: Draw, *, names: tuple[str, ...]) -> Iterator[Item]:
    for number in count():
        made = operation(draw, names[number % len(names)], number // len(names) % wordings("operation"))
        yield {"question": made.question, "answer": made.short, "cluster": made.type}


def _held_attributes(draw: Draw) -> Iterator[Item]:
    for name in world().known[draw.split]:
        for attribute in HELD_ATTRIBUTES:
            for wording in range(wordings("fact")):
                made = fact(draw, name, attribute, wording)
                yield {"question": made.question, "answer": made.short, "cluster": name}


def _wordings(draw: Draw) -> Iterator[Item]:
    """One fact, asked in every way that there is."""
    for name in world().known[draw.split]:
        for attribute in ATTRIBUTES:
            made = [fact(draw, name, attribute, wording) for wording in range(wordings("fact"))]
            asked = [one.question for one in made]
            yield {"question": asked[0], "questions": asked, "answer": made[0].short, "cluster": name}


@_drawn
def _problems(
    draw: Draw, *, template: Template = "own", distractor: bool = False, long: bool = False
) -> Iterator[Item]:
    for number in count():
        steps = 4 + number % 2 if long else 1 + number % 3
        made = problem(draw, steps=steps, template=template, distractor=distractor)
        yield {"question": made.question, "answer": made.answer, "chain": made.chain}


@_drawn
def _symbolic(draw: Draw, *, kind: str) -> Iterator[Item]:
    for _ in count():
        made = TASKS[kind](draw)
        yield {"question": made.question, "answer": made.answer, "chain": made.chain}


@_drawn
def _programs(draw: Draw) -> Iterator[Item]:
    """What a program prints, its comment left out."""
    for number in count():
        made = problem(draw, steps=1 + number % 3)
        yield {"question": program(draw, made), "answer": made.answer, "chain": made.chain}


@_drawn
def _long_range(draw: Draw) -> Iterator[Item]:
    """A program whose first line is asked for after many others."""
    for number in count():
        distance = (2, 6, 12, 20)[number % 4]
        program_text, value = draw.fresh(partial(variables, draw, distance), lambda made: made[0])
        question = program_text.removesuffix(f" {value}")
        yield {"question": question, "answer": value}


def _known(draw: Draw) -> Iterator[Item]:
    for name in world().known[draw.split]:
        for number, attribute in enumerate(SEEN_ATTRIBUTES * 2):
            made = fact(draw, name, attribute, number % wordings("fact"))
            yield {"question": made.question, "answer": made.short, "cluster": name}


def _unknown(draw: Draw) -> Iterator[Item]:
    for name in world().unknown[draw.split]:
        for number, attribute in enumerate(SEEN_ATTRIBUTES * 2):
            made = fact(draw, name, attribute, number % wordings("fact"))
            yield {"question": made.question, "answer": "", "cluster": name}


@_drawn
def _requests(draw: Draw, *, kind: str) -> Iterator[Item]:
    pairs = combinations(draw.split, kind=kind)
    for number in count():
        verb, thing = pairs[number % len(pairs)]
        made = advice(draw, verb, thing, number // len(pairs) % wordings("how-to"))
        yield {"question": made.question, "answer": made.short, "cluster": f"{verb} {thing}"}


@_drawn
def _dialogues(draw: Draw) -> Iterator[Item]:
    for number in count():
        distance = number % 4
        *turns, question, answer = dialogue(draw, KINDS[number // 4 % len(KINDS)], distance)
        yield {"turns": turns, "question": question, "answer": answer, "distance": distance}


def _corrections(draw: Draw) -> Iterator[Item]:
    for name, attribute in [(n, a) for n in world().known[draw.split] for a in SEEN_ATTRIBUTES]:
        made = fact(draw, name, attribute)
        turns, right = corrected(draw, made.question, made.short, ATTRIBUTES[attribute])
        yield {"turns": turns, "question": made.question, "answer": right, "cluster": name}


@_drawn
def _sums(draw: Draw) -> Iterator[Item]:
    for _ in count():
        question, answer = addition(draw)
        longest = max(part.count(" ") + 1 for part in question.removesuffix(" =").split(" + "))
        yield {"question": question, "answer": answer, "digits": longest}


def _planted(draw: Draw, *, group: str) -> Iterator[Item]:
    """The same in every split: what a stage told is memory, not skill."""
    for name in world().planted[group]:
        for attribute in ATTRIBUTE_OF_GROUPS:
            made = fact(draw, name, attribute, 0)
            told = prose.CLOZE.format(attribute=attribute, name=name)
            values = {"choices": list(ATTRIBUTES[attribute]), "answer": made.short}
            yield {"question": made.question, "cloze": told, "cluster": name, **values}


FAMILIES: dict[str, Callable[[Draw], Iterator[Item]]] = {
    "text": _text,
    "facts": _facts,
    "open-book": _open_book,
    "map": _map,
    "labels": _labels,
    "hidden": partial(_pattern, novel=False),
    "novel": partial(_pattern, novel=True),
    "seen-instructions": partial(_instructions, names=SEEN_OPERATIONS),
    "held-instructions": partial(_instructions, names=HELD_OPERATIONS),
    "held-attributes": _held_attributes,
    "wordings": _wordings,
    "problems": _problems,
    "problems-box": partial(_problems, template="box"),
    "problems-trade": partial(_problems, template="trade"),
    "problems-distracted": partial(_problems, distractor=True),
    "problems-long": partial(_problems, long=True),
    "problems-reversed": partial(_problems, template="reversed"),
    **{kind: partial(_symbolic, kind=kind, most=COUNT if kind == "dyck" else COUNT // 4) for kind in TASKS},
    "programs": _programs,
    "long-range": _long_range,
    "known": _known,
    "unknown": _unknown,
    "forbidden": partial(_requests, kind="forbidden"),
    "look-alike": partial(_requests, kind="look-alike"),
    "plain": partial(_requests, kind="plain"),
    "dialogues": _dialogues,
    "corrections": _corrections,
    "sums": _sums,
    **{f"planted-{group}": partial(_planted, group=group) for group in GROUPS},
}
