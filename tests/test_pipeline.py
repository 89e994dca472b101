"""A tree with recipes from nothing to a report; and its nodes as checkpoints that other programs load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from capeval.builder import BuildOptions, train
from capeval.pipeline import _replica, _units, has_recipes, trace_built
from capeval.report.page import write_report
from capeval.runner import RunOptions, run
from capeval.store.runs import load_run
from capeval.store.traces import Trace, load_trace, save_trace
from capeval.tracer import TraceOptions
from capeval.zoo import load_tree
from tests.test_builder import stage, write

MODEL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TASKS = Path(__file__).parent.parent / "tasks" / "lab"


def lab_tree(folder: Path) -> str:
    """Four tiny nodes of the lab; the reward model can't be asked, the tuned one is asked through its template."""
    base = {"stage": "language-model", "data": "lab/base", "steps": 3, "batch": 2, "context": 32}
    sft = {"stage": "sft", "data": "lab/sft", "steps": 3, "batch": 2, "context": 32}
    reward = {"stage": "reward", "data": "lab/prompts", "prompts": 8, "steps": 2, "batch": 4, "max_new_tokens": 4}
    stages = [
        stage("root", "base", {"stage": "init", "tokenizer": "lab", "model": MODEL}),
        stage("base", "base", base, "root"),
        stage("sft", "sft", sft, "base"),
        stage("reward", "reward", reward, "sft"),
    ]
    return write(folder, stages, suite="smoke")


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Trace]:
    folder = tmp_path_factory.mktemp("lab")
    tree = lab_tree(folder)
    return tree, folder, again(tree, folder, [])


def again(tree: str, folder: Path, told: list[str], limit: int = 3, **build: Any) -> Trace:
    return trace_built(
        tree,
        folder / "trace",
        build=BuildOptions(models=folder / "models", workers=2, **build),
        ask=RunOptions(limit=limit),
        options=TraceOptions(),
        watch=lambda unit, *_: told.append(unit),
    )


def test_every_node_that_answers_is_asked_in_its_own_form(traced: tuple[str, Path, Trace]) -> None:
    tree, folder, found = traced
    assert has_recipes(tree) and not has_recipes("instructgpt")
    assert set(found.scores["node"]) == {"root", "base", "sft"}
    assert set(found.training) == {"root", "base", "sft", "reward"}
    cost = found.provenance["cost"]
    assert cost["training"] > 0 and cost["asking"] > 0 and 0 < cost["asked"] == cost["answers"]
    assert {(e.parent, e.child) for e in found.effects.itertuples()} == {("root", "base"), ("base", "sft")}
    forms = {node: load_run(folder / "trace" / "runs" / node).manifest["settings"]["chat"] for node in ("base", "sft")}
    assert forms == {"base": False, "sft": True}


def test_a_second_call_does_nothing_and_finds_the_same(traced: tuple[str, Path, Trace]) -> None:
    tree, folder, found = traced
    told: list[str] = []
    other = again(tree, folder, told)
    assert told == []
    assert other.effects.equals(found.effects)


def test_other_items_are_asked_for_of_what_is_built(traced: tuple[str, Path, Trace]) -> None:
    tree, folder, _ = traced
    told: list[str] = []
    again(tree, folder, told, limit=2)
    assert set(told) == {"ask root", "ask base", "ask sft", "all"}


def test_another_checkpoint_takes_the_place_of_a_traces_run(traced: tuple[str, Path, Trace]) -> None:
    tree, folder, found = traced
    again(tree, folder, [])
    told: list[str] = []
    other = again(tree, folder, told, overrides={"sft.steps": 4})
    assert set(told) == {"sft", "reward", "ask sft", "all"}
    assert other.tree.stage("sft").digest != found.tree.stage("sft").digest
    # killed between run and mark
    (folder / "trace" / "runs" / "sft" / "asked.json").write_text('{"mark": ""}', encoding="utf-8")
    told.clear()
    again(tree, folder, told)
    assert set(told) == {"ask sft", "all"}


def test_seeds_are_trained_and_asked_side_by_side_and_kept(traced: tuple[str, Path, Trace], tmp_path: Path) -> None:
    tree, folder, _ = traced
    told: list[str] = []
    options: dict[str, Any] = {"ask": RunOptions(limit=3), "build": BuildOptions(models=folder / "models", workers=2)}
    found = trace_built(tree, tmp_path / "trace", **options, seeds=2, watch=lambda unit, *_: told.append(unit))
    units = [f"replica 1: {name}" for name in ("root", "base", "sft", "reward")]
    units += [f"{label}ask {name}" for label in ("", "replica 1: ") for name in ("root", "base", "sft")]
    assert set(told) == {*units, "all"}
    # no replica waits for the other to end
    assert told.index("replica 1: root") < max(i for i, unit in enumerate(told) if unit == "ask sft")
    assert {p.name for p in (tmp_path / "trace" / "replica1" / "runs").iterdir()} == {"root", "base", "sft"}
    assert set(found.replicas["replica"]) == {0, 1}
    kept = found.replicas.pivot(index=["contrast", "task", "setting"], columns="replica", values="delta")
    rows = found.effects.set_index(["contrast", "task", "setting"])
    assert (rows["seeds"] == 2).all()
    pd.testing.assert_series_equal(rows["seed_delta"], kept.mean(axis=1)[rows.index], check_names=False)
    pd.testing.assert_series_equal(rows["delta"], kept[0][rows.index], check_names=False)
    assert not rows["grade"].eq("A").any() and found.provenance["built"]["seeds"] == 2
    told.clear()
    again = trace_built(tree, tmp_path / "trace", **options, seeds=2, watch=lambda unit, *_: told.append(unit))
    assert told == []
    save_trace(again, tmp_path / "kept")
    pd.testing.assert_frame_equal(load_trace(tmp_path / "kept").replicas, found.replicas, check_dtype=False)
    alone = trace_built(tree, tmp_path / "trace", **options)
    assert alone.replicas.empty and (alone.effects["seeds"] == 1).all() and alone.effects["seed_low"].isna().all()


