"""Chains of thought, scored under the node that wrote them and under another: real tiny checkpoints, and the fake."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import capeval
from capeval import runner
from capeval.attribution.readings import readings
from capeval.attribution.reasoning import reasoning_table
from capeval.backends import Backend, BackendSettings, open_backend
from capeval.columns import READ_COLUMNS
from capeval.core import Request, Stage
from capeval.errors import MissingError, UsageError
from capeval.pipeline import _reads, _Replica
from capeval.rereading import read_chains
from capeval.runner import RunOptions
from capeval.store.runs import Run
from capeval.store.traces import load_trace, save_trace
from capeval.suites import load_suite
from capeval.tracer import TraceOptions, trace
from capeval.zoo import load_tree
from tests.conftest import WINDOW

ITEMS = 8
FEW = {"few-shot"}


def with_chains(run: Run, *, right: bool = True) -> Run:
    """The run as if its node had answered sums in steps; the prompts stay those that it was asked with."""
    records = run.records[run.records["task"] == "smoke-arithmetic"].copy()
    answers = [str(3 + i) for i in range(len(records))]
    if right:
        records["response"] = [
            f" I count on from {i}.\nThat gives {a} of them. So it is {a}." for i, a in enumerate(answers)
        ]
        records["extracted"] = answers
    records["score"] = 1.0 if right else 0.0
    return replace(run, records=records.assign(flag="", finish="stop"))


def prompts_of(backend: Backend) -> dict[str, str]:
    """By item, how it was asked."""
    return {
        document.item: document.requests[0][0].text
        for asked in runner.prompts_of(load_suite("smoke"), backend, RunOptions(limit=ITEMS))
        if asked.source.task == "smoke-arithmetic"
        for document in asked.documents
    }


@pytest.fixture(scope="module")
def ran(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "child"
    return runner.run(str(tiny_checkpoint), "smoke", options=RunOptions(node="child", out=out, limit=ITEMS))


@pytest.fixture(scope="module")
def blank(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A parent to whom every token is as likely as every other: its embeddings, and so its logits, are 0."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("checkpoints") / "blank"
    shutil.copytree(tiny_checkpoint, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.nn.init.zeros_(model.get_input_embeddings().weight)
    model.save_pretrained(folder)
    out = folder.parent / "parent"
    return runner.run(str(folder), "smoke", options=RunOptions(node="parent", out=out, limit=ITEMS))


@pytest.fixture(scope="module")
def reads(ran: Run, blank: Run, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_chains(
        with_chains(ran), with_chains(blank, right=False), settings=FEW, folder=tmp_path_factory.mktemp("reads")
    )


def test_every_step_is_scored_under_both(reads: pd.DataFrame, tiny_checkpoint: Path) -> None:
    assert list(reads.columns) == list(READ_COLUMNS)
    assert reads["item"].nunique() == ITEMS
    assert reads.groupby("item").size().tolist() == [4] * ITEMS  # before the first, two steps, the answer's sentence
    from transformers import AutoTokenizer

    size = len(AutoTokenizer.from_pretrained(tiny_checkpoint))
    steps = reads[reads["step"] > 0]
    assert (steps["parent_logprob"] / steps["tokens"]).to_numpy() == pytest.approx(-math.log(size), abs=1e-3)
    assert steps["child_logprob"].nunique() > ITEMS
    assert set(reads.select_dtypes("str").columns) == {"parent", "child", "task", "setting", "item", "cluster"}


def test_answers_are_held_against_others_before_the_first_step_before_they_are_stated_and_at_the_end(
    reads: pd.DataFrame,
) -> None:
    asked = reads[reads["said"].notna()]
    assert sorted(asked["step"].unique()) == [0, 1, 2]  # the second states the answer
    assert asked.groupby("item").size().tolist() == [3] * ITEMS
    assert (reads[reads["step"] == 2]["stated"]).all() and not reads[reads["step"] == 1]["stated"].any()
    assert not reads["commonest"].any()  # every answer is given once
    assert (reads["decoys"] == 3).all() and asked["decoy"].notna().all()


@pytest.mark.parametrize("which", ["tiny_checkpoint", "bos_checkpoint"])
def test_steps_add_up_to_the_chain_and_to_what_each_is_after_the_others(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = str(request.getfixturevalue(which))
    out = RunOptions(node="m", out=tmp_path / "run", limit=3)
    run = with_chains(runner.run(model, "smoke", options=out))
    found = read_chains(run, run, settings=FEW, folder=tmp_path)
    backend = open_backend("hf", model, BackendSettings())
    prompts = prompts_of(backend)
    for one in readings(run, run, settings=FEW):
        prompt, before, alone = prompts[one.key[2]], "", []
        for part in (*one.chain.steps, one.chain.last):
            alone.append(Request(kind="loglikelihood", text=prompt + before, continuation=part))
            before += part
        whole = Request(kind="loglikelihood", text=prompt, continuation=before)
        replies = dict(pair for batch in backend.loglikelihood([*alone, whole]) for pair in batch)
        mine = found[found["item"] == one.key[2]]
        assert mine["child_logprob"].sum() == pytest.approx(replies[len(alone)].logprob, abs=1e-3)
        steps = [replies[i].logprob for i in range(len(alone))]
        assert mine["child_logprob"].tolist()[1:] == pytest.approx(steps, abs=1e-3)
        assert mine["tokens"].sum() == replies[len(alone)].n_tokens


def test_steps_add_up_where_the_tokenizer_joins_them(ran: Run, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """As in the tokenizers of Llama 3 and Qwen, where a full stop and a line's end are one token."""
    from tokenizers import Regex, pre_tokenizers
    from transformers import AutoTokenizer

    folder = tmp_path / "joins"
    shutil.copytree(tiny_checkpoint, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    split = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\s\w]+[\r\n]*|\s+"), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = data["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    data["model"]["merges"] = [m for m in data["model"]["merges"] if "".join(m) != last] + [[".", "Ċ"]]
    vocabulary[".Ċ"] = vocabulary.pop(last)
    (folder / "tokenizer.json").write_text(json.dumps(data))
    joined = AutoTokenizer.from_pretrained(folder)
    assert len(joined.encode(".\n", add_special_tokens=False)) == 1
    run = with_chains(runner.run(str(folder), "smoke", options=RunOptions(node="m", out=tmp_path / "run", limit=2)))
    found = read_chains(run, run, settings=FEW, folder=tmp_path / "reads")
    backend = open_backend("hf", str(folder), BackendSettings())
    prompts = prompts_of(backend)
    for one in readings(run, run, settings=FEW):
        prompt, steps = prompts[one.key[2]], one.chain.steps
        whole = Request(kind="loglikelihood", text=prompt, continuation="".join((*steps, one.chain.last)))
        first = Request(kind="loglikelihood", text=prompt, continuation=steps[0])
        second = Request(kind="loglikelihood", text=prompt + steps[0], continuation=steps[1])
        both = Request(kind="loglikelihood", text=prompt, continuation=steps[0] + steps[1])
        replies = dict(pair for batch in backend.loglikelihood([whole, first, second, both]) for pair in batch)
        mine = found[found["item"] == one.key[2]]
        assert mine["child_logprob"].sum() == pytest.approx(replies[0].logprob, abs=1e-3)
        apart = replies[1].logprob + replies[2].logprob  # type: ignore[operator]
        assert abs(apart - replies[3].logprob) > 0.01  # type: ignore[operator]


