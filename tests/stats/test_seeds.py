"""Training seeds: the t interval against scipy, variance components against statsmodels and a published table."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from capeval.stats.seeds import seed_interval, split_variance

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)  # fmt: skip
"""Shrout & Fleiss 1979, table 2: six targets (rows), four judges."""


def test_the_interval_is_scipys_t() -> None:
    values = [0.10, 0.14, 0.09, 0.17]
    found = seed_interval(values, level=0.9)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.n, found.mean, found.sd) == (4, pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert (found.low, found.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))


def test_three_runs_know_little() -> None:
    found = seed_interval([0.05, 0.06, 0.07])
    assert (found.high - found.low) / 2 == pytest.approx(4.3026527 * 0.01 / math.sqrt(3))


def test_an_effect_that_has_bounds_stays_in_them() -> None:
    found = seed_interval([1.0, 0.82, 1.0], limit=1.0)
    assert (found.high, found.low > 0.6) == (1.0, True)
    assert seed_interval([-1.0, -0.82, -1.0], limit=1.0).low == -1.0


def test_the_edges_of_the_interval() -> None:
    assert math.isnan(seed_interval([]).mean)
    one = seed_interval([0.2])
    assert one.mean == 0.2 and math.isnan(one.low) and math.isnan(one.high) and math.isnan(one.sd)
    same = seed_interval([0.2, 0.2, 0.2])
    assert (same.low, same.high) == (pytest.approx(0.2), pytest.approx(0.2))
    with pytest.raises(ValueError, match="missing"):
        seed_interval([0.1, float("nan")])


def test_components_are_those_of_the_published_table() -> None:
    found = split_variance(SHROUT_FLEISS.T)  # judges are the seeds, targets the items
    # their table 3: between targets 11.24, between judges 32.49, residual 1.02
    assert found.residual == pytest.approx(1.02, abs=0.005)
    assert found.seed == pytest.approx((32.49 - 1.02) / 6, abs=0.005)
    assert found.item == pytest.approx((11.24 - 1.02) / 4, abs=0.005)
    agreement = found.item / (found.item + found.seed + found.residual)
    assert agreement == pytest.approx(0.29, abs=0.005)  # their ICC(2, 1)


def test_mean_squares_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    d = rng.normal(size=(4, 1)) * 0.3 + rng.normal(size=(1, 30)) + rng.normal(size=(4, 30))
    long = pd.DataFrame({"d": d.ravel(), "seed": np.repeat(np.arange(4), 30), "item": np.tile(np.arange(30), 4)})
    squares = anova_lm(ols("d ~ C(seed) + C(item)", long).fit())["mean_sq"]
    found = split_variance(d)
    assert found.residual == pytest.approx(squares["Residual"])
    assert found.seed == pytest.approx(max(0, (squares["C(seed)"] - squares["Residual"]) / 30))
    assert found.item == pytest.approx((squares["C(item)"] - squares["Residual"]) / 4)


def test_planted_components_come_back() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(300):
        d = 0.05 * rng.normal(size=(5, 1)) + 0.4 * rng.normal(size=(1, 200)) + 0.3 * rng.normal(size=(5, 200))
        found = split_variance(d)
        parts.append((found.seed, found.item, found.residual))
    assert np.mean(parts, axis=0) == pytest.approx([0.0025, 0.16, 0.09], rel=0.1)


def test_the_share_of_a_run_whose_seed_does_nothing_is_near_zero() -> None:
    rng = np.random.default_rng(1)
    shares = [split_variance(rng.normal(size=(1, 200)) + rng.normal(size=(3, 200))).seed_share for _ in range(200)]
    assert np.mean(shares) < 0.25
    moved = split_variance(rng.normal(size=(1, 200)) + np.array([[-1.0], [0.0], [1.0]])).seed_share
    assert moved > 0.95


def test_the_edges_of_the_split() -> None:
    for d in (np.zeros((1, 5)), np.zeros((3, 1)), np.zeros((0, 0)), np.zeros((3, 0))):
        assert math.isnan(split_variance(d).seed) and math.isnan(split_variance(d).seed_share)
    assert split_variance(np.zeros((3, 5))).seed == 0 and math.isnan(split_variance(np.zeros((3, 5))).seed_share)
    with pytest.raises(ValueError, match="one row per seed"):
        split_variance([1.0, 2.0])
    with pytest.raises(ValueError, match="missing"):
        split_variance([[1.0, float("nan")], [0.0, 1.0]])
