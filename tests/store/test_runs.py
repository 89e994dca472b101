"""Runs: what goes in comes out, and what is damaged is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capeval.columns import RECORD_COLUMNS
from capeval.errors import BadFileError, UsageError
from capeval.store.runs import (
    as_records,
    folder_name,
    load_node_records,
    load_run,
    number_repeats,
    refuse_foreign,
    save_run,
    with_node,
)
from tests.records import TASK, records, run_of


def test_a_run_survives_the_disk(tmp_path: Path) -> None:
    run = run_of(
        "sft", [1.0, None, 0.5], response=["a <b>", None, ""], flag=["", "", "truncated"], n_tokens=[3, None, 9]
    )
    back = load_run(save_run(run, tmp_path / "run"))
    pd.testing.assert_frame_equal(back.records, run.records)
    assert back.node == "sft"
    assert back.tasks == (TASK,)
    assert np.isnan(back.records["score"][1])
    assert back.records["response"].tolist() == ["a <b>", None, ""]


def test_records_have_every_column_in_order() -> None:
    frame = as_records([{"task": "t", "setting": "s", "item": "i"}])
    assert list(frame.columns) == list(RECORD_COLUMNS)
    assert np.isnan(frame["score"][0])
    assert frame["sample"][0] == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"task": "t", "setting": "s", "item": "i", "scroe": 1}], "unknown columns: scroe"),
        ([{"task": "t", "setting": "s", "item": ""}], "need a item"),
        ([{"task": "t", "item": "i"}], "need a setting"),
        ([{"task": "t", "setting": "s", "item": "i", "score": float("inf")}], "infinite scores"),
        ([{"task": "t", "setting": "s", "item": "i", "flag": "cut"}], "unknown flags: cut"),
        ([{"task": "t", "setting": "s", "item": "i", "sample": "one"}], "a sample that is no whole number"),
        (
            [{"task": "t", "setting": "s", "item": "i"}] * 2,
            "1 duplicate items, the first: task 't', setting 's', item 'i'",
        ),
    ],
)
def test_bad_records_are_refused(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(BadFileError, match=message):
        as_records(rows)


def test_repeated_documents_are_numbered_in_order() -> None:
    assert number_repeats(pd.Series(["a", "b", "a", "a"])).tolist() == ["a", "b", "a#2", "a#3"]


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run folder"):
        load_run(tmp_path)
    save_run(run_of("a", [1]), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(BadFileError, match="has run format 99; this capeval reads 1"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(BadFileError, match="is no run manifest"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": 3}, "'tasks' must be a list of mappings"),
        ({"tasks": ["x"]}, "'tasks' must be a list of mappings"),
        ({"tasks": [{}]}, r"task '\?' needs 'name'"),
        ({"tasks": [{"name": "sums", "metric": "m"}]}, "task 'sums' needs 'capability'"),
        ({"tasks": [{"name": "sums", "capability": "c", "metric": "m", "margin": "wide"}]}, "margin must be a number"),
        (
            {"tasks": [{"name": "sums", "capability": "c", "metric": "m", "binary": 1}]},
            "'binary' must be true or false",
        ),
        ({"tasks": [{"name": "sums", "capability": "c", "metric": "m"}] * 2}, "two tasks are called sums"),
        ({"tasks": []}, "records of a task that its manifest lacks: sums"),
        ({"node": ["a"]}, "'node' must be text"),
        ({"contrasts": 5}, "'contrasts' must be a list of pairs of settings"),
        ({"contrasts": ["ab"]}, "'contrasts' must be a list of pairs of settings"),
        ({"contrasts": [["cot"]]}, "'contrasts' must be a list of pairs of settings"),
    ],
)
def test_a_manifest_of_the_wrong_shape_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    run = run_of("a", [1])
    save_run(run, tmp_path)
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(BadFileError, match=message) as caught:
        load_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_keys_of_a_newer_task_spec_are_passed_over(tmp_path: Path) -> None:
    save_run(run_of("a", [1]), tmp_path)
    file = tmp_path / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["tasks"][0]["colour"] = "blue"
    file.write_text(json.dumps(manifest))
    assert load_run(tmp_path).tasks == (TASK,)


@pytest.mark.parametrize("score", [7.0, -0.01])
def test_points_lie_between_0_and_1(tmp_path: Path, score: float) -> None:
    with pytest.raises(
        BadFileError, match=rf"1 scores outside 0\.\.1, the first: task 'sums', item 'i1', score {score:g}"
    ):
        load_run(save_run(run_of("a", [1, score, None]), tmp_path / "points"))
    length = replace(TASK, unit="characters", binary=False)
    assert load_run(save_run(run_of("a", [1, score], task=length), tmp_path / "length")).records["score"][1] == score


def test_points_of_a_tree_s_records_lie_between_0_and_1(tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    records("a", [1, 7.0]).to_parquet(file)
    with pytest.raises(BadFileError, match=r"r\.parquet has 1 scores outside 0\.\.1"):
        load_node_records(file, nodes={"a"}, tasks={"sums"}, specs=(TASK,))
    length = replace(TASK, unit="characters")
    assert len(load_node_records(file, nodes={"a"}, tasks={"sums"}, specs=(length,))) == 2
    records("a", [1]).drop(columns="task").to_parquet(file)
    with pytest.raises(BadFileError, match="lacks the column 'task'"):
        load_node_records(file, nodes={"a"}, tasks={"sums"})


def test_a_run_of_another_node_or_checkpoint_stays_where_it_is(tmp_path: Path) -> None:
    run = run_of("a", [1])
    refuse_foreign(tmp_path / "new", node="a", uri="x")
    save_run(replace(run, manifest=dict(run.manifest) | {"checkpoint": {"uri": "org/one"}}), tmp_path)
    refuse_foreign(tmp_path, node="a", uri="org/one")
    with pytest.raises(UsageError, match=r"another checkpoint: node 'a', org/one\. .*--node NAME.*--out FOLDER"):
        refuse_foreign(tmp_path, node="a", uri="org/two")
    with pytest.raises(UsageError, match="another node: node 'a', org/one"):
        refuse_foreign(tmp_path, node="b", uri="org/one")
    with pytest.raises(UsageError, match="another checkpoint"):
        refuse_foreign(tmp_path, node="a", uri="")
    save_run(run, tmp_path)
    refuse_foreign(tmp_path, node="a", uri="")
    with pytest.raises(UsageError, match="another node: node 'a', imported"):
        refuse_foreign(tmp_path, node="b", uri="")


def test_records_of_strangers_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    records("a", [1, 0]).to_parquet(file)
    assert load_node_records(file, nodes={"a"}, tasks={"sums"})["score"].tolist() == [1, 0]
    with pytest.raises(BadFileError, match="records of a node that the tree lacks: a"):
        load_node_records(file, nodes={"b"}, tasks={"sums"})
    with pytest.raises(BadFileError, match="records of a task that the tree lacks: sums"):
        load_node_records(file, nodes={"a"}, tasks={"other"})


def test_with_node_leaves_the_original_alone() -> None:
    frame = as_records([{"task": "t", "setting": "s", "item": "i"}])
    assert with_node(frame, "a").columns[0] == "node"
    assert "node" not in frame


@pytest.mark.parametrize(
    "row",
    [
        {"task": "t", "setting": "s", "item": np.array([1, 2])},
        {"task": "t", "setting": "s", "item": "i", "score": pd.Timestamp("2024-01-01")},
        {"task": "t:u", "setting": "s", "item": "i"},
    ],
)
def test_values_that_no_record_holds_are_refused(row: dict[str, object]) -> None:
    with pytest.raises(BadFileError):
        as_records([row])


def test_lone_surrogates_of_a_log_are_replaced() -> None:
    frame = as_records([{"task": "t", "setting": "s", "item": "x\ud800", "response": "caf\u00e9 \ud800"}])
    assert (frame["item"][0], frame["response"][0]) == ("x\ufffd", "caf\u00e9 \ufffd")


@pytest.mark.parametrize(
    ("name", "folder"), [("../../x", "x"), ("/abs/p", "abs--p"), ("..", "run"), ("org/m", "org--m")]
)
def test_names_never_lead_out_of_the_folder(name: str, folder: str) -> None:
    assert folder_name(name) == folder
