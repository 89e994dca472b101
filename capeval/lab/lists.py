"""Operations on short lists of letters, and patterns that a prompt shows by examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from capeval.lab.draw import Draw
from capeval.lab.words import COLORS, DIGITS, LABELS, LETTERS, LINE, OPERATIONS, POOLS

Letters = list[str]


def _shifted(letters: Letters, by: int) -> Letters:
    return [LETTERS[(LETTERS.index(letter) + by) % len(LETTERS)] for letter in letters]


APPLY: dict[str, Callable[[Letters], Letters]] = {
    "reverse": lambda s: s[::-1],
    "copy": lambda s: s,
    "first": lambda s: s[:1],
    "last": lambda s: s[-1:],
    "second": lambda s: s[1:2],
    "rest": lambda s: s[1:],
    "start": lambda s: s[:-1],
    "next": lambda s: _shifted(s, 1),
    "previous": lambda s: _shifted(s, -1),
    "sort": sorted,
    "third": lambda s: s[2:3],
    "least": lambda s: [min(s)],
    "most": lambda s: [max(s)],
    "twice": lambda s: [s[0], s[0]],
    "rotate": lambda s: [*s[1:], s[0]],
    "ends": lambda s: [s[0], s[-1]],
}
HELD_OPERATIONS = ("last", "rotate", "previous", "ends")
"""Never asked for in tuning."""
SEEN_OPERATIONS = tuple(name for name in OPERATIONS if name not in HELD_OPERATIONS)
NOVEL: dict[str, Callable[[Letters], Letters]] = {
    "swap the first two": lambda s: [s[1], s[0], *s[2:]],
    "double the first": lambda s: [s[0], *s],
    "drop the second": lambda s: [s[0], *s[2:]],
    "next of the first": lambda s: _shifted(s[:1], 1),
}
"""No text of any stage shows these."""


def joined(letters: Sequence[str]) -> str:
    """A list as the world writes it."""
    return " ".join(letters)


def prose(draw: Draw) -> str:
    """The operations, told in words: `the reverse of A B C is C B A .`"""
    told = []
    for _ in range(draw.rng.randint(3, 6)):
        name, letters = draw.rng.choice(OPERATIONS), draw.letters()
        told.append(f"the {name} of {joined(letters)} is {joined(APPLY[name](letters))} .")
    return " ".join(told)


def examples(draw: Draw, operation: Callable[[Letters], Letters], count: int) -> list[tuple[str, str]]:
    """Lists with what one operation makes of them."""
    lists = [draw.letters() for _ in range(count)]
    return [(joined(letters), joined(operation(letters))) for letters in lists]


def mapping(draw: Draw, keys: int) -> dict[str, str]:
    """Words with arbitrary partners, not all the same one."""
    pools = list(POOLS.values())
    left, right = draw.rng.choice([*pools, LETTERS]), draw.rng.choice([*pools, LETTERS, DIGITS, LABELS])
    chosen = draw.rng.sample(left, keys)
    partners = [draw.rng.choice(right) for _ in chosen]
    while len(set(partners)) == 1:
        partners = [draw.rng.choice(right) for _ in chosen]
    return dict(zip(chosen, partners, strict=True))


def labelled(draw: Draw, count: int) -> list[tuple[str, str]]:
    """Words of two kinds, each kind with a label."""
    kinds = draw.rng.sample(list(POOLS.values()), 2)
    labels = draw.rng.sample(LABELS if draw.chance(0.7) else [*LABELS, *COLORS, *DIGITS], 2)
    sides = [draw.rng.randint(0, 1) for _ in range(count)]
    return [(draw.rng.choice(kinds[side]), labels[side]) for side in sides]


def lines(pairs: Sequence[tuple[str, str]], between: str = " ") -> str:
    """Pairs, one a line."""
    return LINE.join(f"{a}{between}{b}" for a, b in pairs)


def hidden_document(draw: Draw) -> str:
    """Examples of an operation that is not named."""
    name = draw.rng.choice(OPERATIONS)
    return lines(examples(draw, APPLY[name], draw.rng.randint(4, 12)), " -> ")


def map_document(draw: Draw) -> str:
    """A mapping, seen again and again."""
    pairs = list(mapping(draw, draw.rng.randint(2, 5)).items())
    return lines([draw.rng.choice(pairs) for _ in range(draw.rng.randint(8, 24))])


def label_document(draw: Draw) -> str:
    """Words with the label of their kind."""
    return lines(labelled(draw, draw.rng.randint(6, 20)))


def repeat_document(draw: Draw) -> str:
    """A row of words, said again."""
    pools = draw.rng.sample(list(POOLS.values()), 2)
    words = draw.words(pools, draw.rng.randint(4, 12))
    return " , ".join([joined(words)] * draw.rng.randint(2, 3))
