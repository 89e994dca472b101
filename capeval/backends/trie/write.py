"""Answers that grow side by side: shared heads read once a step, ended rows out, waiting ones in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from capeval.backends.trie.budget import Budget
from capeval.backends.trie.errors import not_finite
from capeval.backends.trie.forest import NO_TRUNK, Piece, Share, chains, grow
from capeval.backends.trie.forward import Forward
from capeval.backends.trie.keys import Slots, Trunk
from capeval.backends.trie.passes import RowsPass, StepPass
from capeval.backends.trie.pick import Style, pick
from capeval.backends.trie.stops import Stops

SHARE = Share()
_REFILL = 8
"""Waiting rows enter when 1 / so many of the places are free: prompts are read together, not one by one."""


@dataclass(slots=True, kw_only=True)
class Ask:
    """An answer that is wanted."""

    ids: list[int]
    """The prompt's tokens; at least one."""
    draws: Any = None
    """(room) numbers in [0, 1) where answers are sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How all of some answers are written."""

    style: Style
    stops: Stops
    ends: frozenset[int]
    """Tokens that end an answer; they are its last."""
    room: int
    """Tokens that an answer may have."""


@dataclass(slots=True)
class _Row:
    rank: int
    """Place in the order in which prompts are read: one trunk after another, the longest first."""
    number: int
    piece: Piece
    out: list[int] = field(default_factory=list)


def write(
    forward: Forward, asks: Sequence[Ask], manner: Manner, budget: Budget, share: Share = SHARE
) -> Iterator[list[tuple[int, list[int]]]]:
    """Continue prompts, each until a stop string, an end token or the end of its room.

    Args:
        forward: The model.
        asks: Prompts.
        manner: How.
        budget: How many rows grow side by side, and how many tokens of prompts are read at once.
        share: See `forest.chains`.

    Yields:
        (ask, tokens of its answer) of those that a step has ended.

    Raises:
        EngineError: NaN logits, or no memory for a single row.
    """
    return _Writer(forward, asks, manner, budget, share).all()


