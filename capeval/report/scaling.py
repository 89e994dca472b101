"""Scale: for the page and for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from capeval.store.traces import Trace


def story(trace: Trace) -> list[dict[str, Any]]:
    """What the page's part shows, a row each; nothing where there is nothing to say."""
    return []


def say_part(trace: Trace, console: Console) -> None:
    """The same in the terminal, in a few lines; nothing where there is nothing to say."""
