"""Log-probabilities: every distinct token forwarded once, logits only where something is predicted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from capeval.backends.trie.budget import Budget
from capeval.backends.trie.errors import not_finite
from capeval.backends.trie.forest import FLAT, NO_TRUNK, Forest, Piece, cut, grow
from capeval.backends.trie.forward import Forward, Whole
from capeval.backends.trie.keys import Trunk
from capeval.backends.trie.passes import RowsPass

_AT_ONCE = 1 << 18
"""Logits that are summed at once: 1 MiB, so that a CPU's cache holds them from one pass over them to the next."""


class Score(NamedTuple):
    """Of one sequence's targets."""

    logprob: float
    greedy: bool


@dataclass(slots=True)
class _Sum:
    missing: int
    logprob: float = 0.0
    greedy: bool = True


@dataclass(frozen=True, slots=True)
class _Predicted:
    """At one place of the forest: (sequence, token that is to be scored) …"""

    sequences: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)


def score(
    forward: Forward, inputs: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], budget: Budget,
    wanted: Collection[int], flat: int = FLAT,
) -> Iterator[list[tuple[int, Score]]]:  # fmt: skip
    """Score targets, batch by batch, in an order and in batches that do not depend on what is wanted.

    Args:
        forward: The model.
        inputs: What is read before each target's last token is predicted: context and target without its last token.
        targets: Token ids, at least one each.
        budget: How much one batch may hold.
        wanted: Sequences that are to be scored; batches without any of them are left out.
        flat: See `forest.cut`.

    Yields:
        (sequence, score) of all that a batch has finished.

    Raises:
        EngineError: NaN or infinite logits; one chain of tokens is too much for the memory.
    """
    forest = grow(inputs, [len(target) for target in targets])
    forward.counts.distinct += len(forest.tokens)
    predicted: dict[int, _Predicted] = defaultdict(_Predicted)
    for number, (tail, target) in enumerate(zip(forest.tails, targets, strict=True)):
        for place, token in zip(tail.tolist(), target, strict=True):
            predicted[place].sequences.append(number)
            predicted[place].targets.append(token)
    wanted = set(wanted)
    needed = {place for place, p in predicted.items() if not wanted.isdisjoint(p.sequences)}
    scorer = _Scorer(forward, predicted, needed, budget, flat)
    sums = {number: _Sum(len(target)) for number, target in enumerate(targets) if number in wanted}
    for found in scorer.all(forest):
        done = []
        for number, logprob, greedy in found:
            if number not in sums:
                continue
            total = sums[number]
            total.logprob, total.greedy = total.logprob + logprob, total.greedy and greedy
            total.missing -= 1
            if not total.missing:
                done.append((number, Score(total.logprob, total.greedy)))
                del sums[number]
        if done:
            yield done


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece with what is read from it."""

    piece: Piece
    keep: list[tuple[int, int]]
    """(token of the piece, place) whose predictions are read here. Repeated tokens are in several pieces: the first
    one reads them, also when it is left out, so that the others' rows of logits are the same in every run."""


