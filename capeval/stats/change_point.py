"""Where a score begins to rise: flat up to a size, then a straight line on log10 of the size.

Two questions on the same items at five sizes or more. Is there a bend at all, or would a straight line do? And where
does the rise begin, with what interval?

Both are one test. Let the mean curve be a + b · max(0, x − τ) with x = log10 size: a hinge at τ. If τ is true, every
contrast of sizes that is orthogonal to 1 and max(0, x − τ) has mean 0 over items. The test takes those contrasts that
a hinge elsewhere would move, sums each over items, and compares the largest with what it is when the sign of every
item's (or cluster's) scores is flipped at random: the max-T test (Westfall & Young 1993, Resampling-Based Multiple
Testing) by sign changes (Canay, Romano & Shaikh 2017, Econometrica 85:1013), which needs no estimate of how scores at
different sizes go together. With τ at the smallest size the hinge is a straight line: that p is the p of a bend, and it
knows that under a straight line there is no τ to be found (Davies 1987, Biometrika 74:33). All τ that are not rejected
are the interval: it may well reach to the next sizes, because between two sizes nobody has looked. τ itself is the one
of them that fits best by least squares (Hudson 1966, JASA 61:1097; Muggeo 2003, Stat Med 22:3055).

    python -c "from capeval.stats.change_point import change_point; import numpy as np; \\
        p = [.1, .1, .1, .3, .5, .7]; s = np.random.default_rng(0).random((300, 6)) < p; \\
        print(change_point(s, [1, 10, 100, 1e3, 1e4, 1e5]))"
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capeval.stats.standard_errors import Labels, Vector, cluster_codes
from capeval.stats.trend import log_sizes, matrix

MIN_SIZES = 5
"""Fewer leave a hinge's three numbers no room to be wrong."""
MIN_CLUSTERS = 6
"""Below it a sign-flip test can't reach p = .05 (2 · 2^-5 = .0625 at five)."""
DRAWS = 1_999
_STEPS = 8
"""Places that are tried between two sizes, and on them."""
_CHUNK = 2_000_000
_TIE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """A hinge against a straight line, and where it bends."""

    n: int
    n_clusters: int
    """Clusters whose signs were flipped; items where there are none."""
    p: float
    """Two-sided, of a bend against a straight line."""
    change: float
    """Size at which the score begins to change: of those that are not rejected the one that fits best."""
    low: float
    """Lower end of the interval: the smallest and largest size at which a beginning is not rejected. NaN where the
    straight line is not rejected (then there is no beginning), and where every beginning is: the curve bends, but it is
    not flat before or not straight after."""
    high: float
    before: float
    """Mean score before the change."""
    slope: float
    """Score gained per tenfold size after it."""


def change_point(
    scores: ArrayLike,
    sizes: ArrayLike,
    *,
    clusters: Labels | None = None,
    level: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
) -> ChangePoint:
    """Test for a bend, and find where the score begins to rise or fall.

    Args:
        scores: (n, k) one row per item, one column per size, none missing.
        sizes: (k,) ascending and different, at least `MIN_SIZES`.
        clusters: (n,) labels of what items share; strata (a fixed list) are no clusters here.
        level: Confidence of the interval, and 1 − level the level at which a straight line is rejected.
        seed: Of the sign flips; an item is flipped alike in all tests of one call.
        draws: Sign patterns.

    Raises:
        ValueError: for fewer than `MIN_SIZES` sizes, fewer than `MIN_CLUSTERS` items or clusters, sizes that don't
            ascend, missing scores.
    """
    x = log_sizes(sizes)
    if len(x) < MIN_SIZES:
        raise ValueError(f"a change point takes {MIN_SIZES} sizes; there are {len(x)}")
    if (np.diff(x) <= 0).any():
        raise ValueError("sizes must ascend, each once")
    values = matrix(scores, len(x))
    n = len(values)
    codes = np.arange(n) if clusters is None else cluster_codes(clusters, n)
    groups = int(codes.max()) + 1 if n else 0
    if groups < MIN_CLUSTERS:
        what = "items" if clusters is None else "clusters"
        raise ValueError(f"a change point takes {MIN_CLUSTERS} {what}; there are {groups}")
    sums = np.zeros((groups, len(x)))
    np.add.at(sums, codes, values)
    flipped = _flipped(sums, seed, draws)
    places = _places(x)
    alpha = 1 - level
    p = _p(sums, flipped, x, float(x[0]), places)
    kept: list[int] = []
    if p <= alpha:
        kept = [i for i, place in enumerate(places) if i and _p(sums, flipped, x, float(place), places) > alpha]
    low, high = _ends(kept, places, float(x[-1]))
    place, before, slope = _least_squares(values.mean(axis=0), x, places[kept] if kept else places)
    return ChangePoint(
        n=n, n_clusters=groups, p=p, change=10**place, low=10**low, high=10**high, before=before, slope=slope
    )


