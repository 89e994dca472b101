"""lm-eval's metrics for one item: what a perplexity is worth, which choice is taken, what a filter gives for nothing.

The harness scores with it while a model answers, the importer when it reads lm-eval's log: one item, one score.

>>> likeliest(["a", "longer"], [-1.0, -2.0], "acc_norm")
'longer'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

PERPLEXITIES = {
    "bits_per_byte": "bits per byte",
    "byte_perplexity": "perplexity per byte",
    "word_perplexity": "perplexity per word",
}
"""Metrics that lm-eval pools over the corpus as (log-probability, units), and the unit of an item's own value."""
NOTHING = ("", "[invalid]")
"""What lm-eval's filters give when nothing matches."""

_NORMALISED: dict[str, Callable[[str], int]] = {"acc_norm": len, "acc_bytes": lambda choice: len(choice.encode())}
_LARGEST_EXPONENT = 700.0
"""Near the largest whose exponential is a float: a hopeless text has a huge perplexity, and no overflow."""


def pooled(metric: str, logprob: float, units: float) -> float:
    """An item's own value of one of `PERPLEXITIES`.

    Args:
        metric: Which of them.
        logprob: Natural logarithm of the document's probability.
        units: Its bytes or words; an empty document counts as one.
    """
    per_unit = -logprob / max(1.0, units)
    return per_unit / math.log(2) if metric == "bits_per_byte" else exponential(per_unit)


def exponential(exponent: float) -> float:
    """e to the exponent, which is cut at 700."""
    return math.exp(min(exponent, _LARGEST_EXPONENT))


def likeliest(choices: Sequence[str], logprobs: Sequence[float], metric: str) -> str:
    """The choice that a multiple-choice metric takes, the first of equal ones.

    Args:
        choices: The continuations, stripped.
        logprobs: Log-probability of each.
        metric: `acc_norm` divides by characters, `acc_bytes` by bytes.
    """
    size = _NORMALISED.get(metric)
    values = [p / max(1, size(choice)) if size else p for choice, p in zip(choices, logprobs, strict=True)]
    return choices[values.index(max(values))]
