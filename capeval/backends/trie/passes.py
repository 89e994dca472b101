"""The two kinds of passes: pieces with all their tokens, and one more token for every live row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from capeval.backends.trie.attention import CAUSAL, Rules, join, read
from capeval.backends.trie.forest import Ints, Piece
from capeval.backends.trie.keys import Slots, Trunk

Into = Trunk | tuple[Slots, int] | None

_EVEN = 0.75
"""Pieces share a tile while the shortest has this share of the widest's tokens: the rest of the square is padding."""


@dataclass(slots=True)
class Tile:
    """Neighbouring pieces of about one width, seen as a (pieces, width) grid."""

    start: int
    """Of their tokens in the pass."""
    row: int
    """Of the first piece among those of the pass."""
    widths: list[int]
    grid: Any
    """(pieces · width) places of tokens, padded with the first; None when all are equally wide."""
    back: Any
    """(tokens) places in the grid."""
    exits: Any
    """(pieces, width) as `Piece.exits`, 0 where padded; None when all are chains."""
    positions: Any
    """(pieces, width) for windows."""
    masks: dict[int | None, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Of the grid."""
        return self.widths[0]

    def shaped(self, x: Any) -> Any:
        """(heads, tokens, size) of the pass → (pieces, heads, width, size)."""
        here = x[:, self.start : self.start + sum(self.widths)]
        here = here if self.grid is None else here.index_select(1, self.grid)
        return here.unflatten(1, (len(self.widths), self.width)).transpose(0, 1)

    def packed(self, x: Any) -> Any:
        """(pieces, heads, width, …) → (tokens, heads, …)."""
        x = x.transpose(1, 2).flatten(0, 1)
        return x if self.back is None else x.index_select(0, self.back)

    def mask(self, window: int | None) -> Any:
        """(pieces, 1, width, width) to be added to scores; None where causal order says it all."""
        window = None if window is None or window >= self.width else window
        if self.exits is None and window is None:
            return None
        if window not in self.masks:
            self.masks[window] = self._mask(window)
        return self.masks[window]

    def _mask(self, window: int | None) -> Any:
        import torch

        place = torch.arange(self.width, device=self.positions.device)
        hidden = (place[None, :] > place[:, None])[None]
        if self.exits is not None:
            hidden = hidden | (place[None, :, None] >= self.exits[:, None, :])
        if window is not None:
            hidden = hidden | (self.positions[:, :, None] - self.positions[:, None, :] >= window)
        mask = torch.zeros(hidden.shape, device=place.device)
        return mask.masked_fill_(hidden, -torch.inf).unsqueeze(1)


class RowsPass:
    """Pieces that continue the same trunk (or none), widest first, their tokens in a row without padding."""

    def __init__(self, pieces: Sequence[Piece], device: Any, trunk: Trunk | None = None, into: Into = None) -> None:
        """Prepare what all layers share.

        Args:
            pieces: Widest first.
            device: Of the model.
            trunk: What they continue.
            into: Where their keys are kept: a trunk that the only piece makes, or (slots, first row).
        """
        self.trunk, self.into = trunk, into
        self._device = device
        self._depths = np.concatenate([piece.depths for piece in pieces])
        self._tiles = list(_tiles(pieces, device))
        self._masks: dict[int, Any] = {}

    def attend(self, layer: int, q: Any, k: Any, v: Any, rules: Rules) -> tuple[Any, Any]:
        """See `Pass`."""
        if isinstance(self.into, Trunk):
            self.into.keep(layer, k, v)
        own = [self._own(tile, layer, q, k, v, rules) for tile in self._tiles]
        out, lse = own[0] if len(own) == 1 else _together(own)
        if self.trunk is None:
            return out, lse
        start = _first_seen(self.trunk, self.trunk.length, rules.window)
        if start == self.trunk.length:
            return out, lse
        keys, values = (kept[layer][None, :, start:] for kept in (self.trunk.keys, self.trunk.values))
        mask = self._mask(rules.window)
        found, sums = read(q[None], keys, values, rules, mask, blind=mask is not None)
        return join((found[0].transpose(0, 1), sums[0].transpose(0, 1)), (out, lse))

    def _own(self, tile: Tile, layer: int, q: Any, k: Any, v: Any, rules: Rules) -> tuple[Any, Any]:
        k, v = tile.shaped(k), tile.shaped(v)
        if isinstance(self.into, tuple):
            slots, first = self.into
            row = first + tile.row
            where = (slice(row, row + len(tile.widths)), slice(None), slice(0, tile.width))
            slots.put(layer, where, k, v, tile.width)
        mask = tile.mask(rules.window)
        out, lse = read(tile.shaped(q), k, v, rules, CAUSAL if mask is None else mask)
        return tile.packed(out), tile.packed(lse)

    def _mask(self, window: int | None) -> Any:
        """(1, 1, tokens, trunk's tokens that are read): what has left a layer's window; None where nothing has."""
        import torch

        if self.trunk is None or window is None or self._depths.max() < window:
            return None
        if window not in self._masks:
            positions = torch.from_numpy(self._depths).to(self._device)
            start = _first_seen(self.trunk, self.trunk.length, window)
            place = torch.arange(start, self.trunk.length, dtype=positions.dtype, device=self._device)
            gone = positions[:, None] - place[None] >= window
            self._masks[window] = torch.zeros(gone.shape, device=self._device).masked_fill_(gone, -torch.inf)[
                None, None
            ]
        return self._masks[window]


class StepPass:
    """One new token for each live row: rows 0 … n − 1 of the slots."""

    def __init__(self, slots: Slots, lengths: Any, longest: int, groups: Sequence[tuple[Trunk | None, Any]]) -> None:
        """Prepare what all layers share.

        Args:
            slots: Keys of the rows.
            lengths: (rows) tokens that each has in its slot, without the new one.
            longest: The greatest of them.
            groups: Trunks with the rows that continue each; None for all rows when there is one group.
        """
        import torch

        self.slots, self.groups = slots, groups
        self._lengths, self._width = lengths, longest + 1
        self._rows = torch.arange(len(lengths), device=lengths.device)
        self._masks: dict[tuple[int, int | None], Any] = {}
        self._starts: dict[tuple[int, int], int] = {}

    def attend(self, layer: int, q: Any, k: Any, v: Any, rules: Rules) -> tuple[Any, Any]:
        """See `Pass`."""
        where = (self._rows, slice(None), self._lengths)
        self.slots.put(layer, where, k.transpose(0, 1), v.transpose(0, 1), self._width)
        n = len(self._rows)
        keys, values = (kept[layer][:n, :, : self._width] for kept in (self.slots.keys, self.slots.values))
        out, lse = read(q.transpose(0, 1).unsqueeze(2), keys, values, rules, self._own_mask(rules.window))
        out, lse = out.squeeze(2), lse.squeeze(2)
        for number, (trunk, rows) in enumerate(self.groups):
            if trunk is None:
                continue
            mine = q if rows is None else q.index_select(1, rows)
            mask = self._trunk_mask(number, trunk, rows, rules.window)
            start = self._start(number, trunk, rows, rules.window)
            if start == trunk.length:
                continue
            keys, values = (kept[layer][None, :, start:] for kept in (trunk.keys, trunk.values))
            found, sums = read(mine[None], keys, values, rules, mask, blind=mask is not None)
            ours = (out, lse) if rows is None else (out.index_select(0, rows), lse.index_select(0, rows))
            joined = join((found[0].transpose(0, 1), sums[0].transpose(0, 1)), ours)
            if rows is None:
                return joined
            out, lse = (whole.index_copy(0, rows, part) for whole, part in zip((out, lse), joined, strict=True))
        return out, lse

    def _start(self, number: int, trunk: Trunk, rows: Any, window: int | None) -> int:
        """The first of a trunk's keys that any of its rows reads."""
        if window is None:
            return 0
        if (key := (number, window)) not in self._starts:
            lengths = self._lengths if rows is None else self._lengths[rows]
            self._starts[key] = _first_seen(trunk, trunk.length + int(lengths.min()), window)
        return self._starts[key]

    def _own_mask(self, window: int | None) -> Any:
        import torch

        if (key := (-1, window)) not in self._masks:
            place = torch.arange(self._width, device=self._lengths.device)[None]
            hidden = place > self._lengths[:, None]
            if window is not None:
                hidden = hidden | (self._lengths[:, None] - place >= window)
            mask = torch.zeros(hidden.shape, device=place.device).masked_fill_(hidden, -torch.inf)
            self._masks[key] = mask[:, None, None]
        return self._masks[key]

    def _trunk_mask(self, number: int, trunk: Trunk, rows: Any, window: int | None) -> Any:
        import torch

        if window is None or trunk.length + self._width <= window:
            return None
        if (key := (number, window)) not in self._masks:
            lengths = self._lengths if rows is None else self._lengths[rows]
            place = torch.arange(self._start(number, trunk, rows, window), trunk.length, device=lengths.device)
            gone = trunk.length + lengths[:, None] - place[None] >= window
            self._masks[key] = torch.zeros(gone.shape, device=place.device).masked_fill_(gone, -torch.inf)[None, None]
        return self._masks[key]


def _first_seen(trunk: Trunk, position: int, window: int | None) -> int:
    """The first of a trunk's tokens that one at this position reads."""
    return 0 if window is None else min(trunk.length, max(0, position - window + 1))


def _together(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    import torch

    return torch.cat([out for out, _ in parts]), torch.cat([lse for _, lse in parts])


def _tiles(pieces: Sequence[Piece], device: Any) -> Iterator[Tile]:
    start = token = 0
    for stop in range(1, len(pieces) + 1):
        if stop == len(pieces) or len(pieces[stop]) < _EVEN * len(pieces[start]):
            tile = _tile(pieces[start:stop], token, start, device)
            yield tile
            start, token = stop, token + sum(tile.widths)


def _tile(pieces: Sequence[Piece], start: int, row: int, device: Any) -> Tile:
    import torch

    widths = [len(piece) for piece in pieces]
    width = widths[0]
    even = widths[-1] == width
    place = np.arange(width)[None]
    inside = place < np.asarray(widths)[:, None]
    offsets = np.concatenate([[0], np.cumsum(widths)])[:-1, None]

    def filled(values: Sequence[Ints]) -> Any:
        whole = np.zeros(inside.shape, dtype=np.int64)
        whole[inside] = np.concatenate(list(values))
        return torch.from_numpy(whole).to(device)

    chains = all(piece.is_chain for piece in pieces)
    grid = None if even else torch.from_numpy(np.where(inside, offsets + place, 0).reshape(-1)).to(device)
    return Tile(
        start=start,
        row=row,
        widths=widths,
        grid=grid,
        back=None if even else torch.from_numpy(np.flatnonzero(inside)).to(device),
        exits=None if chains else filled([piece.exits for piece in pieces]),
        positions=filled([piece.depths for piece in pieces]),
    )
