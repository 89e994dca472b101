"""The paired difference: which method each case gets, oracles, edges and invariants."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capeval.stats.discordant import mcnemar_exact, tango, tango_at
from capeval.stats.paired import paired_difference
from capeval.stats.permutation import sign_flip
from capeval.stats.power import detectable_by_mcnemar
from capeval.stats.rates import constant_interval
from capeval.stats.standard_errors import clustered_error, stratified_error

BINARY = np.array([1.0] * 16 + [-1.0] * 8 + [0.0] * 62)
LABELS = [f"article {i % 20}" for i in range(len(BINARY))]


def ends(interval):
    return (interval.low, interval.high)


def test_binary_independent():
    result = paired_difference(BINARY, binary=True)
    assert (result.n, result.n_positive, result.n_negative, result.n_clusters) == (86, 16, 8, 0)
    assert result.delta == pytest.approx(8 / 86)
    assert result.p == mcnemar_exact(16, 8)
    assert (result.low, result.high) == ends(tango(16, 8, 86))
    assert (result.low_equivalence, result.high_equivalence) == ends(tango(16, 8, 86, 0.9))
    assert result.se == pytest.approx(stats.sem(BINARY))
    assert result.mde == detectable_by_mcnemar(86, 24)
    assert result.mde == pytest.approx(2.8016 * result.se, rel=0.1)  # what the normal says, and a little more
    assert math.isnan(result.low_clustered)
    assert result.method == "exact McNemar; Tango interval"


def test_continuous_independent_equals_scipys_paired_t():
    generator = np.random.default_rng(1)
    parent, child = generator.random(40), generator.random(40)
    result = paired_difference(child - parent, binary=False)
    oracle = stats.ttest_rel(child, parent)
    assert result.p == pytest.approx(oracle.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(oracle.confidence_interval()))
    equivalence = oracle.confidence_interval(0.9)
    assert (result.low_equivalence, result.high_equivalence) == pytest.approx(tuple(equivalence))


def test_sampled_clusters():
    result = paired_difference(BINARY, clusters=LABELS, role="sampled", binary=True)
    error = clustered_error(BINARY, LABELS)
    sums = [sum(d for d, label in zip(BINARY, LABELS, strict=True) if label == name) for name in set(LABELS)]
    plain = np.std(BINARY) / math.sqrt(86)
    worth = (plain / max(error.se, plain)) ** 2
    assert result.n_clusters == 20
    assert result.p == pytest.approx(sign_flip(sums))
    t = stats.t.ppf(0.975, error.df)
    assert (result.low, result.high) == ends(tango_at(16 * worth, 8 * worth, 86 * worth, t))
    assert result.method == "cluster sign-flip; Tango interval on effective counts (clustered error)"
    quantiles = stats.t.ppf(0.975, error.df) + stats.t.ppf(0.8, error.df)
    assert result.mde == pytest.approx(quantiles * error.se, rel=1e-4)
    assert math.isnan(result.low_clustered)


def test_few_clusters_can_show_only_large_effects():
    # six clusters reach p = 2/64 or 4/64, so their level is 2/64; five reach nothing
    d = np.array([1.0] * 12 + [-1.0] * 6 + [0.0] * 12)
    d = np.random.default_rng(3).permutation(d)
    six = paired_difference(d, clusters=np.arange(30) // 5, role="sampled", binary=True)
    error = clustered_error(d, np.arange(30) // 5)
    quantiles = stats.t.ppf(1 - 1 / 64, error.df) + stats.t.ppf(0.8, error.df)
    assert six.mde == pytest.approx(quantiles * error.se)
    assert math.isnan(paired_difference(d, clusters=np.arange(30) // 6, role="sampled", binary=True).mde)


def test_an_effect_larger_than_the_discordant_share_has_a_larger_error_of_its_own():
    d = np.zeros(120)
    d[[3, 50, 90]] = 1.0, -1.0, 1.0
    found = paired_difference(d, clusters=np.arange(120) // 10, role="sampled", binary=True)
    error = clustered_error(d, np.arange(120) // 10)
    plain = (stats.t.ppf(0.975, error.df) + stats.t.ppf(0.8, error.df)) * error.se
    assert plain > 3 / 120
    assert found.mde == pytest.approx(plain**2 / (3 / 120), rel=0.01)


def test_alike_items_widen_the_interval_and_opposite_ones_do_not_narrow_it():
    alike = paired_difference([1.0] * 20 + [0.0] * 80, clusters=np.arange(100) // 5, role="sampled", binary=True)
    opposite = paired_difference([1.0, -1.0] * 50, clusters=np.arange(100) // 4, role="sampled", binary=True)
    assert alike.high - alike.low > 1.8 * (tango(20, 0, 100).high - tango(20, 0, 100).low)
    # clusters without any difference between them: what 25 clusters can say, not certainty
    assert (opposite.low, opposite.high) == pytest.approx(ends(tango(0, 0, 25)), abs=1e-9)


def test_continuous_sampled_clusters():
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(10), 4)
    d = generator.normal(0.05, 0.1, 40) + np.repeat(generator.normal(0, 0.1, 10), 4)
    result = paired_difference(d, clusters=labels, role="sampled", binary=False)
    error = clustered_error(d, labels)
    half = stats.t.ppf(0.975, 9) * error.se
    assert (result.low, result.high) == pytest.approx((d.mean() - half, d.mean() + half))
    assert result.p == sign_flip(np.bincount(labels, weights=d))


def test_few_clusters_keep_their_honest_p_and_say_so():
    five = paired_difference([1.0] * 10, clusters=list("aabbccddee"), role="sampled", binary=True)
    assert (five.p, five.n_clusters) == (0.0625, 5)
    assert "5 clusters can't reach p ≤ 0.05" in five.method
    six = paired_difference([1.0] * 12, clusters=list("aabbccddeeff"), role="sampled", binary=True)
    assert six.p == 0.03125
    assert "can't reach" not in six.method


def test_clusters_of_one_item_are_independent_items():
    alone = [str(i) for i in range(len(BINARY))]
    for role in ("sampled", "strata"):
        assert paired_difference(BINARY, clusters=alone, role=role, binary=True) == paired_difference(
            BINARY, binary=True
        )
    assert paired_difference(BINARY, clusters=LABELS, role="none", binary=True).n_clusters == 0


def test_binary_strata_use_the_spread_inside_them_and_show_the_clustered_interval():
    # one stratum gains on most items, the other on few: most of the spread is between them
    d = np.array([1.0] * 45 + [0.0] * 5 + [1.0] * 3 + [-1.0] * 2 + [0.0] * 45)
    labels = ["a"] * 50 + ["b"] * 50
    result = paired_difference(d, clusters=labels, role="strata", binary=True)
    plain = paired_difference(d, binary=True)
    assert result.delta == plain.delta
    assert result.p == plain.p == mcnemar_exact(48, 2)
    assert result.se == stratified_error(d, labels) < plain.se
    assert plain.low < result.low < result.delta < result.high < plain.high
    assert result.n_clusters == 2
    assert result.high_clustered - result.low_clustered > result.high - result.low


def test_strata_without_differences_between_them_give_nearly_tangos_interval():
    d = np.tile([1.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 20)
    result = paired_difference(d, clusters=list(np.repeat(np.arange(10), 20)), role="strata", binary=True)
    assert (result.low, result.high) == pytest.approx(ends(tango(40, 20, 200)), abs=0.003)


def test_continuous_strata():
    generator = np.random.default_rng(2)
    labels = np.repeat([f"subtask {i}" for i in range(5)], 12)
    d = generator.normal(0.02, 0.1, 60) + np.repeat([0.0, 0.1, 0.2, 0.3, 0.4], 12)
    result = paired_difference(d, clusters=list(labels), role="strata", binary=False)
    se = stratified_error(d, labels)
    half = stats.t.ppf(0.975, 55) * se
    assert (result.low, result.high) == pytest.approx((d.mean() - half, d.mean() + half))
    assert result.p == pytest.approx(2 * stats.t.sf(d.mean() / se, 55))


@pytest.mark.parametrize("role", ["none", "sampled", "strata"])
@pytest.mark.parametrize("binary", [True, False])
def test_a_run_against_itself(role, binary):
    result = paired_difference(np.zeros(60), clusters=list(range(20)) * 3, role=role, binary=binary)
    units = 20 if role == "sampled" else 60
    assert (result.delta, result.p, result.n_positive, result.n_negative) == (0.0, 1.0, 0, 0)
    assert (result.low, result.high) == pytest.approx(ends(tango(0, 0, units)), abs=1e-9)
    assert result.high_equivalence < result.high
    assert result.mde > result.high


def test_an_unbounded_score_against_itself():
    result = paired_difference(np.zeros(60), binary=False, bounded=False)
    assert (result.low, result.high, result.p) == (0.0, 0.0, 1.0)
    assert math.isnan(result.mde)


def test_no_spread_between_items_or_clusters():
    constant = paired_difference(np.full(10, 0.25), binary=False)
    assert constant.p == mcnemar_exact(10, 0)
    assert (constant.low, constant.high) == ends(constant_interval(0.25, 10, 0.95, (-1.0, 1.0)))
    # every article gains one of two items: the articles agree
    halves = paired_difference([1.0, 0.0] * 8, clusters=list("aabbccddeeffgghh"), role="sampled", binary=True)
    assert halves.low < 0.5 < halves.high
    assert "no spread" in halves.method
    # strata that agree inside, and differ: as wide as without strata
    split = paired_difference([1.0] * 8 + [0.0] * 8, clusters=["a"] * 8 + ["b"] * 8, role="strata", binary=True)
    assert (split.low, split.high) == ends(tango(8, 0, 16))


def test_no_items_and_one_item():
    nothing = paired_difference([], binary=True, clusters=[], role="sampled")
    assert nothing.n == 0
    assert all(math.isnan(getattr(nothing, name)) for name in ("delta", "se", "low", "high", "p", "mde"))
    single = paired_difference([0.3], binary=False)
    assert (single.delta, single.p) == (0.3, 1.0)
    assert math.isnan(single.low)
    assert math.isnan(single.mde)
    assert paired_difference([1.0], binary=True).p == 1.0
    one_cluster = paired_difference([1.0, 1.0, 0.0], clusters=["a"] * 3, role="sampled", binary=True)
    assert (one_cluster.p, one_cluster.n_clusters) == (1.0, 1)
    assert math.isnan(one_cluster.low)


def test_refuses_what_it_cannot_judge():
    with pytest.raises(ValueError, match="missing"):
        paired_difference([1.0, math.nan], binary=True)
    with pytest.raises(ValueError, match="−1, 0 or 1"):
        paired_difference([1.0, 0.5], binary=True)
    with pytest.raises(ValueError, match="1 labels for 2 items"):
        paired_difference([1.0, 0.0], clusters=["a"], role="sampled", binary=True)


def test_a_difference_of_differences_reaches_beyond_one():
    result = paired_difference([2.0, 1.0, -1.0, 2.0, 0.0], binary=False)
    assert result.high <= 2.0
    assert result.delta == pytest.approx(0.8)


def test_bounded_intervals_stay_on_the_scale():
    d = [1.0, 1.0, 1.0, 1.0, 0.9]
    assert paired_difference(d, binary=False).high == 1.0
    assert paired_difference(d, binary=False, bounded=False).high > 1.0


CASES = st.tuples(
    st.lists(st.tuples(st.integers(-1, 1), st.sampled_from(["", *"abcdefgh"])), min_size=1, max_size=50),
    st.sampled_from(["none", "sampled", "strata"]),
    st.sampled_from([1.0, 0.2]),
)


def judge(pairs, role, scale, sign=1.0):
    return paired_difference(
        [sign * scale * d for d, _ in pairs], clusters=[c for _, c in pairs], role=role, binary=scale == 1.0
    )


def numbers(result):
    told = asdict(result)
    return told | {"detectable": told.pop("detectable")(0.01)}


@given(CASES)
def test_swapping_the_models_mirrors_everything(case):
    there, back = judge(*case), judge(*case, sign=-1.0)
    mirrored = numbers(there) | {
        "delta": -there.delta, "low": -there.high, "high": -there.low,
        "low_equivalence": -there.high_equivalence, "high_equivalence": -there.low_equivalence,
        "low_clustered": -there.high_clustered, "high_clustered": -there.low_clustered,
        "n_positive": there.n_negative, "n_negative": there.n_positive,
    }  # fmt: skip
    method = mirrored.pop("method")
    returned = numbers(back)
    assert returned.pop("method") == method
    assert returned == pytest.approx(mirrored, abs=1e-9, nan_ok=True)


@given(CASES, st.randoms())
def test_the_order_of_items_does_not_matter(case, random):
    pairs, role, scale = case
    shuffled = random.sample(pairs, len(pairs))
    first, second = numbers(judge(pairs, role, scale)), numbers(judge(shuffled, role, scale))
    assert first.pop("method") == second.pop("method")
    assert second == pytest.approx(first, abs=1e-9, nan_ok=True)


@given(CASES)
def test_intervals_hold_the_estimate_and_nest(case):
    result = judge(*case)
    assert 0 < result.p <= 1
    if not math.isnan(result.low):
        assert -1 <= result.low <= result.low_equivalence <= result.delta + 1e-12
        assert result.delta - 1e-12 <= result.high_equivalence <= result.high <= 1
        assert result.high > result.low


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=40))
def test_differences_along_a_path_add_up(scores):
    root, middle, leaf = np.array(scores, dtype=float).T
    steps = paired_difference(middle - root, binary=True).delta + paired_difference(leaf - middle, binary=True).delta
    assert paired_difference(leaf - root, binary=True).delta == pytest.approx(steps, abs=1e-12)
