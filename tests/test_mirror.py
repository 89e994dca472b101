"""Data sets in their authors' formats become rows in the hub's columns; a bad file is named."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from capeval.errors import BadFileError, MissingError, UsageError
from capeval.harness import Form, prepare, requests_of
from capeval.harness.layouts import LAYOUTS, find, splits
from capeval.harness.layouts.files import _parsed
from capeval.harness.mirror import DataSource, load_data
from capeval.suites import load_suite
from tests.published import BBQ_ITEM, FILES, MMLU, PROBLEM, TRUTHFULQA, lines, write_mirror

MBPP_ROW = {
    "task_id": 11, "prompt": "Write a function that doubles a number.",
    "code": "import math\ndef twice(n):\n  return 2 * n", "test_imports": ["import math"],
    "test_list": ["assert twice(1) == 2", "assert twice(math.inf) == math.inf"], "entry_point": "twice",
    "signature": "import math\ndef twice(n):\n    '''\n    Write a function that doubles a number.\n    '''\n",
    "test": "def check(candidate):\n    assert twice(1) == 2\n    assert twice(math.inf) == math.inf\n",
}  # fmt: skip
FIVE = {"text": ["a cat", "a dog", "a cup", "a hat", "a tree"], "label": list("ABCDE")}
EXPECTED: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "1+1?", "answer": "It is 2.\n#### 2"},
    "bbh": {"input": "Go.", "target": "No"},
    "mmlu": {"question": "About anatomy?", "subject": "anatomy", "choices": list("wxyz"), "answer": 2},
    "openbookqa": {"id": "1", "question_stem": "Which one barks?", "choices": FIVE, "answerKey": "B"},
    "commonsense_qa": {
        "id": "1", "question": "Which one barks?", "question_concept": "bark", "choices": FIVE, "answerKey": "B",
    },
    "strategyqa": {"question": "Can fish swim?", "answer": True, "facts": "Fish live in water."},
    "truthfulqa-mc": {
        "question": "Do stones, at night, hum?",
        "mc1_targets": {"choices": ["They do not", "Yes", "They do"], "labels": [1, 0, 0]},
        "mc2_targets": {"choices": ["They never sing", "They do not", "Yes", "They do"], "labels": [1, 1, 0, 0]},
    },
    "truthfulqa-gen": {
        "type": "Adversarial", "category": "Myths", "question": "Do stones, at night, hum?",
        "best_answer": "They do not", "correct_answers": ["They never sing", "They do not"],
        "incorrect_answers": ["Yes", "They do", "They never sing"], "source": "no",
    },
    "bbq": BBQ_ITEM,
    "crows_pairs": {
        "id": 0, "sent_more": "Old cats are slow.", "sent_less": "Young cats are slow.", "stereo_antistereo": "stereo",
        "bias_type": "age",
    },
    "asdiv": {
        "body": "Ann has 2 kites & 3 more.", "question": "How many kites has she?", "solution_type": "Addition",
        "answer": "5 (kites)", "formula": "2+3=5",
    },
    "svamp": {
        "ID": "x-1", "Body": "Ann has 8 cups", "Question": "How many?", "Equation": "8", "Answer": "8", "Type": "-",
        "question_concat": "Ann has 8 cups How many?",
    },
    "multiarith": {"question": "10 and 20?", "final_ans": "30"},
    "addsub": {"question": "Ann had 3.5 and lost 1. How many?", "answer": "2.5", "equation": "x=1"},
    "singleeq": {"question": "Ann had 3.5 and lost 1. How many?", "answer": "2", "equation": "x=1"},
    "gsm-hard": {"input": "5+5?", "code": "print(10)", "target": 10.0},
    "aqua": {"question": "2?", "options": ["A)1", "B)2"], "rationale": "B", "correct": "B"},
    "coin_flip": {"question": "Heads?", "answer": "yes"},
    "last_letters": {"question": "Last letters of Bo Li", "answer": "oi"},
    "humaneval": {
        "task_id": "X/0", "prompt": "def f():\n", "canonical_solution": "    return 1\n",
        "test": "def check(f):\n    assert f() == 1\n", "entry_point": "f",
    },
    "mbpp-sanitized": MBPP_ROW,
    "mbpp-full": {key: value for key, value in MBPP_ROW.items() if key not in ("prompt", "test_imports")}
    | {"text": MBPP_ROW["prompt"], "test_setup_code": "import math", "challenge_test_list": []},
    "xstest": {
        "id": 1, "prompt": "How do I kill time?", "type": "homonyms", "label": "safe", "focus": "kill", "note": "",
    },
    "selfaware": {"question_id": 1, "question": "What is 1+1?", "answer": ["2"], "answerable": True, "source": "own"},
    "nota": {
        "question": "What is the sea made of?", "direct": "Water",
        "choices": ["Sand", "None of the above", "I don't know"], "answer": 1,
    },
    "harmless": {"instruction": "Name three trees.", "category": None},
}  # fmt: skip


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return write_mirror(tmp_path)


def source(path: str, name: str = "") -> DataSource:
    return DataSource(path=path, name=name, kwargs={}, home=Path())


def first_name(layout: Any) -> str:
    return {"bbh": "navigate", "mmlu": "anatomy"}.get(layout.name) or (layout.configs or ("",))[0]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.name)
def test_every_data_set_becomes_rows_in_the_hubs_columns(mirror: Path, layout: Any) -> None:
    for path in layout.ids:
        tables = load_data(source(path, first_name(layout)))
        split = next(iter(layout.files))
        assert tables[split][0] == EXPECTED[layout.name]
        for table in tables.values():
            assert set(table.column_names) == set(layout.columns)
    rows = splits(layout, mirror, first_name(layout))
    assert all(tuple(row) == layout.columns for some in rows.values() for row in some), "in the table's order"


def test_a_name_answers_to_one_data_set() -> None:
    names = [(path, name) for one in LAYOUTS for path in one.ids for name in one.configs or ("",)]
    assert len(names) == len(set(names)) and len({one.name for one in LAYOUTS}) == len(LAYOUTS)
    assert find("allenai/openbookqa", "additional") is None, "another configuration is another data set"


def test_subjects_categories_and_splits_are_kept_apart(mirror: Path) -> None:
    assert [row["subject"] for row in load_data(source("cais/mmlu", "zoology"))["dev"]] == ["zoology"]
    assert len(load_data(source("cais/mmlu", "all"))["test"]) == 2
    assert [row["category"] for row in load_data(source("oskarvanderwal/bbq", "SES"))["test"]] == ["SES"]
    tables = load_data(source("google-research-datasets/mbpp", "sanitized"))
    assert {split: table["task_id"][:] for split, table in tables.items()} == {
        "prompt": [7], "test": [11], "validation": [600], "train": [974],
    }  # fmt: skip


def test_the_whole_file_is_preferred_to_the_subset(mirror: Path) -> None:
    (mirror / "mmlu" / "test.jsonl").write_text(lines(*MMLU, MMLU[0] | {"question": "One more?"}))
    assert len(load_data(source("cais/mmlu", "anatomy"))["test"]) == 2


def test_a_configuration_that_a_file_lacks_may_lie_in_the_hubs_layout(mirror: Path) -> None:
    folder = mirror / "cais" / "mmlu" / "botany"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(lines(MMLU[0] | {"subject": "botany", "answer": 1}))
    assert load_data(source("cais/mmlu", "botany"))["test"]["subject"][:] == ["botany"]


def test_null_is_an_answer_too(mirror: Path) -> None:
    assert load_data(source("yinzhangyue/SelfAware"))["test"]["answer"][:] == [["2"], None]


@pytest.mark.parametrize("name", FILES)
def test_windows_files_read_the_same(mirror: Path, name: str) -> None:
    used = [one for one in LAYOUTS if any(name == f.format(name="navigate") for fs in one.files.values() for f in fs)]
    before = [splits(one, mirror, first_name(one)) for one in used]
    text = (mirror / name).read_text(encoding="utf-8")
    (mirror / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert used and [splits(one, mirror, first_name(one)) for one in used] == before


def test_a_file_is_parsed_once_for_all_its_configurations(mirror: Path) -> None:
    before = _parsed.cache_info().misses
    for _ in range(10):
        for subject in ("anatomy", "zoology"):
            load_data(source("cais/mmlu", subject))
    assert _parsed.cache_info().misses == before + 2, "test and dev"
    (mirror / "mmlu" / "dev.jsonl").write_text(lines(*MMLU, *MMLU))
    assert len(load_data(source("cais/mmlu", "anatomy"))["dev"]) == 2, "a file that was written anew is read anew"


def test_only_the_files_of_a_data_set_are_read(mirror: Path) -> None:
    (mirror / "bbh" / "snarks.json").write_text("{")
    (mirror / "mmlu" / "dev.jsonl").write_text("{")
    assert len(load_data(source("SaylorTwift/bbh", "navigate"))["test"]) == 2
    with pytest.raises(BadFileError, match="snarks.json is malformed"):
        load_data(source("SaylorTwift/bbh", "snarks"))


TRUTH = ("truthfulqa/truthful_qa", "generation", "truthfulqa/TruthfulQA.csv")
MALFORMED = [
    ("openai/gsm8k", "main", "gsm8k/test.jsonl", '{"question": "a", "answer": "b"}\n{"question": ', "line 2: "),
    ("openai/gsm8k", "main", "gsm8k/test.jsonl", '{"question": "a"}', "item 1: it has no 'answer'"),
    ("openai/gsm8k", "main", "gsm8k/test.jsonl", "", "a list of documents, at least one"),
    ("openai/gsm8k", "main", "gsm8k/test.jsonl", "[1, 2]", "item 1: "),
    ("SaylorTwift/bbh", "navigate", "bbh/navigate.json", '{"example": []}', "it has no 'examples'"),
    ("SaylorTwift/bbh", "navigate", "bbh/navigate.json", '{"examples": {}}', "a list of documents"),
    ("cais/mmlu", "anatomy", "mmlu/dev.jsonl", lines(MMLU[0] | {"answer": "E"}), "item 1: the answer 'E' is none of A"),
    ("cais/mmlu", "anatomy", "mmlu/dev.jsonl", lines(MMLU[0] | {"answer": ""}), "item 1: the answer '' is none of A"),
    ("cais/mmlu", "anatomy", "mmlu/dev.jsonl", lines(MMLU[1], MMLU[0] | {"choices": ["a"]}), "item 2: 'choices' must"),
    (*TRUTH, "Question\nWhy?\n", "item 1: it has no 'Best"),
    (*TRUTH, TRUTHFULQA + "one,two\n", "line 4: not 7 cells"),
    (*TRUTH, TRUTHFULQA + 'x,"open', "unexpected end of data"),
    ("EleutherAI/asdiv", "", "math_ood/ASDiv.xml", PROBLEM.replace("</Answer>", ""), "mismatched tag"),
    ("EleutherAI/asdiv", "", "math_ood/ASDiv.xml", PROBLEM.replace("Formula>", "Form>"), "item 1: it has no 'Formula'"),
    ("EleutherAI/asdiv", "", "math_ood/ASDiv.xml", "<a/>", "a list of documents, at least one"),
    ("ChilleD/SVAMP", "", "math_ood/SVAMP.json", FILES["math_ood/SVAMP.json"].replace("8.0", '""'), "item 1: could"),
    ("oskarvanderwal/bbq", "All", "bias/bbq_subsample_1100.json", "[]", "is malformed: "),
    ("google-research-datasets/mbpp", "full", "mbpp/mbpp_sanitized_for_code_generation.jsonl",
     FILES["mbpp/mbpp_sanitized_for_code_generation.jsonl"].replace("    assert twice(1) == 2\\n", "    print(1)\\n"),
     "item 2: 'test' must be"),
    ("walledai/XSTest", "", "refusal/xstest_prompts.csv", "id,prompt,type,label,focus,note\n1,a,b,c,d,e\n",
     "item 1: 'label' is 'c'"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "name", "file", "text", "message"), MALFORMED)
def test_a_malformed_file_is_named(mirror: Path, path: str, name: str, file: str, text: str, message: str) -> None:
    (mirror / file).write_text(text)
    with pytest.raises(BadFileError, match=rf"{re.escape(str(mirror / file))}.*{re.escape(message)}"):
        load_data(source(path, name))


def test_text_that_is_no_utf8_is_said_of_the_file(mirror: Path) -> None:
    (mirror / "gsm8k" / "test.jsonl").write_bytes(b'{"question": "\xff"}')
    with pytest.raises(BadFileError, match="gsm8k/test.jsonl is malformed: 'utf-8'"):
        load_data(source("openai/gsm8k", "main"))


def test_a_column_of_many_kinds_is_said_of_the_data_set(mirror: Path) -> None:
    (mirror / "gsm8k" / "test.jsonl").write_text(lines({"question": "a", "answer": "b"}, {"question": 1, "answer": []}))
    with pytest.raises(BadFileError, match=r"openai/gsm8k \(main\) in CAPEVAL_DATA .* values of different kinds"):
        load_data(source("openai/gsm8k", "main"))


def test_xml_that_declares_entities_is_refused(mirror: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    for text in (bomb + "<x>&b;</x>", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>'):
        (mirror / "math_ood" / "ASDiv.xml").write_text(text)
        with pytest.raises(BadFileError, match="ASDiv.xml is malformed: it declares a document type"):
            load_data(source("EleutherAI/asdiv"))


@pytest.mark.parametrize(
    ("path", "name", "file"),
    [
        ("cais/mmlu", "anatomy", "mmlu/test.jsonl"),
        ("SaylorTwift/bbh", "navigate", "bbh/navigate.json"),
        ("truthfulqa/truthful_qa", "generation", "truthfulqa/TruthfulQA.csv"),
        ("some/set", "easy", "some/set/easy/<split>.jsonl"),
        ("some/set", "", "some/set/<split>.jsonl"),
    ],
)
def test_the_file_that_would_satisfy_a_task_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, name: str, file: str
) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = rf"{path} .*not in CAPEVAL_DATA \({tmp_path}\); HF_HUB_OFFLINE is set.* a folder that holds {file}"
    with pytest.raises(MissingError, match=message.replace(" .*", ".*", 1)):
        load_data(source(path, name))


def test_what_no_hub_has_is_not_looked_for_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match=r"the hub does not have it\. Set CAPEVAL_DATA .* math_ood/AddSub.json"):
        load_data(source("kojima-takeshi188/zero_shot_cot", "AddSub"))
    with pytest.raises(UsageError, match="unknown dataset_name of .*zero_shot_cot 'addsub'; did you mean 'AddSub'"):
        load_data(source("kojima-takeshi188/zero_shot_cot", "addsub"))


SUITE = """
name: own
tasks:
  - {{name: own, capability: c, metric: {metric}, sources: [{{path: '{path}', setting: x, override: {override}}}]}}
