from __future__ import annotations

import itertools
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from capeval import harness, runner
from capeval.backends import encoding
from capeval.core import Request
from capeval.digest import digest
from capeval.errors import BadFileError, EngineError, MissingError, OutputError, PairingError, UsageError
from capeval.prompting import unfinished
from capeval.runner import RunOptions, node_name, run, show
from capeval.shipped import folder
from capeval.store.runs import Run, as_records, load_run
from capeval.tracer import TraceOptions, compare, trace

PARROT = RunOptions(backend="scripted")

SMOKE = folder("tasks") / "smoke"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def counts(done: Run) -> dict[str, int]:
    return dict(done.manifest["counts"])


def test_a_run_is_a_folder_with_everything_needed_to_do_it_again() -> None:
    done = run("parrot", "smoke", options=PARROT)
    folder = Path("runs/parrot-smoke")
    assert done.manifest["folder"] == str(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "records.parquet"]
    again = load_run(folder)
    pd.testing.assert_frame_equal(again.records, done.records)
    assert again.tasks == done.tasks and again.node == "parrot"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["checkpoint"]["digest"] and manifest["suite"]["digest"]
    assert manifest["versions"]["lm-eval"] == "0.4.13" and manifest["seeds"] == {"shots": 1234, "sampling": 0}
    for key in ("settings", "host", "command", "created", "seconds", "counts", "contrasts", "cut"):
        assert key in manifest


def test_every_task_of_the_suite_is_scored_with_what_its_spec_promises(tiny_checkpoint: Path) -> None:
    done = run(str(tiny_checkpoint), "smoke")
    assert {t.name for t in done.tasks} == set(done.records["task"])
    assert (done.records.groupby("task").size() == 20).all()
    for task in done.tasks:
        rows = done.records[done.records["task"] == task.name]
        assert set(rows["setting"]) == set(task.settings) and set(rows["capability"]) == {task.capability}
        if task.binary:
            assert rows["score"].isin([0.0, 1.0]).all()
    assert done.manifest["versions"]["torch"] and done.manifest["settings"]["numerics"]["dtype"] == "float32"


def test_the_same_command_again_asks_nothing(tiny_checkpoint: Path) -> None:
    first = run(str(tiny_checkpoint), "smoke")
    again = run(str(tiny_checkpoint), "smoke")
    assert counts(first) == {"requests": 200, "distinct": 200, "reused": 0, "asked": 200}
    assert counts(again) == {"requests": 200, "distinct": 200, "reused": 200, "asked": 0}
    pd.testing.assert_frame_equal(again.records, first.records)


_ASKS_AGAIN = """
import sys
from capeval.runner import RunOptions, run
done = run(sys.argv[1], sys.argv[2], options=RunOptions(limit=4))
print(done.manifest["counts"]["asked"], *(name in sys.modules for name in ("torch", "transformers", "tokenizers")))
"""


def test_the_same_command_again_loads_neither_torch_nor_a_tokenizer(copy: Path) -> None:
    """Also where shots are dropped: that is a window too narrow for them, and known from the first time."""

    def ask(suite: str) -> str:
        command = [sys.executable, "-c", _ASKS_AGAIN, str(copy), suite]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    first, again = ask("smoke"), ask("smoke")
    assert first == "40 True True True" and again == "0 False False False"
    manifest = json.loads(Path("runs/copy-smoke-first4/manifest.json").read_text())
    assert manifest["prompting"]["tasks"]["smoke-arithmetic few-shot"]["first_prompt"].startswith("Question: What")


def test_a_second_run_drops_the_same_shots(copy: Path) -> None:
    _window(copy, 40)
    first = run(str(copy), "smoke", options=RunOptions(limit=3))
    again = run(str(copy), "smoke", options=RunOptions(limit=3))
    assert first.manifest["dropped"] == again.manifest["dropped"] != {}
    assert counts(again)["asked"] == 0 and first.manifest["cut"] == again.manifest["cut"]
    pd.testing.assert_frame_equal(again.records, first.records)


