"""What stops sharing (a reason to go the plain way, no error for the user), and what stops everything."""

from __future__ import annotations

from capeval.errors import EngineError


class NotShareable(Exception):  # noqa: N818 (a reason, no failure)
    """A model whose keys can't be shared here; the message completes a sentence that begins with its name."""


def not_finite(name: str) -> EngineError:
    """For logits that nothing can be read from."""
    return EngineError(f"{name} gives NaN or infinite logits: its weights are damaged, or overflow in this dtype")
