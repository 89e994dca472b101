"""The style of an answer, whatever was asked: `capeval.style` under the names of lm-eval's metrics."""

from __future__ import annotations

from typing import Any

from capeval.style import hedged, two_sided, words


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """All measures; a suite's task names the one that counts."""
    del doc
    answer = results[0]
    return {"words": float(words(answer)), "hedged": hedged(answer), "two_sided": float(two_sided(answer))}
