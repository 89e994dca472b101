"""What a journal knows of a suite's prompts, so that a run that asks nothing loads neither torch nor a tokenizer.

capeval run --model ./checkpoint --suite smoke && capeval run --model ./checkpoint --suite smoke
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from capeval import harness
from capeval.backends import Backend, Piece
from capeval.core import Reply, Request
from capeval.digest import digest
from capeval.store.journal import Journal, journal_keys


def answers(place: Path, backend: Backend, built: Sequence[harness.Asked]) -> dict[str, Reply]:
    """By key what a journal, if it is there, says of prompts with all their shots."""
    if not place.is_file():
        return {}
    with Journal.open(place) as journal:
        return journal.find(journal_keys(backend.digest, harness.requests_of(built), backend.numerics))


def overflow(backend: Backend, known: Mapping[str, Reply]) -> Callable[[Request], int]:
    """As `Backend.overflow`; of a prompt that was answered, the answer says what did not fit."""

    def of(request: Request) -> int:
        [key] = journal_keys(backend.digest, [request], backend.numerics)
        # a text whose every token is scored is read window by window: it always fits
        return known[key].cut if key in known and request.kind != "perplexity" else backend.overflow(request)

    return of if known else backend.overflow


def pieces(backend: Backend, journal: Journal) -> Callable[[str], list[Piece]]:
    """As `Backend.pieces`; what a prompt is read as is noted in the journal."""

    def of(text: str) -> list[Piece]:
        key = digest("pieces", backend.digest, dict(backend.numerics), text)
        if (said := journal.noted(key)) is None:
            said = json.dumps(backend.pieces(text))
            journal.note(key, said)
        return [Piece(*piece) for piece in json.loads(said)]

    return of
