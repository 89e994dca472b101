"""The lab's table of claims: values, intervals over items and seeds, verdicts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.lab_table import Claim, Measured, Part, claims, measure, planted, verdict
from capeval.stats.rates import Interval
from capeval.suites import load_suite
from capeval.zoo import load_tree


def runs(scores: dict[str, list[float]]) -> dict[str, Any]:
    """Node → something with records, an item a score."""
    return {
        node: SimpleNamespace(records=pd.DataFrame({
            "task": "t", "setting": "s", "item": [f"q{n}" for n in range(len(values))], "score": values,
            "cluster": [f"q{n}" for n in range(len(values))],
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


def test_all_alike_still_has_an_interval() -> None:
    found = measure(claim("at least", Part("a", "t", "s"), bound=95), [runs({"a": [1.0] * 400})])
    assert found.value == 100 and 98 < found.interval.low < 100


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
    assert (code["origin, by seed"], code["right"]) == ("code", "1 of 1")
    assert code["gains where nothing told of it"] == "1 of 1 (100.0%)"
    assert (nobody["origin, by seed"], nobody["right"]) == ("nobody", "1 of 1")


def test_a_node_that_was_not_asked_is_named() -> None:
    with pytest.raises(SystemExit, match="a was not asked other, s"):
        measure(claim("report", Part("a", "other", "s")), [runs({"a": [1.0]})])
