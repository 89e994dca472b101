"""The code tasks: programs out of answers of every form, run with their tests; values out of answers about traces."""

from __future__ import annotations

import importlib.util
import json
import shutil
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from capeval import sandbox
from capeval.core import Reply, Suite, TaskSource, TaskSpec
from capeval.errors import MissingError, UsageError
from capeval.harness import Asked, Form, prepare, records, requests_of
from capeval.shipped import folder
from capeval.suites import load_suite

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
DOUBLE = {
    "task_id": "Own/0",
    "prompt": 'from typing import List\n\nFACTOR = 2\n\n\ndef doubled(numbers: List[int]) -> List[int]:\n    """Every number times 2.\n    >>> doubled([1])\n    [2]\n    """\n',  # noqa: E501
    "entry_point": "doubled",
    "canonical_solution": "    return [FACTOR * number for number in numbers]\n",
    "test": "def check(candidate):\n    assert candidate([3, 4]) == [6, 8]\n    assert candidate([]) == []\n",
}
PLUS = {
    "task_id": 11,
    "prompt": "Write a function to add one.",
    "code": "STEP = 1\ndef plus(n):\n    return n + STEP",
    "test_imports": ["import math"],
    "test_list": ["assert plus(1) == 2", "assert math.floor(plus(-1)) == 0"],
}
WHOLE = "def doubled(numbers: List[int]) -> List[int]:\n    return [FACTOR * n for n in numbers]\n"
BODY = "    out = []\n    for n in numbers:\n        out.append(FACTOR * n)\n    return out\n"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two invented items, in the benchmarks' own columns, where the hub's sets are looked for."""
    for name, doc in {"openai/openai_humaneval": DOUBLE, "google-research-datasets/mbpp/sanitized": PLUS}.items():
        file = tmp_path / name / "test.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(doc) + "\n")
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path))
    return tmp_path


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder("tasks") / "code" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def suite(file: str, metric: str = "pass@1") -> Suite:
    return Suite(
        name="own",
        title="",
        tasks=(TaskSpec(name="own", capability="code", metric=metric, binary=False),),
        sources=(TaskSource(path=f"code/{file}.yaml", task="own", setting="s", metric=metric),),
    )


def scored(asked: list[Asked], *texts: str) -> Any:
    assert len(texts) == len(requests_of(asked))
    return records(asked, [Reply(text=text, finish="stop", n_tokens=9) for text in texts]).iloc[0]


CALLS = "```python\ndef doubled(numbers):\n    return [twice(n) for n in numbers]\n```\n"
RIGHT = {
    "body": ("body", BODY),
    "body after an empty line": ("body", "\n" + BODY),
    "body whose first line lost its indentation": ("body", BODY.lstrip()),
    "body that lost all indentation": ("body", "out = [FACTOR * n for n in numbers]\nreturn out"),
    "one line": ("body", "return [FACTOR * n for n in numbers]"),
    "stripped body that opens a block": (
        "body",
        "if not numbers:\n        return []\n    return [FACTOR * n for n in numbers]",
    ),
    "whole": ("def", WHOLE),
    "whole with its imports": ("def", "from typing import List\nFACTOR = 2\n\n" + WHOLE),
    "whole after prose": ("def", "Sure! Here it is:\n\n" + WHOLE + "\nIt doubles them, as you asked.\nEnjoy!"),
    "whole with constants after prose": ("def", "The code:\nFACTOR = 2\n# doubles\n" + WHOLE),
    "whole with a decorator": ("def", "import functools\n\n@functools.wraps(len)\n" + WHOLE),
    "whole with trials": ("def", WHOLE + "\nassert doubled([1]) == [2]\nprint(doubled([1]))\n"),
    "windows": ("def", WHOLE.replace("\n", "\r\n")),
    "lambda": ("def", "doubled = lambda numbers: [2 * n for n in numbers]\n"),
    "block that lost all indentation": ("body", "if True:\n    return [FACTOR * n for n in numbers]"),
    "block whose first line lost its indentation": ("body", "if True:\n        return [FACTOR * n for n in numbers]"),
    "fenced": ("fenced", f"Sure!\n```python\n{WHOLE}```\nIt doubles."),
    "fenced without language": ("fenced", f"Sure!\n```\n{WHOLE}\n```"),
    "fenced body": ("fenced", f"```python\n{BODY}```"),
    "fenced after another": ("fenced", f"Call it so:\n```python\ndoubled([1])\n```\nCode:\n```py\n{WHOLE}```"),
    "fence left open": ("fenced", f"Sure!\n```python\n{WHOLE}"),
    "fence left open, no language": ("fenced", f"Sure, look:\n```\n{WHOLE}"),
    "fence closed only": ("fenced", f"{BODY}```\n\nThis doubles the numbers."),
    "whole and fence closed only": ("fenced", f"{WHOLE}```\n\nThis doubles the numbers."),
    "fence in a list": ("fenced", f"1. So:\n\n   ```python\n{textwrap.indent(WHOLE, '   ')}   ```\n2. Done."),
    "fence in a list, a body": ("fenced", f"- So:\n  ```python\n{textwrap.indent(BODY, '  ')}  ```\n"),
    "fence closed on the last line": ("fenced", f"```python\n{WHOLE.rstrip()}```\n"),
    "body and fence closed on its last line": ("fenced", f"{BODY.rstrip()}```\n\nThis doubles the numbers."),
    "fence closed only, then an example": ("fenced", f"{BODY}```\n\nSo:\n```python\nprint(doubled([1]))\n```\n"),
    "whole, then its output fenced": ("fenced", f"Here:\n\n{WHOLE}\nIt gives\n```\n[2]\n```\n"),
    "stub first": ("fenced", f"Complete\n```\n{DOUBLE['prompt']}    # yours\n```\nso:\n```python\n{WHOLE}```"),
    "helper in its own block": ("fenced", f"```python\ndef twice(n):\n    return 2 * n\n```\nThen:\n{CALLS}"),
    "import in its own block": (
        "fenced",
        f"```python\nfrom math import prod\nTWO = 2\n\ndef twice(n):\n    return prod([TWO, n])\n```\n{CALLS}",
    ),
    "trial in a block before": ("fenced", f"```python\nfirst = doubled([1])\n```\n```python\n{WHOLE}first = 1\n```"),
    "from the future": ("fenced", f"```python\nfrom __future__ import annotations\n\n{WHOLE}```"),
    "from the future, unfenced": ("def", f"from __future__ import annotations\nimport math\n\n{WHOLE}"),
    "thought before": ("fenced", f"<think>\n```\n{WHOLE.replace('FACTOR', '3')}```\n</think>\n```\n{WHOLE}```"),
    "thought before a body": ("body", f"Is it `2 * n`?\n```\nno\n```\n</think>\n\n{BODY}"),
    "text at the margin": ("def", WHOLE.replace(":\n", ':\n    """\nDoubles them.\n    """\n', 1)),
    "prose after a body": ("body", BODY + "\nThis doubles every number.\n"),
    "prose after a body whose first line lost its indentation": ("body", BODY.lstrip() + "\nThis doubles them.\n"),
    "body with text at the margin": ("body", "    text = '''\nDoubles them.\n'''\n" + BODY),
    "body by two": ("body", BODY.replace("    ", "  ")),
    "body by two whose first line lost its indentation": ("body", BODY.replace("    ", "  ").lstrip()),
    "body by tabs": ("body", BODY.replace("    ", "\t")),
    "body by eight": ("body", textwrap.indent(BODY, "    ")),
    "body that lost one space": ("body", BODY[1:]),
    "stripped, a line that goes on": ("body", "return [FACTOR * n\n            for n in numbers]"),
    "lost all, a line that goes on": ("body", "out = map(lambda n: FACTOR * n,\n          numbers)\nreturn list(out)"),
    "lost all, a loop": ("body", "out = []\nfor n in numbers:\n    out.append(FACTOR * n)\nreturn out"),
    "stripped, opens a block with a remark": (
        "body",
        "if True:  # ever\n        return [FACTOR * n for n in numbers]",
    ),
    "stripped, a remark at the margin": (
        "body",
        "out = []\n# go\n    for n in numbers:\n        out.append(2 * n)\n    return out",
    ),
    "a main guard": ("def", WHOLE + "\nif __name__ == '__main__':\n    raise SystemExit('not here')\n"),
}
WRONG = {
    "nothing": "",
    "prose": "I can't do that.",
    "wrong": "    return numbers\n",
    "wrong whole": WHOLE.replace("FACTOR", "3"),
    "leaves": "    import os\n    os._exit(0)\n",
    "swallows the tests": BODY + "\n'''",
    "skips the tests": BODY + "\nimport sys\nsys.exit(0)\n",
    "the stub alone": "    pass\n",
    "right but cut": BODY[:-12],
}


@needs_bwrap
@pytest.mark.parametrize("file", ["humaneval", "humaneval_instruct"])
def test_answers_of_every_form_score_right(mirror: Path, file: str) -> None:
    wrongly = {}
    asked = prepare(suite(file), Form())
    for name, (rung, text) in RIGHT.items():
        row = scored(asked, text)
        read = json.loads(row.extracted)
        if (row.score, read["status"], read["rung"]) != (1.0, "passed", rung):
            wrongly[name] = (row.score, row.extracted)
    assert not wrongly


@needs_bwrap
def test_wrong_answers_score_wrong_and_say_why(mirror: Path) -> None:
    asked = prepare(suite("humaneval_instruct"), Form())
    for name, text in WRONG.items():
        row = scored(asked, text)
        assert row.score == 0.0 and not row.error, name
        assert json.loads(row.extracted)["status"] == "failed", name
    assert scored(asked, "").flag == "empty"
    assert json.loads(scored(asked, "    while True: numbers += [0] * 10**6\n").extracted)["status"] in (
        "memory",
        "timeout",
    )


@needs_bwrap
def test_mbpp_shows_its_tests_and_runs_them(mirror: Path) -> None:
    for file in ("mbpp", "mbpp_instruct"):
        asked = prepare(suite(file), Form())
        shown = requests_of(asked)[0].text
        assert all(test in shown for test in PLUS["test_list"]) and PLUS["prompt"] in shown
        assert "return n + STEP" not in shown
        assert scored(asked, PLUS["code"]).score == 1.0
        assert scored(asked, "```python\n" + PLUS["code"] + "\n```").score == 1.0
        assert scored(asked, PLUS["code"].replace("+", "-")).score == 0.0


@needs_bwrap
def test_mbpp_reads_what_comes_before_the_function(mirror: Path) -> None:
    asked = prepare(suite("mbpp_instruct"), Form())
    future = "from __future__ import annotations\n\ndef plus(n: Number) -> Number:\n    return n + STEP\n"
    assert scored(asked, f"```python\nSTEP = 1\n```\nand\n```python\n{future}```").score == 1.0
    listed = textwrap.indent(f"```python\n{PLUS['code']}\n```", "   ")
    assert scored(asked, f"1. So:\n\n{listed}\n").score == 1.0


def test_no_answer_is_slow_to_take_apart() -> None:
    solution = module("solutions").solution
    n = 50_000
    for text in ("a" * n, "a" + " " * n, "`" * n, " \t" * n, "\n" * n, "```\n" * n, ":" + "\n" * n, "'''\n" * n):
        for answer in (text, f"{text}\ndef doubled(n): pass\n", f"```\ndef doubled(n): pass\n{text}\nx\n```"):
            started = time.process_time()
            solution(answer, DOUBLE)
            assert time.process_time() - started < 2, (text[:10], answer[:10])


@needs_bwrap
@pytest.mark.parametrize(("right", "at_1", "at_10"), [(0, 0.0, 0.0), (1, 0.05, 0.5), (11, 0.55, 1.0), (20, 1.0, 1.0)])
def test_samples_make_one_score_an_item(mirror: Path, right: int, at_1: float, at_10: float) -> None:
    texts = [BODY] * right + ["    return numbers\n"] * (20 - right)
    for metric, value in (("pass@1", at_1), ("pass@10", at_10)):
        asked = prepare(suite("humaneval_samples", metric), Form())
        requests = requests_of(asked)
        assert [r.sample for r in requests] == list(range(20)) and all(r.generation["do_sample"] for r in requests)
        table = records(asked, [Reply(text=text, finish="stop", n_tokens=9) for text in texts])
        assert len(table) == 1 and table.score[0] == pytest.approx(value) and table["sample"][0] == 0
        assert len(json.loads(table.extracted[0])) == 20


@needs_bwrap
def test_pass_at_1_and_pass_at_10_read_the_same_answers(mirror: Path) -> None:
    asked = prepare(load_suite("code_samples"), Form())
    assert len(requests_of(asked)) == 80 and len({(r.text, r.sample) for r in requests_of(asked)}) == 40


def test_without_a_sandbox_nobody_is_asked(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(mirror))
    sandbox.check.cache_clear()
    with pytest.raises(MissingError, match="apt-get install bubblewrap") as caught:
        prepare(load_suite("code"), Form())
    assert caught.value.exit_code == 3
    sandbox.check.cache_clear()


@pytest.mark.parametrize("file", ["humaneval/humaneval.yaml", "mbpp/mbpp.yaml"])
def test_lm_evals_own_files_are_refused_before_their_code_is_loaded(file: str) -> None:
    with pytest.raises(UsageError, match="use the suite 'code'"):
        prepare(
            Suite(
                name="own",
                title="",
                tasks=(TaskSpec(name="own", capability="code", metric="pass@1"),),
                sources=(TaskSource(path=f"lm_eval:{file}", task="own", setting="s"),),
            ),
            Form(),
        )


def test_traces_ask_for_values_that_the_tests_know(mirror: Path) -> None:
    asked = prepare(Suite(name="t", title="", tasks=load_suite("code").tasks, sources=tuple(
        s for s in load_suite("code").sources if s.task == "traces")), Form())  # fmt: skip
    assert [(a.source.setting, a.source.cluster) for a in asked] == [
        ("cot", "mbpp"), ("cot", "humaneval"), ("direct", "mbpp"), ("direct", "humaneval")
    ]  # fmt: skip
    assert all(len(a.documents) == 1 for a in asked)
    prompts = [r.text for r in requests_of(asked)]
    assert "What does plus(1) return?" in prompts[2] and "What does doubled([3, 4]) return?" in prompts[3]
    assert ">>> doubled([1])" not in prompts[3], "docstrings show examples"
    replies = [" 1 + 1 is 2. So the answer is 2.\n", " The answer is [6, 9].", " 2", "\n[6, 8]\n"]
    assert list(records(asked, [Reply(text=text, finish="stop") for text in replies]).score) == [1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("file", ["traces_direct", "traces_cot"])
def test_the_flexible_rung_of_traces_reads_other_forms(mirror: Path, file: str) -> None:
    source = TaskSource(path=f"code/{file}.yaml", task="own", setting="s", filter="flexible")
    asked = prepare(replace(suite(file, "exact_match"), sources=(source,)), Form())
    right = [
        "It returns `2`.",
        "First `1`, then `2`, since 1 + 1.",
        "Thus:\n2\n",
        "plus(1) returns: 2",
        "plus(1) == 2",
        "2.",
    ]
    assert [scored(asked, text).score for text in right] == [1.0] * len(right)
    assert [scored(asked, text).score for text in ("It returns `3`.", "2 or 3", "", "2\nNo, 3")] == [0.0] * 4


@pytest.mark.parametrize(
    ("said", "gold", "same"),
    [
        ("(1, 'a')", '(1, "a")', True), ("[1]", "(1,)", False), ("{'b': 1, 'a': 2}", "{'a': 2, 'b': 1}", True),
        ("`'x'`", "'x'", True), ("x", "'x'", False), ("6.", "6", True), ("0.1 + 0.2", "0.3", False), ("", "''", False),
        ("__import__('os').getcwd()", "''", False), ("9**9**9", "1", False), ("(" * 9999, "1", False),
        ("'\\d'", "'\\\\d'", True),
        ("[]" * 400, "[]", False),
    ],
)  # fmt: skip
def test_values_are_compared_and_never_run(said: str, gold: str, same: bool) -> None:
    assert module("traces").same_value(said, gold) is same


def test_the_examples_of_traces_are_true() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    shots = load_yaml(folder("tasks") / "code" / "traces_direct.yaml", resolve_func=False)["fewshot_config"]["samples"]
    for shot in shots:
        names: dict[str, Any] = {}
        exec(shot["code"], names)
        assert repr(eval(shot["call"], names)) == shot["answer"]


@needs_bwrap
@pytest.mark.data
def test_the_benchmarks_own_solutions_pass(public_data: Path) -> None:
    sources = {"humaneval": 164, "mbpp": 257}
    for file, number in sources.items():
        asked = prepare(suite(file), Form())
        docs = [document.doc for document in asked[0].documents]
        gold = [doc.get("canonical_solution") or doc["code"] for doc in docs]
        table = records(asked, [Reply(text=text, finish="stop") for text in gold])
        assert len(table) == number and (table.score == 1).all()
        few = prepare(suite(file), Form(), limit=20)
        hollow = records(few, [Reply(text="    pass\n", finish="stop")] * 20)
        assert (hollow.score == 0).all()


@pytest.mark.data
def test_traces_of_the_real_functions(public_data: Path) -> None:
    asked = prepare(Suite(name="t", title="", tasks=load_suite("code").tasks, sources=tuple(
        s for s in load_suite("code").sources if s.task == "traces" and s.setting == "direct")), Form())  # fmt: skip
    assert {a.source.cluster: len(a.documents) for a in asked} == {"mbpp": 194, "humaneval": 127}
    programs = [f"{d.doc['code']}\nassert {d.doc['call']} == {d.doc['answer']}" for a in asked for d in a.documents]
    if shutil.which("bwrap"):
        assert {outcome.status for outcome in sandbox.run_many(programs)} == {"passed"}


@needs_bwrap
@pytest.mark.data
def test_recorded_answers_score_as_recorded(public_data: Path) -> None:
    """Where they differ the recorded run had broken the answer's indentation (docs/code.md)."""
    from benchmarks.rescore_code import answers, rescored, table

    frame = rescored(answers(public_data, "gpt-4-0314"))
    ours, theirs = frame.score == 1, frame.recorded.astype(bool)
    assert (ours == theirs).sum() == 152
    assert (ours & ~theirs).sum() == 12 and not (theirs & ~ours).any()
    said = frame.said[ours & ~theirs]
    assert said.str.contains("outside function|indent").all()
    written = (Path(__file__).parents[1] / "docs" / "code.md").read_text(encoding="utf-8")
    assert all(line in written for line in table(frame))
