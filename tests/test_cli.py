"""The command line: exit codes mean one thing each, errors are one line, --help is cheap."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from capeval.store.runs import save_run
from tests.records import run_of


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    base = [1.0, 0.0] * 300
    save_run(run_of("base", base), tmp_path / "base")
    save_run(run_of("same", base), tmp_path / "same")
    save_run(run_of("worse", [0.0] * 200 + base[200:]), tmp_path / "worse")
    save_run(run_of("few", base[:20]), tmp_path / "few")
    save_run(run_of("noise", [0.0, 1.0] * 10), tmp_path / "noise")
    return tmp_path


def test_help_imports_nothing_heavy() -> None:
    """The 0.3 s of --help are kept by what it does not import; `benchmarks/help_time.py` measures them."""
    script = (
        "import sys; sys.argv = ['capeval', '--help']\n"
        "from capeval.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'rich', 'jinja2', 'yaml', 'torch', 'lm_eval'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Git-bisect for capabilities" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["trase", "x"], 2, "unknown command 'trase'; did you mean 'trace'?"),
        (["trace", "instructgtp"], 2, "unknown tree 'instructgtp'; did you mean 'instructgpt'?"),
        (["trace"], 2, "Missing argument 'TREE'"),
        (["trace", "instructgpt", "--alpha", "2"], 2, "--alpha"),
        (["trace", "instructgpt", "--checkpoint", "sft"], 2, "--checkpoint takes NODE=PATH, not 'sft'"),
        (["trace", "instructgpt", "--checkpoint", "stf=x"], 2, "unknown node 'stf'"),
        (["run", "--model", "x", "--suite", "cott"], 2, "unknown suite 'cott'; did you mean 'cot'?"),
        (["compare", "nowhere", "nowhere"], 2, "nowhere is no run folder"),
        (["report", "nowhere"], 2, "nowhere is no trace folder"),
        (["list", "sweets"], 2, "sweets"),
        (["train", "instructgpt"], 2, "tree 'instructgpt' has no recipes, so there is nothing to train"),
        (["train", "laab"], 2, "unknown tree 'laab'; did you mean 'lab'?"),
        (
            ["train", "lab", "--set", "base.stesp=3"],
            2,
            "node 'base': recipe: unknown key 'stesp'; did you mean 'steps'",
        ),
        (["train", "lab", "--set", "base"], 2, "--set takes NODE.FIELD=VALUE, not 'base'"),
        (["train", "lab", "--set", "basse.steps=3"], 2, "unknown node 'basse'; did you mean 'base'?"),
        (["train", "lab", "--set", "base.steps=[1"], 2, "--set base.steps: '[1' is no YAML value"),
        (["train", "lab", "--set", "base.data=lab/bass"], 2, "unknown generator 'lab/bass'; did you mean 'lab/base'?"),
        (["train", "lab", "--set", "base.data=none.jsonl"], 3, "none.jsonl is not there"),
        (["train", "lab", "--scale", "smal"], 2, "unknown scale 'smal'; did you mean 'small'?"),
        (["train", "lab", "--node", "pppo"], 2, "unknown node 'pppo'; did you mean 'ppo'?"),
        (["trace", "instructgpt", "--scale", "small"], 2, "nothing is trained in tree 'instructgpt'"),
        (["trace", "lab", "--checkpoint", "base=x", "--replica", "1"], 2, "nothing is trained with --checkpoint"),
    ],
)
def test_wrong_usage_is_one_line_and_the_right_exit_code(capeval, args: list[str], code: int, message: str) -> None:  # type: ignore[no-untyped-def]
    got, out, err = capeval(*args)
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_the_gates_exit_codes(capeval, runs: Path) -> None:  # type: ignore[no-untyped-def]
    for candidate, code in (("same", 0), ("worse", 1)):
        got, out, _ = capeval("gate", "--baseline", runs / "base", "--candidate", runs / candidate, "--margin", "0.02")
        assert got == code, out
    assert capeval("gate", "--baseline", runs / "few", "--candidate", runs / "noise", "--margin", "0.02")[0] == 4
    assert capeval("gate", "--baseline", runs / "base", "--candidate", runs / "none")[0] == 2


def test_the_gate_writes_for_ci_and_for_people(capeval, runs: Path) -> None:  # type: ignore[no-untyped-def]
    junit, markdown = runs / "gate.xml", runs / "gate.md"
    code, out, _ = capeval(
        "gate", "--baseline", runs / "base", "--candidate", runs / "worse", "--margin", 0.02, "--junit", junit,
        "--markdown", markdown, "--json",
    )  # fmt: skip
    assert code == 1
    assert json.loads(out)["status"] == "fail"
    assert [f.tag for f in ElementTree.parse(junit).iter("failure")] == ["failure"]
    assert "sums" in markdown.read_text()


@pytest.mark.parametrize(("candidate", "code"), [("same", 0), ("worse", 1)])
def test_a_closed_pipe_does_not_change_the_verdict(runs: Path, candidate: str, code: int) -> None:
    command = ["gate", "--baseline", runs / "base", "--candidate", runs / candidate, "--margin", "0.02"]
    assert piped_to_nobody(*command) == code


def test_an_error_that_nobody_reads_keeps_its_code() -> None:
    assert piped_to_nobody("list", "nope", errors_too=True) == 2


def test_paths_that_no_file_system_takes_are_said_so(capeval, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = capeval("report", "x" * 300)
    assert code == 2
    assert "File name too long" in err and "Traceback" not in err


def test_what_is_no_regular_file_is_not_replaced(capeval, runs: Path) -> None:  # type: ignore[no-untyped-def]
    os.mkfifo(runs / "pipe")
    code, _, err = capeval("gate", "--baseline", runs / "base", "--candidate", runs / "same", "--junit", runs / "pipe")
    assert code == 2
    assert "is no regular file" in err
    assert (runs / "pipe").is_fifo()


def test_an_import_stays_where_runs_are(capeval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    Path("q.csv").write_text("id,right\na,1\n")
    code, out, _ = capeval("import", "q.csv", "--node", "../../x", "--task", "t", "--map", "item=id,score=right")
    assert (code, out.splitlines()[-1]) == (0, "run: runs/x")


def test_a_closed_pipe_is_no_regression() -> None:
    assert piped_to_nobody("list", "trees") == 141
    assert piped_to_nobody("list", "trees", "--json") == 141


def piped_to_nobody(*args: object, errors_too: bool = False) -> int:
    """The exit code of a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "capeval", *map(str, args)],
            stdout=writer,
            stderr=writer if errors_too else subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert not done.stderr
    return done.returncode


