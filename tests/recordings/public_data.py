"""Where the public items and recorded outputs are, for the tests that read them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("CAPEVAL_DATA") or "CAPEVAL_DATA")
needs_data = pytest.mark.skipif(not (DATA / "recorded").is_dir(), reason="CAPEVAL_DATA is not set: no recorded outputs")


def rows(path: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file under CAPEVAL_DATA."""
    with (DATA / path).open(encoding="utf-8") as handle:
        yield from map(json.loads, handle)
