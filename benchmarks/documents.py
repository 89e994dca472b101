"""Where a program's tables go: to the screen, or between the two marks of a document."""

from __future__ import annotations

from pathlib import Path

from capeval.store.files import write_text


def put(tables: str, document: Path | None, mark: str) -> None:
    """Print the tables, or write them between a document's marks."""
    if document is None:
        print(tables, end="")
        return
    before, _, after = document.read_text(encoding="utf-8").split(mark)
    write_text(document, f"{before}{mark}\n\n{tables}\n{mark}{after}")
