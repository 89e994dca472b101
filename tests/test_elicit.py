"""Parents asked again: only the items that are needed, in settings that grew from the suite's own sources."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from capeval.core import Stage
from capeval.elicit import elicit
from capeval.errors import UsageError
from capeval.harness import elicited
from capeval.report.page import render, write_report
from capeval.report.unlock import story
from capeval.runner import RunOptions, run
from capeval.store.runs import Run
from capeval.store.traces import load_trace, save_trace
from capeval.suites import load_suite
from capeval.tracer import TraceOptions, trace

ASKED = RunOptions(backend="scripted")
QUESTIONS = [{"question": f"{a} plus {b} ?", "answer": str(a + b)} for a in range(1, 9) for b in range(1, 6)]
EXAMPLES = [{"question": f"{a} plus 9 ?", "answer": str(a + 9)} for a in range(1, 9)]
TASK = """
task: own_sums
dataset_path: json
dataset_kwargs: {data_files: {test: test.json, train: train.json}}
output_type: generate_until
test_split: test
fewshot_split: train
num_fewshot: 0
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{answer}}"
generation_kwargs: {do_sample: false, max_gen_toks: 8, until: ["\\n"]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
SUITE = """
name: own
tasks:
  - {name: sums, capability: cot, metric: exact_match, margin: 0.05, sources: [{path: own_sums.yaml, setting: direct}]}
"""
TREE = """
name: mine
stages:
  - {name: base, kind: base, uri: base.yaml}
  - {name: other, kind: continued, links: [{parent: base, certainty: documented}], uri: other.yaml}
  - {name: sft, kind: sft, links: [{parent: base, certainty: documented}], uri: sft.yaml}
"""


def script(answers: bool, *, with_examples: bool = False) -> str:
    """Says every sum rightly, or nothing right; with examples before the question it may know all the same."""
    rules = [{"when": f"plus 9 \\?[^$]*Q: {q['question'][:-1]}\\?\nA:$", "say": q["answer"]}
             for q in QUESTIONS] if with_examples else []  # fmt: skip
    rules += [{"when": f"Q: {q['question'][:-1]}\\?\nA:$", "say": q["answer"]} for q in QUESTIONS] if answers else []
    return json.dumps({"rules": [*rules, {"when": "", "say": "no idea"}]})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    files = {
        "own_sums.yaml": TASK, "own.yaml": SUITE, "tree.yaml": TREE, "test.json": json.dumps(QUESTIONS),
        "train.json": json.dumps(EXAMPLES), "base.yaml": script(False, with_examples=True),
        "other.yaml": script(False), "sft.yaml": script(True),
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_settings_grow_from_the_suites_own_source(place: Path) -> None:
    [source] = load_suite("own.yaml").sources
    grown = {one.setting: one for one in elicited(source, ["direct"])}
    assert list(grown) == [
        "8-shot (elicited)", "step by step (elicited)", "best of 8 (elicited)",
        "log-probability of the gold (elicited)",
    ]  # fmt: skip
    assert grown["8-shot (elicited)"].shots == 8
    best = grown["best of 8 (elicited)"]
    assert best.each_sample and best.override["generation_kwargs"]["temperature"] == 0.7
    assert best.override["generation_kwargs"]["until"] == ["\n"]
    named = [one.setting for one in elicited(source, ["direct", "cot", "asked"])]
    assert named == ["direct, best of 8 (elicited)", "direct, log-probability of the gold (elicited)"]


def test_examples_are_never_drawn_from_what_is_asked(place: Path) -> None:
    [source] = load_suite("own.yaml").sources
    (place / "train.json").write_text(json.dumps(QUESTIONS[:3]))
    assert "8-shot (elicited)" not in [one.setting for one in elicited(source, ["direct"])]
    (place / "own_sums.yaml").write_text(TASK.replace("fewshot_split: train\n", "").replace(", train: train.json", ""))
    assert "8-shot (elicited)" not in [one.setting for one in elicited(source, ["direct"])]


def test_only_the_items_are_asked_every_sample_is_scored_and_nothing_is_asked_twice(place: Path) -> None:
    items = run("base.yaml", "own.yaml", options=ASKED).records["item"].tolist()[3:8]
    found = elicit("base.yaml", "own.yaml", {("sums", "direct"): items}, options=ASKED)
    assert found is not None
    by_setting = {str(name): part for name, part in found.records.groupby("setting")}
    assert all(sorted(set(part["item"])) == sorted(items) for part in by_setting.values())
    assert sorted(by_setting["best of 8 (elicited)"]["sample"].unique()) == list(range(8))
    assert len(by_setting["best of 8 (elicited)"]) == 40
    assert (by_setting["8-shot (elicited)"]["score"] == 1.0).all()
    assert by_setting["log-probability of the gold (elicited)"]["gold_logprob"].notna().all()
    again = elicit("base.yaml", "own.yaml", {("sums", "direct"): items}, options=ASKED)
    assert again is not None and again.manifest["counts"]["asked"] == 0
    pd.testing.assert_frame_equal(again.records, found.records)


def test_fewer_items_are_shown_the_same_examples(place: Path) -> None:
    items = run("base.yaml", "own.yaml", options=ASKED).records["item"].tolist()
    many = elicit("base.yaml", "own.yaml", {("sums", "direct"): items}, options=ASKED)
    few = elicit("base.yaml", "own.yaml", {("sums", "direct"): items[20:22]}, options=ASKED)
    assert many is not None and few is not None and few.manifest["counts"]["asked"] == 0


def test_a_tree_of_checkpoints_is_elicited_where_an_edge_needs_it(place: Path) -> None:
    def asked(stage: Stage, suite: str) -> Run:
        return run(stage.uri, suite, options=RunOptions(backend="scripted", node=stage.name))

    told: list[str] = []

    def again(stage: Stage, suite: str, items: object) -> Run | None:
        told.append(stage.name)
        options = RunOptions(backend="scripted", node=stage.name)
        return elicit(stage.uri, suite, items, options=options)  # type: ignore[arg-type]

    options = TraceOptions(suite="own.yaml", elicit=True)
    found = trace("tree.yaml", options, evaluate=asked, ask_again=again)
    assert told == ["base"]  # nobody else has a child that newly solves something
    [row] = found.unlock.to_dict("records")
    assert (row["parent"], row["child"], row["n_new"], row["share_new"]) == ("base", "sft", 40, 1.0)
    assert row["elicited"].startswith("8-shot (elicited)") and row["n_control"] == 0
    folder = save_trace(found, place / "trace")
    stored = load_trace(folder)
    keys = ["node", "setting", "item", "sample", "score"]
    assert stored.elicited[keys].to_numpy().tolist() == found.elicited[keys].to_numpy().tolist()
    write_report(stored, folder)
    page = render(stored)
    assert "Unlocked or injected" in page and "8-shot (elicited)" in page
    part = story(stored)
    assert part["tally"] == {"unlocked": 0, "injected": 0, "can't tell": 1} and part["elicited"]
    plain = trace("tree.yaml", TraceOptions(suite="own.yaml"), evaluate=asked)
    assert plain.unlock.empty and plain.elicited.empty and not story(plain)


def test_without_a_suite_there_is_nothing_to_ask_again(place: Path) -> None:
    with pytest.raises(UsageError, match="add --suite"):
        trace("tree.yaml", TraceOptions(elicit=True))
