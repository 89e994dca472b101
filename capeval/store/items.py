"""The name of an item: a digest of its document, the same in a live evaluation and in lm-eval's logged samples.

Runs pair by it, so it must survive what logging does to a document (tuples become lists, other objects their text)
and must not depend on where in a file the document stood.

>>> item_digest({"question": "1+1?", "answer": 2}) == item_digest({"answer": 2, "question": "1+1?"})
True
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from capeval.digest import digest

VOLATILE_KEYS = frozenset({"__index_level_0__", "Unnamed: 0"})
"""Row numbers that pandas leaves in a data set: they change with every shuffle or cut of it."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")


def item_digest(doc: Mapping[str, Any]) -> str:
    """Sixteen hex digits for a document's content.

    Args:
        doc: One document of a data set; values may be anything, because what JSON can't hold counts by its text.
    """
    return digest(_plain({key: value for key, value in doc.items() if key not in VOLATILE_KEYS}))


def _plain(value: Any) -> Any:
    """The value as it reads after a round trip through lm-eval's JSON log (`handle_non_serializable`)."""
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else f"float:{value}"  # a digest holds no NaN
    if isinstance(value, str):
        return _ADDRESS.sub(">", value) if " at 0x" in value else value
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(inner) for inner in value), key=str)
    return _plain(str(value))


def _key(key: Any) -> str:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)
