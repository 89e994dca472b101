"""The three answers: gained or lost, equivalent, can't tell.

"Not significant" is not "no change": without enough items the answer is `cant_tell`, and `equivalent` has to be shown.

    python -c "from capeval.stats.answers import inside_margin; print(inside_margin(-0.01, 0.015, 0.02))"
"""

from __future__ import annotations

import math

from capeval.core import Answer, Orientation


def inside_margin(low_equivalence: float, high_equivalence: float, margin: float) -> bool:
    """Whether the 1 − 2α interval lies inside ±margin: two one-sided tests (TOST; Schuirmann 1987).

    Of a significant effect, it says that it is negligible. False when an end or the margin is missing.
    """
    return low_equivalence > -margin and high_equivalence < margin


def decide(  # noqa: PLR0913  the seven numbers that an answer rests on
    *,
    delta: float,
    p_adjusted: float,
    low_equivalence: float,
    high_equivalence: float,
    margin: float,
    alpha: float = 0.05,
    orientation: Orientation = "higher",
) -> Answer:
    """The answer to "what did this do?".

    `gained` or `lost` iff p_adjusted ≤ α, even where the shown interval (marginal, another method) touches 0 or the
    effect is negligible; else `equivalent` iff the 1 − 2α interval lies inside ±margin; else `cant_tell`.

    Args:
        delta: Child − parent, in the score's unit.
        p_adjusted: Two-sided p after the family's adjustment.
        low_equivalence: Lower end of the 1 − 2α interval of delta.
        high_equivalence: Upper end of it.
        margin: Half-width of the equivalence region; NaN where none is declared (never equivalent then).
        alpha: Level of the decision.
        orientation: Which way the metric is better; for `none`, gained means increased.
    """
    if math.isnan(delta) or math.isnan(p_adjusted):
        return "cant_tell"
    if p_adjusted <= alpha and delta != 0:
        better = delta < 0 if orientation == "lower" else delta > 0
        return "gained" if better else "lost"
    return "equivalent" if inside_margin(low_equivalence, high_equivalence, margin) else "cant_tell"