def test_a_node_that_reads_itself_never_parts(ran: Run, tmp_path: Path) -> None:
    run = with_chains(ran)
    found = read_chains(run, run, settings=FEW, folder=tmp_path)
    assert (found["child_logprob"] == found["parent_logprob"]).all()
    row = reasoning_table(run.tasks, found, alpha=0.05).iloc[0]
    assert (row["group"], row["ratio"], row["low"], row["high"], row["parted"]) == ("both", 0.0, 0.0, 0.0, 0.0)
    assert row["answer"] == ""


def test_a_killed_reading_goes_on_and_finds_the_same(ran: Run, blank: Run, reads: pd.DataFrame, tmp_path: Path) -> None:
    child, parent = with_chains(ran), with_chains(blank, right=False)

    class KilledError(Exception):
        pass

    def die(known: int, every: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        read_chains(child, parent, settings=FEW, folder=tmp_path, options=RunOptions(watch=die))
    told: list[tuple[int, int]] = []
    options = RunOptions(watch=lambda known, every: told.append((known, every)))
    found = read_chains(child, parent, settings=FEW, folder=tmp_path, options=options)
    assert told and all(known * 2 > every for known, every in told)  # the child's half was known
    pd.testing.assert_frame_equal(found, reads)
    told.clear()
    pd.testing.assert_frame_equal(read_chains(child, parent, settings=FEW, folder=tmp_path, options=options), reads)
    assert told == []


def test_other_prompts_and_other_weights_are_refused(ran: Run, blank: Run, tmp_path: Path) -> None:
    child, parent = with_chains(ran), with_chains(blank, right=False)
    moved = replace(parent, records=parent.records.assign(prompt_digest="another"))
    with pytest.raises(UsageError, match="'parent' was shown another prompt on task 'smoke-arithmetic'"):
        read_chains(child, moved, settings=FEW, folder=tmp_path)
    changed = {**child.manifest, "checkpoint": {**child.manifest["checkpoint"], "digest": "0"}}
    with pytest.raises(UsageError, match="is not the one that 'child' was run with"):
        read_chains(replace(child, manifest=changed), parent, settings=FEW, folder=tmp_path)
    with pytest.raises(MissingError, match="no checkpoint"):
        read_chains(child, replace(parent, manifest={**parent.manifest, "checkpoint": None}), settings=FEW)


def test_what_is_no_whole_answer_in_steps_is_not_read(ran: Run, blank: Run) -> None:
    child, parent = with_chains(ran), with_chains(blank, right=False)
    assert len(readings(child, parent, settings=FEW)) == ITEMS
    assert len(readings(child, parent, settings=FEW, most=3)) == 3
    assert readings(child, parent) == []  # no setting that asks for steps
    cut = replace(child, records=child.records.assign(flag="truncated"))
    assert readings(cut, parent, settings=FEW) == []
    assert capeval.read_chains(cut, parent, settings=FEW).empty


def test_a_chain_that_does_not_fit_the_window_is_left_out(ran: Run, blank: Run, tmp_path: Path) -> None:
    child, parent = with_chains(ran), with_chains(blank, right=False)
    texts = child.records["response"].tolist()
    texts[0] = " count" * WINDOW + ". So it is 3."
    long = replace(child, records=child.records.assign(response=texts))
    found = read_chains(long, parent, settings=FEW, folder=tmp_path)
    assert found["item"].nunique() == ITEMS - 1
    assert (found["chains"] == ITEMS).all()


def test_each_node_reads_in_the_form_that_it_was_asked_in(tmp_path: Path) -> None:
    """The fake's template and plain text: the chain begins with a space after the one, and without after the other."""
    plain = RunOptions(backend="scripted", limit=3, node="plain", out=tmp_path / "plain")
    chat = replace(plain, node="chat", chat=True, out=tmp_path / "chat")
    parent, child = (with_chains(runner.run("parrot", "smoke", options=options)) for options in (plain, chat))
    found = read_chains(child, parent, settings=FEW, folder=tmp_path / "reads")
    assert found["restated"].all()
    assert (found[found["step"] > 0]["child_logprob"] != found[found["step"] > 0]["parent_logprob"]).all()


QUESTIONS = [{"question": f"{a} plus {b} ?", "answer": str(a + b)} for a in range(1, 6) for b in range(1, 5)]
TASK = """
task: own_sums
dataset_path: json
dataset_kwargs: {data_files: {test: test.json}}
output_type: generate_until
test_split: test
num_fewshot: 0
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{answer}}"
generation_kwargs: {do_sample: false, max_gen_toks: 20, until: ["\\n"]}
filter_list:
  - {name: final, filter: [{function: regex, regex_pattern: '(\\S+)$'}, {function: take_first}]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
SUITE = """
name: own
tasks:
  - {name: sums, capability: cot, metric: exact_match, margin: 0.05, sources: [{path: own_sums.yaml, setting: cot}]}
"""
TREE = """
name: mine
stages:
  - {name: base, kind: base, uri: base.yaml}
  - {name: sft, kind: sft, links: [{parent: base, certainty: documented}], uri: sft.yaml}
  - {name: plain, kind: sft, links: [{parent: base, certainty: documented}], uri: plain.yaml}
"""


def answers(form: str) -> str:
    """A script that says every sum in this form."""
    rules = [{"when": f"Q: {q['question'][:-1]}\\?\nA:$", "say": form.format(q["answer"])} for q in QUESTIONS]
    return json.dumps({"rules": rules})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of scripts, of which one answers in steps."""
    monkeypatch.chdir(tmp_path)
    files = {
        "own_sums.yaml": TASK, "own.yaml": SUITE, "tree.yaml": TREE, "test.json": json.dumps(QUESTIONS),
        "base.yaml": answers("no idea"), "plain.yaml": answers("{}"),
        "sft.yaml": answers(" they are counted . that makes {0} . the answer is {0}"),
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def asked(stage: Stage, suite: str) -> Run:
    options = RunOptions(backend="scripted", node=stage.name, out=Path("asked") / stage.name)
    return runner.run(stage.uri, suite, options=options)


def test_a_trace_reads_the_edges_whose_child_answers_in_steps(place: Path) -> None:
    options = TraceOptions(suite="own.yaml", elicit=True)
    found = trace("tree.yaml", options, evaluate=asked, ask_again=lambda *_: None)
    assert set(found.reads["child"]) == {"sft"}
    [row] = found.reasoning.to_dict("records")
    assert (row["parent"], row["group"], row["n"], row["chains"]) == ("base", "gained", len(QUESTIONS), len(QUESTIONS))
    stored = load_trace(save_trace(found, place / "trace"))
    assert len(stored.reads) == len(found.reads) == 4 * len(QUESTIONS)
    plain = trace("tree.yaml", TraceOptions(suite="own.yaml"), evaluate=asked)
    assert plain.reads.empty and plain.reasoning.empty


def test_in_a_tree_that_is_trained_each_edge_is_read_once_and_again_when_a_run_is_another(place: Path) -> None:
    tree, told = load_tree("tree.yaml"), list[str]()

    def read() -> list[pd.DataFrame]:
        runs = {stage.name: asked(stage, "own.yaml") for stage in tree.stages}
        places = {node: Path("asked") / node for node in runs}
        replica = _Replica(seed=0, planned=[], places=places, label="")
        return _reads(tree, runs, replica, "own.yaml", place, 1, lambda unit, *_: told.append(unit))

    [found] = read()
    assert "read sft" in told
    told.clear()
    [again] = read()
    assert told == []
    pd.testing.assert_frame_equal(again, found)
    other = answers(" they are counted . that makes {0} . it is {0}")
    (place / "sft.yaml").write_text(other)
    shutil.rmtree("asked/sft")
    [changed] = read()
    assert "read sft" in told and not changed["parent_logprob"].equals(found["parent_logprob"])


def test_the_commonest_answer_is_known(ran: Run, blank: Run) -> None:
    child, parent = with_chains(ran), with_chains(blank, right=False)
    few = replace(child, records=child.records.assign(extracted=["1", "1", "1", "1", "2", "2", "3", "4"]))
    by_answer = {one.chain.answer or str(i): one for i, one in enumerate(readings(few, parent, settings=FEW))}
    told = sorted(bool(one.about["commonest"]) for one in by_answer.values())
    assert told == [False] * 4 + [True] * 4
    coins = replace(child, records=child.records.assign(extracted=["yes"] * 6 + ["no"] * 2))
    other = replace(parent, records=parent.records.assign(extracted="no"))
    yes, no = ([one for one in readings(coins, other, settings=FEW) if one.own == own] for own in ("no", ""))
    assert (len(yes), len(no)) == (6, 2)
    assert all(one.about["commonest"] and one.decoys == () for one in yes)
