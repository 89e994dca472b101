"""Random draws that keep training, dev and test apart.

What an item asks about decides which split it belongs to: a hash of its content for most families, a fixed partition
for lists of letters and for names. A generator that is told its split draws again until the content belongs there, so
the three never share an item, and a run of four content words belongs to one split only.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

from capeval.lab.words import LETTERS

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
_TRAIN, _DEV = 70, 85
"""Of a hundred: below the first is training, below the second dev, the rest test."""
_WINDOW = 4
T = TypeVar("T")


def split_of(content: object) -> Split:
    """The split that a piece of content belongs to, the same in every process."""
    place = zlib.crc32(repr(content).encode()) % 100
    return "train" if place < _TRAIN else "dev" if place < _DEV else "test"


def _shape(letters: frozenset[str]) -> tuple[int, ...]:
    """A set of letters up to rotation of the alphabet's circle: operations on a list never leave its shape."""
    places = [LETTERS.index(letter) for letter in letters]
    return min(tuple(sorted((p - shift) % len(LETTERS) for p in places)) for shift in range(len(LETTERS)))


def _shapes() -> dict[tuple[int, ...], Split]:
    """Three shapes of three letters and seven of four each for dev and test; the others are training's."""
    found: dict[tuple[int, ...], Split] = {}
    for size, held in ((3, 3), (4, 7)):
        shapes = sorted({_shape(frozenset(letters)) for letters in combinations(LETTERS, size)})
        random.Random(f"shapes {size}").shuffle(shapes)
        for number, shape in enumerate(shapes):
            found[shape] = "test" if number < held else "dev" if number < 2 * held else "train"
    return found


_SHAPES = _shapes()
_LISTS: dict[tuple[Split, int], list[tuple[str, ...]]] = {}
for _size in (3, 4):
    for _letters in combinations(LETTERS, _size):
        _LISTS.setdefault((_SHAPES[_shape(frozenset(_letters))], _size), []).append(_letters)


@dataclass(frozen=True, slots=True)
class Draw:
    """A source of random numbers that knows its split."""

    rng: random.Random
    split: Split = "train"

    def letters(self) -> list[str]:
        """Three or four different letters in any order."""
        size = 3 if self.rng.random() < 0.7 else 4
        found = list(self.rng.choice(_LISTS[self.split, size]))
        self.rng.shuffle(found)
        return found

    def words(self, pools: Sequence[Sequence[str]], count: int) -> list[str]:
        """`count` words, each from one of the pools; every four in a row belong to this split."""
        while True:
            found: list[str] = []
            for _ in range(count):
                for _ in range(60):
                    word = self.rng.choice(self.rng.choice(pools))
                    if len(found) < _WINDOW - 1 or split_of((*found[1 - _WINDOW :], word)) == self.split:
                        found.append(word)
                        break
            if len(found) == count and (count >= _WINDOW or split_of(tuple(found)) == self.split):
                return found

    def fresh(self, make: Callable[[], T], content: Callable[[T], object]) -> T:
        """Draw until the content belongs to this split."""
        while True:
            made = make()
            if split_of(content(made)) == self.split:
                return made

    def chance(self, share: float) -> bool:
        """True in this share of the cases."""
        return self.rng.random() < share

    def pick(self, weights: dict[str, float]) -> str:
        """One key, by its weight."""
        return self.rng.choices(list(weights), list(weights.values()))[0]
