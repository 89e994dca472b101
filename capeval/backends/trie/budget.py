"""How much one batch may hold: measured once per model, halved when memory says otherwise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from capeval.errors import EngineError

_LOG = logging.getLogger("capeval")


@dataclass(slots=True)
class Attempt:
    """Whether memory was enough."""

    failed: bool = False


@dataclass(slots=True)
class Budget:
    """Of one batch, in tokens; a row of logits costs as many tokens as have its memory."""

    tokens: int
    logits: float = 1.0
    """Tokens that one row of logits costs."""
    rows: int = 64
    """Answers that grow side by side, at most."""
    kept: int = 1 << 20
    """Tokens whose keys and values may be kept for them."""

    def cost(self, tokens: int, logits: int) -> int:
        """Of a piece with so many tokens and rows of logits."""
        return tokens + int(logits * self.logits)

    def rows_of(self, capacity: int) -> int:
        """Answers that grow side by side when each may have so many tokens."""
        return max(1, min(self.rows, self.kept // max(1, capacity)))

    @contextmanager
    def halved_when_full(self, pieces: int) -> Iterator[Attempt]:
        """Try a batch; when the memory is too small, halve the budget, log it, and say so: the batch is cut again.

        Raises:
            EngineError: for a batch that can't be made smaller.
        """
        import torch

        attempt = Attempt()
        try:
            yield attempt
        except (torch.cuda.OutOfMemoryError, MemoryError) as error:
            if pieces < 2:
                raise EngineError(
                    "the memory is too small for this model and work: choose a smaller model, or --dtype bfloat16"
                ) from error
            self.tokens, attempt.failed = max(1, self.tokens // 2), True
            _LOG.warning("the memory is too small for a batch: it goes on with batches of %d tokens", self.tokens)
            torch.cuda.empty_cache()
