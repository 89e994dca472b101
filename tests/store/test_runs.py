"""Runs: what goes in comes out, and what is damaged is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capeval.core import RECORD_COLUMNS
from capeval.errors import BadFileError, UsageError
from capeval.store.runs import as_records, load_node_records, load_run, number_repeats, save_run, with_node
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
