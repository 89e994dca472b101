"""The documents of `rolling.yaml`: items joined into texts as long as articles are."""

from __future__ import annotations

from itertools import cycle
from typing import Any

_ITEMS = (4, 8, 2, 12, 24)
"""Items of a text, in turn; an item has about 200 tokens, so the last makes one longer than a window of 4,096."""


def joined(dataset: Any) -> Any:
    """Questions with their answers, several to a text."""
    import datasets

    texts = [f"{row['question']}\n{row['answer']}" for row in dataset]
    found, begin = [], 0
    for items in cycle(_ITEMS):
        if begin >= len(texts):
            break
        found.append({"text": "\n\n".join(texts[begin : begin + items])})
        begin += items
    return datasets.Dataset.from_list(found)
