"""The journal: every answer that an engine gave, kept at once, so that a killed run resumes without asking twice.

>>> with Journal.open(Path("runs/journal.sqlite")) as journal:     # doctest: +SKIP
...     journal.find(["3f5c…"])

A key is a digest of checkpoint, request and numerics, so other weights, prompts or settings never find an old answer.
One SQLite file (write-ahead log) serves all runs of a folder, also at the same time; each batch is one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from capeval.core import Reply, Request
from capeval.digest import digest
from capeval.errors import BadFileError, OutputError
from capeval.store.files import make_folder

FORMAT = 1
_COLUMNS = tuple(f.name for f in fields(Reply) if f.name != "error")
_CHUNK = 500
_WAIT_SECONDS = 60.0


def journal_key(checkpoint: str, request: Request, numerics: Mapping[str, str]) -> str:
    """The name of an answer: who was asked (digest), what, and how it was computed."""
    what = [request.kind, request.text, request.continuation, dict(request.generation), request.sample, request.seed]
    return digest(checkpoint, what, dict(numerics))


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
        with _clear_errors(self.path):
            for start in range(0, len(keys), _CHUNK):
                chunk = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = self.connection.execute(
                    f"SELECT key, {', '.join(_COLUMNS)} FROM answers WHERE key IN ({marks})", chunk
                )
                found |= {row[0]: _reply(row[1:]) for row in rows}
        return found

    def keep(self, answers: Mapping[str, Reply]) -> None:
        """Write answers in one transaction. Failures are not kept: they are asked again."""
        rows = [(key, *_row(answer)) for key, answer in answers.items() if not answer.error]
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

    def __len__(self) -> int:
        with _clear_errors(self.path):
            return int(self.connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    # with a write-ahead log, NORMAL survives a killed process; a power cut costs the last batches, not the file
    connection.execute("PRAGMA synchronous=NORMAL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, FORMAT):
        raise BadFileError(f"{path} is a journal of format {version}; this capeval reads {FORMAT}. Move it away.")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, {', '.join(_COLUMNS)}) WITHOUT ROWID"
    )
    connection.execute(f"PRAGMA user_version={FORMAT}")


def _row(answer: Reply) -> tuple[object, ...]:
    text, *rest = astuple(answer)[: len(_COLUMNS)]
    # bytes, because SQLite's text refuses the lone surrogates that some tokenizers produce
    return (None if text is None else text.encode("utf-8", "surrogatepass"), *rest)


def _reply(row: Sequence[object]) -> Reply:
    values = dict(zip(_COLUMNS, row, strict=True))
    text, greedy = values["text"], values["greedy"]
    values["text"] = text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text
    values["greedy"] = None if greedy is None else bool(greedy)
    return Reply(**values)  # type: ignore[arg-type]


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
