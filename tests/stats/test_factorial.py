"""2 × 2 effects: equal to statsmodels on the long table, bounded, right at the edges."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from capeval.stats.factorial import EFFECTS, factorial
from capeval.stats.paired import paired_difference


def four(n=120, seed=0, interaction=0.2):
    """Scores under neither, first, second, both; items differ in how hard they are."""
    generator = np.random.default_rng(seed)
    hard = generator.normal(0, 0.25, (n, 1))
    means = np.array([0.3, 0.45, 0.4, 0.55 + interaction])
    return np.clip(means + hard + generator.normal(0, 0.1, (n, 4)), 0, 1)


def long(scores, clusters=None):
    n = len(scores)
    frame = pd.DataFrame(
        {
            "item": np.repeat(np.arange(n), 4),
            "first": np.tile([-0.5, 0.5, -0.5, 0.5], n),  # effect coding: main effects are means over the other factor
            "second": np.tile([-0.5, -0.5, 0.5, 0.5], n),
            "score": scores.ravel(),
        }
    )
    frame["group"] = np.repeat(np.arange(n) if clusters is None else clusters, 4)
    return frame


def test_estimates_and_clustered_errors_are_those_of_least_squares_with_item_effects():
    scores = four()
    found = factorial(scores, span=None)
    frame = long(scores)
    fit = smf.ols("score ~ first * second + C(item)", frame).fit(
        cov_type="cluster", cov_kwds={"groups": frame["group"], "use_correction": False}
    )
    for name, term in (("first", "first"), ("second", "second"), ("interaction", "first:second")):
        mine = getattr(found, name)
        assert mine.delta == pytest.approx(fit.params[term])
        # clusters of one item: the same but for the factor n / (n − 1)
        assert mine.se == pytest.approx(fit.bse[term] * math.sqrt(120 / 119), rel=1e-6)


def test_a_mixed_model_with_item_effects_agrees():
    scores = four(60, seed=4)
    frame = long(scores)
    fit = smf.mixedlm("score ~ first * second", frame, groups=frame["item"]).fit()
    found = factorial(scores)
    for name, term in (("first", "first"), ("second", "second"), ("interaction", "first:second")):
        assert getattr(found, name).delta == pytest.approx(fit.params[term], abs=1e-6)
        assert getattr(found, name).se == pytest.approx(fit.bse[term], rel=0.25)  # it pools the errors of the effects


def test_clusters_of_several_items():
    scores = four(120)
    scores[:, 3] = np.clip(scores[:, 3] + np.repeat(np.random.default_rng(1).normal(0, 0.2, 20), 6), 0, 1)
    labels = np.repeat([f"article {i}" for i in range(20)], 6)
    found = factorial(scores, clusters=labels, role="sampled").interaction
    frame = long(scores, labels)
    fit = smf.ols("score ~ first * second + C(item)", frame).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(frame["group"])[0], "use_correction": False}
    )
    assert found.n_clusters == 20
    assert found.se == pytest.approx(fit.bse["first:second"] * math.sqrt(20 / 19), rel=1e-6)
    assert found.se > 1.3 * factorial(scores).interaction.se


def test_an_effect_is_a_paired_difference():
    scores = (np.random.default_rng(2).random((200, 4)) < [0.2, 0.3, 0.3, 0.7]).astype(float)
    for name, weights in EFFECTS.items():
        plain = paired_difference(scores @ np.array(weights), binary=False, bounded=False)
        mine = getattr(factorial(scores), name)
        assert (mine.delta, mine.low, mine.high, mine.p, mine.mde) == pytest.approx(
            (plain.delta, plain.low, plain.high, plain.p, plain.mde)
        )


def test_nothing_that_varies_has_an_interval_all_the_same():
    found = factorial(np.zeros((50, 4)))
    assert (found.interaction.delta, found.interaction.p) == (0, 1)
    assert found.interaction.low == pytest.approx(-2 * 1.96**2 / (50 + 1.96**2), rel=1e-3)  # a contrast of ±2
    assert found.first.high == pytest.approx(1.96**2 / (50 + 1.96**2), rel=1e-3)
    assert factorial(np.zeros((50, 4)), span=None).interaction.high == 0


def test_the_interval_ends_where_the_contrast_does():
    scores = np.tile([0.0, 0.0, 0.0, 1.0], (3, 1))
    scores[0] = [1.0, 0.0, 0.0, 1.0]
    assert factorial(scores).interaction.high == 2
    assert factorial(scores, span=2.0).interaction.high <= 4


def test_no_item_and_one():
    assert math.isnan(factorial(np.empty((0, 4))).interaction.delta)
    one = factorial([[0.0, 0.0, 0.0, 1.0]]).interaction
    assert (one.delta, one.p, one.n) == (1, 1, 1)


@pytest.mark.parametrize("scores", [[[1.0, 0.0, 0.0]], [1.0, 0.0, 0.0, 1.0]])
def test_other_shapes_are_refused(scores):
    with pytest.raises(ValueError, match="four scores per item"):
        factorial(scores)


def test_coverage_of_a_planted_interaction():
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        hard = generator.normal(0, 1, (80, 1))
        chance = 1 / (1 + np.exp(-(hard + np.array([-1.0, -0.2, -0.5, 1.0]))))
        truth = float((chance @ np.array(EFFECTS["interaction"])).mean())
        found = factorial((generator.random((80, 4)) < chance).astype(float)).interaction
        hits += found.low <= truth <= found.high
    assert hits / 400 > 0.95 - 2.6 * math.sqrt(0.95 * 0.05 / 400)
