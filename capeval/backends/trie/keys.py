"""Keys and values that outlive a pass: a trunk's, and those of growing answers. Nothing is concatenated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Trunk:
    """Keys and values of all tokens that some pieces begin with: per layer (key heads, tokens, size)."""

    length: int
    parent: Trunk | None = None
    keys: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def keep(self, layer: int, k: Any, v: Any) -> None:
        """Put a layer's (key heads, new tokens, size) behind what the parent has."""
        for kept, new, inherited in (
            (self.keys, k, self.parent.keys if self.parent else None),
            (self.values, v, self.parent.values if self.parent else None),
        ):
            whole = new.new_empty(new.shape[0], self.length, new.shape[2])
            start = self.length - new.shape[1]
            if inherited is not None:
                whole[:, :start] = inherited[layer]
            whole[:, start:] = new
            kept.append(whole)


@dataclass(slots=True)
class Slots:
    """Room for a fixed number of rows and tokens: per layer (rows, key heads, tokens, size), filled from the left."""

    rows: int
    capacity: int
    keys: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    clean: list[int] = field(default_factory=list)
    """Per layer, columns that hold numbers in every row; what lies behind was never written and may be NaN."""

    def put(self, layer: int, where: Any, k: Any, v: Any, width: int) -> None:
        """Write at `where`, an index into (rows, :, tokens), when `width` tokens of the rows are going to be read.

        Memory is taken by the first write of a layer, and touched column by column.
        """
        if layer == len(self.keys):
            for kept, new in ((self.keys, k), (self.values, v)):
                kept.append(new.new_empty(self.rows, new.shape[1], self.capacity, new.shape[-1]))
            self.clean.append(0)
        keys, values, clean = self.keys[layer], self.values[layer], self.clean[layer]
        if clean < width:
            for kept in (keys, values):
                kept[:, :, clean:width] = 0
            self.clean[layer] = width
        keys[where] = k
        values[where] = v

    def move(self, source: int, target: int, length: int) -> None:
        """Give a freed place to another row, so that the live rows stay side by side."""
        import torch

        with torch.inference_mode():
            for kept in (*self.keys, *self.values):
                kept[target, :, :length] = kept[source, :, :length]