def _places(x: Vector) -> Vector:
    """Where a hinge may bend: on the sizes and at even steps between them, up to the last but one.

    Between the last two sizes all hinges draw the same curve: flat, and one score that is off it.
    """
    between = [np.linspace(a, b, _STEPS, endpoint=False) for a, b in itertools.pairwise(x[:-1])]
    return np.append(np.concatenate(between), x[-2])


def _ends(kept: list[int], places: Vector, last: float) -> tuple[float, float]:
    """The interval, rounded outwards to the next place that was tried."""
    if not kept:
        return math.nan, math.nan
    low = float(places[max(0, kept[0] - 1)])
    return low, last if kept[-1] == len(places) - 1 else float(places[kept[-1] + 1])


def _hinges(x: Vector, places: Vector) -> NDArray[np.float64]:
    """(k, places) columns max(0, x − τ)."""
    return np.maximum(0.0, x[:, None] - places[None, :])


def _contrasts(x: Vector, place: float, places: Vector) -> NDArray[np.float64]:
    """(k, m) what hinges elsewhere have that the one at `place` has not, each of length 1."""
    null, _ = np.linalg.qr(np.column_stack([np.ones_like(x), _hinges(x, np.array([place]))]))
    others = _hinges(x, places)
    rest = others - null @ (null.T @ others)
    size = np.linalg.norm(rest, axis=0)
    known = size > 1e-6 * np.linalg.norm(others, axis=0)
    found: NDArray[np.float64] = rest[:, known] / size[known]
    return found


def _flipped(sums: NDArray[np.float64], seed: int, draws: int) -> NDArray[np.float64]:
    """(draws, k) totals with every cluster's sign flipped at random."""
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(sums))
    parts = []
    for start in range(0, draws, rows):
        signs = generator.integers(0, 2, size=(min(rows, draws - start), len(sums)), dtype=np.int8) * 2 - 1
        parts.append(signs @ sums)
    return np.concatenate(parts)


def _p(sums: NDArray[np.float64], flipped: NDArray[np.float64], x: Vector, place: float, places: Vector) -> float:
    """p of "the score begins to change at `place`", against a beginning anywhere else."""
    contrasts = _contrasts(x, place, places)
    each = sums @ contrasts
    spread = np.sqrt((each**2).sum(axis=0))
    varies = spread > _TIE * float(np.abs(sums).max(initial=0.0))
    if not varies.any():
        return 1.0
    scale = spread[varies]
    observed = float((np.abs(each[:, varies].sum(axis=0)) / scale).max())
    drawn = (np.abs(flipped @ contrasts[:, varies]) / scale).max(axis=1)
    hits = int(np.count_nonzero(drawn >= observed - _TIE * observed))
    return (1 + hits) / (1 + len(drawn))


def _least_squares(means: Vector, x: Vector, places: Vector) -> tuple[float, float, float]:
    """(τ, level before, slope after) of the hinge at one of the places that fits best, the first of equals."""
    hinges = _hinges(x, places)
    centred = hinges - hinges.mean(axis=0)
    slopes = centred.T @ means / (centred**2).sum(axis=0)
    levels = means.mean() - slopes * hinges.mean(axis=0)
    errors = ((means[:, None] - levels - hinges * slopes) ** 2).sum(axis=0)
    best = int(np.argmin(np.round(errors, 12)))
    return float(places[best]), float(levels[best]), float(slopes[best])
