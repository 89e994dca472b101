"""The journal: every answer that an engine gave, kept as it comes, so that a killed run resumes without asking twice.

>>> with Journal.open(Path("runs/journal.sqlite")) as journal:     # doctest: +SKIP
...     journal.find(["3f5c…"])

A key is a digest of checkpoint, request and numerics, so other weights, prompts or settings never find an old answer.
One SQLite file (write-ahead log) serves all runs of a folder, also at the same time. A transaction holds one batch, or
several when they come faster than four a second (`keeping`). `python -m benchmarks.journal_speed` measures it.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from capeval.core import Reply, Request
from capeval.digest import LENGTH, digest
from capeval.errors import BadFileError, OutputError
from capeval.store.files import make_folder

FORMAT = 1
_COLUMNS = tuple(f.name for f in fields(Reply) if f.name != "error")
_values = attrgetter(*_COLUMNS)
_CHUNK = 10_000
_WAIT_SECONDS = 60.0
_HOLD_SECONDS = 0.25
_HOLD_ROWS = 20_000
_PAGES_KIB = 65_536
"""Keys are random, so a new row may belong on any page: with SQLite's own 2 MiB most of them would be read again."""


def journal_keys(checkpoint: str, requests: Iterable[Request], numerics: Mapping[str, str]) -> list[str]:
    """The names of answers: who was asked (digest), how it was computed, and what.

    A request is hashed once however many nodes are asked it (`Request.digest`): here only 64 bytes are.
    """
    node = hashlib.sha256(_node(checkpoint, tuple(sorted(numerics.items()))))
    names = []
    for request in requests:
        name = node.copy()
        name.update(request.digest)
        names.append(name.hexdigest()[:LENGTH])
    return names


@lru_cache(maxsize=8)
def _node(checkpoint: str, numerics: tuple[tuple[str, str], ...]) -> bytes:
    return digest(checkpoint, dict(numerics)).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Answers by key."""

    path: Path
    connection: sqlite3.Connection

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Journal]:
        """Open the journal, or begin one.

        Raises:
            BadFileError: when it is damaged or of another format.
            OutputError: when it can't be written.
        """
        make_folder(path.parent)
        with _clear_errors(path):
            connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            with _clear_errors(path):
                _prepare(connection, path)
            yield cls(path=path, connection=connection)
        finally:
            connection.close()

    def find(self, keys: Sequence[str]) -> dict[str, Reply]:
        """The answers that are known, by key."""
        found: dict[str, Reply] = {}
        ordered = sorted(keys)  # neighbours are on the same pages
        with _clear_errors(self.path):
            for start in range(0, len(ordered), _CHUNK):
                chunk = ordered[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = self.connection.execute(
                    f"SELECT key, {', '.join(_COLUMNS)} FROM answers WHERE key IN ({marks})", chunk
                )
                found.update((key, _reply(*row)) for key, *row in rows)
        return found

    def keep(self, answers: Mapping[str, Reply]) -> None:
        """Write answers in one transaction. Failures are not kept: they are asked again."""
        rows = sorted((key, *_row(answer)) for key, answer in answers.items() if not answer.error)
        marks = ",".join("?" * (1 + len(_COLUMNS)))
        with _clear_errors(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                self.connection.executemany(f"INSERT OR IGNORE INTO answers VALUES ({marks})", rows)
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def keeping(self) -> Iterator[Callable[[Mapping[str, Reply]], None]]:
        """Keep batches that may come quickly: a batch is written with those before it, four times a second at most.

        A process that is killed loses the batch that it was computing and what was answered within a quarter of a
        second after the last write: a batch that took longer than that is written as soon as it comes. Whatever else
        ends the block, everything is written.
        """
        held: dict[str, Reply] = {}
        written = -math.inf  # the first batch is written at once

        def write() -> None:
            nonlocal written
            self.keep(held)
            held.clear()
            written = time.monotonic()

        def keep(batch: Mapping[str, Reply]) -> None:
            held.update(batch)
            if len(held) >= _HOLD_ROWS or time.monotonic() - written >= _HOLD_SECONDS:
                write()

        try:
            yield keep
        finally:
            if held:
                write()

    def note(self, key: str, said: str) -> None:
        """Keep something else that is costly to know again, under a digest of all that decides it."""
        with _clear_errors(self.path):
            self.connection.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (key, said))

    def noted(self, key: str) -> str | None:
        """What was noted; None for nothing."""
        with _clear_errors(self.path):
            row = self.connection.execute("SELECT said FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def __len__(self) -> int:
        with _clear_errors(self.path):
            return int(self.connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    # with a write-ahead log, NORMAL survives a killed process; a power cut costs the last batches, not the file
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA cache_size=-{_PAGES_KIB}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, FORMAT):
        raise BadFileError(f"{path} is a journal of format {version}; this capeval reads {FORMAT}. Move it away.")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, {', '.join(_COLUMNS)}) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, said TEXT) WITHOUT ROWID")
    connection.execute(f"PRAGMA user_version={FORMAT}")


def _row(answer: Reply) -> tuple[object, ...]:
    text, *rest = _values(answer)
    # bytes, because SQLite's text refuses the lone surrogates that some tokenizers produce
    return (None if text is None else text.encode("utf-8", "surrogatepass"), *rest)


def _reply(text: Any, logprob: Any, greedy: Any, *rest: Any) -> Reply:
    said = text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text
    finish, n_tokens, cut = rest
    return Reply(
        text=said,
        logprob=logprob,
        greedy=None if greedy is None else bool(greedy),
        finish=finish,
        n_tokens=n_tokens,
        cut=cut,
    )


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as capeval's: what can't be written, and what can't be read."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"can't use the journal {path}: {error}. What it holds is unharmed; free some space, or choose another "
            "place with --out."
        ) from error
    except sqlite3.DatabaseError as error:
        raise BadFileError(
            f"the journal {path} is damaged: {error}. Move it away (mv {path} {path}.damaged) and run the same "
            "command; its answers are then asked anew."
        ) from error
