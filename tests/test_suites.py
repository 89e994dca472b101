from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from capeval.errors import BadFileError, UsageError
from capeval.runner import RunOptions, run
from capeval.suites import list_suites, load_suite, task_file
from capeval.tracer import inspect

ROOT = Path(__file__).parent.parent

MINE = """
name: mine
tasks:
  - name: t
    capability: c
    metric: acc
    sources:
      - {path: a.yaml, setting: direct}
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text("task: a\n")
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    return file


def test_every_shipped_suite_loads_and_its_files_are_there() -> None:
    assert {"cot", "smoke"} <= set(list_suites())
    for name in list_suites():
        suite = load_suite(name)
        assert suite.name == name and suite.title and suite.tasks
        assert all(task_file(source).is_file() for source in suite.sources)


TWELVE = (
    "generation", "knowledge", "icl", "zero_shot", "cot", "code", "ood", "refusal", "chat", "truthfulness", "style",
    "limits",
)  # fmt: skip


def test_each_of_the_twelve_suites_is_there_twice_on_benchmarks_and_on_the_lab() -> None:
    for name in TWELVE:
        for suite in (load_suite(name), load_suite(f"lab/{name}")):
            assert name in {task.capability for task in suite.tasks}, suite.name
    assert {part.removeprefix("lab/") for part in list_suites() if part.startswith("lab/")} == {*TWELVE, "planted"}
    whole = {task.name for name in (*TWELVE, "planted") for task in load_suite(f"lab/{name}").tasks}
    assert {task.name for task in load_suite("lab").tasks} == whole


def test_every_task_declares_what_it_measures_how_and_whose_it_is() -> None:
    for name in list_suites():
        for task in load_suite(name).tasks:
            where = f"{name}: {task.name}"
            assert task.capability in {*TWELVE, "planted"} or name == "smoke", where
            assert task.licence and (task.citation or task.source) and task.settings, where
            assert (task.cluster_role == "none") == (task.cluster == ""), where
            chosen = [s for s in load_suite(name).sources if s.task == task.name]
            assert task.cluster_role == "none" or all(s.cluster or s.cluster_field for s in chosen), where
            if task.metric in ("acc", "acc_norm") and not name.startswith("lab/") and name not in ("lab", "smoke"):
                assert task.chance > 0, f"{where}: a choice has a chance floor"


def test_the_page_of_tasks_is_current() -> None:
    spec = importlib.util.spec_from_file_location("build_tasks", ROOT / "docs" / "build_tasks.py")
    assert spec and spec.loader
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert builder.PAGE.read_text(encoding="utf-8") == builder.page(), "python docs/build_tasks.py"


@pytest.mark.data
@pytest.mark.parametrize("name", [n for n in list_suites() if not n.startswith("lab") and not n.endswith("-hub")])
def test_every_suite_can_be_asked_from_a_mirror(
    name: str, public_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    monkeypatch.chdir(tmp_path)
    if name.startswith("code") and not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not here")
    for chat in (False, True):
        done = run("parrot", name, options=RunOptions(backend="scripted", limit=1, chat=chat, out=tmp_path / str(chat)))
        suite = load_suite(name)
        asked = set(map(tuple, done.records[["task", "setting"]].to_numpy()))
        assert asked == {(source.task, source.setting) for source in suite.sources}
        assert not done.records["error"].any() and done.records["score"].notna().all()
        seen = inspect(done)
        summaries = {(task.name, summary) for task in suite.tasks for summary in task.summaries}
        assert summaries <= set(map(tuple, seen.scores[["task", "setting"]].to_numpy()))


def test_cot_is_two_settings_of_gsm8k_and_of_27_subtasks() -> None:
    suite = load_suite("cot")
    assert suite.contrasts == (("cot", "direct"),)
    bbh = [s for s in suite.sources if s.task == "bbh"]
    assert suite.task("bbh").cluster_role == "strata"
    for setting in ("cot", "direct"):
        clusters = [s.cluster for s in bbh if s.setting == setting]
        assert len(clusters) == len(set(clusters)) == 27
        assert "snarks" in clusters and not any(c.startswith("_") for c in clusters)
    assert [s.setting for s in suite.sources if s.task == "gsm8k"] == ["cot", "direct"]


def test_both_gsm8k_settings_show_the_same_questions_and_differ_in_the_reasoning() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    cot, direct = (load_yaml(task_file(s)) for s in load_suite("cot").sources if s.task == "gsm8k")
    shots = [config["fewshot_config"]["samples"] for config in (cot, direct)]
    assert [s["question"] for s in shots[0]] == [s["question"] for s in shots[1]]
    assert len(shots[0]) == cot["num_fewshot"] == direct["num_fewshot"] == 8
    for reasoned, bare in zip(*shots, strict=True):
        assert reasoned["target"].endswith(bare["target"]) and len(bare["target"]) < 20
    for key in ("doc_to_text", "doc_to_target", "metric_list", "filter_list", "dataset_path"):
        assert cot[key] == direct[key]


def test_own_suite_by_path_finds_files_beside_it(suite_file: Path) -> None:
    suite = load_suite(str(suite_file))
    assert task_file(suite.sources[0]) == suite_file.parent / "a.yaml"
    assert suite.task("t").settings == ("direct",)


def test_wildcards_give_one_source_a_file_without_templates(suite_file: Path) -> None:
    for name in ("b", "_template"):
        (suite_file.parent / f"{name}.yaml").write_text(f"task: {name}\n")
    folder = suite_file.parent / "suites"
    folder.mkdir()
    file = folder / "wild.yaml"
    file.write_text(MINE.replace("a.yaml, setting", '"../*.yaml", cluster: "x-{stem}", setting'))
    assert [s.cluster for s in load_suite(str(file)).sources] == ["x-a", "x-b", "x-mine"]


@pytest.mark.parametrize("written", ["base", "[other, 'base']", "\n  - other\n  - base"])
def test_digest_covers_task_files_and_what_they_include(suite_file: Path, written: str) -> None:
    (suite_file.parent / "base").write_text("num_fewshot: 1\n")
    (suite_file.parent / "a.yaml").write_text(f"include: {written}\ntask: a\n")
    before = load_suite(str(suite_file)).digest
    assert load_suite(str(suite_file)).digest == before
    (suite_file.parent / "base").write_text("num_fewshot: 2\n")
    assert load_suite(str(suite_file)).digest != before


def test_a_source_says_how_it_is_shown_and_the_digest_covers_it(suite_file: Path) -> None:
    plain = load_suite(str(suite_file))
    assert (plain.sources[0].presentation, plain.sources[0].turns) == ("", "")
    digests = {plain.digest}
    for keys, shown in [
        ("presentation: document", ("document", "")),
        ("presentation: dialogue", ("dialogue", "")),
        ("presentation: dialogue, turns: history", ("dialogue", "history")),
    ]:
        suite_file.write_text(MINE.replace("setting: direct", f"setting: direct, {keys}"))
        suite = load_suite(str(suite_file))
        assert (suite.sources[0].presentation, suite.sources[0].turns) == shown
        digests.add(suite.digest)
    assert len(digests) == 4


def test_unknown_suite_gets_a_did_you_mean() -> None:
    with pytest.raises(UsageError, match="unknown suite 'cott'; did you mean 'cot'"):
        load_suite("cott")
    with pytest.raises(UsageError, match="there is no suite file nowhere.yaml"):
        load_suite("nowhere.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tasks:", "taks:", "mine.yaml: unknown key 'taks'; did you mean 'tasks'"),
        ("setting: direct", "seting: direct", "source: unknown key 'seting'; did you mean 'setting'"),
        ("metric: acc", "metrik: acc", "task 't': unknown key 'metrik'; did you mean 'metric'"),
        ("setting: direct", "setting: direct, cluster: a, cluster_field: b", "'cluster' or 'cluster_field', not both"),
        ("metric: acc", "cluster_role: rows\n    metric: acc", "cluster_role must be one of"),
        ("a.yaml", "b.yaml", "there is no task file .*b.yaml"),
        ("a.yaml", '"x*.yaml"', "no task file matches"),
        (", setting: direct", "", "every source needs 'setting'"),
        ("setting:", "presentatoin: document, setting:", "unknown key 'presentatoin'; did you mean 'presentation'"),
        ("setting:", "presentation: dialog, setting:", "mine.yaml: task 't': .*must be one of document, dialogue"),
        ("setting:", "presentation: false, setting:", "'presentation' must be text"),
        ("setting:", "turns: h, setting:", "mine.yaml: task 't': .*'turns' .*add 'presentation: dialogue'"),
        ("setting:", "turns: h, presentation: document, setting:", "'turns' .*add 'presentation: dialogue'"),
        ("setting:", "turns: [h], presentation: dialogue, setting:", "'turns' must be text"),
        ("name: mine", "contrasts: [[cot, direct]]", "unknown setting 'cot'"),
        ("name: mine", "contrasts: cot", "pairs of settings"),
        ("name: mine", "name: [", "can't be read as YAML"),
    ],
)
def test_bad_suite_files_are_refused_by_name(suite_file: Path, old: str, new: str, message: str) -> None:
    suite_file.write_text(MINE.replace(old, new))
    with pytest.raises(BadFileError, match=message):
        load_suite(str(suite_file))
