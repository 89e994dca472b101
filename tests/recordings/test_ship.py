"""The recorded trees that ship: rebuilt from the public outputs where they are at hand, and checked where not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from capeval.columns import RECORD_COLUMNS
from capeval.errors import BadFileError, MissingError, UsageError
from capeval.recordings import ship
from capeval.recordings.sources.behaviour import crows_golds
from capeval.recordings.sources.instructgpt import node_name
from capeval.recordings.sources.rows import item_keys, read_jsonl
from capeval.store.runs import as_records
from capeval.zoo import load_tree
from tests.recordings.public_data import DATA, needs_data

SIZES = ("1.3b", "6b", "175b")


@pytest.fixture(scope="module", params=list(ship.TREES))
def tree(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shipped(tree: str) -> pd.DataFrame:
    return pd.read_parquet(load_tree(tree).records)


def mean(frame: pd.DataFrame, **where: str) -> float:
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return round(100 * float(frame["score"].mean()), 2)


# --- rebuilt


@needs_data
@pytest.mark.data
def test_rebuilding_gives_the_shipped_records_cell_by_cell(tree: str, tmp_path: Path) -> None:
    assert ship.main([tree, "--data", str(DATA), "--out", str(tmp_path)]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{tree}.parquet"), shipped(tree), check_exact=True)


@needs_data
@pytest.mark.data
def test_crows_items_are_left_out_only_where_a_sentence_is_needed_and_not_found() -> None:
    golds, kinds = crows_golds(DATA)
    assert (len(golds), len(kinds)) == (1448, 1508)


def test_no_data_says_what_to_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingError, match="CAPEVAL_DATA"):
        ship.build("instructgpt", tmp_path)
    with pytest.raises(UsageError, match="did you mean 'instructgpt'"):
        ship.build("instructgtp", tmp_path)
    assert ship.main(["gpt-3.5", "--data", str(tmp_path), "--out", str(tmp_path)]) == 3
    assert "CAPEVAL_DATA" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text('{"id": 1}\n{"id": \n')
    with pytest.raises(BadFileError, match="line 2"):
        list(read_jsonl(path))


def test_repeated_documents_get_numbers_in_the_data_sets_order() -> None:
    keys = item_keys([("a", "q", "1"), ("b", "q", "1"), ("c", "q", "2")])
    assert keys["b"] == keys["a"] + "#2"
    assert keys["c"] not in (keys["a"], keys["b"])


# --- shipped


def test_shipped_records_are_numbers_and_labels_only(tree: str) -> None:
    frame = shipped(tree)
    assert set(frame.columns) <= {"node", *RECORD_COLUMNS} - {"response", "extracted", "prompt_digest"}
    assert frame["item"].str.fullmatch(r"[0-9a-f]{16}(#\d+)?").all()
    for column in frame.select_dtypes(exclude="number").columns.drop(["item", "cluster"]):
        assert frame[column].nunique() < 60, column
    assert frame["cluster"].str.len().max() < 48
    assert Path(load_tree(tree).records).stat().st_size < 1_000_000


def test_shipped_records_fit_the_tree_file(tree: str) -> None:
    loaded, frame = load_tree(tree), shipped(tree)
    specs = {task.name: task for task in loaded.tasks}
    assert set(frame["node"]) <= {stage.name for stage in loaded.stages}
    assert set(frame["task"]) == set(specs)
    for node, rows in frame.groupby("node"):
        assert len(as_records(rows.drop(columns="node"))) == len(rows), node
    for (task, setting), rows in frame.groupby(["task", "setting"]):
        spec = specs[str(task)]
        assert setting in spec.settings
        assert set(rows["capability"]) == {spec.capability}
        assert bool(rows["score"].dropna().isin((0.0, 1.0)).all()) or not spec.binary
        assert bool(rows["score"].dropna().between(0, 1).all()) or spec.unit != "points"
        assert (rows["cluster"] != "").all() == (spec.cluster_role != "none")
    for spec in specs.values():
        assert spec.licence and spec.citation and spec.scorer and spec.source, spec.name


def test_declared_contrasts_find_records(tree: str) -> None:
    loaded, frame = load_tree(tree), shipped(tree)
    cells = set(zip(frame["node"], frame["setting"], strict=True))
    for contrast in loaded.contrasts:
        for cell in contrast.cells:
            assert cell.setting is None or (cell.node, cell.setting) in cells, contrast.name
        assert set(contrast.tasks) <= {task.name for task in loaded.tasks}, contrast.name


def test_missing_is_never_zero() -> None:
    frame = shipped("gpt-3.5")
    failed = frame[frame["error"] != ""]
    assert failed.groupby(["node", "task", "setting"]).size().to_dict() == {
        ("text-davinci-002", "tatqa", "cot"): 12,
        ("text-davinci-002", "tatqa", "direct"): 62,
    }
    assert failed["score"].isna().all()
    assert frame.loc[frame["error"] == "", "score"].notna().all()


# --- what the sources are known for


@pytest.mark.parametrize(("node", "em"), [("gpt", 63), ("sft", 60), ("ppo", 39), ("ppo-ptx", 62)])
def test_squadv2_at_175b(node: str, em: float) -> None:
    assert mean(shipped("instructgpt"), node=f"{node}-175b", task="squadv2", setting="few-shot") == em


@pytest.mark.parametrize(
    ("child", "setting", "delta"),
    [
        ("ppo-ptx", "qa", 39),
        ("ppo-ptx", "qa+instruction", 29),
        ("ppo-ptx", "instruction", 1),
        ("ppo", "instruction", 29),
    ],
)
def test_truthfulqa_at_175b(child: str, setting: str, delta: float) -> None:
    frame = shipped("instructgpt")
    scores = [mean(frame, node=f"{n}-175b", task="truthfulqa", setting=setting) for n in (child, "gpt")]
    assert round(scores[0] - scores[1], 2) == delta


def test_squadv2_halves_and_articles() -> None:
    frame = shipped("instructgpt")
    squad = frame[(frame["task"] == "squadv2") & (frame["setting"] == "few-shot") & (frame["node"] == "gpt-6b")]
    assert squad["subset"].value_counts().to_dict() == {"unanswerable": 51, "answerable": 49}
    assert squad["cluster"].nunique() == 32
    assert frame["node"].nunique() == 12
    assert {node_name(f"{s}-{z}") for s in ("gpt", "ppo-noptx") for z in ("xl", "175b")} == {
        "gpt-1.3b", "gpt-175b", "ppo-1.3b", "ppo-175b",
    }  # fmt: skip


def test_bbh_under_lm_evals_extraction() -> None:
    frame = shipped("gpt-3.5")
    bbh = frame[frame["task"] == "bbh"]
    assert bbh.groupby("setting").size().to_dict() == {"cot": 6510, "direct": 6510}
    assert bbh["cluster"].nunique() == 27
    cot, direct = (mean(bbh, setting=s) for s in ("cot", "direct"))
    assert (cot, direct) == (73.92, 52.33)


def test_sources_pair_by_item() -> None:
    frame = shipped("gpt-3.5")
    gsm8k = frame[frame["task"] == "gsm8k"]
    sets = [set(rows["item"]) for _, rows in gsm8k.groupby(["node", "setting"])]
    assert len(sets) == 9
    assert max(map(len, sets)) == 1319
    assert len(set.intersection(*sets)) >= 1315


def test_every_row_of_the_tree_table_is_there() -> None:
    tree = load_tree("gpt-3.5")
    certainty = {stage.name: [(link.parent, link.certainty) for link in stage.links] for stage in tree.stages}
    assert certainty["text-davinci-001"] == [("davinci", "documented")]
    assert certainty["codex-12b"] == [("gpt-3-12b", "documented")]
    assert certainty["code-cushman-001"] == [("codex-12b", "reported")]
    assert certainty["davinci-instruct-beta"] == [("davinci", "documented")]
    assert certainty["code-davinci-002"] == [("unknown-base", "unknown")]
    assert certainty["text-davinci-002"] == [("code-davinci-002", "documented")]
    assert certainty["text-davinci-003"] == [("text-davinci-002", "disputed"), ("code-davinci-002", "disputed")]
    assert {c for _, c in certainty["chatgpt"]} == {"disputed"} and len(certainty["chatgpt"]) == 2
    for release in ("0301", "0613", "1106"):
        assert certainty[f"gpt-3.5-turbo-{release}"] == [("chatgpt", "reported")]
