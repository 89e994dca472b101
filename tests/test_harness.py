from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from capeval.core import Reply, Suite
from capeval.errors import BadFileError, MissingError, UsageError
from capeval.harness import Asked, Form, prepare, records, requests_of
from capeval.suites import load_suite

TASK = """
task: own
dataset_path: json
dataset_kwargs: {data_files: {test: own.json}}
output_type: generate_until
test_split: test
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
filter_list:
  - {name: number, filter: [{function: regex, regex_pattern: '([0-9]+)'}, {function: take_first}]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
SUITE = """
name: own
tasks:
  - {name: own, capability: c, metric: exact_match, sources: [{path: own.yaml, setting: direct}]}
"""
DOCS = [{"q": "1+1=", "a": "2"}, {"q": "2+2=", "a": "4"}, {"q": "1+1=", "a": "2"}]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.json").write_text(json.dumps(DOCS))
    (tmp_path / "own.yaml").write_text(TASK)
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path


def load(folder: Path) -> Suite:
    return load_suite(str(folder / "suite.yaml"))


def told(asked: list[Asked], *texts: str, finish: str = "stop") -> list[Reply]:
    assert len(texts) == len(requests_of(asked))
    return [Reply(text=text, finish=finish, n_tokens=len(text)) for text in texts]


def test_replies_become_scored_records(own: Path) -> None:
    asked = prepare(load(own), Form())
    frame = records(asked, told(asked, " it is 2", "5", "2"))
    assert list(frame["score"]) == [1.0, 0.0, 1.0]
    assert list(frame["extracted"]) == ["2", "5", "2"]
    assert list(frame["response"]) == [" it is 2", "5", "2"]
    assert list(frame["length"]) == [8, 1, 1]
    assert (frame["presentation"] == "document").all()


def test_repeated_documents_are_numbered(own: Path) -> None:
    asked = prepare(load(own), Form())
    items = list(records(asked, told(asked, "2", "4", "2"))["item"])
    assert items[2] == f"{items[0]}#2" and items[1] != items[0]


def test_items_are_documents_not_positions(own: Path) -> None:
    before = [d.item for d in prepare(load(own), Form())[0].documents]
    (own / "own.json").write_text(json.dumps(DOCS[::-1]))
    assert [d.item for d in prepare(load(own), Form())[0].documents] == before[::-1]
    (own / "own.json").write_text(json.dumps([DOCS[0] | {"a": "3"}]))
    assert prepare(load(own), Form())[0].documents[0].item not in before, "another gold is another item"


@pytest.mark.parametrize(
    ("text", "finish", "flag"),
    [
        ("2", "stop", ""), ("no idea", "stop", "unextracted"), ("no idea", "length", "truncated"),
        ("2", "length", ""), (" \n", "stop", "empty"), ("", "length", "empty"),
    ],
)  # fmt: skip
def test_flags(own: Path, text: str, finish: str, flag: str) -> None:
    asked = prepare(load(own), Form(), limit=1)
    [row] = records(asked, told(asked, text, finish=finish)).to_dict("records")
    assert row["flag"] == flag
    assert row["score"] == (1.0 if "2" in text else 0.0)
    assert (row["extracted"] is None) == ("2" not in text)


def test_an_engines_error_is_missing_not_wrong(own: Path) -> None:
    asked = prepare(load(own), Form(), limit=2)
    frame = records(asked, [Reply(error="out of memory"), Reply(text="4", finish="stop")])
    assert math.isnan(frame["score"][0]) and frame["error"][0] == "out of memory"
    assert frame["score"][1] == 1.0


def test_a_cut_prompt_is_another_presentation(own: Path) -> None:
    asked = prepare(load(own), Form(), limit=2)
    frame = records(asked, [Reply(text="2", cut=7, finish="stop"), Reply(text="4", finish="stop")])
    assert list(frame["presentation"]) == ["document, cut", "document"]


def test_limit_is_per_task_file() -> None:
    asked = prepare(load_suite("smoke"), Form(), limit=3)
    assert [len(one.documents) for one in asked] == [3] * 6


def test_multiple_choice_asks_one_request_a_choice_and_takes_the_metrics_choice() -> None:
    suite = load_suite("smoke")
    [asked] = prepare(_only(suite, "smoke-capitals"), Form(), limit=1)
    requests = requests_of([asked])
    assert [r.continuation for r in requests] == [" Paris", " Tokyo", " Oslo", " Vienna"]
    frame = records([asked], [Reply(logprob=x, greedy=False) for x in (-3.0, -2.0, -5.0, -4.0)])
    assert frame["score"][0] == 0.0 and frame["extracted"][0] == "Tokyo"
    assert json.loads(frame["response"][0])[1] == ["Tokyo", -2.0]


def test_bits_per_byte_are_the_items_own() -> None:
    [asked] = prepare(_only(load_suite("smoke"), "smoke-sentences"), Form(), limit=1)
    [request] = requests_of([asked])
    frame = records([asked], [Reply(logprob=-10.0)])
    assert frame["score"][0] == pytest.approx(10 / math.log(2) / len(request.text.encode()))


def test_greedy_repeats_are_one_request_and_sampled_ones_are_not(own: Path) -> None:
    (own / "own.yaml").write_text(TASK + "repeats: 3\n")
    requests = requests_of(prepare(load(own), Form(), limit=1, seed=5))
    assert len(requests) == 3 and all(r == requests[0] for r in requests)
    sampled = TASK.replace("max_gen_toks: 4", "max_gen_toks: 4, do_sample: true, temperature: 0.7")
    (own / "own.yaml").write_text(sampled + "repeats: 3\n")
    requests = requests_of(prepare(load(own), Form(), limit=1, seed=5))
    assert [(r.sample, r.seed) for r in requests] == [(0, 5), (1, 5), (2, 5)]


def test_random_state_is_left_alone() -> None:
    import random

    import numpy as np

    random.seed(3)
    np.random.seed(3)
    expected = (random.Random(3).random(), np.random.RandomState(3).rand())
    prepare(load_suite("smoke"), Form(), limit=1)
    assert (random.random(), np.random.rand()) == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: own", "group: own", "no single lm-eval task"),
        ("test_split: test", "test_split: dev", "can't build the task"),
        ("output_type: generate_until", "output_type: guess", "can't build the task"),
        ("{{q}}", "{{q", "can't build the task"),
    ],
)
def test_bad_task_files(own: Path, old: str, new: str, message: str) -> None:
    (own / "own.yaml").write_text(TASK.replace(old, new))
    with pytest.raises(BadFileError, match=message):
        prepare(load(own), Form())


def test_unknown_filter_and_metric_get_a_did_you_mean(own: Path) -> None:
    (own / "suite.yaml").write_text(SUITE.replace("setting: direct", "setting: direct, filter: nummer"))
    with pytest.raises(BadFileError, match="unknown filter 'nummer'; did you mean 'number'"):
        prepare(load(own), Form())
    (own / "suite.yaml").write_text(SUITE.replace("exact_match", "exact_mach"))
    with pytest.raises(BadFileError, match="unknown metric 'exact_mach'; did you mean 'exact_match'"):
        prepare(load(own), Form())


def test_scores_out_of_range_are_refused() -> None:
    suite = _only(load_suite("smoke"), "smoke-sentences", unit="points")
    asked = prepare(suite, Form(), limit=1)
    with pytest.raises(BadFileError, match="points are between 0 and 1"):
        records(asked, [Reply(logprob=-1000.0)])


@pytest.mark.parametrize(
    ("text", "message"), [("[", "is malformed"), ("[]", "at least one"), ("[1]", "list of documents")]
)
def test_malformed_data(own: Path, text: str, message: str) -> None:
    (own / "own.json").write_text(text)
    with pytest.raises(BadFileError, match=f"own.json .*{message}"):
        prepare(load(own), Form())


def test_data_that_is_nowhere_is_named_quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    suite = load_suite("cot")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("CAPEVAL_DATA", raising=False)
    started = time.monotonic()
    with pytest.raises(
        MissingError, match=r"openai/gsm8k \(main\).*CAPEVAL_DATA is not set.*gsm8k/test.jsonl"
    ) as caught:
        prepare(suite, Form(), limit=1)
    assert time.monotonic() - started < 10 and caught.value.exit_code == 3
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path))
    with pytest.raises(MissingError, match=f"not in CAPEVAL_DATA \\({tmp_path}\\)"):
        prepare(suite, Form(), limit=1)
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(MissingError, match="which is no folder"):
        prepare(suite, Form(), limit=1)


def test_a_mirror_holds_any_data_set_by_owner_name_configuration_and_split(
    own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = TASK.replace("dataset_path: json", "dataset_path: some/set\ndataset_name: easy")
    (own / "own.yaml").write_text(task.replace("dataset_kwargs: {data_files: {test: own.json}}\n", ""))
    folder = tmp_path / "mirror" / "some" / "set" / "easy"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(d) + "\n" for d in DOCS))
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path / "mirror"))
    assert len(prepare(load(own), Form())[0].documents) == 3


def test_tasks_that_run_the_models_code_are_refused(own: Path) -> None:
    (own / "own.yaml").write_text(TASK + "unsafe_code: true\n")
    with pytest.raises(UsageError, match="no sandbox"):
        prepare(load(own), Form())


@pytest.mark.data
def test_the_whole_cot_suite_builds_from_the_mirror(public_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    asked = prepare(load_suite("cot"), Form(), limit=2)
    assert len(asked) == 56
    for task in ("gsm8k", "bbh"):
        items = {
            s: {d.item for one in asked for d in one.documents if (one.source.task, one.source.setting) == (task, s)}
            for s in ("cot", "direct")
        }
        assert items["cot"] == items["direct"], "the settings pair item by item"
    direct = next(one for one in asked if one.source.cluster == "navigate" and one.source.setting == "direct")
    [gold] = {direct.task.doc_to_target(direct.documents[0].doc)}
    replies = [Reply(text=f" {gold}\nand so on", finish="stop")] * len(requests_of([direct]))
    assert records([direct], replies)["score"][0] == 1.0, "the space before an answer is no mistake"


def _only(suite: Suite, task: str, **changes) -> Suite:
    from dataclasses import replace

    sources = tuple(s for s in suite.sources if s.task == task)
    return replace(suite, tasks=(replace(suite.task(task), **changes),), sources=sources)
