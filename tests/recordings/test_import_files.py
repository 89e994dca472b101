"""JSONL of the long format and files with mapped columns: what they become, and how bad ones are refused."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capeval.errors import BadFileError, CapevalError, UsageError
from capeval.recordings import ImportOptions, import_records
from capeval.recordings.answers import parse_score
from capeval.store.runs import load_run, save_run


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _bench(folder: Path) -> Path:
    """Two documents alike, one other; two models, two settings."""
    _jsonl(folder / "quiz.items.jsonl", [{"id": "a", "q": "1+1", "gold": "2"}, {"id": "b", "q": "1+1", "gold": "2"},
                                         {"id": "c", "q": "2+2", "gold": "4", "topic": "sums"}])  # fmt: skip
    rows = [
        {"id": i, "model": m, "setting": s, "output": out, "correct": out == gold}
        for m, answers in {"gpt": ["2", "", "4"], "sft": ["2", "2", "5"]}.items()
        for s in ("zero", "few")
        for (i, gold), out in zip([("a", "2"), ("b", "2"), ("c", "4")], answers, strict=True)
    ]
    return _jsonl(folder / "quiz.outputs.jsonl", rows)


def test_long_format_takes_one_model_and_joins_documents(tmp_path: Path) -> None:
    run = import_records(_bench(tmp_path), options=ImportOptions(model="gpt", mapping={"cluster": "topic"}))
    assert run.node == "gpt"
    records = run.records
    assert list(records.score) == [1, 0, 1] * 2
    assert set(records.setting) == {"zero", "few"}
    first, second, third = records["item"][:3]
    assert second == f"{first}#2", "a repeated document is another item"
    assert third != first
    assert list(records.flag[:3]) == ["", "empty", ""]
    assert list(records.cluster[:3]) == ["", "", "sums"]
    assert run.tasks[0].binary
    assert run.tasks[0].settings == ("zero", "few")


def test_order_of_rows_does_not_change_which_item_is_which(tmp_path: Path) -> None:
    file = _bench(tmp_path)
    before = import_records(file, options=ImportOptions(model="gpt", setting="zero")).records.set_index("item").score
    file.write_text("\n".join(reversed(file.read_text("utf-8").splitlines())), encoding="utf-8")
    after = import_records(file, options=ImportOptions(model="gpt", setting="zero")).records.set_index("item").score
    assert before.to_dict() == after.to_dict()


def test_a_scorer_judges_anew(tmp_path: Path) -> None:
    run = import_records(_bench(tmp_path), options=ImportOptions(model="sft", scorer="exact"))
    assert list(run.records.score) == [1, 1, 0] * 2
    assert run.tasks[0].scorer == "exact"
    with pytest.raises(UsageError, match="did you mean 'exact'"):
        import_records(tmp_path / "quiz.outputs.jsonl", options=ImportOptions(model="sft", scorer="exakt"))


def test_several_samples_and_several_recorded_scores(tmp_path: Path) -> None:
    file = _jsonl(tmp_path / "outputs.jsonl", [{"id": "a", "outputs": ["x", "y"], "score": [1, 0.5]}])
    run = import_records(file, options=ImportOptions(node="n", task="t"))
    assert [(r.sample, r.score) for r in run.records.itertuples()] == [(0, 1.0), (1, 0.5)]
    assert not run.tasks[0].binary
    judged = import_records(file, options=ImportOptions(scorer="exact", gold="id"))
    assert list(judged.records.score) == [0, 0]


def test_mapped_csv_with_crlf_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    file.write_bytes('\ufeffqid,right,said\r\n1,true,"a, ""b""\nc"\r\n2,0,\r\n3,,x\r\n'.encode())
    options = ImportOptions(node="sft", task="quiz", mapping={"item": "qid", "score": "right", "response": "said"})
    run = import_records(file, options=options)
    assert list(run.records["item"]) == ["1", "2", "3"]
    assert list(run.records.score[:2]) == [1, 0]
    assert math.isnan(run.records.score[2]), "missing is missing, not 0"
    assert run.records.error[2] == "no score was recorded"
    assert run.records.response[0] == 'a, "b"\nc'
    assert load_run(save_run(run, tmp_path / "run")).records.equals(run.records)


def test_a_model_s_name_can_not_lead_to_another_folder(tmp_path: Path) -> None:
    file = _jsonl(tmp_path / "x.jsonl", [{"id": "a", "model": "../../org/model", "output": "x", "correct": True}])
    assert import_records(file, options=ImportOptions()).node == "__.._org_model"


def test_numbers_only(tmp_path: Path) -> None:
    run = import_records(_bench(tmp_path), options=ImportOptions(model="gpt", keep_text=False))
    assert run.records.response.isna().all()
    assert list(run.records.length[:3]) == [1, 0, 1]


def test_a_metric_with_its_own_unit(tmp_path: Path) -> None:
    file = _jsonl(tmp_path / "lengths.jsonl", [{"item": "a", "score": 250}])
    with pytest.raises(BadFileError, match=r"lengths.jsonl:1: the score 250 is not between 0 and 1"):
        import_records(file, options=ImportOptions(format="mapped"))
    options = ImportOptions(format="mapped", unit="characters", orientation="none", metric="length", margin=20)
    task = import_records(file, options=options).tasks[0]
    assert (task.unit, task.orientation, task.metric, task.margin, task.binary) == (
        "characters",
        "none",
        "length",
        20,
        False,
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b'{"id": 1, "score": 1}\n{"id": 2,\n', r":2: not JSON"),
        (b"[1]\n", r":1: a row must be a JSON object, not list"),
        (b"[" * 100_000, r":1: nested too deeply|:1: not JSON"),
        (b'{"id": 1, "score": ' + b"9" * 5000 + b"}", r":1: not JSON"),
        (b'{"id": 1, "score": ' + b"9" * 400 + b"}", r":1: the score is too large"),
        (b'{"id": 1, "score": NaN}', r":1: the score is nan"),
        (b'{"id": 1, "score": -0.1}', r":1: the score -0.1 is not between 0 and 1"),
        (b'{"id": 1, "score": 74.9}', r"Divide percentages by 100"),
        (b'{"id": 1, "score": "good"}', r":1: the score 'good' is no number"),
        (b'{"id": 1, "score": {}}', r":1: the score {} is no number"),
        (b'{"id": 1, "score": 1}\n{"id": 1, "score": 0}', r":2: item '1' .* is already at .*:1\. .*sample"),
        (b'{"id": null, "score": 1}', "no row with an item id"),
        (b'{"ID": 1, "score": 1}', r"no column 'id'; did you mean 'ID'\? Its columns: ID, score"),
        (b'{"id": 1, "right": 1}', r"no recorded score .*--map score=COLUMN"),
        (b'{"id": 1, "score": 1, "sample": 1.5}', r":1: 'sample' must be a whole number"),
        (b'{"id": 1, "score": 1, "note": "\xff"}', r":1: byte 31 is not UTF-8"),
    ],
)
def test_bad_jsonl_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "bad.outputs.jsonl"
    file.write_bytes(content)
    with pytest.raises(BadFileError, match=message) as caught:
        import_records(file, options=ImportOptions())
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item,score\n1,1,1\n", r":2: the row does not have the header's 2 columns"),
        ("item,score\n1\n", r":2: the row does not have the header's 2 columns"),
        ("item,item\n1,1\n", r":1: two columns are called 'item'"),
        ('item,score\n"1,1\n', r"not CSV"),
        ("item,score\n", "is empty"),
    ],
)
def test_bad_csv_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(BadFileError, match=message):
        import_records(file, options=ImportOptions())


def test_open_choices_and_unknown_names_list_what_there_is(tmp_path: Path) -> None:
    file = _bench(tmp_path)
    with pytest.raises(UsageError, match="several models: gpt, sft. Choose one"):
        import_records(file, options=ImportOptions())
    with pytest.raises(UsageError, match=r"unknown model 'gqt'; did you mean 'gpt'\?.*holds: gpt \(6 rows\)"):
        import_records(file, options=ImportOptions(model="gqt"))
    with pytest.raises(UsageError, match="unknown setting 'one'"):
        import_records(file, options=ImportOptions(model="gpt", setting="one"))
    with pytest.raises(UsageError, match="did you mean 'score'"):
        import_records(file, options=ImportOptions(model="gpt", mapping={"skore": "correct"}))
    with pytest.raises(BadFileError, match="did you mean 'correct'"):
        import_records(file, options=ImportOptions(model="gpt", mapping={"score": "corect"}))
    with pytest.raises(UsageError, match="did you mean 'jsonl'"):
        import_records(file, options=ImportOptions(format="json"))
    with pytest.raises(UsageError, match="there is no file or folder"):
        import_records(tmp_path / "nothing", options=ImportOptions())
    _jsonl(tmp_path / "other.outputs.jsonl", [{"id": 1, "score": 1}])
    with pytest.raises(UsageError, match="several benchmarks: other, quiz"):
        import_records(tmp_path, options=ImportOptions())
    with pytest.raises(BadFileError, match="the id '1' is not in"):
        import_records(tmp_path / "other.outputs.jsonl", options=ImportOptions(items=tmp_path / "quiz.items.jsonl"))


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2)))
def test_a_score_is_in_range_or_missing_or_refused(value: Any) -> None:
    try:
        score = parse_score(value, "f:1")
    except CapevalError:
        return
    assert math.isnan(score) or 0 <= score <= 1


DATA = Path(os.environ.get("CAPEVAL_DATA") or "CAPEVAL_DATA") / "recorded"


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="CAPEVAL_DATA is not set: no recorded outputs")
@pytest.mark.parametrize(
    ("path", "options", "setting", "n", "mean"),
    [
        ("instructgpt_autoeval", {"task": "squadv2", "model": "gpt-xl"}, "fewshot", 100, None),
        ("bbh_code-davinci-002", {"scorer": "bbh_cot", "setting": "3-shot-cot"}, "3-shot-cot", 6510, 0.7392),
        ("gsm8k_openai_2021", {"model": "gpt3-6b_finetuning", "scorer": "gsm8k_flexible"}, "finetuned", 1319, 0.2168),
        ("zero_shot_cot/svamp.zero-shot.jsonl", {}, "zero-shot", 1000, 0.588),
        ("cot_bias_salt/harmfulq.outputs.jsonl", {"model": "text-davinci-003", "score": "label_not_harmful"},
         "zero-shot", 1000, 0.783),
    ],
)  # fmt: skip
def test_recordings_of_real_systems(
    path: str, options: dict[str, Any], setting: str, n: int, mean: float | None
) -> None:
    run = import_records(DATA / path, options=ImportOptions(**options))
    records = run.records[run.records.setting == setting]
    assert len(records) == n
    if mean is not None:
        assert records.score.mean() == pytest.approx(mean, abs=5e-5)
