"""Ladders of filters and of shots, and what a source may say of an item: its name, its part, its form."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from capeval.core import Reply, Suite
from capeval.errors import BadFileError
from capeval.harness import Form, prepare, records, requests_of
from capeval.suites import load_suite

TASK = """
task: own
dataset_path: json
dataset_kwargs: {data_files: {test: own.json}}
output_type: generate_until
test_split: test
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["Q:"], max_gen_toks: 4}
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: 'answer is ([0-9]+)'}, {function: take_first}]}
  - {name: last, filter: [{function: regex, regex_pattern: '([0-9]+)', group_select: -1}, {function: take_first}]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
DOCS = [{"q": f"{n}+1=", "a": str(n + 1), "kind": "even" if n % 2 == 0 else "odd"} for n in range(12)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "own.json").write_text(json.dumps(DOCS))
    (tmp_path / "own.yaml").write_text(TASK)
    return tmp_path


def suite(home: Path, *sources: str, **task: Any) -> Suite:
    entry = {"name": "own", "capability": "c", "metric": "exact_match"} | task
    (home / "suite.yaml").write_text(
        f"tasks:\n  - {json.dumps(entry)[:-1]}, sources: [{', '.join(f'{{{s}}}' for s in sources)}]}}\n"
    )
    return load_suite(str(home / "suite.yaml"))


@pytest.mark.parametrize(
    ("said", "finish", "rung", "score", "flag"),
    [
        ("5, so the answer is 1.", "stop", "strict", 1, ""),
        ("it makes 1", "stop", "last", 1, ""),
        ("no idea", "stop", "not found", 0, "unextracted"),
        ("the answer is 1.\nQ: and 7", "length", "strict", 1, ""),  # the line that says it is whole
        ("the answer is 1", "length", "not found", 0, "truncated"),  # 1 may be the beginning of 17
        ("first 1\n", "length", "not found", 0, "truncated"),  # a later rung would be right by luck
        ("", "stop", "not found", 0, "empty"),
    ],
)
def test_the_first_rung_that_finds_an_answer_decides(
    home: Path, said: str, finish: str, rung: str, score: float, flag: str
) -> None:
    asked = prepare(suite(home, "path: own.yaml, setting: s, ladder: [strict, last]"), Form(), limit=1)
    [row] = records(asked, [Reply(text=said, finish=finish)]).to_dict("records")
    assert (row["rung"], row["score"], row["flag"]) == (rung, score, flag)
    assert row["response"] == said, "the record keeps what was said, also where a part of it was read"


def test_without_a_ladder_there_is_no_rung_and_lm_evals_score_stands(home: Path) -> None:
    asked = prepare(suite(home, "path: own.yaml, setting: s, filter: last"), Form(), limit=1)
    [row] = records(asked, [Reply(text="it is 1", finish="length")]).to_dict("records")
    assert (row["rung"], row["score"], row["flag"]) == ("", 1, "")


def test_another_ladder_is_another_scoring_rule(home: Path) -> None:
    from capeval.harness import scoring_rules

    rules = [
        scoring_rules(prepare(suite(home, f"path: own.yaml, setting: s, {how}"), Form(), limit=1))["own s"]
        for how in ("ladder: [strict, last]", "ladder: [strict]", "filter: strict", "filter: last")
    ]
    assert len(set(rules)) == 3 and rules[1] == rules[2]


def test_where_less_is_better_the_flag_stands_at_the_bad_answer(home: Path) -> None:
    task = suite(home, "path: own.yaml, setting: s, filter: strict", orientation="lower")
    replies = [Reply(text="the answer is 1", finish="length"), Reply(text="the answer is 7", finish="length")]
    assert list(records(prepare(task, Form(), limit=2), replies)["flag"]) == ["truncated", ""]


def test_a_ladder_of_shots_shows_nested_examples_that_never_hold_the_item(home: Path) -> None:
    drawn = "path: own.yaml, shots: [0, 1, 2, 4, 8], override: {fewshot_split: test}"
    asked = prepare(suite(home, drawn, summaries=["slope", "area"]), Form())
    assert [one.source.setting for one in asked] == ["0-shot", "1-shot", "2-shot", "4-shot", "8-shot"]
    for place, doc in enumerate(DOCS):
        shown = [requests_of([one])[place].text.removesuffix(doc["q"]) for one in asked]
        assert shown[0] == "" and len(set(shown)) == 5
        assert all(more.startswith(fewer) for fewer, more in pairwise(shown))
        assert all(f"{doc['q']} {doc['a']}" not in text.split("\n\n") for text in shown)
    assert len({d.shots for d in asked[3].documents}) > 1, "examples are drawn for every item"


def test_a_ladder_of_shots_draws_as_lm_eval_draws_for_the_largest(home: Path) -> None:
    fixed = prepare(suite(home, "path: own.yaml, setting: s, override: {fewshot_split: test, num_fewshot: 4}"), Form())
    rungs = prepare(suite(home, "path: own.yaml, shots: [2, 4], override: {fewshot_split: test}"), Form())
    assert [r.text for r in requests_of(fixed)] == [r.text for r in requests_of(rungs[1:])]


def test_parts_of_a_task_and_names_of_items(home: Path) -> None:
    asked = prepare(suite(home, "path: own.yaml, setting: s, subset_field: kind, pair_by: '{{kind}} {{q}}'"), Form())
    frame = records(asked, [Reply(text="1", finish="stop")] * 12)
    assert list(frame["subset"][:3]) == ["even", "odd", "even"]
    (home / "own.json").write_text(json.dumps([doc | {"a": "0", "more": 1} for doc in DOCS]))
    same = prepare(suite(home, "path: own.yaml, setting: s, pair_by: '{{kind}}   {{q}}'"), Form())
    assert [d.item for d in same[0].documents] == [d.item for d in asked[0].documents]


def test_suites_may_hold_suites(home: Path) -> None:
    suite(home, "path: own.yaml, setting: s")
    own = "{name: mine, capability: c, metric: exact_match, reference: own, sources: [{path: own.yaml, setting: s}]}"
    (home / "outer.yaml").write_text(f"suites: [lab/style, {home / 'suite.yaml'}]\ntasks: [{own}]")
    outer = load_suite(str(home / "outer.yaml"))
    assert [task.name for task in outer.tasks] == ["lab-length", "own", "mine"]
    before = outer.digest
    (home / "own.yaml").write_text(TASK + "\n# another\n")
    assert load_suite(str(home / "outer.yaml")).digest != before
    (home / "outer.yaml").write_text(f"suites: [{home / 'outer.yaml'}]")
    with pytest.raises(BadFileError, match="the suite holds itself"):
        load_suite(str(home / "outer.yaml"))


@pytest.mark.parametrize(
    ("source", "task", "message"),
    [
        ("path: own.yaml, setting: s, shots: [0, 1]", {}, "names its settings itself"),
        ("path: own.yaml, shots: [1, 1]", {}, "a list of different ones"),
        ("path: own.yaml, shots: two, setting: s", {}, "'shots' must be a number"),
        ("path: own.yaml, setting: s, ladder: [strict], filter: last", {}, "'filter' or 'ladder', not both"),
        ("path: own.yaml, setting: s, ladder: strict", {}, "list of texts"),
        ("path: own.yaml, setting: s", {"summaries": ["spread"]}, "put several settings together"),
        ("path: own.yaml, setting: s", {"summaries": ["slop"]}, "summaries must be one of slope"),
        ("path: own.yaml, shots: [0, 1, 2]", {"summaries": ["gap"]}, "a gap lies between two settings"),
        ("path: own.yaml, setting: s", {"cluster_role": "strata", "cluster": "kind"}, "no source names clusters"),
        ("path: own.yaml, setting: s", {"chance": 25}, "chance is a guesser's score, between 0 and 1"),
        ("path: own.yaml, setting: s", {"reference": "onw"}, "unknown task 'onw'; did you mean 'own'"),
    ],
)
def test_suites_that_mean_nothing_are_refused(home: Path, source: str, task: dict[str, Any], message: str) -> None:
    with pytest.raises(BadFileError, match=message):
        suite(home, source, **task)


def test_slope_needs_k_shot_settings_and_a_summary_is_no_setting(home: Path) -> None:
    two = ("path: own.yaml, setting: a", "path: own.yaml, setting: 1-shot")
    with pytest.raises(BadFileError, match=r"slope and area need k-shot settings .* not 'a'"):
        suite(home, *two, summaries=["slope"])
    with pytest.raises(BadFileError, match="'mean' is the name of a summary"):
        suite(home, "path: own.yaml, setting: mean", "path: own.yaml, setting: b", summaries=["spread"])


def test_what_would_count_items_twice_is_refused(home: Path) -> None:
    with pytest.raises(BadFileError, match="own.yaml is listed twice in setting 's'"):
        suite(home, "path: own.yaml, setting: s", "path: own.yaml, setting: s")
    with pytest.raises(BadFileError, match="pair_by gives every document the same name"):
        prepare(suite(home, "path: own.yaml, setting: s, pair_by: same"), Form())


def test_a_task_file_that_includes_itself_is_named(home: Path) -> None:
    (home / "own.yaml").write_text("include: own.yaml\n" + TASK)
    with pytest.raises(BadFileError, match="own.yaml: the task file includes itself"):
        suite(home, "path: own.yaml, setting: s")


def test_suites_are_found_beside_the_suite_that_holds_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite(home, "path: own.yaml, setting: s")
    (home / "outer.yaml").write_text("suites: [./suite.yaml]")
    monkeypatch.chdir("/")
    assert [task.name for task in load_suite(str(home / "outer.yaml")).tasks] == ["own"]


def test_a_scorer_that_fails_on_every_item_is_an_error_and_on_some_leaves_them_missing(home: Path) -> None:
    def scored(*docs: dict[str, str]) -> list[bool]:
        (home / "own.json").write_text(json.dumps(docs))
        asked = prepare(suite(home, "path: own.yaml, setting: s"), Form())
        replies = [Reply(text="1", finish="stop") for _ in docs]
        return records(asked, replies)["error"].str.contains("ZeroDivisionError").tolist()

    (home / "fns.py").write_text("def score(doc, results):\n    return {'exact_match': 1 / int(doc['a'])}\n")
    (home / "own.yaml").write_text(TASK + "process_results: !function fns.score\n")
    assert scored({"q": "?", "a": "0"}, {"q": "!", "a": "1"}) == [True, False]
    with pytest.raises(BadFileError, match="own.yaml: no item could be scored; the first says: .*ZeroDivisionError"):
        scored({"q": "?", "a": "0"})
    (home / "fns.py").write_text("def score(doc, results):\n    return {} if results[0] else {'exact_match': 0}\n")
    with pytest.raises(BadFileError, match="own.yaml: no metric 'exact_match'"):
        scored({"q": "?", "a": "1"})


def test_unknown_rungs_get_a_did_you_mean(home: Path) -> None:
    with pytest.raises(BadFileError, match="no filter 'strikt'; did you mean 'strict'"):
        prepare(suite(home, "path: own.yaml, setting: s, ladder: [strikt, last]"), Form())
