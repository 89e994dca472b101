"""From a tree's records to a trace, on disk and back; two runs are a tree with one edge."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import capeval
from capeval.columns import LEDGER_COLUMNS
from capeval.core import Stage, TaskSpec
from capeval.errors import BadFileError, MissingError, OutputError, PairingError, UsageError
from capeval.store.runs import Run, make_manifest, save_run
from capeval.store.traces import load_trace, save_trace
from capeval.tracer import TraceOptions, compare, inspect, trace, trace_runs
from capeval.zoo import load_tree
from tests.records import TASK, records, run_of

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


def asked(stage: Stage, suite: str) -> Run:
    """Stands where the runner stands: what it got is in the records."""
    scores = [0] * 30 if stage.name == "base" else [1] * 30
    return run_of(stage.name, scores, presentation=f"{stage.uri} {stage.revision} {suite}")


def test_nodes_with_a_checkpoint_are_evaluated_and_the_others_say_nothing(tree: str) -> None:
    options = TraceOptions(suite="smoke", checkpoints={"sft": "./mine"})
    found = trace(tree, options, evaluate=asked)
    assert found.scores[["node", "score"]].values.tolist() == [["base", 0.0], ["sft", 1.0]]
    row = found.effects.iloc[0]
    assert (len(found.effects), row["answer"], row["n"]) == (1, "gained", 30)
    assert row["confounds"] == "different presentation on 30 items"
    assert len(found.flips) == 30


def test_each_revision_is_asked_and_a_checkpoint_from_outside_has_none(tree: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.yaml"
    path.write_text(
        TREE.replace("uri: nowhere/base", "uri: me/m, revision: s1").replace(
            "uri: nowhere/sft", "uri: me/m, revision: s2"
        )
    )
    (tmp_path / "here").mkdir()
    seen: dict[str, tuple[str, str]] = {}

    def note(stage: Stage, suite: str) -> Run:
        seen[stage.name] = (stage.uri, stage.revision)
        return asked(stage, suite)

    trace(str(path), TraceOptions(suite="smoke"), evaluate=note)
    assert seen == {"base": ("me/m", "s1"), "sft": ("me/m", "s2")}
    trace(str(path), TraceOptions(suite="smoke", checkpoints={"sft": "mine"}), evaluate=note)
    assert seen["sft"] == ("mine", "")
    path.write_text(path.read_text().replace("uri: me/m, revision: s1", "uri: here"))
    trace(str(path), TraceOptions(suite="smoke"), evaluate=note)
    assert seen["base"] == (str(tmp_path / "here"), "")


def test_a_fresh_run_takes_the_place_of_a_nodes_recorded_rows(tmp_path: Path) -> None:
    recorded = pd.concat([records("base", [0] * 9), records("sft", [1] * 9)])
    recorded.to_parquet(tmp_path / "r.parquet")
    path = tmp_path / "mine.yaml"
    tasks = "tasks:\n  - {name: sums, capability: cot, metric: exact_match}\n"
    path.write_text(TREE + "records: r.parquet\n" + tasks)
    assert trace(str(path)).scores["n"].tolist() == [9, 9]
    both = trace(str(path), TraceOptions(suite="smoke", checkpoints={"sft": "mine"}), evaluate=asked)
    assert both.scores.set_index("node")["n"].to_dict() == {"base": 30, "sft": 30}
    path.write_text(TREE + "records: r.parquet\n" + tasks.replace("exact_match", "f1"))
    with pytest.raises(PairingError, match="scored by exact_match in the runs and by f1 in the records"):
        trace(str(path), TraceOptions(suite="smoke"), evaluate=asked)


def test_runs_scored_by_other_filters_are_refused() -> None:
    a, b = run_of("a", [1] * 9), run_of("b", [0] * 9)
    rules = [
        Run(node=r.node, records=r.records, manifest={**r.manifest, "scoring": {"sums direct": d}})
        for r, d in ((a, "x"), (b, "y"))
    ]
    with pytest.raises(PairingError, match="'sums direct' is scored by another filter or metric in 'b' than in 'a'"):
        compare(*rules)


def test_a_trace_that_cannot_be_written_leaves_the_old_one_whole(
    tree: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_trace(trace(tree, TraceOptions(suite="smoke"), evaluate=asked), tmp_path / "out")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("capeval.store.traces.write_json", full)
    with pytest.raises(OutputError, match="the disk is full"):
        save_trace(trace(tree), folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_an_edited_head_is_named(tree: str, tmp_path: Path) -> None:
    folder = save_trace(trace(tree), tmp_path / "out")
    head = json.loads((folder / "trace.json").read_text())
    head["tree"]["stages"] = [5]
    for text in (json.dumps(head), "{", "[]", "[" * 100_000):
        (folder / "trace.json").write_text(text)
        with pytest.raises(BadFileError, match="trace.json"):
            load_trace(folder)


@pytest.mark.parametrize("alpha", [0.0, 1e-320, 0.9, float("nan")])
def test_alphas_that_mean_nothing(alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha must lie between"):
        compare(run_of("a", [1]), run_of("b", [1]), alpha=alpha)


def test_a_damaged_table_is_named(tree: str, tmp_path: Path) -> None:
    folder = save_trace(trace(tree), tmp_path / "out")
    pd.DataFrame({"x": [1]}).to_parquet(folder / "effects.parquet")
    with pytest.raises(BadFileError, match="effects.parquet is not as it was written"):
        load_trace(folder)


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
    with pytest.raises(UsageError, match="add --suite NAME"):
        trace(tree, TraceOptions(checkpoints={"sft": "x"}))
    bare = tmp_path / "bare.yaml"
    bare.write_text("name: bare\nstages:\n  - {name: a, kind: base}\n")
    with pytest.raises(MissingError, match="no node of tree 'bare' has a checkpoint to run suite 'smoke' on"):
        trace(str(bare), TraceOptions(suite="smoke"))


def test_replicas_are_other_weights_of_the_same_tree(tmp_path: Path) -> None:
    path = tmp_path / "trained.yaml"
    path.write_text(TREE.replace("uri: nowhere/", "recipe: {stage: sft}, title: "))
    tree = load_tree(str(path))

    def runs(seed: int, digest: str = "") -> dict[str, Run]:
        scores = {"base": [0] * 40, "sft": [1] * (30 + seed) + [0] * (10 - seed)}
        found = {}
        for node, own in scores.items():
            run = run_of(node, own)
            checkpoint = {"node": node, "digest": digest or f"{node} {seed}"}
            found[node] = replace(run, manifest={**run.manifest, "checkpoint": checkpoint})
        return found

    found = trace_runs(tree, runs(0), TraceOptions(), replicas=[runs(1), runs(2)])
    row = found.effects.iloc[0]
    assert (row["delta"], row["seeds"], row["seed_delta"]) == (0.75, 3, pytest.approx(0.775))
    assert found.provenance["replicas"][1]["sft"]["digest"] == "sft 2"
    partly = trace_runs(tree, runs(0), TraceOptions(), replicas=[{"base": runs(1)["base"]}])
    assert partly.effects.iloc[0]["seeds"] == 1
    with pytest.raises(UsageError, match="two replicas of node 'base' are one checkpoint"):
        trace_runs(tree, runs(0, "same"), TraceOptions(), replicas=[runs(1, "same")])


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
    with pytest.raises(PairingError, match="is scored by f1 .higher is better, points. in 'b' and by exact_match"):
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


def test_a_tree_that_is_trained_first_is_no_empty_trace() -> None:
    with pytest.raises(UsageError, match="trained first"):
        trace("lab")


def test_a_run_of_before_summaries_compares_in_either_order() -> None:
    spec = replace(TASK, settings=("0-shot", "1-shot"), summaries=("slope", "area"))
    rows = {s: [1.0, 0.0] * 20 for s in spec.settings}

    def asked(node: str, task: TaskSpec) -> Run:
        parts = [records(node, scores, setting=setting).drop(columns="node") for setting, scores in rows.items()]
        return Run(node=node, manifest=make_manifest(node=node, tasks=(task,)), records=pd.concat(parts))

    old, new = asked("old", replace(spec, summaries=())), asked("new", spec)
    for pair in ((old, new), (new, old)):
        assert set(compare(*pair).effects["setting"]) == {"0-shot", "1-shot", "slope", "area"}
