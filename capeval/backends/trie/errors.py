"""What stops sharing: not an error for the user, but a reason to go the plain way."""

from __future__ import annotations


class NotShareable(Exception):  # noqa: N818 (a reason, no failure)
    """A model whose keys can't be shared here; the message completes "…: ", for `capeval doctor` and manifests."""