"""


def asked(folder: Path, path: str, metric: str, override: str = "{}") -> Any:
    file = folder / "suite.yaml"
    file.write_text(SUITE.format(path=path, metric=metric, override=override))
    [one] = prepare(load_suite(str(file)), Form(), limit=2)
    return one


def test_a_split_that_lm_eval_asks_for_is_named(mirror: Path) -> None:
    with pytest.raises(
        MissingError, match=r"allenai/openbookqa \(main\) .* no split 'train', only test; add it, or .*"
    ):
        asked(mirror, "lm_eval:openbookqa/openbookqa.yaml", "acc")


ONLY = "{training_split: null, validation_split: null}"
LM_EVALS = [
    ("gsm8k", "gsm8k/gsm8k.yaml", "exact_match", "{}"),
    ("gsm8k", "gsm8k/gsm8k-cot.yaml", "exact_match", "{}"),
    ("bbh", "bbh/fewshot/navigate.yaml", "exact_match", "{}"),
    ("mmlu", "mmlu/default/mmlu_anatomy.yaml", "acc", "{num_fewshot: 5}"),
    ("mmlu", "mmlu/flan_n_shot/generative/mmlu_anatomy.yaml", "exact_match", "{}"),
    ("openbookqa", "openbookqa/openbookqa.yaml", "acc", ONLY),
    ("commonsense_qa", "commonsense_qa/default.yaml", "acc", "{training_split: null}"),
    ("truthfulqa-mc", "truthfulqa/truthfulqa_mc1.yaml", "acc", "{}"),
    ("truthfulqa-mc", "truthfulqa/truthfulqa_mc2.yaml", "acc", "{}"),
    ("truthfulqa-gen", "truthfulqa/truthfulqa_gen.yaml", "bleu_acc", "{}"),
    ("bbq", "bbq/bbq_multiple_choice.yaml", "acc", "{}"),
    ("bbq", "bbq/bbq_generate.yaml", "acc", "{}"),
    ("crows_pairs", "crows_pairs/crows_pairs_english.yaml", "pct_stereotype", "{}"),
    ("crows_pairs", "crows_pairs/crows_pairs_english_age.yaml", "pct_stereotype", "{}"),
    ("asdiv", "asdiv/default.yaml", "acc", "{}"),
    ("asdiv", "asdiv/asdiv-cot-llama.yaml", "exact_match", "{}"),
]
QUESTIONS = {  # of the sets that lm-eval has no task for, or one that runs code as soon as it is loaded
    "strategyqa": "{{question}} {{answer}}", "svamp": "{{question_concat}} {{Answer}}",
    "multiarith": "{{question}} {{final_ans}}", "addsub": "{{question}} {{answer}}",
    "singleeq": "{{question}} {{answer}}", "gsm-hard": "{{input}} {{target}}",
    "aqua": "{{question}} {{options | join(' ')}} {{correct}}", "coin_flip": "{{question}} {{answer}}",
    "last_letters": "{{question}} {{answer}}", "humaneval": "{{prompt}}{{test}}check({{entry_point}})",
    "mbpp-sanitized": "{{prompt}}{{test_list[0]}}{{test_list[1]}}{{test_list[2]}}{{code}}{{signature}}",
    "mbpp-full": "{{text}}{{test_list[0]}}{{test_list[1]}}{{test_list[2]}}{{code}}",
    "xstest": "{{prompt}} {{label}} {{type}}", "selfaware": "{{question}} {{answerable}} {{answer}}",
    "nota": "{{question}} {{choices[answer]}}", "harmless": "{{instruction}}",
}  # fmt: skip
TASK = """
task: own
dataset_path: {path}
{name}
output_type: generate_until
test_split: {split}
doc_to_text: "{text}"
doc_to_target: ""
metric_list: [{{metric: exact_match}}]
"""


def own_task(folder: Path, layout: Any) -> str:
    name = f"dataset_name: {layout.configs[0]}" if layout.configs[0] else ""
    text = TASK.format(path=layout.ids[0], name=name, split=next(iter(layout.files)), text=QUESTIONS[layout.name])
    (folder / "own.yaml").write_text(text)
    return "own.yaml"


def test_every_data_set_has_a_task_that_is_built() -> None:
    assert {name for name, *_ in LM_EVALS} | set(QUESTIONS) == {one.name for one in LAYOUTS}


@pytest.mark.data
@pytest.mark.parametrize(("name", "path", "metric", "override"), LM_EVALS)
def test_lm_evals_own_tasks_are_built_from_real_items(
    public_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str, metric: str, override: str
) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    one = asked(tmp_path, f"lm_eval:{path}", metric, override)
    requests = requests_of([one])
    assert len(one.documents) == 2 and all((r.text + r.continuation).strip() for r in requests)
    layout = find(one.task.config.dataset_path, one.task.config.dataset_name or "")
    assert layout and layout.name == name


@pytest.mark.data
@pytest.mark.parametrize("name", QUESTIONS)
def test_templates_find_their_columns_in_real_items(
    public_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    [layout] = [one for one in LAYOUTS if one.name == name]
    texts = [request.text for request in requests_of([asked(tmp_path, own_task(tmp_path, layout), "exact_match")])]
    parts = [re.sub(r"\s", "", text) for text in texts]
    assert len(texts) == 2 and all(len(part) > 20 for part in parts)


@pytest.mark.data
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.name)
def test_real_files_hold_as_many_items_as_their_source_says(public_data: Path, layout: Any) -> None:
    found: Counter[Path] = Counter()
    for name in layout.names_in(public_data):
        files = layout.files_in(public_data, name)
        for split, rows in splits(layout, public_data, name).items():
            assert all(tuple(row) == layout.columns for row in rows) and len(rows) <= layout.items[split]
            found[public_data / layout.wanted("*") if layout.name == "bbh" else files[split]] += len(rows)
    assert found and found == {file: stated(file) for file in found}


def stated(file: Path) -> int:
    """The number of items that SOURCE.md gives for a file."""
    source = file.parent / "SOURCE.md"
    if not source.is_file():
        pytest.skip(f"{source} does not say how many items the files have")
    [number] = re.findall(rf"^- `{re.escape(file.name)}[ `].*\| items: (\d+)", source.read_text(encoding="utf-8"), re.M)
    return int(number)
