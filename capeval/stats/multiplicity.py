"""Adjusted p for families of tests: Holm where a gate must not cry wolf, Benjamini-Hochberg for the exploratory matrix.

python -c "from capeval.stats.multiplicity import holm; print(holm([0.01, 0.04, 0.03]))"
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.standard_errors import Vector


def holm(p: ArrayLike) -> Vector:
    """Step-down p that hold the chance of any false alarm in the family (Holm 1979, Scand J Stat 6:65).

    Args:
        p: (m,) p values; NaN (nothing was tested) stays NaN and doesn't count.

    Returns:
        (m,) adjusted p, in the same order.

    Raises:
        ValueError: for p outside [0, 1].
    """
    values, tested = _family(p)
    order = np.argsort(values[tested], kind="stable")
    m = len(order)
    stepped = np.maximum.accumulate(values[tested][order] * (m - np.arange(m)))
    return _put_back(values, tested, order, stepped)


def benjamini_hochberg(p: ArrayLike) -> Vector:
    """Step-up p that hold the expected share of false finds (Benjamini & Hochberg 1995, JRSS B 57:289).

    Args:
        p: (m,) p values; NaN (nothing was tested) stays NaN and doesn't count.

    Returns:
        (m,) adjusted p, in the same order.

    Raises:
        ValueError: for p outside [0, 1].
    """
    values, tested = _family(p)
    order = np.argsort(values[tested], kind="stable")
    m = len(order)
    stepped = np.minimum.accumulate((values[tested][order] * (m / (np.arange(m) + 1)))[::-1])[::-1]
    return _put_back(values, tested, order, stepped)


def _family(p: ArrayLike) -> tuple[Vector, np.ndarray]:
    values = np.asarray(p, dtype=np.float64)
    tested = ~np.isnan(values)
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise ValueError("a p value lies outside [0, 1]")
    return values, tested


def _put_back(values: Vector, tested: np.ndarray, order: np.ndarray, stepped: Vector) -> Vector:
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(stepped, 1.0)
    result = values.copy()
    result[tested] = adjusted
    return result
