"""What YAML can't say: where the lab's items come from, and how an answer that declines is told from one that helps."""

from __future__ import annotations

from typing import Any

from capeval.lab import items as lab
from capeval.lab.labeller import declines


def items(family: str, **metadata: Any) -> Any:
    """lm-eval calls this with a task's metadata; split → data set."""
    import datasets

    del metadata
    return {split: datasets.Dataset.from_list(found) for split, found in lab.items(family).items()}


def declined(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the answer says that it will not help or does not know, in whatever words."""
    del doc
    return {"declined": float(declines(results[0]))}


def words(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """How long the answer is."""
    del doc
    return {"words": float(len(results[0].split()))}