@dataclass(slots=True)
class _Scorer:
    forward: Forward
    predicted: dict[int, _Predicted]
    needed: set[int]
    budget: Budget
    flat: int

    def all(self, forest: Forest) -> Iterator[list[tuple[int, float, bool]]]:
        """(sequence, log-probability of one target, whether greedy) of one batch after another."""
        return self._within(forest, {place: place for place in self.predicted}, None)

    def _within(
        self, forest: Forest, read: Mapping[int, int], trunk: Trunk | None
    ) -> Iterator[list[tuple[int, float, bool]]]:
        """A forest that continues a trunk; `read`: its places that predict something → the place in all's forest."""
        below: dict[int, list[Piece]] = defaultdict(list)
        for piece in cut(forest, self.flat, self.budget.tokens):
            below[piece.continues].append(piece)
        parts: dict[int, list[_Part]] = defaultdict(list)
        self._hand_out(NO_TRUNK, below, dict(read), parts)
        yield from self._under(NO_TRUNK, trunk, parts)

    def _hand_out(
        self, number: int, below: dict[int, list[Piece]], left: dict[int, int], parts: dict[int, list[_Part]]
    ) -> None:
        """In the order in which pieces are read: leaves under a trunk, the widest first, then the trunks under it.

        The first piece that repeats a token reads its predictions, so that sequences are finished early.
        """
        for piece in sorted(below[number], key=lambda piece: (piece.makes != NO_TRUNK, -len(piece))):
            keep = [(i, left.pop(place)) for i, place in enumerate(piece.places.tolist()) if place in left]
            parts[number].append(_Part(piece, keep))
            if piece.makes != NO_TRUNK:
                self._hand_out(piece.makes, below, left, parts)

    def _under(
        self, number: int, trunk: Trunk | None, below: dict[int, list[_Part]]
    ) -> Iterator[list[tuple[int, float, bool]]]:
        """What continues one trunk: its leaves in batches, then one trunk after another, so that few are alive."""
        yield from self._batches([part for part in below[number] if part.piece.makes == NO_TRUNK], trunk)
        for part in below[number]:
            if part.piece.makes == NO_TRUNK or not self._is_needed(part, below):
                continue
            made = Trunk(length=len(part.piece) + (trunk.length if trunk else 0), parent=trunk)
            with self.budget.halved_when_full(1):
                found = self._pass([part], trunk, made)
            yield found
            yield from self._under(part.piece.makes, made, below)

    def _is_needed(self, part: _Part, below: dict[int, list[_Part]]) -> bool:
        if any(place in self.needed for _, place in part.keep):
            return True
        return part.piece.makes != NO_TRUNK and any(self._is_needed(p, below) for p in below[part.piece.makes])

    def _batches(self, parts: Sequence[_Part], trunk: Trunk | None) -> Iterator[list[tuple[int, float, bool]]]:
        start = 0
        while start < len(parts):
            stop = self._fitting(parts, start)
            batch = parts[start:stop]
            if any(self._is_needed(part, {}) for part in batch):
                alone = batch[0] if len(batch) == 1 and not batch[0].piece.is_chain else None
                with self.budget.halved_when_full(2 if alone else len(batch)) as attempt:
                    found = self._pass(batch, trunk)
                if attempt.failed and not alone:
                    continue
                if attempt.failed:
                    piece = batch[0].piece
                    subtree = Forest(tokens=piece.tokens, depths=piece.depths, exits=piece.exits, tails=[])
                    yield from self._within(subtree, dict(batch[0].keep), trunk)
                else:
                    yield found
            start = stop

    def _fitting(self, parts: Sequence[_Part], start: int) -> int:
        """Where the batch ends that begins at `start`: it has one piece at least."""
        spent = self.budget.cost(len(parts[start].piece), len(parts[start].keep))
        for stop in range(start + 1, len(parts)):
            spent += self.budget.cost(len(parts[stop].piece), len(parts[stop].keep))
            if spent > self.budget.tokens:
                return stop
        return len(parts)

    def _pass(
        self, batch: Sequence[_Part], trunk: Trunk | None, makes: Trunk | None = None
    ) -> list[tuple[int, float, bool]]:
        pieces = [part.piece for part in batch]
        starts = np.cumsum([0, *map(len, pieces)]).tolist()
        rows = [start + i for start, part in zip(starts, batch, strict=False) for i, _ in part.keep]
        work = RowsPass(pieces, self.forward.model.device, trunk, makes)
        # a pass that only makes a trunk still needs a row of logits to ask for
        logits = self.forward.read(work, pieces, rows or [0])
        return self._read(logits, [self.predicted[place] for part in batch for _, place in part.keep])

    def _read(self, logits: Any, predicted: Sequence[_Predicted]) -> list[tuple[int, float, bool]]:
        import torch

        if not predicted:
            return []
        rows = np.repeat(np.arange(len(predicted)), [len(p.targets) for p in predicted])
        targets = [target for p in predicted for target in p.targets]
        sequences = [number for p in predicted for number in p.sequences]
        with torch.inference_mode():
            logprobs, greedy = log_probabilities(logits, rows, targets, self.forward.name)
        return list(zip(sequences, logprobs, greedy, strict=True))


def log_probabilities(logits: Any, rows: Whole, targets: Sequence[int], name: str) -> tuple[list[float], list[bool]]:
    """Of target tokens, and whether each is the first of the most probable ones.

    The maximum is needed for the log-sum-exp anyway, so that a target is greedy costs one comparison; only where it
    ties with the maximum is the vocabulary searched for who came first.

    Args:
        logits: (rows, vocabulary).
        rows: (targets) the row that predicts each.
        targets: Token ids.
        name: Of the checkpoint, for messages.

    Raises:
        EngineError: NaN or infinite logits.
    """
    import torch

    which = torch.from_numpy(rows).to(logits.device)
    wanted = torch.tensor(targets, device=logits.device)
    some = max(1, _AT_ONCE // logits.shape[-1])
    tops, sums = zip(
        *(_top_and_lse(logits[start : start + some]) for start in range(0, len(logits), some)), strict=True
    )
    top, lse = torch.cat(tops), torch.cat(sums)
    hit = logits[which, wanted].to(top.dtype)
    tied = (hit == top[which]).nonzero().flatten()
    greedy = torch.zeros(len(targets), dtype=torch.bool, device=logits.device)
    greedy[tied] = logits[which[tied]].argmax(-1) == wanted[tied]
    if not bool(torch.isfinite(lse).all()):
        raise not_finite(name)
    return (hit - lse[which]).tolist(), greedy.tolist()


def _top_and_lse(logits: Any) -> tuple[Any, Any]:
    """(largest, log-sum-exp) of each row, in float32 at least."""
    logits = logits.float() if logits.element_size() < 4 else logits
    top = logits.amax(-1)
    return top, top + (logits - top[:, None]).exp_().sum(-1).log_()
