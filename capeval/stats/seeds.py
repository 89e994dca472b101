"""Training seeds: what an effect is over runs of the same recipe, and how much of its error the run is to blame for.

Errors over items say how the effect would vary on other questions to the same weights. Another seed of the training
gives other weights; only several trained runs tell how much that moves the effect.

    python -c "from capeval.stats.seeds import seed_interval as s; print(s([0.10, 0.14, 0.09]))"
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.rates import t_quantile
from capeval.stats.standard_errors import finite_vector


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedInterval:
    """An effect over training runs."""

    mean: float
    """NaN for no runs."""
    low: float
    """NaN for fewer than two runs."""
    high: float
    n: int
    """Training runs."""
    sd: float
    """Standard deviation between runs (n − 1); the spread of the items is in it, as far as it is not shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSplit:
    """Variance components of d[seed, item]; all NaN for fewer than two seeds or items."""

    seed: float
    """Between runs, beyond what the items' own error gives: σ²_seed, of d itself and so of the mean of any n items."""
    item: float
    """Between items, shared by all runs: σ²_item of one item."""
    residual: float
    """The rest: how differently two runs take one item (or one run another time)."""
    n_seeds: int
    n_items: int

    @property
    def seed_share(self) -> float:
        """Of the variance of one run's mean over these items, the share that is the run's own.

        σ²_seed / (σ²_seed + (σ²_item + σ²_residual) / n). NaN where nothing varies, or nothing is known.
        """
        whole = self.seed + (self.item + self.residual) / self.n_items if self.n_items else math.nan
        return self.seed / whole if whole > 0 else math.nan


def seed_interval(estimates: ArrayLike, *, level: float = 0.95, limit: float = math.inf) -> SeedInterval:
    """Student's t over training runs: mean ± t_{n−1} · sd/√n (Student 1908, Biometrika 6:1).

    It speaks of other runs of the recipe on the same items. Three runs have two degrees of freedom and t = 4.30: a wide
    interval is what so few runs know. Runs that agree exactly give an interval of width 0.

    Args:
        estimates: (n,) one estimate per training run, none missing.
        level: Confidence, between 0 and 1.
        limit: Largest amount that an effect can have (1 for a difference of rates); the interval is cut there.

    Raises:
        ValueError: for missing estimates.
    """
    values = finite_vector(estimates)
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        return SeedInterval(mean=mean, low=math.nan, high=math.nan, n=n, sd=math.nan)
    sd = float(values.std(ddof=1))
    half = t_quantile((1 + level) / 2, n - 1) * sd / math.sqrt(n)
    return SeedInterval(mean=mean, low=max(-limit, mean - half), high=min(limit, mean + half), n=n, sd=sd)


def split_variance(d: ArrayLike) -> VarianceSplit:
    """How much of the spread lies between seeds, between items, and in neither: two-way random effects, by moments.

    d[r, i] = μ + seed_r + item_i + rest: with k seeds and n items, σ²_rest = MS_rest,
    σ²_seed = (MS_seed − MS_rest) / n, σ²_item = (MS_item − MS_rest) / k, negative ones set to 0 (Searle, Casella &
    McCulloch 1992, Variance Components, chapter 4; the mean squares are those of Shrout & Fleiss 1979, Psychological
    Bulletin 86:420). All runs answer the same items, so pooling their standard errors as if they were studies of
    other people (DerSimonian & Laird 1986) would count the items' error twice and find too little between seeds.

    Args:
        d: (seeds, items) differences, none missing; items count as independent.

    Raises:
        ValueError: for another shape, or missing values.
    """
    values = np.asarray(d, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError("one row per seed and one column per item is needed, without missing values")
    k, n = values.shape
    if k < 2 or n < 2:
        return VarianceSplit(seed=math.nan, item=math.nan, residual=math.nan, n_seeds=k, n_items=n)
    of_seed, of_item, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    rest = values - of_seed[:, None] - of_item[None, :] + mean
    residual = float((rest**2).sum()) / ((k - 1) * (n - 1))
    seed = n * float(((of_seed - mean) ** 2).sum()) / (k - 1)
    item = k * float(((of_item - mean) ** 2).sum()) / (n - 1)
    return VarianceSplit(
        seed=max(0.0, (seed - residual) / n),
        item=max(0.0, (item - residual) / k),
        residual=residual,
        n_seeds=k,
        n_items=n,
    )
