"""The sign-flip permutation test: are cluster sums of differences centred on 0?

If child and parent are alike, each cluster's sum of differences could as well have had the other sign; p is the share
of all sign patterns whose total is at least as far from 0. Items of one cluster keep together, so nothing is assumed
about their dependence.

    python -c "from capeval.stats.permutation import sign_flip; print(sign_flip([3, 1, 2, 2, 1, 4]))"
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.standard_errors import Vector, finite_vector

ENUMERATED = 16
"""Up to this many clusters, all 2^G sign patterns are tried."""
_LARGEST_TABLE = 50_000_000
_CHUNK = 2_000_000
_TIE = 1e-9


def smallest_p(n_clusters: int) -> float:
    """The smallest p that the test can reach: 2 of the 2^G patterns; six clusters are needed for p < 0.05."""
    return min(1.0, 2.0 ** (1 - n_clusters)) if n_clusters else 1.0


def sign_flip(cluster_sums: ArrayLike, seed: int = 0, draws: int = 19_999) -> float:
    """Two-sided p of the sign-flip test (Fisher 1935, §21; for clusters: Canay, Romano & Shaikh 2017, Econometrica 85).

    Exact where it can be: integer sums (right-or-wrong items) by convolution, up to 16 clusters by enumeration.
    Otherwise Monte Carlo with (1 + hits) / (1 + draws), which keeps the size (Phipson & Smyth 2010, SAGMB 9:39).

    Args:
        cluster_sums: (G,) sum of the differences in each cluster.
        seed: Of the Monte Carlo draws.
        draws: Sign patterns drawn, where they are drawn.

    Returns:
        The p; 1 when all sums are 0 and when there are none.
    """
    sums = np.abs(finite_vector(cluster_sums))
    observed = abs(float(np.sum(finite_vector(cluster_sums))))
    # a sum of 0 is its own mirror; sorting makes p independent of the order of clusters
    sums = np.sort(sums[sums > 0])
    if len(sums) == 0:
        return 1.0
    threshold = observed - _TIE * float(sums.sum())
    whole = np.rint(sums)
    if np.array_equal(whole, sums) and len(sums) * sums.sum() <= _LARGEST_TABLE:
        return _by_convolution(whole.astype(np.int64), threshold)
    if len(sums) <= ENUMERATED:
        return _by_enumeration(sums, threshold)
    return _by_drawing(sums, threshold, seed, draws)


def _by_convolution(sums: np.ndarray, threshold: float) -> float:
    """Distribution of Σ ±s over the integers −S..S, one cluster at a time."""
    total = int(sums.sum())
    chances = np.zeros(2 * total + 1)
    chances[total] = 1.0
    reach = 0
    for s in (int(s) for s in sums):
        middle = chances[total - reach : total + reach + 1] / 2
        chances[total - reach : total + reach + 1] = 0.0
        chances[total - reach - s : total + reach - s + 1] += middle
        chances[total - reach + s : total + reach + s + 1] += middle
        reach += s
    return min(1.0, float(chances[np.abs(np.arange(-total, total + 1)) >= threshold].sum()))


def _by_enumeration(sums: Vector, threshold: float) -> float:
    """All patterns; the sign of the first cluster is fixed, because |Σ| doesn't see the mirror image."""
    totals = sums[:1]
    for s in sums[1:]:
        totals = np.concatenate([totals - s, totals + s])
    return float(np.mean(np.abs(totals) >= threshold))


def _by_drawing(sums: Vector, threshold: float, seed: int, draws: int) -> float:
    generator = np.random.default_rng(seed)
    hits, left = 0, draws
    while left:
        rows = min(left, max(1, _CHUNK // len(sums)))
        signs = generator.integers(0, 2, size=(rows, len(sums)), dtype=np.int8) * 2 - 1
        hits += int(np.count_nonzero(np.abs(signs @ sums) >= threshold))
        left -= rows
    return (1 + hits) / (1 + draws)
