from __future__ import annotations

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from capeval.attribution.calibration import CALIBRATION_COLUMNS, calibration_table, confidence
from capeval.core import TaskSpec

TASK = TaskSpec(name="choices", capability="knowledge", metric="acc", calibration=True)


def record(score: float, *logprobs: float, task: str = "choices", **more: object) -> dict[str, object]:
    named = [[name, p] for name, p in zip("abcd", logprobs, strict=False)]
    taken = max(named, key=lambda pair: pair[1])[0] if named else None
    return {
        "task": task, "setting": "0-shot", "cluster": "", "score": score,
        "response": json.dumps(named) if named else "words", "extracted": taken,
    } | more  # fmt: skip


def table(*rows: dict[str, object], spec: TaskSpec = TASK) -> pd.DataFrame:
    return calibration_table(pd.DataFrame(rows), [spec])


def test_confidence_is_the_share_among_the_choices():
    assert confidence('[["a", -1.0], ["b", -1.0], ["c", -1.0], ["d", -1.0]]', "c") == pytest.approx(0.25)
    assert confidence('[["a", -2000.0], ["b", -2001.0]]', "a") == pytest.approx(1 / (1 + math.exp(-1)))
    # acc_norm may take a choice that isn't the likeliest: it gets the probability that it has
    assert confidence('[["a", -1.0], ["b", -2.0]]', "b") == pytest.approx(1 / (1 + math.exp(1)))


@pytest.mark.parametrize("response", ["12.5", "words", None, math.nan, "[]", '["a", "b"]', '[["a", null]]'])
def test_what_is_no_choice_has_no_confidence(response: object):
    assert math.isnan(confidence(response, "a"))


def test_a_choice_that_is_not_there_has_no_confidence():
    assert math.isnan(confidence('[["a", -1.0]]', "b"))


def test_one_row_per_task_and_setting():
    sure = [record(float(i % 5 < 4), 0.0, math.log(0.25)) for i in range(50)]  # 0.8 sure, 0.8 right
    bold = [record(float(i % 5 < 4), 0.0, -9.0, setting="5-shot") for i in range(50)]
    found = table(*sure, *bold).set_index("setting")
    assert list(found.reset_index()[list(CALIBRATION_COLUMNS)]) == list(CALIBRATION_COLUMNS)
    assert found.loc["0-shot", "n"] == 50
    assert found.loc["0-shot", "ece"] == pytest.approx(0)
    assert found.loc["0-shot", "brier"] == pytest.approx(0.16)
    assert found.loc["5-shot", "ece"] == pytest.approx(0.2, abs=1e-3)
    assert found.loc["5-shot", "low"] > 0
    assert found.loc["0-shot", "low"] == 0
    assert found.loc["0-shot", "ece_if_calibrated"] > 0.02


def test_nodes_apart():
    rows = [record(1.0, 0.0, -1.0, node=node) for node in ("base", "sft") for _ in range(3)]
    assert list(table(*rows)["node"]) == ["base", "sft"]


def test_left_out():
    rows = [record(1.0, 0.0, -1.0), record(math.nan, 0.0, -1.0), record(0.5, 0.0, -1.0), record(1.0)]
    assert table(*rows)["n"].tolist() == [1]
    assert table(record(1.0, 0.0, -1.0, task="other")).empty
    assert table(record(1.0, 0.0), spec=replace(TASK, calibration=False)).empty
    assert table(record(1.0)).empty


def test_sampled_clusters_are_drawn_whole():
    rows = [record(float(i < 30), 0.0, math.log(0.9), cluster=f"article {i // 15}") for i in range(60)]
    sampled = replace(TASK, cluster_role="sampled", cluster="article")
    alone, together = table(*rows).iloc[0], table(*rows, spec=sampled).iloc[0]
    assert together["high"] > alone["high"]