def test_sibling_nodes_are_prepared_tokenised_and_hashed_once(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    built: Counter[str] = Counter()
    tokenised: Counter[tuple[str, bool]] = Counter()
    hashed: list[bytes] = []
    prepare, encoded, digest_of = harness.prepare, encoding.Encoder._encoded, Request.digest.func

    def counting_prepare(suite: Any, *args: Any, **kwargs: Any) -> Any:
        built[suite.name] += 1
        return prepare(suite, *args, **kwargs)

    def counting_encoded(self: Any, texts: Any) -> Any:
        tokenised.update(texts)
        return encoded(self, texts)

    def counting_digest(self: Request) -> bytes:
        hashed.append(digest_of(self))
        return hashed[-1]

    counted: Any = cached_property(counting_digest)
    counted.__set_name__(Request, "digest")
    monkeypatch.setattr(runner, "_PREPARED", {})
    monkeypatch.setattr(encoding, "CACHE", encoding.TokenCache(encoding.LIMIT))
    monkeypatch.setattr(harness, "prepare", counting_prepare)
    monkeypatch.setattr(encoding.Encoder, "_encoded", counting_encoded)
    monkeypatch.setattr(Request, "digest", counted)
    nodes = [copy, *(tmp_path / name for name in ("child", "grandchild"))]
    for i, node in enumerate(nodes[1:]):
        shutil.copytree(copy, node)
        weights = load_file(node / "model.safetensors")
        weights["model.norm.weight"][0] *= 1.5 + i
        save_file(weights, node / "model.safetensors", metadata={"format": "pt"})
    stages = [{"name": node.name, "kind": "sft", "uri": str(node)} for node in nodes]
    for parent, child in itertools.pairwise(stages):
        child["links"] = [{"parent": parent["name"], "certainty": "documented"}]
    stages[0]["kind"] = "base"
    Path("tree.yaml").write_text(json.dumps({"name": "family", "stages": stages}))
    found = trace("tree.yaml", TraceOptions(suite="smoke"))
    assert set(found.scores["node"]) == {node.name for node in nodes}
    assert dict(built) == {"smoke": 1}
    assert len(tokenised) > 100 and set(tokenised.values()) == {1}
    assert len(hashed) == len(set(hashed)) == 200


def test_more_items_ask_only_what_is_new() -> None:
    run("parrot", "smoke", options=RunOptions(backend="scripted", limit=5))
    more = run("parrot", "smoke", options=PARROT)
    assert counts(more)["reused"] == 50 and counts(more)["asked"] == 150


def test_other_weights_never_hit_old_answers(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    before = run(str(copy), "smoke", options=RunOptions(limit=4))
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][0] *= 1.5
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    after = run(str(copy), "smoke", options=RunOptions(limit=4))
    assert counts(after)["reused"] == 0
    assert after.manifest["checkpoint"]["digest"] != before.manifest["checkpoint"]["digest"]
    assert list(after.records["response"]) != list(before.records["response"])


@pytest.mark.parametrize(
    ("changed", "reused"),
    [
        (RunOptions(limit=2, dtype="bfloat16"), 0),
        (RunOptions(limit=2, system="Think."), 2),  # the texts of smoke-sentences have no prompt
        (RunOptions(limit=2, batch_tokens=64), 20),
        (RunOptions(limit=2, seed=7), 20),  # nothing is sampled
    ],
)
def test_settings_hit_old_answers_only_when_they_change_nothing(
    tiny_checkpoint: Path, changed: RunOptions, reused: int
) -> None:
    run(str(tiny_checkpoint), "smoke", options=RunOptions(limit=2))
    assert counts(run(str(tiny_checkpoint), "smoke", options=changed)) == {
        "requests": 20, "distinct": 20, "reused": reused, "asked": 20 - reused,
    }  # fmt: skip


def test_identical_requests_are_asked_once(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps([{"q": "a", "a": "b"}] * 4 + [{"q": "c", "a": "d"}]))
    (tmp_path / "t.yaml").write_text(
        "task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.json}}\noutput_type: generate_until\n"
        'test_split: test\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\ngeneration_kwargs: {until: ["."]}\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    (tmp_path / "s.yaml").write_text(
        "name: s\ntasks: [{name: t, capability: c, metric: exact_match, sources: [{path: t.yaml, setting: x}]}]\n"
    )
    done = run("parrot", "s.yaml", options=PARROT)
    assert counts(done) == {"requests": 5, "distinct": 2, "reused": 0, "asked": 2}
    assert len(done.records) == 5 and done.records["item"].is_unique


def test_every_source_is_shown_as_the_suite_says_and_the_manifest_keeps_it(copy: Path, tmp_path: Path) -> None:
    (copy / "chat_template.jinja").write_text(
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    (tmp_path / "d.json").write_text(json.dumps([{"q": "And 2 more?", "a": "4", "past": ["1+1?", "2"]}]))
    (tmp_path / "t.yaml").write_text(
        "task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.json}}\noutput_type: generate_until\n"
        'test_split: test\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n'
        'generation_kwargs: {until: ["\\n"], max_gen_toks: 4}\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    (tmp_path / "s.yaml").write_text(
        "name: s\ntasks:\n  - {name: t, capability: c, metric: exact_match, sources: [\n"
        "      {path: t.yaml, setting: run}, {path: t.yaml, setting: document, presentation: document},\n"
        "      {path: t.yaml, setting: dialogue, presentation: dialogue},\n"
        "      {path: t.yaml, setting: turns, presentation: dialogue, turns: past}]}\n"
    )
    plain = run(str(copy), "s.yaml", options=RunOptions(out=tmp_path / "plain"))
    chat = run(str(copy), "s.yaml", options=RunOptions(out=tmp_path / "chat", chat=True))
    assert prompts(plain) == {
        "run": ("document", digest(["And 2 more?"])),
        "document": ("document", digest(["And 2 more?"])),
        "dialogue": ("question-answer", digest(["Q: And 2 more?\nA:"])),
        "turns": ("question-answer", digest(["Q: 1+1?\nA: 2\nQ: And 2 more?\nA:"])),
    }
    [label] = {label for label, _ in prompts(chat).values()} - {"document"}
    assert label.startswith("chat ")
    assert prompts(chat) == {
        "run": (label, digest(["[user] And 2 more?\n[assistant]"])),
        "document": ("document", digest(["And 2 more?"])),
        "dialogue": (label, digest(["[user] And 2 more?\n[assistant]"])),
        "turns": (label, digest(["[user] 1+1?\n[assistant] 2\n[user] And 2 more?\n[assistant]"])),
    }
    assert list(chat.records["shots"]) == list(plain.records["shots"]) and chat.records["item"].nunique() == 1
    kept = load_run(tmp_path / "chat").manifest["suite"]
    assert kept["digest"] == plain.manifest["suite"]["digest"]
    assert [(s["presentation"], s["turns"]) for s in kept["sources"]] == [
        ("", ""), ("document", ""), ("dialogue", ""), ("dialogue", "past"),
    ]  # fmt: skip


def prompts(done: Run) -> dict[str, tuple[str, str]]:
    """By setting: the presentation, and the digest of the prompt."""
    rows = done.records.set_index("setting")
    return {name: (rows["presentation"][name], rows["prompt_digest"][name]) for name in rows.index}


_SCRIPT = """
import sys, time
from pathlib import Path
from capeval.runner import RunOptions, run
slowly = lambda known, every: time.sleep(0.02)   # so that the journal is written while it runs
run(sys.argv[1], "smoke", options=RunOptions(out=Path(sys.argv[2]), batch_tokens=300, watch=slowly))
"""


def rows_in(journal: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=1)
        try:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


@pytest.mark.parametrize("enough", [1, 90])
def test_killed_at_any_moment_it_finishes_without_asking_twice(
    tiny_checkpoint: Path, tmp_path: Path, enough: int
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-c", _SCRIPT, str(tiny_checkpoint), str(out)]
    child = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 120
        while rows_in(out / "journal.sqlite") < enough:
            assert child.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    assert not (out / "manifest.json").exists() and not (out / "records.parquet").exists()
    kept = rows_in(out / "journal.sqlite")
    assert enough <= kept < 200, "some answers were given, some not"
    resumed = run(str(tiny_checkpoint), "smoke", options=RunOptions(out=out, batch_tokens=300))
    assert counts(resumed) == {"requests": 200, "distinct": 200, "reused": kept, "asked": 200 - kept}
    undisturbed = run(str(tiny_checkpoint), "smoke", options=RunOptions(out=tmp_path / "calm", batch_tokens=300))
    pd.testing.assert_frame_equal(resumed.records, undisturbed.records)


def test_an_engine_that_fails_midway_keeps_its_answers_and_leaves_no_run(tiny_checkpoint: Path) -> None:
    sources = [
        f"{{name: {name}, capability: c, metric: {metric}, sources: [{{path: {SMOKE}/{name}.yaml, setting: s{more}}}]}}"
        for name, metric, more in (
            ("comparisons", "acc", ""),
            ("arithmetic", "exact_match", ", override: {generation_kwargs: {do_sample: true, temperature: -1.0}}"),
        )
    ]
    Path("half.yaml").write_text(f"tasks: [{', '.join(sources)}]")
    out = Path("new")
    with pytest.raises(UsageError, match="transformers refuses the generation settings"):
        run(str(tiny_checkpoint), "half.yaml", options=RunOptions(limit=2, out=out))
    assert [p.name for p in out.iterdir() if not p.name.startswith("journal")] == []
    assert rows_in(out / "journal.sqlite") > 0, "what was scored before the failure is kept"


def _window(checkpoint: Path, tokens: int) -> None:
    config = json.loads((checkpoint / "config.json").read_text()) | {"max_position_embeddings": tokens}
    (checkpoint / "config.json").write_text(json.dumps(config))


def test_a_prompt_that_does_not_fit_loses_whole_shots_and_is_counted(copy: Path) -> None:
    before = run(str(copy), "smoke", options=RunOptions(limit=3, out=Path("wide")))
    assert before.manifest["dropped"] == before.manifest["cut"] == {}
    _window(copy, 40)
    done = run(str(copy), "smoke", options=RunOptions(limit=3))
    dropped = done.manifest["dropped"]["smoke-arithmetic few-shot"]
    assert dropped["prompts"] == 3 and 3 <= dropped["shots"] < 6
    assert "smoke-arithmetic few-shot" not in done.manifest["cut"]
    mine, wide = (r.records[r.records["task"] == "smoke-arithmetic"] for r in (done, before))
    assert set(mine["presentation"]) == {"document"} and not set(mine["shots"]) & set(wide["shots"])
    with pytest.raises(PairingError, match="different shots"):
        compare(before, done)


def test_an_item_that_does_not_fit_is_cut_and_counted(copy: Path) -> None:
    lengths = [12, 40, 13]
    Path("long.jsonl").write_text("".join(json.dumps({"q": "go " * n}) + "\n" for n in lengths))
    Path("long.yaml").write_text(
        "task: long\ndataset_path: json\ndataset_kwargs: {data_files: {test: long.jsonl}}\noutput_type: generate_until\n"  # noqa: E501
        "test_split: test\ndoc_to_text: '{{q}}'\ndoc_to_target: x\ngeneration_kwargs: {max_gen_toks: 4, until: ['.']}\n"
    )
    Path("suite.yaml").write_text(
        "tasks: [{name: long, capability: c, metric: exact_match, sources: [{path: long.yaml, setting: s}]}]"
    )
    _window(copy, 50)
    done = run(str(copy), "suite.yaml")
    assert done.manifest["cut"]["long s"]["prompts"] == 1
    assert list(done.records["presentation"]) == ["document", "document, cut", "document"]
    _window(copy, 8)
    with pytest.raises(UsageError, match=r"long.yaml: every item is longer than the model can read, by \d+ tokens"):
        run(str(copy), "suite.yaml", options=RunOptions(out=Path("narrow")))


def test_two_checkpoints_of_one_name_do_not_overwrite_each_other(tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "deeper" / "tiny"
    shutil.copytree(tiny_checkpoint, other)
    run(str(tiny_checkpoint), "smoke", options=RunOptions(limit=1))
    with pytest.raises(UsageError, match="another checkpoint.*--node"):
        run(str(other), "smoke", options=RunOptions(limit=1))
    renamed = run(str(other), "smoke", options=RunOptions(limit=1, node="copy of tiny"))
    assert Path(renamed.manifest["folder"]).name == "copy--of--tiny-smoke-first1"
    assert counts(renamed)["reused"] == 10, "the same weights give the same answers, wherever they lie"


def test_node_names(tiny_checkpoint: Path) -> None:
    assert node_name(str(tiny_checkpoint) + "/") == "tiny"
    assert node_name("owner/model") == "owner/model"


def test_nan_weights_leave_nothing_behind(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="copy gives NaN"):
        run(str(copy), "smoke")
    assert not list(Path("runs").glob("*smoke*"))


def test_bad_names_and_places(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="did you mean 'smoke'"):
        run("parrot", "smokee", options=PARROT)
    with pytest.raises(UsageError, match="no chat template"):
        run(str(tiny_checkpoint), "smoke", options=RunOptions(chat=True))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't write"):
        run("parrot", "smoke", options=RunOptions(backend="scripted", out=tmp_path / "file" / "run"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("CAPEVAL_DATA", raising=False)
    with pytest.raises(MissingError, match="data set openai/gsm8k"):
        run("parrot", "cot", options=PARROT)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_a_damaged_journal_is_named() -> None:
    Path("runs").mkdir()
    Path("runs/journal.sqlite").write_bytes(b"not a data base at all, though long enough" * 200)
    with pytest.raises(BadFileError, match=r"runs/journal\.sqlite is damaged"):
        run("parrot", "smoke", options=PARROT)
    assert not Path("runs/parrot-smoke").exists()


_FULL_DISK = """
import resource, sys
from pathlib import Path
from capeval.errors import OutputError
from capeval.runner import RunOptions, run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
try:
    run("parrot", "smoke", options=RunOptions(backend="scripted", out=Path("out")))
except OutputError as error:
    print("OutputError:", error)
"""


@pytest.mark.parametrize("size", [10_000, 30_000])
def test_a_full_disk_leaves_the_old_run_whole(size: int) -> None:
    old = run("parrot", "smoke", options=RunOptions(backend="scripted", out=Path("out"), limit=3))
    done = subprocess.run([sys.executable, "-c", _FULL_DISK, str(size)], capture_output=True, text=True, check=True)
    assert "OutputError: can't" in done.stdout, done.stdout + done.stderr
    pd.testing.assert_frame_equal(load_run("out").records, old.records)


@pytest.mark.data
def test_cot_suite_pairs_its_settings(public_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    done = run("parrot", "cot", options=RunOptions(backend="scripted", limit=2))
    assert done.manifest["contrasts"] == [["cot", "direct"]]
    wide: Any = done.records.pivot(index=["task", "item"], columns="setting", values="score")
    assert len(wide) == 2 * 28 and not wide.isna().any().any()
    assert done.records[done.records["task"] == "bbh"]["cluster"].nunique() == 27


def test_progress_is_for_terminals_only(capfd: pytest.CaptureFixture[str]) -> None:
    run("parrot", "smoke", options=RunOptions(backend="scripted", limit=1, progress=True))
    assert capfd.readouterr() == ("", "")


def test_prompts_are_shown_as_the_model_reads_them_and_nothing_is_asked(bos_checkpoint: Path) -> None:
    prompts = show(str(bos_checkpoint), "smoke", 2)
    first = prompts[0]
    assert first.task == "smoke-arithmetic few-shot" and (first.item, first.shots) == (1, 2)
    assert first.pieces[0] == ("<s>", True, 1) and not any(piece.special for piece in first.pieces[1:])
    assert "".join(piece.text for piece in first.pieces[1:]).startswith("Question: What is 1 plus 2?")
    assert len(prompts) == 12 and not Path("runs").exists()
    choices = next(prompt for prompt in prompts if prompt.task.startswith("smoke-comparisons"))
    assert len(choices.continuations) > 1 and not choices.generation


def test_how_a_node_was_asked_is_in_its_manifest(bos_checkpoint: Path, tiny_checkpoint: Path) -> None:
    done = [run(str(folder), "smoke", options=RunOptions(limit=1, system="Be brief.")) for folder in
            (bos_checkpoint, tiny_checkpoint)]  # fmt: skip
    told, other = (d.manifest["prompting"] for d in done)
    mine = done[0].records["presentation"].iloc[0]
    assert (told["system"], told["chat_template"], told["shots_as"]) == ("Be brief.", "", "turns")
    task = told["tasks"]["smoke-arithmetic few-shot"]
    [file] = task["files"].values()
    assert (file["shots"], file["begins_with"], file["presentation"]) == (2, ["<s>"], mine)
    assert task["first_prompt"].startswith("<s>Be brief.") and "What is 1 plus 2?" in task["first_prompt"]
    assert other["tasks"]["smoke-arithmetic few-shot"]["files"]["smoke/arithmetic.yaml"]["begins_with"] == []
    effects = compare(*done).effects
    assert effects["confounds"].str.contains("prompts begin with no special token against <s>").all()


def test_shots_as_text_are_another_presentation_of_the_same_shots() -> None:
    options = RunOptions(backend="scripted", chat=True, limit=3)
    turns = run("parrot", "smoke", options=replace(options, node="turns"))
    text = run("parrot", "smoke", options=replace(options, node="text", shots_as="text"))
    mine, other = (r.records[r.records["task"] == "smoke-arithmetic"].reset_index() for r in (turns, text))
    assert list(mine["shots"]) == list(other["shots"])
    assert set(mine["presentation"]) != set(other["presentation"])
    first = [r.manifest["prompting"]["tasks"]["smoke-arithmetic few-shot"]["first_prompt"] for r in (turns, text)]
    assert [prompt.count("user: ") for prompt in first] == [3, 1]
    effects = compare(turns, text).effects
    row = effects[effects["task"] == "smoke-arithmetic"].iloc[0]
    assert "different presentation on 3 items" in row["confounds"]


def test_a_node_that_is_asked_otherwise_keeps_its_other_runs() -> None:
    ways = [{}, {"chat": True}, {"chat": True, "shots_as": "text"}, {"system": "Hi."}, {"seed": 1}, {"limit": 2},
            {"revision": "step1"}, {"revision": "step2"}]  # fmt: skip
    for way in ways:
        run("parrot", "smoke", options=replace(PARROT, **({"limit": 1} | way)))
    assert len(list(Path("runs").glob("parrot-smoke*/manifest.json"))) == len(ways)


def test_a_template_that_refuses_system_messages_shows_them_in_the_first_question(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    [first, *_] = show(str(copy), "smoke", 1, options=RunOptions(chat=True, system="Be brief."))
    text = "".join(piece.text for piece in first.pieces)
    assert text.startswith("[user] Be brief.\n\nQuestion: What is 1 plus 2?") and text.count("Be brief.") == 1


def test_answers_that_never_ended_and_count_all_the_same_are_said() -> None:
    rows = [("plain", "", 1.0), ("plain", "", 0.0), ("read", "strict", 1.0)]
    frame = as_records([
        {"task": task, "setting": "s", "item": str(n), "score": score, "finish": "length", "rung": rung,
         "flag": "" if score else "truncated"} for n, (task, rung, score) in enumerate(rows)
    ])  # fmt: skip
    assert unfinished(frame) == {"plain s": {"answers": 2, "right": 1}}
