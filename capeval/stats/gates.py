"""Pass, fail or inconclusive: what one paired difference means for a release.

python -c "from capeval.stats.gates import gate_status as g; print(g(low=-0.01, high=0.03, p_holm=1, margin=0.02))"
"""

from __future__ import annotations

from typing import Literal

GateStatus = Literal["pass", "fail", "inconclusive"]


def gate_status(
    *, low: float, high: float, p_holm: float, margin: float, alpha: float = 0.05, strict: bool = False
) -> GateStatus:
    """Status of one rule "the candidate may not be worse than the baseline by more than the margin".

    - `pass` iff low > −margin: shown not to be worse by more than the margin (non-inferiority; Blackwelder 1982).
    - `fail` iff p_holm ≤ α and high < −margin: shown to be worse by more than the margin, with the chance of any
      false alarm among all rules held at α. With `strict` any shown loss fails (high < 0), and this is asked first:
      a loss that is significant and inside the margin passes without `strict` and fails with it.
    - else `inconclusive`: more items are needed.

    Each bound answers a one-sided question, so the interval to pass in is the 1 − 2α one (`low_equivalence`,
    `high_equivalence` of `PairedDifference`: 90 %), which makes each question a test at level α.

    Args:
        low: Lower bound of candidate − baseline, turned so that higher is better.
        high: Upper bound of it.
        p_holm: Two-sided p of "no difference", after Holm over the rules of the gate.
        margin: Loss that is tolerated, 0 or more, in the score's unit.
        alpha: Level of the decision.
        strict: Whether any shown loss fails.

    Returns:
        The status; `inconclusive` when a number is missing.
    """
    worse = p_holm <= alpha and high < (0.0 if strict else -margin)
    if worse:
        return "fail"
    return "pass" if low > -margin else "inconclusive"
