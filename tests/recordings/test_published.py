"""The script that makes model_zoo/published_scores.csv."""

import os
from pathlib import Path

import pandas as pd
import pytest

from capeval.errors import BadFileError
from capeval.recordings.published import clean, main
from capeval.shipped import folder

RAW = {"family": "f", "model": "m", "stage": "sft", "parent": "p", "benchmark": "B", "setting": "s",
       "metric": "accuracy", "value": 50.0, "n_items": 100, "source": "S", "read_at": "here", "note": None}  # fmt: skip


def _frame(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([RAW | change for change in changes])


def test_parents_and_stages_are_left_to_the_trees() -> None:
    assert not {"parent", "stage", "family"} & set(clean(_frame({})).columns)


def test_different_values_of_one_fact_are_marked_on_both_sides() -> None:
    found = clean(_frame({}, {"value": 60.0, "source": "T"}, {"setting": "other", "value": 70.0}))
    assert list(found.sort_values("value")["conflict"]) == ["60 in T", "50 in S", ""]


def test_equal_values_of_two_sources_are_no_conflict() -> None:
    assert list(clean(_frame({}, {"source": "T"}))["conflict"]) == ["", ""]


def test_validation_items_are_another_benchmark() -> None:
    note = "VALIDATION set (8 to 170 items a subject)"
    found = clean(_frame({"benchmark": "MMLU/Anatomy", "note": note}, {"benchmark": "MMLU", "note": "test set"}))
    assert sorted(found["benchmark"]) == ["MMLU", "MMLU (validation)/Anatomy"]


def test_one_name_per_measure() -> None:
    rows = [{"metric": "score", "benchmark": "DROP"}, {"metric": "score", "benchmark": "GSM8K"},
            {"metric": "accuracy / pass@1", "benchmark": "HumanEval"}]  # fmt: skip
    found = clean(_frame(*rows)).set_index("benchmark")["metric"]
    assert found.to_dict() == {"DROP": "f1", "GSM8K": "exact match", "HumanEval": "pass@1"}


def test_a_reader_s_shelf_mark_is_no_place() -> None:
    found = clean(_frame({"read_at": "stored text id 12, offset 5 (model card)"}))
    assert list(found["read_at"]) == ["a copy of the source's text (model card)"]


@pytest.mark.parametrize("change", [{"value": None}, {"value": "good"}, {"n_items": "many"}])
def test_what_is_no_number_is_refused_by_line(change: dict[str, object]) -> None:
    with pytest.raises(BadFileError, match="line 3 of the published scores has no number"):
        clean(_frame({}, change))


def test_bad_files_end_with_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.csv").write_text("model,value\na,1\n", encoding="utf-8")
    assert main(["--data", str(tmp_path / "bad.csv"), "--out", str(tmp_path / "out.csv")]) == 2
    assert "lack the columns benchmark" in capsys.readouterr().err
    assert main(["--data", str(tmp_path / "none.csv"), "--out", str(tmp_path / "out.csv")]) == 2
    assert not (tmp_path / "out.csv").exists()


SOURCE = Path(os.environ.get("CAPEVAL_DATA") or "CAPEVAL_DATA") / "published_scores.csv"


@pytest.mark.data
@pytest.mark.skipif(not SOURCE.is_file(), reason="CAPEVAL_DATA is not set: no collected scores")
def test_the_shipped_table_is_what_the_script_makes(tmp_path: Path) -> None:
    assert main(["--data", str(SOURCE), "--out", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_bytes() == (folder("model_zoo") / "published_scores.csv").read_bytes()
