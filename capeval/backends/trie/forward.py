"""A transformers model's own forward, run on packed tokens: one row, each token with its position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capeval.backends.trie.attention import NAME, Pass, attention, running
from capeval.backends.trie.forest import Piece

Whole = NDArray[np.integer[Any]]


@dataclass(slots=True)
class Counts:
    """Tokens since the model was loaded."""

    forwarded: int = 0
    """That went through the model."""
    distinct: int = 0
    """Of the tries of prompts: what any engine must forward, and one more for each token of an answer but its last."""


@dataclass(slots=True, eq=False)
class Forward:
    """A model that reads pieces."""

    model: Any
    name: str
    """What the user called the checkpoint, for messages."""
    fused: bool = True
    """Whether torch's fused attention kernels are used."""
    counts: Counts = field(default_factory=Counts)
    own: str = "sdpa"
    """The attention that the model came with; known when it is first taken away."""

    def read(self, work: Pass, pieces: Sequence[Piece], keep: Sequence[int]) -> Any:
        """Logits of some tokens of pieces, which stand in a row."""
        ids, positions = (np.concatenate(parts) for parts in zip(*((p.tokens, p.depths) for p in pieces), strict=True))
        return self(work, ids, positions, keep)

    def __call__(self, work: Pass, ids: Whole, positions: Whole, keep: Sequence[int]) -> Any:
        """Logits of some tokens.

        Args:
            work: What attention needs to know.
            ids: (tokens).
            positions: (tokens).
            keep: Places of the tokens whose logits are wanted, not empty.

        Returns:
            (wanted, vocabulary), in the dtype of the model.
        """
        import torch

        device = self.model.device
        arrays = (np.ascontiguousarray(a, dtype=np.int64) for a in (ids, positions, np.asarray(keep)))
        tokens, places, wanted = (torch.from_numpy(a).to(device) for a in arrays)
        self.prepare()
        self.counts.forwarded += len(ids)
        with torch.inference_mode(), running(work, self.fused):
            found = self.model(
                input_ids=tokens[None], position_ids=places[None], use_cache=False, logits_to_keep=wanted
            )
        return found.logits[0]

    def prepare(self) -> None:
        """Give the model this attention, if the plain path has taken it away."""
        if self.model.config._attn_implementation != NAME:
            self.own = str(self.model.config._attn_implementation)
            register()
            self.model.set_attn_implementation(NAME)

    def plainly(self) -> Any:
        """The model with its own attention."""
        if self.model.config._attn_implementation == NAME:
            self.model.set_attn_implementation(self.own)
        return self.model


def register() -> None:
    """Make the attention known to transformers; it makes no masks for one that is not in its table of masks."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
