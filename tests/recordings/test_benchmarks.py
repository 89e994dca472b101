"""A benchmark's own rule: `capeval import` gives the scores that ship, and a user's word goes before the rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from capeval.errors import BadFileError
from capeval.recordings import ImportOptions, import_records
from capeval.recordings.benchmarks import BENCHMARKS
from capeval.recordings.ship import TREES
from capeval.zoo import load_tree
from tests.recordings.public_data import DATA, needs_data

KEY = ["node", "task", "setting", "item", "sample"]


@pytest.fixture(scope="module")
def in_order() -> dict[str, pd.DataFrame]:
    """The shipped records in the order of the files that they come from."""
    found = {}
    for tree, rows in TREES.items():
        order = pd.DataFrame(rows(DATA)).assign(sample=lambda frame: frame.get("sample", 0)).fillna({"sample": 0})
        shipped = pd.read_parquet(load_tree(tree).records)
        shipped = shipped if "sample" in shipped else shipped.assign(sample=0)
        found[tree] = order[KEY].astype({"sample": int}).merge(shipped, on=KEY, how="left", validate="1:1")
    return found


@needs_data
@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "model", "node", "setting"),
    [
        ("instructgpt_autoeval/squadv2.outputs.jsonl", "ppo-noptx-175b", "ppo-175b", ""),
        ("instructgpt_autoeval/drop.outputs.jsonl", "gpt-xl", "gpt-1.3b", ""),
        ("instructgpt_autoeval/fr_to_en.outputs.jsonl", "sft-6b", "sft-6b", ""),
        ("instructgpt_autoeval/truthful_qa.outputs.jsonl", "ppo-ptx-175b", "ppo-ptx-175b", ""),
        ("instructgpt_autoeval/real_toxicity.outputs.jsonl", "gpt-175b", "gpt-175b", ""),
        ("bbh_code-davinci-002", "", "code-davinci-002", ""),
        ("program_of_thoughts/tatqa.outputs.jsonl", "text-davinci-002", "text-davinci-002", ""),
        ("program_of_thoughts/tatqa.outputs.jsonl", "code-davinci-002", "code-davinci-002", ""),
        ("program_of_thoughts/gsm8k.8-shot-pot.jsonl", "", "code-davinci-002", "few-shot-pot"),
        ("gsm8k_openai_2021", "gpt3-6b_finetuning", "gpt3-6b-gsm8k", "finetuned"),
        ("cot_bias_salt/bbq.outputs.jsonl", "text-davinci-001", "text-davinci-001", ""),
        ("cot_bias_salt/harmfulq.outputs.jsonl", "text-davinci-003", "text-davinci-003", ""),
        *(
            (f"zero_shot_cot/{name}.{setting}.jsonl", "", "text-davinci-002", setting)
            for name in ("gsm8k", "aqua", "coin_flip")
            for setting in ("zero-shot", "zero-shot-cot")
        ),
        ("plan_and_solve/gsm8k.jsonl", "", "text-davinci-003", "zero-shot-ps+"),
        ("plan_and_solve/CommensenseQA.jsonl", "", "text-davinci-003", "zero-shot-ps+"),
    ],
)
def test_import_without_flags_gives_the_scores_that_ship(
    in_order: dict[str, pd.DataFrame], path: str, model: str, node: str, setting: str
) -> None:
    file = DATA / "recorded" / path
    rule = BENCHMARKS[file.name.partition(".")[0]]
    run = import_records(file, options=ImportOptions(model=model))
    shipped = in_order[rule.tree]
    shipped = shipped[(shipped["node"] == node) & (shipped["task"] == rule.task)]
    shipped = shipped[shipped["setting"] == setting] if setting else shipped
    records = run.records
    assert len(records) == len(shipped) > 90
    assert records["score"].round(4 if rule.task != "toxicity" else 12).tolist() == pytest.approx(
        shipped["score"].tolist(), abs=1e-12, nan_ok=True
    )
    assert records["sample"].tolist() == shipped["sample"].tolist()
    for column in ("flag", "cluster", "subset"):  # a column that says nothing does not ship
        wanted = shipped[column].fillna("").tolist() if column in shipped else [""] * len(shipped)
        assert records[column].tolist() == wanted
    per_setting = records.groupby("setting", sort=False)["score"].mean().tolist()
    assert per_setting == pytest.approx(shipped.groupby("setting", sort=False)["score"].mean().tolist(), abs=5e-5)
    spec, said = load_tree(rule.tree).task(rule.task), run.tasks[0]
    for name in ("metric", "orientation", "unit", "chance", "cluster_role", "cluster", "scorer", "binary"):
        assert getattr(said, name) == getattr(spec, name), name


def _file(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "gsm8k.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


ROW = {"id": "a", "output": "so 40,000", "pred": "40,000", "gold": "40000", "correct": False}


def test_a_number_is_compared_by_value_not_by_the_log_s_verdict(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"id": "b", "pred": "", "correct": True}, ROW | {"id": "c", "pred": None, "output": " "}]
    run = import_records(_file(tmp_path, rows), options=ImportOptions())
    assert run.records["score"].tolist() == [1, 0, 0]
    assert run.records["flag"].tolist() == ["", "unextracted", "empty"]
    assert run.records["response"][0] == "so 40,000"
    assert run.tasks[0].metric == "accuracy"


@pytest.mark.parametrize(
    ("options", "row", "score"),
    [
        ({"score": "correct"}, ROW, 0),
        ({"mapping": {"score": "correct"}}, ROW, 0),
        ({}, ROW | {"score": 0.5}, 0.5),
        ({"scorer": "exact"}, ROW, 0),
        ({"task": "other"}, ROW, 1),
        ({}, {"id": "a", "output": "4", "correct": True}, 1),
    ],
)
def test_the_user_s_word_goes_before_the_rule(
    tmp_path: Path, options: dict[str, Any], row: dict[str, Any], score: float
) -> None:
    run = import_records(_file(tmp_path, [row]), options=ImportOptions(**options))
    assert run.records["score"].tolist() == [score]


def test_a_row_that_the_rule_can_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"gsm8k.jsonl:2: the benchmark's own rule can't judge this row .*'pred'"):
        import_records(_file(tmp_path, [ROW, {"id": "b", "output": "x", "gold": "1"}]), options=ImportOptions())
    file = tmp_path / "squadv2.jsonl"
    file.write_text(json.dumps({"id": "a", "output": "x", "gold": 3}) + "\n")
    with pytest.raises(BadFileError, match=r"squadv2.jsonl:1: the benchmark 'squadv2' can't read this row"):
        import_records(file, options=ImportOptions())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_rule_names_a_task_of_a_shipped_tree(name: str) -> None:
    assert load_tree(BENCHMARKS[name].tree).task(BENCHMARKS[name].task).unit == "points"
