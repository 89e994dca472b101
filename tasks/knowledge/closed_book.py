"""Short answers from memory: right when one of the golds stands in the first line, word for word."""

from __future__ import annotations

import re
import string
from typing import Any

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans({c: " " for c in string.punctuation + "‘’“”–—"})


def process_docs(dataset: Any) -> Any:
    """SelfAware's questions that have an answer."""
    return dataset.filter(lambda doc: bool(doc["answerable"]))


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the first line holds a gold answer as whole words."""
    said = next((line for line in results[0].splitlines() if line.strip()), "")
    return {"answered": float(any(_holds(normalised(said), normalised(gold)) for gold in doc["answer"]))}


def normalised(text: str) -> list[str]:
    """Words as SQuAD's scorer compares them: lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _holds(words: list[str], part: list[str]) -> bool:
    return bool(part) and any(words[i : i + len(part)] == part for i in range(len(words) - len(part) + 1))
