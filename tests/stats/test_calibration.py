"""Calibration by hand, against scikit-learn, and its interval's measured coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from capeval.stats.calibration import adaptive_ece, brier, ece_if_calibrated, ece_interval, top_label_brier


def test_brier_by_hand():
    assert brier([0.5, 0.3, 0.2], 0) == pytest.approx(0.25 + 0.09 + 0.04)
    assert brier([1.0, 0.0], 1) == 2.0
    assert brier([0.0, 1.0], 1) == 0.0
    with pytest.raises(ValueError, match="sum to 1.5"):
        brier([1.0, 0.5], 0)
    with pytest.raises(ValueError, match="answer 2 of 2"):
        brier([0.5, 0.5], 2)


def test_brier_is_lm_evals():
    from lm_eval.api.metrics import brier_score

    p = np.random.default_rng(0).dirichlet(np.ones(4), size=30)
    gold = np.random.default_rng(1).integers(4, size=30)
    assert np.mean([brier(row, int(g)) for row, g in zip(p, gold, strict=True)]) == pytest.approx(
        brier_score(list(zip(gold, p, strict=True)))
    )


def test_top_label_brier_is_scikit_learns():
    rng = np.random.default_rng(0)
    p, y = rng.random(200), rng.integers(2, size=200)
    assert top_label_brier(p, y) == pytest.approx(brier_score_loss(y, p))


def test_ece_by_hand():
    # 40 items make two bins of 20: sure 0.9 and right 14 of 20, sure 0.3 and right 8 of 20
    p = [0.9] * 20 + [0.3] * 20
    y = [1] * 14 + [0] * 6 + [1] * 8 + [0] * 12
    assert adaptive_ece(p, y) == pytest.approx((0.2 + 0.1) / 2)


def test_ece_is_scikit_learns_quantile_curve():
    rng = np.random.default_rng(3)
    p = rng.permutation(np.linspace(0.05, 0.95, 300))
    y = (rng.random(300) < p**2).astype(float)
    share, sure = calibration_curve(y, p, n_bins=15, strategy="quantile")
    assert adaptive_ece(p, y) == pytest.approx(np.abs(share - sure).mean())


def test_order_of_tied_items_decides_nothing():
    p = np.repeat([0.2, 0.6, 0.6, 0.9], 15)
    y = np.tile([1.0, 0.0, 0.0], 20)
    orders = [np.random.default_rng(seed).permutation(60) for seed in range(20)]
    found = [adaptive_ece(p[o], y[o]) for o in orders]
    assert np.ptp(found) < 1e-12
    tied = np.full(100, 0.7)  # one confidence: the error is the whole gap, in however many bins
    assert adaptive_ece(tied, np.r_[np.ones(40), np.zeros(60)]) == pytest.approx(0.3)


def test_small_and_impossible():
    assert math.isnan(adaptive_ece([], []))
    assert math.isnan(top_label_brier([], []))
    assert math.isnan(ece_if_calibrated([]))
    assert math.isnan(ece_interval([], []).low)
    assert adaptive_ece([0.8], [1]) == pytest.approx(0.2)
    assert math.isnan(ece_interval([0.8], [1]).high)
    assert math.isnan(ece_interval([0.8, 0.7], [1, 0], clusters=["a", "a"]).high)
    with pytest.raises(ValueError, match="2 confidences for 1 answers"):
        adaptive_ece([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        adaptive_ece([1.2], [1])
    with pytest.raises(ValueError, match="missing"):
        adaptive_ece([math.nan], [1])


def test_a_handful_that_is_all_right_proves_nothing():
    found = ece_interval([0.5] * 5, [1] * 5)
    assert found.low == 0.0
    assert found.high > 0.6


def test_luck_alone_gives_an_error():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.3, 1, 60)
    drawn = [adaptive_ece(p, rng.random(60) < p) for _ in range(400)]
    assert ece_if_calibrated(p) == pytest.approx(np.mean(drawn), rel=0.05)
    assert ece_if_calibrated(p) > 0.05  # though nothing is wrong
    assert ece_if_calibrated([0.0, 1.0]) == 0.0


@pytest.mark.parametrize(("n", "off"), [(60, 0.0), (60, 0.2), (300, 0.0), (300, 0.1)])
def test_interval_covers(n: int, off: float):
    """95 % or, because it is cautious, more; accuracy lies `off` below every confidence, so that is the error."""
    rng, repetitions, covered = np.random.default_rng(1), 200, 0
    for seed in range(repetitions):
        p = rng.uniform(0.35, 0.95, n)
        found = ece_interval(p, rng.random(n) < p - off, resamples=200, seed=seed)
        covered += found.low <= off <= found.high
    assert covered / repetitions >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / repetitions)


def test_interval_tells_bad_calibration():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.6, 1, 400)
    found = ece_interval(p, rng.random(400) < p - 0.3)
    assert 0.15 < found.low < 0.3 < found.high < 0.4


def test_clusters_that_are_right_together_widen_it():
    rng = np.random.default_rng(4)
    p = np.full(300, 0.6)
    right = np.repeat((rng.random(10) < 0.6).astype(float), 30)
    labels = np.repeat([f"article {i}" for i in range(10)], 30)
    alone, together = ece_interval(p, right), ece_interval(p, right, clusters=labels)
    assert together.high - together.low > 2 * (alone.high - alone.low)
