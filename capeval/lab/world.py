"""The world's facts: which names have attributes, who is told of them, and who is never told anything.

Of 1,024 names 240 are known to pretraining; 658 are described nowhere; 126 belong to planted groups, each described by
one training stage only, one by none. Names are drawn from one bag, so nothing in a name says which kind it is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from capeval.lab.draw import Split
from capeval.lab.words import ATTRIBUTES, FIRST, SECOND

Name = str
"""Two syllables with a space between them."""

GROUPS = ("base", "continued", "code", "sft", "cot", "ptx", "chat", "specialised", "nobody")
"""Planted groups, by the corpus that alone tells of them; nobody tells of the last one (the negative control)."""
GROUP_SIZE = 14
ATTRIBUTE_OF_GROUPS = ("capital", "color", "animal")
"""Attributes that planted names have."""
SEEN_ATTRIBUTES = ("capital", "color", "animal")
"""Attributes that instructions ask for in tuning; the others are held out."""
HELD_ATTRIBUTES = ("food",)
_KNOWN = {"train": 140, "dev": 24, "test": 76}
_UNKNOWN = {"train": 480, "dev": 80, "test": 98}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Names by what is known of them, and the facts."""

    known: dict[Split, tuple[Name, ...]]
    """Described in pretraining; tuning asks about those of `train` only."""
    unknown: dict[Split, tuple[Name, ...]]
    """Described nowhere; training asks about those of `train`, with "I do not know" or a guess for an answer."""
    planted: dict[str, tuple[Name, ...]]
    """Group → its names."""
    facts: dict[tuple[Name, str], str]
    """(name, attribute) → value, for known and planted names."""


@lru_cache(maxsize=1)
def world() -> World:
    """The one world; trees differ in what they are told of it."""
    rng = random.Random("the lab's world, 1")
    names = [f"{first} {second}" for first in FIRST for second in SECOND]
    rng.shuffle(names)
    taken = iter(names)

    def take(count: int) -> tuple[Name, ...]:
        return tuple(next(taken) for _ in range(count))

    known: dict[Split, tuple[Name, ...]] = {split: take(count) for split, count in _KNOWN.items()}  # type: ignore[misc]
    planted = {group: take(GROUP_SIZE) for group in GROUPS}
    unknown: dict[Split, tuple[Name, ...]] = {split: take(count) for split, count in _UNKNOWN.items()}  # type: ignore[misc]
    facts = {
        (name, attribute): rng.choice(values)
        for split in known.values()
        for name in split
        for attribute, values in ATTRIBUTES.items()
    }
    facts |= {
        (name, attribute): rng.choice(ATTRIBUTES[attribute])
        for group in planted.values()
        for name in group
        for attribute in ATTRIBUTE_OF_GROUPS
    }
    return World(known=known, unknown=unknown, planted=planted, facts=facts)
