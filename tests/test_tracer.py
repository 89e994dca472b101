"""From a tree's records to a trace, on disk and back; two runs are a tree with one edge."""

import json
from pathlib import Path

import pandas as pd
import pytest

import capeval
from capeval.core import LEDGER_COLUMNS, TaskSpec
from capeval.errors import MissingError, PairingError, UsageError
from capeval.store.runs import Run, save_run
from capeval.store.traces import load_trace, save_trace
from capeval.tracer import TraceOptions, compare, inspect, trace
from tests.records import TASK, run_of

TREE = """
name: mine
stages:
  - {name: base, kind: base, uri: nowhere/base}
  - {name: sft, kind: sft, links: [{parent: base, certainty: documented}], uri: nowhere/sft}
  - {name: ghost, kind: rlhf, links: [{parent: sft, certainty: reported}]}
"""


@pytest.fixture
def tree(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(TREE)
    return str(path)


def asked(node: str, uri: str, suite: str) -> Run:
    """Stands where the runner stands: what it got is in the records."""
    return run_of(node, [0] * 30 if node == "base" else [1] * 30, presentation=f"{uri} {suite}")


def test_nodes_with_a_checkpoint_are_evaluated_and_the_others_say_nothing(tree: str) -> None:
    options = TraceOptions(suite="smoke", checkpoints={"sft": "./mine"})
    found = trace(tree, options, evaluate=asked)
    assert found.scores[["node", "score"]].values.tolist() == [["base", 0.0], ["sft", 1.0]]
    row = found.effects.iloc[0]
    assert (len(found.effects), row["answer"], row["n"]) == (1, "gained", 30)
    assert row["confounds"] == "different presentation on 30 items"
    assert len(found.flips) == 30


def test_a_trace_survives_the_disk(tree: str, tmp_path: Path) -> None:
    found = trace(tree, TraceOptions(suite="smoke"), evaluate=asked)
    folder = save_trace(found, tmp_path / "out")
    back = load_trace(folder)
    assert back.tree == found.tree
    for table in ("effects", "scores", "flips"):
        pd.testing.assert_frame_equal(getattr(back, table), getattr(found, table), check_dtype=False)
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["effects"][0]) == list(LEDGER_COLUMNS)
    assert summary["answers"] == {"gained": 1}
    assert len(pd.read_csv(folder / "effects.csv")) == 1
    with pytest.raises(UsageError, match="is no trace folder"):
        load_trace(tmp_path)


def test_stored_runs_can_be_nodes(tmp_path: Path) -> None:
    for node, scores in (("base", [0.0] * 20), ("sft", [1.0] * 20)):
        save_run(run_of(node, scores), tmp_path / node)
    path = tmp_path / "stored.yaml"
    path.write_text(
        TREE.replace("uri: nowhere/base", f"run: {tmp_path}/base").replace("uri: nowhere/sft", f"run: {tmp_path}/sft")
    )
    assert trace(str(path)).effects["answer"].tolist() == ["gained"]


def test_names_and_checkpoints_that_do_not_exist(tree: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown node 'stf'; did you mean 'sft'"):
        trace(tree, TraceOptions(checkpoints={"stf": "x"}))
    bare = tmp_path / "bare.yaml"
    bare.write_text("name: bare\nstages:\n  - {name: a, kind: base}\n")
    with pytest.raises(MissingError, match="no node of tree 'bare' has a checkpoint to run suite 'smoke' on"):
        trace(str(bare), TraceOptions(suite="smoke"))


def test_a_tree_without_data_traces_to_an_empty_ledger(tree: str) -> None:
    found = trace(tree)
    assert found.effects.empty
    assert found.summary()["effects"] == []


def test_compare_pairs_items_and_names_equal_nodes_apart() -> None:
    found = compare(run_of("m", [0] * 40), run_of("m", [1] * 30 + [0] * 10))
    row = found.effects.iloc[0]
    assert (row["parent"], row["child"], row["gained"], row["lost"]) == ("m (a)", "m (b)", 30, 0)


def test_compare_refuses_what_is_not_the_same_question() -> None:
    with pytest.raises(PairingError, match="share no scored items: sums .direct. against other .direct."):
        compare(run_of("a", [1]), run_of("b", [1], task=TaskSpec(name="other", capability="cot", metric="exact_match")))
    with pytest.raises(PairingError, match="shown different shots on task 'sums'"):
        compare(run_of("a", [1] * 9, shots="x"), run_of("b", [1] * 9, shots="y"))
    with pytest.raises(PairingError, match="is scored by f1 .higher is better. in 'b' and by exact_match"):
        compare(run_of("a", [1]), run_of("b", [1], task=TaskSpec(name="sums", capability="cot", metric="f1")))
    allowed = compare(run_of("a", [1] * 9, shots="x"), run_of("b", [1] * 9, shots="y"), allow_different_shots=True)
    assert allowed.effects.iloc[0]["confounds"] == "different shots on 9 items"


def test_a_run_against_itself_moves_nothing() -> None:
    run = run_of("a", [1, 0, 1])
    row = compare(run, run).effects.iloc[0]
    assert (row["delta"], row["p"], row["gained"], row["lost"]) == (0, 1, 0, 0)


def test_inspect_finds_the_contrasts_of_a_suite() -> None:
    cot = run_of("a", [1] * 30, setting="cot")
    both = pd.concat([cot.records, run_of("a", [0] * 30).records], ignore_index=True)
    run = Run(node="a", manifest={**cot.manifest, "contrasts": [["cot", "direct"]]}, records=both)
    assert run.tasks == (TASK,)
    found = inspect(run)
    assert found.effects["setting"].tolist() == ["cot − direct"]
    assert found.effects["answer"].tolist() == ["gained"]


def test_every_door_of_the_package_opens() -> None:
    for name in capeval.__all__:
        assert getattr(capeval, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trase'"):
        capeval.trase  # noqa: B018