def test_a_checkpoint_that_no_seed_changes_is_asked_once(traced: tuple[str, Path, Trace], tmp_path: Path) -> None:
    tree, folder, _ = traced
    given = stage("base", "base", {}) | {"uri": str(train(tree, BuildOptions(models=folder / "models"))["base"])}
    del given["recipe"]
    sft = {"stage": "sft", "data": "lab/sft", "steps": 3, "batch": 2, "context": 32}
    name = write(tmp_path, [given, stage("sft", "sft", sft, "base")], suite="smoke")
    build = BuildOptions(models=tmp_path / "models")
    replicas = [_replica(load_tree(name), name, tmp_path / "trace", build, seed) for seed in (0, 1)]
    units = [unit for replica in replicas for unit in _units(replica, "smoke", RunOptions())]
    assert [unit.name for unit in units] == ["sft", "ask base", "ask sft", "replica 1: sft", "replica 1: ask sft"]
    assert [unit.needs for unit in units] == [(), (), ("sft",), (), ("replica 1: sft",)]
    assert replicas[0].places["base"] == replicas[1].places["base"]


def test_the_report_shows_how_the_nodes_were_trained(traced: tuple[str, Path, Trace]) -> None:
    _, folder, found = traced
    save_trace(found, folder / "kept")
    page = write_report(load_trace(folder / "kept"), folder / "kept").read_text("utf-8")
    assert "Training" in page
    for node, about in found.training.items():
        assert node in page
        for sample in about["samples"]:
            assert sample["answer"][:12].split("<")[0].strip() in page


def test_a_node_is_a_checkpoint_for_lm_eval_with_the_same_answers(
    traced: tuple[str, Path, Trace], tmp_path: Path
) -> None:
    tree, folder, _ = traced
    node = train(tree, BuildOptions(models=folder / "models"))["base"]
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={node},dtype=float32",
        "--tasks", "lab_facts", "--include_path", str(TASKS), "--limit", "6", "--device", "cpu", "--batch_size", "4",
        "--log_samples", "--output_path", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    [log] = tmp_path.rglob("samples_lab_facts*.jsonl")
    theirs = [json.loads(line)["acc"] for line in log.read_text("utf-8").splitlines()]
    ours = run(str(node), "lab", options=RunOptions(limit=6, out=tmp_path / "run"))
    own = ours.records[ours.records["task"] == "lab-facts"]["score"].tolist()
    assert len(theirs) == 6
    assert own == [float(score) for score in theirs]


@pytest.mark.data
def test_a_node_takes_a_real_benchmark_like_any_checkpoint(
    traced: tuple[str, Path, Trace], public_data: Path, tmp_path: Path
) -> None:
    tree, folder, _ = traced
    node = train(tree, BuildOptions(models=folder / "models"))["sft"]
    found = run(str(node), "cot", options=RunOptions(limit=1, out=tmp_path / "run"))
    assert found.records["task"].str.startswith(("gsm8k", "bbh")).all()
    assert found.records["score"].notna().all()


def test_parents_are_asked_again_once_all_nodes_were_asked(
    traced: tuple[str, Path, Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, folder, _ = traced
    records = load_run(folder / "trace" / "runs" / "base").records
    generated = records[records["finish"] != ""]
    task, setting = generated.iloc[0][["task", "setting"]]
    items = tuple(generated.loc[(generated["task"] == task) & (generated["setting"] == setting), "item"][:2])
    monkeypatch.setattr("capeval.pipeline.to_elicit", lambda *_: {"base": {(task, setting): items}})
    told: list[str] = []

    def elicit() -> Trace:
        return trace_built(
            tree, folder / "trace", build=BuildOptions(models=folder / "models", workers=1), ask=RunOptions(limit=3),
            options=TraceOptions(elicit=True), watch=lambda unit, *_: told.append(unit),
        )  # fmt: skip

    found = elicit()
    assert "elicit base" in told and set(found.elicited["node"]) == {"base"}
    assert set(found.elicited["item"]) == set(items) and set(found.elicited["task"]) == {task}
    assert all(name.endswith("(elicited)") for name in found.elicited["setting"])
    assert (folder / "trace" / "elicited" / "base" / "manifest.json").is_file()
    told.clear()
    assert elicit().elicited["score"].equals(found.elicited["score"]) and told == []
