"""Two stages crossed: what each does, and whether they do more (or less) together than each alone.

The same items under four models: neither stage, the first, the second, both. Per item the effects are contrasts of the
four scores (Cox & Reid 2000, The Theory of the Design of Experiments, chapter 5):

    first       ((both + first) − (second + neither)) / 2
    second      ((both + second) − (first + neither)) / 2
    interaction  (both − second) − (first − neither)

so an effect is a paired difference like any other, with the items as their own controls and the errors of clusters and
strata. The estimates are those of least squares on the long table with an effect for every item.

    python -c "from capeval.stats.factorial import factorial; \\
        print(factorial([[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]] * 30).interaction)"
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from capeval.core import ClusterRole
from capeval.stats.paired import PairedDifference, paired_difference
from capeval.stats.standard_errors import Labels

EFFECTS: dict[str, tuple[float, float, float, float]] = {
    "first": (-0.5, 0.5, -0.5, 0.5),
    "second": (-0.5, -0.5, 0.5, 0.5),
    "interaction": (1.0, -1.0, -1.0, 1.0),
}
"""Weights of the four scores, in the order neither, first, second, both."""
_LENGTHS = ("delta", "se", "low", "high", "low_equivalence", "high_equivalence", "low_clustered", "high_clustered",
            "mde")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorialEffects:
    """The three effects, each in the score's unit."""

    first: PairedDifference
    second: PairedDifference
    interaction: PairedDifference


def factorial(  # noqa: PLR0913  four scores, and how their errors go together
    scores: ArrayLike,
    *,
    clusters: Labels | None = None,
    role: ClusterRole = "none",
    span: float | None = 1.0,
    alpha: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
) -> FactorialEffects:
    """Main effects and interaction of a 2 × 2 on the same items.

    Args:
        scores: (n, 4) scores under neither, first, second, both; none missing.
        clusters: (n,) labels of what items share.
        role: What clusters are.
        span: Largest score minus smallest possible one, which bounds the effects (2 for a difference of two rates);
            None where a score has no bounds.
        alpha: Level of the decision: sets the equivalence interval and the MDE.
        level: Confidence of `low`..`high`.
        seed: Of the sign-flip test.

    Raises:
        ValueError: for another shape, or missing scores.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 4:
        raise ValueError(f"four scores per item are needed (neither, first, second, both); got shape {table.shape}")

    def effect(name: str) -> PairedDifference:
        weights = np.array(EFFECTS[name])
        # a bounded contrast is estimated as a part of the largest that it can be, then put back into its unit
        unit = 1.0 if span is None else span * float(weights[weights > 0].sum())
        found = paired_difference(
            table @ weights / unit,
            clusters=clusters, role=role, binary=False, bounded=span is not None, alpha=alpha, level=level, seed=seed,
        )  # fmt: skip
        return replace(found, **{length: getattr(found, length) * unit for length in _LENGTHS})

    return FactorialEffects(first=effect("first"), second=effect("second"), interaction=effect("interaction"))