def test_compare_prints_and_writes_a_report(capeval, runs: Path) -> None:  # type: ignore[no-untyped-def]
    wanted = ("--out", runs / "report", "--markdown", runs / "table.md")
    code, out, _ = capeval("compare", runs / "base", runs / "worse", *wanted)
    assert code == 0
    assert "| sums" in (runs / "table.md").read_text()
    assert "sums" in out
    assert (runs / "report" / "report.html").is_file()
    code, out, _ = capeval("compare", runs / "base", runs / "worse", "--json")
    assert json.loads(out)["effects"][0]["answer"] == "lost"


def test_trace_of_the_recorded_tree_and_its_report_again(capeval, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = capeval("trace", "instructgpt", "--out", tmp_path)
    assert code == 0
    assert f"report: {tmp_path / 'report.html'}" in out
    first = (tmp_path / "report.html").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} >= {"effects.parquet", "effects.csv", "summary.json", "report.html"}
    assert capeval("report", tmp_path)[0] == 0
    assert (tmp_path / "report.html").read_bytes() == first


def test_output_that_cannot_be_written_is_said_so(capeval, runs: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = capeval("compare", runs / "base", runs / "worse", "--out", runs / "base" / "manifest.json")
    assert code == 2
    assert "a file of that name is in the way" in err


@pytest.mark.parametrize("what", ["suites", "tasks", "trees", "backends", "scorers"])
def test_every_list_has_rows_for_people_and_machines(capeval, what: str) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = capeval("list", what)
    assert code == 0
    rows = json.loads(capeval("list", what, "--json")[1])
    assert rows
    assert all(str(next(iter(row.values()))) in out for row in rows)


def test_doctor_looks_and_names_remedies(capeval, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("CAPEVAL_DATA", raising=False)
    code, out, _ = capeval("doctor")
    assert code == 0
    assert "CAPEVAL_DATA   not set  → set CAPEVAL_DATA to a folder" in out
    assert all(check["ok"] for check in json.loads(capeval("doctor", "--json")[1]) if check["what"] == "trees")


def test_doctor_says_what_the_engine_chooses_for_a_checkpoint(capeval, tiny_checkpoint: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = capeval("doctor", "--model", str(tiny_checkpoint))
    assert code == 0 and "  prompts      as a tree: what they share is computed once" in out
    told = {check["what"].strip(): check["found"] for check in json.loads(capeval("doctor", "--json")[1])}
    assert "products in bfloat16 are" in told["dtype"] and told["attention"]
    code, _, err = capeval("doctor", "--model", str(tiny_checkpoint / "missing"))
    assert code == 2 and "there is no checkpoint folder" in err


def test_a_bug_is_not_a_verdict(capeval, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("capeval.doctor.doctor", broken)
    code, _, err = capeval("doctor")
    assert code == 70
    assert "this is a bug in capeval" in err and "boom" in err


def test_an_interrupted_command_is_not_a_verdict(capeval, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("capeval.doctor.doctor", interrupted)
    assert capeval("doctor")[0] == 130


def test_another_scale_or_replica_is_another_trace() -> None:
    from capeval.cli import _trace_name

    assert _trace_name("lab", scale="", replica=0) == "lab"
    assert _trace_name("my/lab.yaml", scale="small", replica=2) == "lab-small-replica2"


def test_show_prints_prompts_and_asks_nothing(capeval, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, out, err = capeval("run", "--backend", "scripted", "--model", "parrot", "--suite", "smoke", "--show", "1")
    assert (code, err) == (0, "") and list(tmp_path.iterdir()) == []
    assert "smoke-arithmetic few-shot   smoke/arithmetic.yaml, item 1:" in out
    assert "Question: What is 1 plus 2?\nAnswer: 3\n" in out
    assert "→ an answer of up to 12 tokens, until '\\n\\n', 'Question:'" in out
    code, out, _ = capeval("run", "--backend", "scripted", "--model", "x", "--suite", "smoke", "--show", "1", "--json")
    assert code == 0 and len(json.loads(out)["prompts"]) == 6


def test_tasks_are_listed_by_suite(capeval) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = capeval("list", "tasks", "--suite", "lab/icl")
    assert code == 0 and "lab-map" in out and "0-shot, 1-shot, 2-shot, 4-shot, 8-shot, slope, area" in out
    assert max(map(len, out.splitlines())) <= 140
    _, out, _ = capeval("list", "tasks", "--json")
    rows = json.loads(out)
    assert {"chance", "cluster", "licence", "citation", "metric", "settings", "capability"} <= rows[0].keys()
    assert capeval("list", "suites", "--suite", "cot")[0] == 2
    assert capeval("list", "tasks", "--suite", "cott")[0] == 2
