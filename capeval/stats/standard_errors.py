"""The standard error of a mean, three ways: items independent, in clusters, or in fixed strata.

Clusters stand for more of their kind (32 articles out of all articles): items of one cluster resemble each other, so
the error counts clusters. Strata are the benchmark itself (the 27 tasks of BBH): only the spread inside them is noise.

    python -c "from capeval.stats.standard_errors import clustered_error; print(clustered_error([1, 1, 0, 0], 'aabb'))"
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Labels: TypeAlias = Sequence[Any] | NDArray[Any]
"""(n,) strings or integers; an empty string, None or NaN: the item shares nothing with others."""

Vector: TypeAlias = NDArray[np.float64]


def finite_vector(values: ArrayLike) -> Vector:
    """The values as (n,) floats.

    Raises:
        ValueError: for another shape, for NaN or infinity: missing items are dropped (and counted) by the caller.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"one value per item is needed, in one dimension; got shape {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError("missing or infinite values: drop (and count) missing items before the statistics")
    return vector


def cluster_codes(labels: Labels, n: int) -> NDArray[np.intp]:
    """Labels as integers 0..G−1; every item with an empty label becomes a cluster of its own.

    Args:
        labels: (n,) labels.
        n: Items that there must be labels for.

    Raises:
        ValueError: when there is not one label per item.
    """
    if len(labels) != n:
        raise ValueError(f"{len(labels)} labels for {n} items")
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return np.unique(labels, return_inverse=True)[1]
    # a label that doesn't equal itself is NaN, a table's way to say "none"
    texts = np.array(["" if label is None or label != label else str(label) for label in labels], dtype=str)
    groups, codes = np.unique(texts, return_inverse=True)
    if n and groups[0] == "":
        alone = np.flatnonzero(codes == 0)
        codes = codes.copy()
        codes[alone] = len(groups) + np.arange(len(alone))
        codes = np.unique(codes, return_inverse=True)[1]
    return codes


def standard_error(d: ArrayLike) -> float:
    """√(s² / n) with s² over n − 1, for independent items.

    Args:
        d: (n,) values, none missing.

    Returns:
        The error; NaN for fewer than two items.
    """
    values = finite_vector(d)
    n = len(values)
    return float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan


class ClusteredError(NamedTuple):
    """Error of a mean over clusters, and the t that goes with it."""

    se: float
    """NaN for fewer than two clusters."""
    n_clusters: int
    df: float
    """Degrees of freedom: n_clusters − 1 where clusters are of one size, fewer where some weigh more."""


def clustered_error(d: ArrayLike, clusters: Labels) -> ClusteredError:
    """Cluster-robust error of a mean, for clusters that stand for more of their kind.

    SE² = n⁻² · Σ_c u_c² / (1 − n_c/n) with u_c = Σ_{i∈c} (d_i − d̄), and Satterthwaite's degrees of freedom
    n² / (Σ n_c² + (Σ a_c)² − Σ a_c²), a_c = n_c² / (n − n_c): the bias-reduced error CR2 and the t of Bell & McCaffrey
    2002 (Survey Methodology 28:169; Imbens & Kolesár 2016, REStat 98:701), written out for a mean.

    For clusters of one size, SE² is that of Miller 2024 (arXiv 2411.00640) times G/(G−1), with G − 1 degrees of
    freedom; for clusters of one item, the plain one. For unequal clusters (articles with 1 to 12 questions) Miller's
    formula covers too little when there are few of them (docs/statistics.md has the numbers), hence this one.

    Args:
        d: (n,) values, none missing.
        clusters: (n,) labels.
    """
    values = finite_vector(d)
    n = len(values)
    if n == 0:
        return ClusteredError(math.nan, 0, math.nan)
    codes = cluster_codes(clusters, n)
    sizes = np.bincount(codes)
    groups = len(sizes)
    if groups < 2:
        return ClusteredError(math.nan, groups, math.nan)
    sums = np.bincount(codes, weights=values - values.mean())
    shares = sizes**2 / (n - sizes)
    df = n * n / float((sizes**2).sum() + shares.sum() ** 2 - (shares**2).sum())
    return ClusteredError(math.sqrt(float((sums**2 / (1 - sizes / n)).sum())) / n, groups, df)


def collapse_singletons(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join strata of one item into one stratum; a lone one joins the smallest other (the first among equals)."""
    sizes = np.bincount(codes)
    alone = np.flatnonzero(sizes == 1)
    if len(alone) == 0 or len(sizes) == 1:
        return codes
    target = alone[0]
    if len(alone) == 1:
        others = np.flatnonzero(sizes > 1)
        target = others[np.argmin(sizes[others])]
    return np.unique(np.where(np.isin(codes, alone), target, codes), return_inverse=True)[1]


def stratified_error(d: ArrayLike, strata: Labels) -> float:
    """Error of the micro mean when the strata are fixed: the same benchmark, other items of the same kinds.

    SE² = n⁻² · Σ_h n_h · s²_h (Cochran 1977, Sampling Techniques, chapter 5; weights n_h/n).
    A stratum of one item has no spread of its own: such strata are joined ("collapsed strata", ibid.), which
    counts the difference between them as noise and so errs on the large side.

    Args:
        d: (n,) values, none missing.
        strata: (n,) labels.

    Returns:
        The error; NaN for fewer than two items.
    """
    values = finite_vector(d)
    n = len(values)
    if n < 2:
        return math.nan
    codes = collapse_singletons(cluster_codes(strata, n))
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=values) / sizes
    squares = np.bincount(codes, weights=(values - means[codes]) ** 2)
    return math.sqrt(float(np.sum(sizes * squares / (sizes - 1)))) / n
