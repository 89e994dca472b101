"""Guessing: how often luck alone is right in any of several tries, and what a share is worth beyond it.

python -c "from capeval.stats.guessing import chance_of_any; print(chance_of_any(0.25, 8))"
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from capeval.stats.standard_errors import Labels, Vector, cluster_codes

CERTAIN = 1.0 - 1e-9
"""From this chance on guessing is certain, but for rounding."""


def chance_of_any(chance: float, tries: int) -> float:
    """Chance that at least one of several independent guesses is right: 1 − (1 − c)^k.

    >>> round(chance_of_any(0.25, 8), 3)
    0.9

    Args:
        chance: Of one guess (1/m on m options).
        tries: Guesses.
    """
    return 1.0 - (1.0 - chance) ** tries


def chance_by_exchange(
    answers: Sequence[Collection[str]], golds: Sequence[str], groups: Labels | None = None
) -> Vector:
    """By item, how often its answers would be right if they had nothing to do with the question.

    The share of *other* items whose gold is among this item's answers: a permutation of the golds, counted out. It
    knows that many tries which say the same are one guess, and that some answers are more frequent than others, also
    where there are no options.

    >>> chance_by_exchange([{"2", "3"}, {"7"}, {"3"}], ["2", "3", "3"]).tolist()
    [1.0, 0.0, 0.5]

    Args:
        answers: (n,) the different answers that were given to each item.
        golds: (n,) right answers; '' where it is not known.
        groups: (n,) golds are exchanged within these labels only (a benchmark's parts ask for different things).
    """
    n = len(answers)
    codes = np.zeros(n, int) if groups is None else cluster_codes(groups, n)
    known = Counter(zip(codes.tolist(), golds, strict=True))
    for code in set(codes.tolist()):
        known.pop((code, ""), None)
    sizes = Counter(code for code, _ in known.elements())
    chances = []
    for said, gold, code in zip(answers, golds, codes.tolist(), strict=True):
        others = sizes[code] - (gold != "")
        hits = sum(known[code, one] for one in set(said)) - (gold != "" and gold in said)
        chances.append(hits / others if others else 0.0)
    return np.array(chances)


def corrected_share(share: float, chance: float) -> float:
    """The share that is known rather than guessed: (s − c) / (1 − c), Abbott's formula; NaN where guessing is certain.

    >>> corrected_share(0.925, 0.9)
    0.25
    """
    return round((share - chance) / (1.0 - chance), 12) if chance < CERTAIN else math.nan
