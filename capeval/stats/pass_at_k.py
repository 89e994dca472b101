"""pass@k: the chance that at least one of k sampled answers is right, from n ≥ k samples of one item.

python -c "from capeval.stats.pass_at_k import pass_at_k as p; print(p(n=20, c=3, k=10))"

Unbiased estimator of Chen et al. 2021 (arXiv:2107.03374, eq. 1): 1 − C(n−c, k) / C(n, k). One number per item: its n
samples never count as n items, so intervals and pairing see as many items as the benchmark has.
"""

from __future__ import annotations

from math import comb

from capeval.errors import UsageError


def pass_at_k(*, n: int, c: int, k: int) -> float:
    """pass@k of one item, between 0 and 1.

    Computed in whole numbers, rounded once at the end; the paper's product of n − c + 1 … n rounds at every step.

    Args:
        n: Samples drawn.
        c: How many of them are right.
        k: How many one may draw.

    Raises:
        UsageError: k is not between 1 and n, or c not between 0 and n.
    """
    if not 1 <= k <= n:
        raise UsageError(f"pass@{k} needs at least {max(k, 1)} samples of every item, but there are {n}")
    if not 0 <= c <= n:
        raise UsageError(f"{c} of {n} samples can't be right")
    ways = comb(n, k)
    return (ways - comb(n - c, k)) / ways
