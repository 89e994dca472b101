"""Content hashes: the names by which capeval knows that two things are the same.

`digest("a", {"b": 1})` is stable over processes, platforms and dict order; sixteen hex digits are 64 bits, so
among a million items the chance of one collision is about 3e-8.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

LENGTH = 16


def digest(*parts: Any) -> str:
    """Hash JSON-like values (str, numbers, None, lists, dicts) to sixteen hex digits.

    Raises:
        TypeError: for a value that JSON can't hold.
        ValueError: for NaN or infinity, which would not round-trip.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH]


def digest_file(path: Path) -> str:
    """Hash a file's bytes without holding them in memory."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:LENGTH]
