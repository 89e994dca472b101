"""Recorded texts through the tasks of the suites cot, ood and zero_shot_cot."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from benchmarks import disagreements as why
from benchmarks import rescore as page
from capeval.harness import Asked, Form, names, prepare, rescore
from capeval.suites import load_suite, task_file
from tests.recordings.public_data import DATA, needs_data

ROOT = Path(__file__).parent.parent
OOD = ROOT / "tasks" / "ood"
PAGE = (ROOT / "docs" / "rescoring.md").read_text(encoding="utf-8")
SUITE = """
name: mine
tasks:
  - name: t
    capability: c
    metric: same_number
    sources: [{path: a.yaml, setting: cot, ladder: [strict-match, flexible-extract]}]
"""
CATS = "How many legs have two cats?"
ITEMS = [(CATS, "8"), ("How heavy is the cake?", "2.5"), (CATS, "8")]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    """An invented data set under the template of the suite ood."""
    home = tmp_path_factory.mktemp("mine")
    (home / "mine.yaml").write_text(SUITE)
    (home / "items.json").write_text(json.dumps([{"question": q, "gold": g} for q, g in ITEMS]))
    (home / "a.yaml").write_text(
        f"include: {OOD}/_word_problem.yaml\ntask: mine\ndataset_path: json\ntest_split: test\n"
        "dataset_kwargs: {data_files: {test: items.json}}\n"
        'doc_to_text: "Q: {{question}}\\nA:"\ndoc_to_target: "{{gold if gold is defined else target}}"\n'
    )
    return prepare(load_suite(str(home / "mine.yaml")), Form())


@pytest.fixture(scope="module")
def answers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ood_answers", OOD / "answers.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_texts_find_their_documents_and_repeats_pair_in_order(asked: list[Asked]) -> None:
    texts = {
        CATS: "4 + 4 = 8. The answer is 8.",
        f"{CATS}#2": "It is 9",
        "Who is there?": "The answer is 1.",
    }
    found = rescore(asked, texts, "{{question}}").set_index("known_by")
    assert list(found.index) == names([question for question, _ in ITEMS])
    assert found["score"].tolist()[::2] == [1.0, 0.0] and pd.isna(found["score"].iloc[1])
    assert found["error"].tolist() == ["", "no recorded text", ""]
    assert found["rung"].tolist() == ["strict-match", "not found", "flexible-extract"]
    assert set(texts) - set(found.index) == {"Who is there?"}


def test_white_space_does_not_keep_a_text_from_its_document(asked: list[Asked]) -> None:
    found = rescore(asked, dict.fromkeys(names(["How  heavy\nis the cake? "]), "2.50 kg"), "{{question}}")
    assert found["score"].tolist()[1] == 1.0


@pytest.mark.parametrize(
    ("text", "extracted", "rung"),
    [
        ("The answer is $8.00. Or 9?", "$8.00", "strict-match"),
        ("The answer is -8", "-8", "strict-match"),
        ("The answer is 1,234,567 legs.", "1,234,567", "strict-match"),
        ("the answer (arabic numerals) is 12-4", "4", "flexible-extract"),
        ("(12)-4", "4", "flexible-extract"),
        ("x = -4", "-4", "flexible-extract"),
        ("two and 1/2, or 2 1/2", "2 1/2", "flexible-extract"),
        ("16/2 of them", "16/2", "flexible-extract"),
        ("it is .5", ".5", "flexible-extract"),
        ("2,2,2.", "2", "flexible-extract"),
        ("eight", None, "not found"),
    ],
)
def test_what_is_taken_from_an_answer(asked: list[Asked], text: str, extracted: str | None, rung: str) -> None:
    found = rescore(asked, {CATS: text}, "{{question}}").iloc[0]
    assert (found["extracted"] if pd.notna(found["extracted"]) else None) == extracted
    assert found["rung"] == rung


@pytest.mark.parametrize(
    ("gold", "said", "same"),
    [
        ("18", "18.0", 1.0),
        ("18.0", "18.", 1.0),
        ("1000", "$1,000", 1.0),
        ("12.3", "12.30", 1.0),
        ("0.6666666666666666", "2/3", 1.0),
        ("0.6666666666666666", "0.67", 1.0),
        ("0.6666666666666666", "0.7", 0.0),
        ("3.14", "3.1416", 1.0),
        ("14053029.666666666", "14,053,029.67", 1.0),
        ("1.5", "1 1/2", 1.0),
        ("3.25", "3 and 1/4", 1.0),
        ("0.0016791648", "0.00", 0.0),
        ("18", "18.4", 0.0),
        ("12", "12.004", 0.0),
        ("-3", "3", 0.0),
        ("5", "5/0", 0.0),
        ("0", "0.0", 1.0),
        ("5", "[invalid]", 0.0),
        ("five", "5", 0.0),
    ],
)
def test_numbers_are_compared_by_value(answers: ModuleType, gold: str, said: str, same: float) -> None:
    assert answers.same_number([gold], [said]) == same


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("9 (apples)", True), ("14  (seats)", True), ("-2", True), ("1,200 (dollars)", True), ("0.5 (miles)", True),
        ("3:4", False), ("1/2", False), ("5 (dollars); 6 (dollars)", False), ("Yes", False), ("May 3rd", False),
    ],
)  # fmt: skip
def test_asdiv_keeps_problems_with_one_number(answers: ModuleType, answer: str, kept: bool) -> None:
    class Docs(list[dict[str, str]]):
        def filter(self, keep: Callable[[dict[str, str]], bool]) -> list[dict[str, str]]:
            return [doc for doc in self if keep(doc)]

    assert bool(answers.with_one_number(Docs([{"answer": answer}]))) == kept


def test_the_shifted_sets_are_shown_as_gsm8k_is() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    def shots(path: Path) -> list[tuple[str, str]]:
        samples = load_yaml(path)["fewshot_config"]["samples"]
        return [(" ".join(s["question"].split()), " ".join(s["target"].split())) for s in samples]

    suite = load_suite("ood")
    own = {s.setting: task_file(s) for s in suite.sources if s.task == "ood-gsm8k"}
    for source in suite.sources:
        setting = source.setting if source.setting in own else "cot"
        assert shots(task_file(source)) == shots(own[setting])
        assert source.ladder == ("strict-match", "flexible-extract")
        for key in ("generation_kwargs", "num_fewshot"):
            assert load_yaml(task_file(source))[key] == load_yaml(own[setting])[key]
    shifted = {task.name for task in suite.tasks if task.reference == "ood-gsm8k"}
    assert shifted == {"multiarith", "asdiv", "svamp", "addsub", "singleeq"}
    assert suite.task("gsm-hard-pairs").summaries == ("gap",)
    assert all(task.licence and task.citation and task.source and task.scorer for task in suite.tasks)


LOGGED: list[tuple[str, dict[str, Any]]] = [
    (why.NO_ANSWER, {"pred": "", "gold": "8", "said": " eight legs.", "extracted": "8"}),
    (why.SEPARATOR, {"pred": "8000", "gold": "8,000", "said": " 8,000.", "extracted": "8000"}),
    (why.DIGITS, {"pred": "2.50", "gold": "2.5", "said": " 2.50", "extracted": "2.50"}),
    (why.STATED, {"pred": "9", "gold": "8", "said": " 9.", "extracted": "8", "rung": "strict-match"}),
    (why.FRACTION, {"pred": "1", "gold": "0.5", "said": " 1/2.", "extracted": "1/2"}),
    (why.POINT, {"pred": "25", "gold": "0.25", "said": " .25", "extracted": ".25"}),
    (why.LETTERS, {"pred": "B", "gold": "B", "said": "BD.", "extracted": "D"}),
    (why.ARTICLE, {"pred": "A", "gold": "A", "said": " A house.", "extracted": None}),
    (why.LIST, {"pred": "444", "gold": "4", "said": " 4,4,4.", "extracted": "4"}),
    (why.SEVERAL, {"pred": "4", "gold": "8", "said": " 4 + 4 = 8.", "extracted": "8."}),
    (why.OTHER, {"pred": "4", "gold": "8", "said": " 4.", "extracted": "8"}),
]


@pytest.mark.parametrize(("reason", "row"), LOGGED)
def test_each_reason_has_its_rule(reason: str, row: dict[str, Any]) -> None:
    ours = {"rung": "flexible-extract", "correct": row["pred"] == row["gold"], "answer_stage_output": row["said"]}
    assert why.reason(ours | row) == reason


@needs_data
@pytest.mark.data
@pytest.mark.parametrize("setting", ["direct", "cot"])
def test_bbh_of_code_davinci_002_is_what_was_published(setting: str) -> None:
    both = page.scored(page.ask("cot", "bbh", setting), page.bbh(DATA, setting), page.BBH_KNOWN_BY)
    assert both["score"].notna().sum() == len(both) == 6510
    accuracy = 100 * both["score"].mean()
    assert abs(accuracy - page.PUBLISHED[setting]) <= 0.3
    assert f"| {setting} | 6,510 | {accuracy:.2f} |" in PAGE


@needs_data
@pytest.mark.data
def test_every_verdict_on_the_trained_gsm8k_models_is_ours() -> None:
    ladder = page.ask("cot", "gsm8k", "cot")
    strict = page.ask("cot", "gsm8k", "cot", ladder=page.LADDER[:1])
    for rows in page.tuned(DATA).values():
        both = page.scored(ladder, rows)
        assert len(both) == 1319 and both["agrees"].all()
        assert (page.scored(strict, rows)["score"] == 0).all()


@pytest.fixture(scope="module")
def logs() -> list[tuple[page.Log, str, pd.DataFrame]]:
    return list(page.logs(DATA))


@needs_data
@pytest.mark.data
def test_every_disagreement_with_the_logs_is_explained(logs: list[tuple[page.Log, str, pd.DataFrame]]) -> None:
    floors = {"gsm8k": 0.96, "multiarith": 0.98, "svamp": 0.97, "addsub": 0.93, "singleeq": 0.94}
    floors["commonsenseqa"] = 0.997
    assert len(logs) == 18
    for log, setting, both in logs:
        assert both["score"].notna().all(), f"{log.name} {setting}: texts without a document"
        assert both["agrees"].mean() >= floors.get(log.name, 1.0), f"{log.name} {setting}"
        assert why.OTHER not in set(both["reason"]), f"{log.name} {setting}"
    assert "\n".join(page.logs_page(logs)) in PAGE


@needs_data
@pytest.mark.data
def test_gsm_hard_pairs_with_gsm8k_and_asdiv_has_one_number_each(answers: ModuleType) -> None:
    suite = load_suite("ood")

    def documents(task: str, *settings: str) -> list[list[Any]]:
        sources = tuple(replace(s, shots=0) for s in suite.sources if s.task == task and s.setting in settings)
        return [list(one.documents) for one in prepare(replace(suite, sources=sources), Form())]

    hard, plain = documents("gsm-hard-pairs", "shifted", "in-distribution")
    assert plain[0].requests == documents("ood-gsm8k", "cot")[0][0].requests, "GSM8K would be asked twice"
    assert len({d.item for d in hard} & {d.item for d in plain}) == 1316
    [asdiv] = documents("asdiv", "cot")
    assert len(asdiv) == 2084
    assert all(answers.value(d.doc["answer"]) is not None for d in asdiv)
