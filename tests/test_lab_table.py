"""The lab's table of claims: values, intervals over items and seeds, verdicts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.lab_table import Claim, Measured, Part, claims, judge, measure, planted, planted_verdicts, verdict
from capeval.stats.rates import Interval
from capeval.suites import load_suite
from capeval.zoo import load_tree


def runs(scores: dict[str, list[float]], role: str = "none", size: int = 1) -> dict[str, Any]:
    """Node → something with records, an item a score; `size` items in a row share a cluster."""
    return {
        node: SimpleNamespace(
            tasks=(SimpleNamespace(name="t", cluster_role=role),),
            records=pd.DataFrame({
                "task": "t", "setting": "s", "item": [f"q{n:03}" for n in range(len(values))], "score": values,
                "cluster": [f"c{n // size}" if role != "none" else "" for n in range(len(values))],
            }))
        for node, values in scores.items()
    }  # fmt: skip


def claim(relation: str, *parts: Part, bound: float = 0.0) -> Claim:
    return Claim(about="a", text="b", parts=parts, relation=relation, bound=bound)


def test_one_seed_is_the_mean_with_a_t_interval() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 60).astype(float)
    found = measure(claim("report", Part("a", "t", "s")), [runs({"a": list(values)})])
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.value == pytest.approx(100 * values.mean()) and found.n == 60
    assert (found.interval.low, found.interval.high) == pytest.approx((100 * low, 100 * high), rel=1e-6)


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(1)
    a, b = (list(rng.integers(0, 2, 50).astype(float)) for _ in range(2))
    found = measure(claim("above", Part("a", "t", "s"), Part("b", "t", "s", -1.0)), [runs({"a": a, "b": b})])
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-6)


def test_seeds_that_differ_widen_the_interval() -> None:
    same = [runs({"a": [1.0, 0.0] * 30}) for _ in range(3)]
    other = [runs({"a": [1.0] * ones + [0.0] * (60 - ones)}) for ones in (10, 30, 50)]
    widths = [
        found.interval.high - found.interval.low
        for found in (measure(claim("report", Part("a", "t", "s")), seeds) for seeds in (same, other))
    ]
    assert widths[1] > 2 * widths[0]


def test_of_these_models_the_spread_of_seeds_is_left_out() -> None:
    seeds = [runs({"a": [1.0] * ones + [0.0] * (60 - ones)}) for ones in (10, 30, 50)]
    found = measure(claim("report", Part("a", "t", "s")), seeds, of_recipe=False)
    means = np.mean([run["a"].records["score"] for run in seeds], axis=0)
    low, high = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((100 * low, 100 * high), rel=1e-6)


def test_claims_are_adjusted_for_one_another() -> None:
    rng = np.random.default_rng(2)
    a, b = (list((rng.random(60) < share).astype(float)) for share in (0.6, 0.4))
    above = claim("above", Part("a", "t", "s"), Part("b", "t", "s", -1.0))
    alone, *both = judge([above], [runs({"a": a, "b": b})], of_recipe=True)
    assert not both
    two = judge([above, above, claim("report", Part("a", "t", "s"))], [runs({"a": a, "b": b})], of_recipe=True)
    assert two[0].shown_p == f", p {min(1.0, 2 * alone.found.p):.2g}" and two[2].shown_p == ""


def test_all_alike_still_has_an_interval() -> None:
    found = measure(claim("at least", Part("a", "t", "s"), bound=95), [runs({"a": [1.0] * 400})])
    assert found.value == 100 and found.interval.low == pytest.approx(100 * stats.binomtest(400, 400)
        .proportion_ci(method="wilson").low) and found.interval.high == 100  # fmt: skip


def test_items_of_a_cluster_count_as_one_when_they_are_alike() -> None:
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 10
    apart, sampled, strata = (
        measure(claim("report", Part("a", "t", "s")), [runs({"a": values}, role, 3)]).interval
        for role in ("none", "sampled", "strata")
    )
    assert sampled.high - sampled.low > 1.6 * (apart.high - apart.low)
    assert strata.high - strata.low < apart.high - apart.low  # what differs is strata, and those are fixed


def test_alike_in_every_cluster_the_clusters_are_what_was_seen() -> None:
    found = measure(claim("at least", Part("a", "t", "s")), [runs({"a": [1.0] * 300}, "sampled", 4)])
    seen = stats.binomtest(75, 75).proportion_ci(method="wilson")
    assert found.interval.low == pytest.approx(100 * seen.low)


@pytest.mark.parametrize(
    ("relation", "bound", "value", "interval", "p", "said"),
    [
        ("at least", 90, 93, (91, 95), 0.0, "met"),
        ("at least", 90, 93, (89, 97), 0.0, "**failed**"),
        ("at most", 10, 5, (2, 9), 0.0, "met"),
        ("at most", 10, 5, (2, 11), 0.0, "**failed**"),
        ("above", 0, 5, (1, 9), 0.01, "met"),
        ("above", 0, 5, (1, 9), 0.06, "**failed**"),
        ("below", 0, 5, (1, 9), 0.01, "**failed**"),
        ("report", 0, 5, (1, 9), 0.01, ""),
    ],
)
def test_a_verdict_needs_the_whole_interval_or_an_adjusted_p(
    relation: str, bound: float, value: float, interval: tuple[float, float], p: float, said: str
) -> None:
    found = Measured(value=value, interval=Interval(*interval), p=p, n=300, seeds=(value,))
    assert verdict(claim(relation, Part("a", "t", "s"), bound=bound), found, p) == said


def test_every_claim_is_about_a_node_and_a_task_that_exist() -> None:
    nodes = {stage.name for stage in load_tree("lab").stages}
    asked = {(source.task, source.setting) for source in load_suite("lab").sources}
    for one in claims():
        for part in one.parts:
            assert part.node in nodes and (part.task, part.setting) in asked, one.text


def test_the_origin_of_a_planted_group_is_the_surest_largest_gain() -> None:
    columns = ["kind", "task", "parent", "child", "delta", "answer"]
    effects = pd.DataFrame(
        [
            ["edge", "planted-code", "base", "code", 0.9, "gained"],
            ["edge", "planted-code", "base", "continued", 0.3, "gained"],
            ["edge", "planted-nobody", "base", "code", 0.2, "cant_tell"],
            ["path", "planted-nobody", "base", "ppo", 0.9, "gained"],
        ],
        columns=columns,
    )
    training = {"code": {"data": [{"source": "lab/code"}]}, "continued": {"data": [{"source": "lab/continued"}]}}
    trace: Any = SimpleNamespace(effects=effects, training=training)
    code, nobody = planted([trace])
    assert (code.origins, code.right, code.alarms, code.tests) == (("code",), 1, 1, 1)
    assert (nobody.origins, nobody.right, nobody.alarms, nobody.tests) == (("nobody",), 1, 0, 1)
    right, none, everywhere = planted_verdicts([code, nobody])
    assert "2 of 2 groups, met" in right and "0 of 1" in none and "1 of 2; at most 5 %, **failed**" in everywhere


def test_a_node_that_was_not_asked_is_named() -> None:
    with pytest.raises(SystemExit, match="a was not asked other, s"):
        measure(claim("report", Part("a", "other", "s")), [runs({"a": [1.0]})])
