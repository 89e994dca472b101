"""How often a gate fails, passes or can't tell, when the candidate's true loss is known.

A gate of one rule with a margin of two points. False fail: it fails although the loss is no larger than the margin.
False pass: it passes although the loss is as large as the margin or larger. The rest costs items, not trust.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.planted.asked import estimated, spec
from benchmarks.planted.grid import RATE, split
from benchmarks.planted.items import ends, flips
from benchmarks.planted.shares import Share, share
from capeval.stats.gates import gate_status

GATE = "The gate: margin 2 points, 10 % of the items discordant"
MARGIN = 0.02
SIZES = (100, 300, 1319)
LOSSES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""True loss, in margins."""
DISCORDANCE = 0.10


def judged(n: int, loss: float, reps: int) -> list[str]:
    """Statuses of `reps` gates on n items; one rule, so that Holm's p is the p itself."""
    rng = np.random.default_rng([71, n, round(10 * loss)])
    gains, losses = split(DISCORDANCE, -loss * MARGIN)
    task, found = spec("planted", margin=MARGIN), []
    for _ in range(reps):
        one = estimated(*ends(flips(None, n, gains, losses, rng), RATE, rng), None, task)
        status = gate_status(low=one.low_equivalence, high=one.high_equivalence, p_holm=one.p, margin=MARGIN)
        found.append(str(status))
    return found


def gate_rates(n: int, reps: int) -> Iterator[Share]:
    """Pass, fail and inconclusive for every true loss."""
    for loss in LOSSES:
        statuses = np.array(judged(n, loss, reps))
        scenario = f"n = {n:,}, true loss {100 * loss * MARGIN:g} points"
        fail, passed = statuses == "fail", statuses == "pass"
        small, large = loss <= 1, loss >= 1
        yield share(GATE, scenario, "false fail" if small else "fail", fail, at_most=0.05 if small else np.nan)
        yield share(GATE, scenario, "false pass" if large else "pass", passed, at_most=0.05 if large else np.nan)
        yield share(GATE, scenario, "inconclusive", ~fail & ~passed)
