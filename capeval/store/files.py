"""Atomic writes: a reader sees the old file or the new one, never half of one.

A file is written beside its place under a temporary name, flushed to disk, then renamed over it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from capeval.errors import BadFileError, OutputError, UsageError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a file of that name is in the way",
    errno.ENAMETOOLONG: "the name is too long",
}


def output_error(path: Path, error: OSError) -> OutputError:
    """The clear error for a place that can't be written."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"can't write {path}: {reason}. Choose another place with --out.")


def make_folder(path: Path) -> Path:
    """Create `path` with its parents; the folder may exist.

    Raises:
        OutputError: when it can't be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"can't write {path}: permission is denied. Choose another place with --out.")
    return path


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`.

    Raises:
        OutputError: when the disk is full or the place can't be written; `path` is then as it was.
    """
    path = path.resolve()  # through a symbolic link, to what it means
    if path.exists() and not path.is_file():
        raise OutputError(f"can't write {path}: it is no regular file, and it would be replaced by one")
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only the owner can read
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; lone surrogates of a model's output become U+FFFD."""
    data = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode("utf-8")
    write_atomic(path, lambda temporary: _write_bytes(temporary, data))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN becomes null, because NaN is not JSON."""
    write_text(path, json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame atomically as zstd Parquet."""
    write_atomic(path, lambda temporary: frame.to_parquet(temporary, index=False, compression="zstd"))


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        BadFileError: when it is cut or malformed.
        UsageError: when there is no such file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadFileError(f"{path} can't be read as JSON: {error}") from error


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file.

    Raises:
        BadFileError: when it is cut or not Parquet.
        UsageError: when there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise BadFileError(f"{path} can't be read as Parquet: {str(error).splitlines()[0]}") from error


def finite(value: Any) -> Any:
    """The same JSON-like value with NaN and infinities as None and numpy scalars as Python's."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_together(folder: Path, writers: Mapping[str, Callable[[Path], None]]) -> None:
    """Write several files that only mean something together; the last one says that the folder is whole.

    All are written beside their places first. Then the old last file goes, so that it never stands beside new ones, and
    all are renamed, the last one last.

    Raises:
        OutputError: when the place can't be written; what was there is then as it was.
    """
    new = {name: folder / f".new.{name}" for name in writers}
    try:
        for name, write in writers.items():
            write(new[name])
        (folder / list(writers)[-1]).unlink(missing_ok=True)
        for name, written in new.items():
            written.replace(folder / name)
    except OSError as error:
        raise output_error(folder, error) from error
    finally:
        for written in new.values():
            with contextlib.suppress(OSError):
                written.unlink(missing_ok=True)


def frames_as_rows(value: Any) -> Any:
    """The same JSON-like value with every DataFrame as a list of rows."""
    if isinstance(value, pd.DataFrame):
        return value.to_dict("records")
    if isinstance(value, Mapping):
        return {key: frames_as_rows(inner) for key, inner in value.items()}
    return value


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
