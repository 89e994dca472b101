"""Measured coverage and size: 95 % ± 1.5 and at most 5 %, with room for what repetitions leave unsure.

Four scenarios of the grid cover less than that; they are named here (`SHORT`) and in docs/statistics.md.
The whole grid (some minutes): `make validate`, or CAPEVAL_SLOW=1 pytest tests/stats/test_simulation.py
"""

from __future__ import annotations

import math
import os
import re
from functools import partial
from pathlib import Path

import pytest

from benchmarks import validate_stats as measure

SLOW_REPS = 4000
REPS = 1200

SQUAD = measure.Clusters(count=32, items=3.0, spread=1.2, correlation=0.3)
EIGHT = measure.Clusters(count=8, items=12.0, spread=0.0, correlation=0.05)
EIGHT_UNEVEN = measure.Clusters(count=8, items=12.0, spread=1.2, correlation=0.05)


def check(measured, *, may_exceed=False):
    """Coverage within 1.5 points, size at most 5 %; four standard errors of room. Exact methods may be above."""
    room = 4 * measured.noise
    assert measured.coverage >= 0.935 - room, measured
    assert may_exceed or measured.coverage <= 0.965 + room, measured
    assert math.isnan(measured.size) or measured.size <= 0.05 + room, measured


@pytest.mark.parametrize("n", [50, 100, 300])
@pytest.mark.parametrize(("gains", "losses"), [(0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.08, 0.02), (0.3, 0.05)])
def test_paired_binary_counted_out(n, gains, losses):
    # few discordant items expected: no interval on a lattice can be near 95 % there, Tango's is then above
    check(measure.paired_binary(n, gains, losses), may_exceed=n * (gains + losses) < 10)


@pytest.mark.parametrize(("gains", "losses"), [(0.02, 0.02), (0.05, 0.0), (0.02, 0.0)])
def test_paired_binary_with_hardly_any_discordance_errs_on_the_safe_side(gains, losses):
    check(measure.paired_binary(30, gains, losses), may_exceed=True)


@pytest.mark.parametrize(("gains", "losses"), [(0.1, 0.1), (0.3, 0.05)])
@pytest.mark.parametrize("clusters", [SQUAD, EIGHT, EIGHT_UNEVEN], ids=["32-uneven", "8-even", "8-uneven"])
def test_paired_binary_in_sampled_clusters(clusters, gains, losses):
    check(measure.paired_clustered(clusters, gains, losses, REPS), may_exceed=clusters.count == 8)


@pytest.mark.parametrize("unlike", [False, True], ids=["alike", "unlike"])
@pytest.mark.parametrize(
    "sizes", [(20,) * 5, (12,) * 10, (1, 2, 3, 5, 8, 10, 12, 20, 40, 60)], ids=["5", "10", "uneven"]
)
def test_paired_binary_in_strata(sizes, unlike):
    check(measure.paired_stratified(sizes, 0.1, 0.1, unlike, REPS))


def test_paired_binary_in_strata_where_one_model_only_loses():
    check(measure.paired_stratified((20,) * 5, 0.0, 0.05, False, REPS), may_exceed=True)


def test_paired_continuous():
    check(measure.paired_continuous(100, 0.3, 0.3, REPS))
    check(measure.paired_continuous(100, 0.3, 0.0, REPS))


def test_score_in_sampled_clusters():
    check(measure.score_clustered(SQUAD, 0.6, REPS))


def test_ignoring_clusters_would_be_caught():
    # the check has teeth: Tango's interval on the same items without their clusters covers far less
    clustered = measure.Clusters(count=32, items=12.0, spread=1.2, correlation=0.3)
    measured = measure.paired_clustered(clustered, 0.1, 0.1, 300, role="none")
    assert measured.coverage < 0.8
    assert measured.size > 0.1


SHORT = {
    "32 clusters of 3 items (3 ± 2.4), ICC 0.3, rate 90%": 0.933,
    "32 clusters of 12 items (12 ± 13.2), ICC 0.3, rate 90%": 0.912,
    "32 clusters of 12 items (equal), ICC 0.3, gains 5%, losses 0%": 0.924,
    "32 clusters of 12 items (12 ± 13.2), ICC 0.3, gains 5%, losses 0%": 0.893,
}
"""Known to cover less than 93.5 %, and by how much: a few large clusters decide."""
USED = [scenario for scenario in measure.scenarios(SLOW_REPS) if scenario.func is not measure.wald]
"""The rest is measured for comparison, and nothing is promised of it."""


def documented() -> dict[str, float]:
    """Coverage of every scenario in the tables of docs/statistics.md, those of the methods in use."""
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    used = text.partition("**for comparison")[0]
    rows = re.findall(r"^\| (.+?) \| ([\d.]+)% \| [\d.]+% \|", used, flags=re.MULTILINE)
    return {scenario: round(float(share) / 100, 3) for scenario, share in rows}


def test_the_document_names_every_scenario_that_falls_short():
    shares = documented()
    assert len(shares) == len(USED)
    assert {scenario: share for scenario, share in shares.items() if share < 0.935} == SHORT


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("CAPEVAL_SLOW"), reason="minutes of simulation: set CAPEVAL_SLOW=1")
@pytest.mark.parametrize("scenario", USED, ids=lambda s: "-".join(map(str, scenario_id(s))))
def test_whole_grid(scenario: partial[measure.Measured]):
    measured = scenario()
    if measured.scenario in SHORT:
        assert measured.coverage == pytest.approx(SHORT[measured.scenario], abs=4 * measured.noise)
    else:
        check(measured, may_exceed=True)


def scenario_id(scenario):
    return scenario.func.__name__, *(str(a).replace(" ", "") for a in scenario.args)
