"""Token sequences → a trie → pieces: what is forwarded together, and what a piece continues.

>>> found = grow([[1, 2, 3, 4], [1, 2, 3, 5]], [1, 1])
>>> len(found.tokens), [tail.tolist() for tail in found.tails]
(5, [[3], [4]])

Nothing here knows a model: integers in, integers out. `README.md` beside this file has the drawing.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
NO_TRUNK = -1

FLAT = 256
"""A subtree of at most so many tokens is forwarded as one piece: its square of scores costs next to nothing."""
_WASTE = 4
"""A larger one is, while its square holds at most so many times the scores that are needed (a plain chain: twice)."""
_REPEATED = 0.02
"""Shared tokens are repeated in the pieces below instead of getting keys of their own, up to this share of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """The distinct tokens of some sequences, each after its parent (depth first)."""

    tokens: Ints
    depths: Ints
    """How many tokens stand before each: its position for the model."""
    exits: Ints
    """Where the subtree of each ends. Token j is read by token i if and only if j <= i < exits[j]."""
    tails: list[Ints]
    """For every sequence the places of its last tokens, as many as were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Tokens that are forwarded together, in depth-first order; they read one another and what they continue."""

    places: Ints
    """In the forest."""
    tokens: Ints
    depths: Ints
    """As in the forest."""
    exits: Ints
    """As `Forest.exits`, within this piece."""
    continues: int = NO_TRUNK
    """Trunk whose keys they read as well."""
    makes: int = NO_TRUNK
    """Trunk that their keys are kept as; such a piece is a chain."""

    @property
    def is_chain(self) -> bool:
        """Whether each token follows the one before it."""
        return bool((self.exits == len(self.exits)).all())

    def __len__(self) -> int:
        return len(self.places)


def grow(sequences: Sequence[Sequence[int]], tails: Sequence[int]) -> Forest:
    """The trie of some sequences.

    Args:
        sequences: Token ids, each sequence not empty; equal ones are fine.
        tails: For each, how many of its last places are wanted.
    """
    rows = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
    keys = [row.astype(">u4").tobytes() for row in rows]
    size = sum(map(len, rows))
    tokens, depths, exits = (np.zeros(size, dtype=np.int32) for _ in range(3))
    path = np.zeros(max(map(len, rows), default=0), dtype=np.int32)
    found: list[Ints] = [path] * len(rows)
    before = np.zeros(0, dtype=np.int32)
    n = 0
    for number in sorted(range(len(rows)), key=keys.__getitem__):
        row = rows[number]
        shared = _common(before, row)
        exits[path[shared : len(before)]] = n
        grown = len(row) - shared
        if grown:
            path[shared : len(row)] = np.arange(n, n + grown)
            tokens[n : n + grown] = row[shared:]
            depths[n : n + grown] = np.arange(shared, len(row))
            n += grown
            before = row
        # in lexicographic order a prefix comes before what continues it, so `before` never shrinks to this row
        found[number] = path[len(row) - tails[number] : len(row)].copy()
    exits[path[: len(before)]] = n
    return Forest(tokens=tokens[:n], depths=depths[:n], exits=exits[:n], tails=found)


def cut(forest: Forest, flat: int = FLAT, most: int = sys.maxsize) -> list[Piece]:
    """Pieces that hold every token of a forest, and each trunk before what continues it.

    Few tokens are in more than one piece (`_REPEATED`).

    Args:
        forest: What `grow` gave.
        flat: Tokens that a subtree may always have to be one piece; 0: whatever branches begins with a trunk.
        most: Tokens of a pass; a larger subtree is no piece, however compact. (A chain is: nothing can be put off.)
    """
    pieces: list[Piece] = []
    trunks = 0
    sums = np.concatenate([[0], np.cumsum(forest.depths, dtype=np.int64)])
    nothing = np.zeros(0, dtype=np.int32)
    todo = [(0, len(forest.tokens), NO_TRUNK, nothing)]
    while todo:
        start, end, trunk, carried = todo.pop()
        below = []
        for child in children(forest, start, end):
            stop = int(forest.exits[child])
            chain = _chain(forest, child)
            small = flat and len(carried) + stop - child <= most
            if chain == stop or (small and _is_compact(forest, sums, child, len(carried), flat)):
                pieces.append(_piece(forest, carried, child, stop, trunk))
                continue
            shared = np.concatenate([carried, np.arange(child, chain, dtype=np.int32)])
            branches = sum(1 for _ in children(forest, chain, stop))
            if len(shared) * branches <= _REPEATED * (stop - chain):
                below.append((chain, stop, trunk, shared))
                continue
            pieces.append(_straight(forest, shared, trunk, trunks))
            below.append((chain, stop, trunks, nothing))
            trunks += 1
        todo += reversed(below)
    return pieces


