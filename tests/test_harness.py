from __future__ import annotations

import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capeval.backends import BackendSettings, open_backend
from capeval.core import Reply, Suite
from capeval.digest import digest
from capeval.errors import BadFileError, MissingError, UsageError
from capeval.harness import Asked, Form, prepare, question_answer, records, requests_of
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
SHOTS = """
num_fewshot: 2
fewshot_config: {sampler: first_n, samples: [{q: "3+3=", a: "6"}, {q: "4+4=", a: "8"}]}
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


def test_a_document_may_name_its_cluster(own: Path) -> None:
    (own / "own.json").write_text(json.dumps([doc | {"book": f"b{n}"} for n, doc in enumerate(DOCS)]))
    (own / "suite.yaml").write_text(SUITE.replace("setting: direct", "setting: direct, cluster_field: book"))
    asked = prepare(load(own), Form())
    assert list(records(asked, told(asked, "2", "4", "2"))["cluster"]) == ["b0", "b1", "b2"]
    (own / "suite.yaml").write_text(SUITE.replace("setting: direct", "setting: direct, cluster_field: bok"))
    with pytest.raises(BadFileError, match="no cluster_field 'bok'; did you mean 'book'"):
        prepare(load(own), Form())


def test_a_cluster_may_be_called_zero_and_must_be_there(own: Path) -> None:
    (own / "suite.yaml").write_text(SUITE.replace("setting: direct", "setting: direct, cluster_field: book"))
    (own / "own.json").write_text(json.dumps([doc | {"book": n // 2} for n, doc in enumerate(DOCS)]))
    asked = prepare(load(own), Form())
    assert list(records(asked, told(asked, "2", "4", "2"))["cluster"]) == ["0", "0", "1"]
    (own / "own.json").write_text(json.dumps([DOCS[0] | {"book": "a"}, DOCS[1]]))
    with pytest.raises(BadFileError, match="document 2 has no 'book', which names its cluster"):
        prepare(load(own), Form())


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
    assert frame["gold_logprob"][0] == -3.0  # Paris


@pytest.mark.parametrize(
    ("kind", "gold", "logprobs", "expected"),
    [
        ("multiple_choice", "1", (-3.0, -2.0), -2.0),
        ("multiple_choice", "y", (-3.0, -2.0), -2.0),  # by its text
        ("multiple_choice", "{{[0, 1]}}", (math.log(0.2), math.log(0.1)), math.log(0.3)),  # either is right
        ("multiple_choice", "1", (-3.0, -math.inf), None),
        ("loglikelihood", "y", (-2.5,), -2.5),
        ("loglikelihood", "y", (-math.inf,), None),
        ("loglikelihood_rolling", "y", (-2.5,), None),  # no answer, a text
    ],
)
def test_the_right_answers_log_probability_is_kept(
    own: Path, kind: str, gold: str, logprobs: tuple[float, ...], expected: float | None
) -> None:
    metric = "bits_per_byte" if kind == "loglikelihood_rolling" else "acc"
    file = TASK[: TASK.index("generation_kwargs")].replace("generate_until", kind).replace("{{a}}", gold)
    file = file.replace('"{{q}}"', '""') if metric != "acc" else file
    choices = 'doc_to_choice: ["x", "y"]\n' if kind == "multiple_choice" else ""
    (own / "own.yaml").write_text(f"{file}{choices}metric_list: [{{metric: {metric}, aggregation: mean}}]\n")
    (own / "suite.yaml").write_text(
        SUITE.replace("metric: exact_match", f"metric: {metric}" + (", unit: bits, binary: false" * (metric != "acc")))
    )
    asked = prepare(load(own), Form(), limit=1)
    frame = records(asked, [Reply(logprob=x, greedy=True) for x in logprobs])
    assert frame["gold_logprob"][0] == pytest.approx(math.nan if expected is None else expected, nan_ok=True)


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


CHOICES = (
    TASK[: TASK.index("generation_kwargs")]
    .replace("generate_until", "multiple_choice")
    .replace('doc_to_target: "{{a}}"', 'doc_to_target: "{{a}}"\ndoc_to_choice: "{{c}}"')
    + "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: own", "group: own", "no single lm-eval task"),
        ("task: own", "task: own\nnum_fewshots: 3", "unknown key 'num_fewshots'; did you mean 'num_fewshot'?"),
        ("test_split: test", "test_split: dev", "test_split is 'dev', a split that the data set lacks"),
        ("test_split: test\n", "", "must have valid or test docs"),
        ("output_type: generate_until", "output_type: guess", "lm-eval can't work with it"),
        ("{{q}}", "{{q", "the template doc_to_text can't be rendered: unexpected end of template"),
        ("{{q}}", "{{ask}}", "template doc_to_text can't be rendered: 'ask' is undefined; the documents have q, a"),
        ("{{a}}", "{{a.b.c}}", "the template doc_to_target can't be rendered: 'str object' has no attribute 'b'"),
        ('"{{q}}"', "ask", "doc_to_text is 'ask', which is no column of the documents (q, a)"),
        ("test_split: test", "test_split: test\nnum_fewshot: 4\nfewshot_split: test", "lower num_fewshot"),
        ("([0-9]+)", "([0-9]+", "the regular expression of a filter is malformed: missing )"),
        (
            "test_split: test",
            "test_split: test\nprocess_docs: !function fns.none",
            "'test' holds no documents",
        ),
    ],
)
def test_bad_task_files(own: Path, old: str, new: str, message: str) -> None:
    (own / "fns.py").write_text("def none(data):\n    return data.select([])\n")
    (own / "own.yaml").write_text(TASK.replace(old, new))
    with pytest.raises(BadFileError, match=re.escape(message)) as caught:
        prepare(load(own), Form())
    assert str(caught.value).startswith(str(own / "own.yaml"))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": "1", "c": []}, "doc_to_choice gives 0 choices"),
        ({"a": "1", "c": ["1"]}, "doc_to_choice gives 1 choice;"),
        ({"a": "1", "c": ["1", ""]}, "doc_to_choice gives an empty choice"),
        ({"a": "9", "c": ["1", "2"]}, "doc_to_target gives 9, which is none of its 2 choices"),
        ({"a": "7", "c": ["x", "y"]}, "none of its 2 choices"),
    ],
)
def test_items_that_nobody_could_answer_rightly(own: Path, second: dict[str, Any], message: str) -> None:
    (own / "suite.yaml").write_text(SUITE.replace("exact_match", "acc"))
    (own / "own.yaml").write_text(CHOICES)
    (own / "own.json").write_text(json.dumps([{"q": "?", "a": "y", "c": ["x", "y"]}, {"q": "!", **second}]))
    with pytest.raises(BadFileError, match=f"own.yaml: document 2: .*{message}"):
        prepare(load(own), Form())


def test_a_document_that_lacks_what_is_shown_is_named(own: Path) -> None:
    (own / "own.json").write_text(json.dumps([DOCS[0], {"a": "4"}]))
    with pytest.raises(BadFileError, match="own.yaml: document 2 has no 'q', which doc_to_text shows"):
        prepare(load(own), Form())


def test_unknown_filter_and_metric_get_a_did_you_mean(own: Path) -> None:
    (own / "suite.yaml").write_text(SUITE.replace("setting: direct", "setting: direct, filter: nummer"))
    with pytest.raises(BadFileError, match="no filter 'nummer'; did you mean 'number'"):
        prepare(load(own), Form())
    (own / "suite.yaml").write_text(SUITE.replace("exact_match", "exact_mach"))
    with pytest.raises(BadFileError, match="no metric 'exact_mach'; did you mean 'exact_match'"):
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


def test_tasks_that_run_the_models_code_in_this_process_are_refused(own: Path) -> None:
    (own / "own.yaml").write_text(TASK + "unsafe_code: true\n")
    with pytest.raises(UsageError, match="in its sandbox only: use the suite 'code'"):
        prepare(load(own), Form())


def shown_as(folder: Path, keys: str) -> Suite:
    (folder / "suite.yaml").write_text(SUITE.replace("setting: direct", f"setting: direct, {keys}"))
    return load(folder)


def chat_form(system: str = "") -> Form:
    backend = open_backend("scripted", "parrot", BackendSettings())
    return Form(chat=backend.chat, template=backend.chat_template(), system=system)


def texts(asked: list[Asked]) -> list[str]:
    return [request.text for request in requests_of(asked)]


def test_questions_and_answers_are_called_as_a_chat_template_is() -> None:
    said = [
        {"role": "system", "content": "Add.\n\n"},
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": " 2"},
        {"role": "user", "content": "2+2?"},
    ]
    assert question_answer(said) == "Add.\nQ: 1+1?\nA: 2\nQ: 2+2?\nA:"
    assert question_answer(said, add_generation_prompt=False) == "Add.\nQ: 1+1?\nA: 2\nQ: 2+2?"
    begun = [*said, {"role": "assistant", "content": "It is "}]
    assert question_answer(begun, add_generation_prompt=False).endswith("\nQ: 2+2?\nA: It is")


def test_a_document_stays_one_in_a_chat_run(own: Path) -> None:
    plain, system = prepare(load(own), Form()), prepare(load(own), Form(system="Add."))
    suite = shown_as(own, "presentation: document")
    for form in (Form(), chat_form()):
        asked = prepare(suite, form)
        assert asked[0].presentation == "document" and requests_of(asked) == requests_of(plain)
    asked = prepare(suite, chat_form("Add."))
    assert asked[0].presentation == system[0].presentation and requests_of(asked) == requests_of(system)


def test_a_dialogue_is_the_chat_template_or_questions_and_answers(own: Path) -> None:
    (own / "own.yaml").write_text(TASK + SHOTS)
    as_today = prepare(load(own), chat_form())
    suite = shown_as(own, "presentation: dialogue")
    chat, asked = prepare(suite, chat_form()), prepare(suite, Form())
    assert chat[0].presentation == as_today[0].presentation and requests_of(chat) == requests_of(as_today)
    assert asked[0].presentation == "question-answer"
    assert texts(asked)[1] == "Q: 3+3=\nA: 6\nQ: 4+4=\nA: 8\nQ: 2+2=\nA:"
    assert [d.shots for d in asked[0].documents] == [d.shots for d in chat[0].documents]
    assert [d.item for d in asked[0].documents] == [d.item for d in chat[0].documents]
    [instructed] = prepare(suite, Form(system="Add."), limit=1)
    assert texts([instructed]) == ["Add.\nQ: 3+3=\nA: 6\nQ: 4+4=\nA: 8\nQ: 1+1=\nA:"]
    assert instructed.presentation == f"question-answer with system prompt {digest('Add.')}"


def test_an_answer_that_the_task_begins_is_continued(own: Path) -> None:
    (own / "own.yaml").write_text(TASK + 'gen_prefix: "It is"\n')
    asked = prepare(shown_as(own, "presentation: dialogue"), Form(), limit=1)
    assert texts(asked) == ["Q: 1+1=\nA: It is"]


def test_choices_follow_a_question_as_an_answer_does() -> None:
    suite = _only(load_suite("smoke"), "smoke-comparisons")
    suite = replace(suite, sources=tuple(replace(s, presentation="dialogue") for s in suite.sources))
    [no, yes] = requests_of(prepare(suite, Form(), limit=1))
    assert "Q: Is a bus bigger than a shoe?\nA: yes\n" in no.text and no.text == yes.text
    assert no.text.endswith("?\nA:") and [no.continuation, yes.continuation] == [" no", " yes"]


@pytest.fixture
def talk(own: Path) -> Path:
    docs = [
        {"q": "And 2 more?", "a": "4", "past": ["1+1?", "2"]},
        {"q": "And now?", "a": "9", "past": ["Hi.", "Hello!", "Think of 9.", "Done."]},
        {"q": "1+1=", "a": "2", "past": []},
    ]
    (own / "own.json").write_text(json.dumps(docs))
    return own


TURNS = "presentation: dialogue, turns: past"


def test_earlier_turns_are_shown_in_either_form(talk: Path) -> None:
    alone = prepare(load(talk), Form())
    suite = shown_as(talk, TURNS)
    plain, chat = prepare(suite, Form(system="Add.")), prepare(suite, chat_form("Add."))
    assert texts(plain) == [
        "Add.\nQ: 1+1?\nA: 2\nQ: And 2 more?\nA:",
        "Add.\nQ: Hi.\nA: Hello!\nQ: Think of 9.\nA: Done.\nQ: And now?\nA:",
        "Add.\nQ: 1+1=\nA:",
    ]
    assert texts(chat)[0] == "system: Add.\nuser: 1+1?\nassistant: 2\nuser: And 2 more?\nassistant:"
    for asked in (plain, chat):
        assert [d.shots for d in asked[0].documents] == [d.shots for d in alone[0].documents]
        assert [d.item for d in asked[0].documents] == [d.item for d in alone[0].documents]
    assert list(records(plain, told(plain, "4", "no", "2"))["score"]) == [1.0, 0.0, 1.0]


def test_choices_and_continuations_have_earlier_turns_too(talk: Path) -> None:
    scored = TASK.partition("generation_kwargs")[0]
    acc = "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    choice = scored.replace("generate_until", "multiple_choice").replace('"{{a}}"', "0") + 'doc_to_choice: ["4", "5"]\n'
    (talk / "own.yaml").write_text(choice + acc)
    suite = shown_as(talk, f"{TURNS}, metric: acc")
    requests = requests_of(prepare(suite, Form(), limit=1))
    assert [r.continuation for r in requests] == [" 4", " 5"]
    assert {r.text for r in requests} == {"Q: 1+1?\nA: 2\nQ: And 2 more?\nA:"}
    (talk / "own.yaml").write_text(scored.replace("generate_until", "loglikelihood") + acc)
    [request] = requests_of(prepare(suite, chat_form(), limit=1))
    assert request.text == "user: 1+1?\nassistant: 2\nuser: And 2 more?\nassistant:" and request.continuation == "4"


@pytest.mark.parametrize(
    ("past", "found"),
    [(None, "missing"), ("1+1?", "'1"), (["1+1?"], "\\['1"), (["1+1?", None], "None"), ({"user": "a"}, "'user'")],
)
def test_a_document_without_proper_turns_is_named(own: Path, past: object, found: str) -> None:
    docs = [{"q": "1+1=", "a": "2", "past": past}, {"q": "2+2=", "a": "4", "past": past}]
    (own / "own.json").write_text(json.dumps(docs))
    with pytest.raises(BadFileError, match=rf"own.yaml: the field 'past' must be .* in document 1 it is .*{found}"):
        prepare(shown_as(own, TURNS), Form())


def test_a_field_that_no_document_has_is_named(own: Path) -> None:
    with pytest.raises(BadFileError, match="own.yaml: the field 'past' .* it is missing"):
        prepare(shown_as(own, TURNS), chat_form())


def test_turns_and_shots_are_not_mixed(talk: Path) -> None:
    (talk / "own.yaml").write_text(TASK + SHOTS)
    with pytest.raises(BadFileError, match="own.yaml: .*num_fewshot is 2; add 'override: {num_fewshot: 0}'"):
        prepare(shown_as(talk, TURNS), Form())
    [asked] = prepare(shown_as(talk, f"{TURNS}, override: {{num_fewshot: 0}}"), Form())
    assert len(asked.documents) == 3


def test_turns_need_one_question(talk: Path) -> None:
    suite = shown_as(talk, TURNS)
    (talk / "own.yaml").write_text(TASK.replace("generate_until", "loglikelihood_rolling"))
    with pytest.raises(BadFileError, match="own.yaml: 'turns' need one question"):
        prepare(suite, Form())
    (talk / "own.json").write_text(json.dumps([{"q": 0, "a": "b", "c": ["x", "y"], "past": []}]))
    choices = TASK.replace("generate_until", "multiple_choice").replace('"{{q}}"', "q")
    (talk / "own.yaml").write_text(choices + "doc_to_choice: c\n")
    with pytest.raises(BadFileError, match="own.yaml: 'turns' need one question"):
        prepare(suite, Form())


def test_a_suite_made_in_python_never_loses_its_turns(talk: Path) -> None:
    suite = shown_as(talk, TURNS)
    suite = replace(suite, sources=(replace(suite.sources[0], presentation=""),))
    with pytest.raises(UsageError, match="own.yaml: turns need the presentation 'dialogue'"):
        prepare(suite, Form())


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


def _only(suite: Suite, task: str, **changes: Any) -> Suite:
    sources = tuple(s for s in suite.sources if s.task == task)
    return replace(suite, tasks=(replace(suite.task(task), **changes),), sources=sources)
