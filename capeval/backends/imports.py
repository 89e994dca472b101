"""transformers without what it imports for nobody here.

>>> import_transformers()          # doctest: +SKIP
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from importlib import import_module


@cache
def import_transformers() -> None:
    """Import transformers' generation, which every tokenizer and model class brings with it, without scikit-learn.

    It takes scikit-learn, and with it scipy's statistics, for one curve of assisted generation, if it is installed. It
    is told that it is not; nothing else is, before or after.
    """
    if "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        with suppress(ImportError):  # where there is no such module there is nothing to leave out
            import_module("transformers.generation.candidate_generator")
    finally:
        del sys.modules["sklearn"]
        found = sys.modules.get("transformers.utils.import_utils")
        if forget := getattr(getattr(found, "is_sklearn_available", None), "cache_clear", None):
            forget()