class _Writer:
    def __init__(self, forward: Forward, asks: Sequence[Ask], manner: Manner, budget: Budget, share: Share) -> None:
        self.forward, self.asks, self.manner, self.budget = forward, asks, manner, budget
        self.makers, self.queue, distinct = _plan(asks, share)
        forward.counts.distinct += distinct
        self.capacity = max((len(row.piece) for row in self.queue), default=0) + manner.room
        self.trunks: dict[int, Trunk] = {}
        self._clear()

    def all(self) -> Iterator[list[tuple[int, list[int]]]]:
        """Everything."""
        while self.queue or self.live:
            with self.budget.halved_when_full(self.slots.rows) as attempt:
                done = self._turn()
            if attempt.failed:
                # whoever was being answered begins again: nobody is lost
                self.budget.rows = max(1, self.slots.rows // 2)
                again = [_Row(row.rank, row.number, row.piece) for row in self.live]
                self.queue = deque(sorted([*again, *self.queue], key=lambda row: row.rank))
                self._clear()
            elif done:
                yield done

    def _clear(self) -> None:
        rows = max(1, min(self.budget.rows_of(self.capacity), len(self.asks)))
        self.slots = Slots(rows, self.capacity)
        self.live: list[_Row] = []
        self.lengths = np.zeros(rows, dtype=np.int64)
        self.bases = np.zeros(rows, dtype=np.int64)
        longest = max((len(ask.ids) for ask in self.asks), default=0)
        self.seen = (
            np.zeros((rows, longest + self.manner.room), dtype=np.int64) if self.manner.style.remembers else None
        )
        self.groups: list[tuple[Trunk | None, Any]] | None = None

    def _turn(self) -> list[tuple[int, list[int]]]:
        free = self.slots.rows - len(self.live)
        if self.queue and (not self.live or free * _REFILL >= self.slots.rows):
            return self._admit(free)
        return self._step()

    def _admit(self, free: int) -> list[tuple[int, list[int]]]:
        """Read the prompts of the next rows that continue one trunk, and choose their first tokens."""
        trunk_number = self.queue[0].piece.continues
        rows: list[_Row] = []
        tokens = 0
        while self.queue and len(rows) < free and self.queue[0].piece.continues == trunk_number:
            tokens += self.budget.cost(len(self.queue[0].piece), 1)
            if rows and tokens > self.budget.tokens:
                break
            rows.append(self.queue.popleft())
        try:
            trunk = self._trunk(trunk_number)
            logits = self._read(rows, trunk)
        except BaseException:
            self.queue.extendleft(reversed(rows))
            raise
        first = len(self.live)
        for place, row in enumerate(rows, start=first):
            self.lengths[place] = len(row.piece)
            self.bases[place] = trunk.length if trunk else 0
            if self.seen is not None:
                ids = self.asks[row.number].ids
                self.seen[place] = ids[0]
                self.seen[place, : len(ids)] = ids
        self.live += rows
        self.groups = None
        return self._choose(logits, first)

    def _read(self, rows: Sequence[_Row], trunk: Trunk | None) -> Any:
        pieces = [row.piece for row in rows]
        work = RowsPass(pieces, self.forward.model.device, trunk, (self.slots, len(self.live)))
        return self.forward.read(work, pieces, (np.cumsum([len(piece) for piece in pieces]) - 1).tolist())

    def _step(self) -> list[tuple[int, list[int]]]:
        import torch

        n = len(self.live)
        lengths = self.lengths[:n]
        self.groups = self._grouped() if self.groups is None else self.groups
        device = self.forward.model.device
        work = StepPass(self.slots, torch.from_numpy(lengths).to(device), int(lengths.max()), self.groups)
        last = np.asarray([row.out[-1] for row in self.live])
        logits = self.forward(work, last, self.bases[:n] + lengths, range(n))
        self.lengths[:n] += 1
        return self._choose(logits, 0)

    def _choose(self, logits: Any, first: int) -> list[tuple[int, list[int]]]:
        """The next token of the rows from `first` on; those that have ended make room."""
        rows = self.live[first:]
        steps = [len(row.out) for row in rows]
        draws = None
        if self.manner.style.sampled:
            draws = [self.asks[row.number].draws[step] for row, step in zip(rows, steps, strict=True)]
        seen = None if self.seen is None else self.seen[first : len(self.live)]
        chosen = pick(logits, self.manner.style, seen, draws).tolist()
        done, ended = [], []
        for place, (row, token) in enumerate(zip(rows, chosen, strict=True), start=first):
            if token < 0:
                raise not_finite(self.forward.name)
            row.out.append(token)
            if self.seen is not None and len(row.out) < self.manner.room:
                self.seen[place, len(self.asks[row.number].ids) + len(row.out) - 1] = token
            if token in self.manner.ends or len(row.out) == self.manner.room or self.manner.stops.complete(row.out):
                done.append((row.number, row.out))
                ended.append(place)
        for place in reversed(ended):
            self._close(place)
        return done

    def _close(self, place: int) -> None:
        last = len(self.live) - 1
        if place != last:
            self.slots.move(last, place, int(self.lengths[last]))
            self.live[place] = self.live[last]
            self.lengths[place], self.bases[place] = self.lengths[last], self.bases[last]
            if self.seen is not None:
                self.seen[place] = self.seen[last]
        self.live.pop()
        self.groups = None

    def _grouped(self) -> list[tuple[Trunk | None, Any]]:
        import torch

        members: dict[int, list[int]] = {}
        for place, row in enumerate(self.live):
            members.setdefault(row.piece.continues, []).append(place)
        if len(members) == 1:
            return [(self._trunk(next(iter(members))), None)]
        device = self.forward.model.device
        return [(self._trunk(number), torch.tensor(places, device=device)) for number, places in members.items()]

    def _trunk(self, number: int) -> Trunk | None:
        """A trunk's keys; those that nobody will continue any more are forgotten."""
        if number == NO_TRUNK:
            return None
        if number not in self.trunks:
            maker = self.makers[number]
            parent = self._trunk(maker.continues)
            made = Trunk(length=len(maker) + (parent.length if parent else 0), parent=parent)
            self.forward.read(RowsPass([maker], self.forward.model.device, parent, made), [maker], [0])
            made.parent = None
            wanted = self._lineage({row.piece.continues for row in (*self.live, *list(self.queue)[:1])} | {number})
            self.trunks = {n: trunk for n, trunk in self.trunks.items() if n in wanted} | {number: made}
        return self.trunks[number]

    def _lineage(self, numbers: set[int]) -> set[int]:
        found: set[int] = set()
        for number in numbers:
            while number != NO_TRUNK:
                found.add(number)
                number = self.makers[number].continues
        return found


def _plan(asks: Sequence[Ask], share: Share) -> tuple[dict[int, Piece], deque[_Row], int]:
    """(piece that makes each trunk, rows in the order in which they are read, distinct tokens of all prompts)."""
    forest = grow([ask.ids for ask in asks], [1] * len(asks))
    at: dict[int, list[int]] = {}
    for number, tail in enumerate(forest.tails):
        at.setdefault(int(tail[0]), []).append(number)
    makers: dict[int, Piece] = {}
    leaves: dict[int, list[Piece]] = {}
    for piece in chains(forest, share):
        if piece.makes == NO_TRUNK:
            leaves.setdefault(piece.continues, []).append(piece)
        else:
            makers[piece.makes] = piece
    order = (
        (number, piece)
        for under in leaves.values()
        for piece in sorted(under, key=lambda piece: -len(piece))
        for number in at[int(piece.places[-1])]
    )
    rows = deque(_Row(rank, number, piece) for rank, (number, piece) in enumerate(order))
    return makers, rows, len(forest.tokens)