class Share(NamedTuple):
    """When answers that grow side by side get a trunk: every one costs an extra product at each step."""

    least: int = 32
    """Tokens that it must have at least."""
    together: int = 4
    """Sequences behind it, at least …"""
    saved: int = 1024
    """… or fewer, when so many tokens need not be read again."""

    def worth(self, tokens: int, sequences: int) -> bool:
        """Whether a trunk pays."""
        enough = sequences >= self.together or (sequences - 1) * tokens >= self.saved
        return tokens >= self.least and enough


def chains(forest: Forest, share: Share) -> list[Piece]:
    """As `cut`, with a piece of its own for every distinct sequence of the forest: answers grow on each.

    Of a sequence that is there several times (samples of one prompt) all but the last token is a trunk, unless most of
    it is shared with others already.

    Args:
        forest: What `grow` gave for tails of 1.
        share: When a trunk pays.

    Returns:
        Pieces, each after the trunk that it needs; the last of a sequence's piece's `places` is its tail's.
    """
    leaves = np.zeros(len(forest.tokens) + 1, dtype=np.int64)
    for tail in forest.tails:
        leaves[tail[0] + 1] += 1
    leaves = np.cumsum(leaves)
    ends = Counter(int(tail[0]) for tail in forest.tails)
    pieces: list[Piece] = []
    trunks = 0
    nothing = np.zeros(0, dtype=np.int32)
    todo = [(0, len(forest.tokens), NO_TRUNK, nothing)]
    while todo:
        start, end, trunk, carried = todo.pop()
        below = []
        for child in children(forest, start, end):
            stop, chain = int(forest.exits[child]), _chain(forest, child, ends)
            shared, under = np.concatenate([carried, np.arange(child, chain, dtype=np.int32)]), trunk
            ending = ends[chain - 1]
            # behind a longer head it would keep that head from being read once for all prompts
            mostly_own = 2 * len(shared) > forest.depths[chain - 1]
            if mostly_own and share.worth(len(shared) - 1, ending):
                pieces.append(_straight(forest, shared[:-1], trunk, trunks))
                shared, under, trunks = shared[-1:], trunks, trunks + 1
            if ending:
                pieces.append(_straight(forest, shared, under))
            if chain == stop:
                continue
            if share.worth(len(shared), int(leaves[stop] - leaves[child]) - ending):
                pieces.append(_straight(forest, shared, under, trunks))
                below.append((chain, stop, trunks, nothing))
                trunks += 1
            else:
                below.append((chain, stop, under, shared))
        todo += reversed(below)
    return pieces


def children(forest: Forest, start: int, end: int) -> Iterator[int]:
    """Where the subtrees begin that stand side by side from `start` to `end`."""
    while start < end:
        yield start
        start = int(forest.exits[start])


def _straight(forest: Forest, places: Ints, trunk: int, makes: int = NO_TRUNK) -> Piece:
    """Tokens that follow one another."""
    exits = np.full(len(places), len(places), dtype=np.int32)
    tokens, depths = forest.tokens[places], forest.depths[places]
    return Piece(places=places, tokens=tokens, depths=depths, exits=exits, continues=trunk, makes=makes)


def _common(a: Ints, b: Ints) -> int:
    """Tokens that two rows begin with alike."""
    n = min(len(a), len(b))
    differ = a[:n] != b[:n]
    return int(differ.argmax()) if differ.any() else n


def _chain(forest: Forest, start: int, ends: Container[int] = ()) -> int:
    """Where the tokens end that follow one another from `start` without a branch (or one that `ends`)."""
    stop = int(forest.exits[start])
    differ = forest.exits[start:stop] != stop
    chain = start + int(differ.argmax()) if differ.any() else stop
    return next((place + 1 for place in range(start, chain) if place in ends), chain) if ends else chain


def _is_compact(forest: Forest, sums: NDArray[np.int64], start: int, carried: int, flat: int) -> bool:
    stop = int(forest.exits[start])
    width = carried + stop - start
    if width <= flat:
        return True
    # scores that are needed: for every token as many as stand before it in the piece, and its own
    needed = int(sums[stop] - sums[start]) - (stop - start) * (int(forest.depths[start]) - carried - 1)
    return width * width <= _WASTE * (needed + carried * (carried + 1) // 2)


def _piece(forest: Forest, carried: Ints, start: int, stop: int, trunk: int) -> Piece:
    """A whole subtree, behind tokens that it shares with others."""
    places = np.concatenate([carried, np.arange(start, stop, dtype=np.int32)])
    before = np.full(len(carried), len(places), dtype=np.int32)
    exits = np.concatenate([before, forest.exits[start:stop] - start + len(carried)])
    tokens, depths = forest.tokens[places], forest.depths[places]
    return Piece(places=places, tokens=tokens, depths=depths, exits=exits, continues=trunk)
