"""Folders that lm-eval itself writes, with a tiny random model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from capeval.digest import digest
from capeval.errors import BadFileError, UsageError
from capeval.harness import Form, prepare
from capeval.recordings import ImportOptions, import_records
from capeval.recordings.lm_eval_prompts import presentation, shots
from capeval.shipped import folder
from capeval.store.items import item_digest
from capeval.store.runs import load_run, save_run
from capeval.suites import load_suite

FIRST = {"function": "take_first"}
DOCS = [{"q": f"{i}+1=", "a": str(i + 1)} for i in range(4)] + [{"q": "0+1=", "a": "1"}]


def _documents(**_: Any) -> Any:
    import datasets

    return datasets.DatasetDict({"test": datasets.Dataset.from_list(DOCS)})


def _task(name: str, output_type: str, metrics: list[str], **more: Any) -> dict[str, Any]:
    return {
        "task": name,
        "custom_dataset": _documents,
        "output_type": output_type,
        "test_split": "test",
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
        "num_fewshot": 0,
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics],
    } | more


TASKS = [
    _task(
        "toy_gen",
        "generate_until",
        ["exact_match"],
        generation_kwargs={"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
        filter_list=[
            {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "([0-9])"}, FIRST]},
            {"name": "loose", "filter": [FIRST]},
        ],
    ),
    _task("toy_mc", "multiple_choice", ["acc", "acc_norm"], doc_to_choice=["1", "2", "3"],
          doc_to_target="{{ [a|int - 1, 2]|min }}"),
    _task("toy_roll", "loglikelihood_rolling", [], doc_to_text="", doc_to_target="{{q}}", metric_list=[
        {"metric": "word_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False},
        {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}]),
]  # fmt: skip


SMOKE = ("arithmetic", "capitals", "last_word")


def _smoke(name: str) -> dict[str, Any]:
    """A task of the smoke suite, its documents read without a cache folder."""
    import datasets
    from lm_eval.tasks._yaml_loader import load_yaml

    home = folder("tasks") / "smoke"
    config: dict[str, Any] = load_yaml(home / f"{name}.yaml")
    docs = json.loads((home / config.pop("dataset_kwargs")["data_files"]["test"]).read_text("utf-8"))
    del config["dataset_path"]
    return config | {"custom_dataset": lambda **_: datasets.DatasetDict({"test": datasets.Dataset.from_list(docs)})}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    pytest.importorskip("lm_eval")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    home = tmp_path_factory.mktemp("tiny")
    symbols = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(home)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(symbols),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    LlamaForCausalLM(config).save_pretrained(home)
    return home


@pytest.fixture(scope="module")
def output(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `lm_eval run --log_samples --output_path DIR` leaves behind."""
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("lm_eval")
    tracker = EvaluationTracker(output_path=str(folder))
    results = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(checkpoint), "device": "cpu"},
        tasks=[*TASKS, *map(_smoke, SMOKE)],
        limit=len(DOCS),
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
        evaluation_tracker=tracker,
    )
    assert results is not None
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in results["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    return folder


def _logged(output: Path, task: str) -> list[dict[str, Any]]:
    file = next(output.rglob(f"samples_{task}_*.jsonl"))
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_scores_items_and_repetitions_are_lm_evals(output: Path) -> None:
    run = import_records(output, options=ImportOptions(node="base", capability="arithmetic"))
    choice = run.records[run.records.task == "toy_mc"]
    assert list(choice.score) == [row["acc"] for row in _logged(output, "toy_mc")]
    digests = [item_digest(doc) for doc in DOCS]
    assert list(choice["item"]) == [*digests[:4], f"{digests[0]}#2"]
    assert set(choice.extracted) <= {"1", "2", "3"}
    assert set(choice.shots) == {digest("")}, "nothing was shown but the question"
    assert set(run.records.capability) == {"arithmetic"}
    rolling = run.records[run.records.task == "toy_roll"].score
    logged = [row["bits_per_byte"] for row in _logged(output, "toy_roll")]
    assert list(rolling) == pytest.approx([-ll / (n * 0.6931471805599453) for ll, n in logged])
    specs = {task.name: task for task in run.tasks}
    assert specs["toy_mc"].metric == "acc"
    assert specs["toy_mc"].chance == pytest.approx(1 / 3)
    assert specs["toy_roll"].orientation == "lower"
    assert specs["toy_roll"].unit == "bits per byte"


def test_pairs_with_what_the_harness_itself_asks(output: Path) -> None:
    imported = import_records(output, options=ImportOptions()).records
    seen = 0
    for asked in prepare(load_suite("smoke"), Form(), limit=len(DOCS)):
        logged = imported[imported.task == asked.spec.name.replace("-", "_")]
        if logged.empty:
            continue
        seen += 1
        assert list(logged["item"]) == [document.item for document in asked.documents]
        assert list(logged.shots) == [document.shots for document in asked.documents]
        assert set(logged.presentation) == {asked.presentation}
        sent = [digest([samples[0].text for samples in document.requests]) for document in asked.documents]
        assert list(logged.prompt_digest) == sent
    assert seen == len(SMOKE)


@pytest.mark.parametrize("system", ["", "Be brief."])
def test_a_chat_form_has_the_harness_s_label(system: str) -> None:
    harness = Form(chat=lambda messages, **_: str(messages), template="{{ messages }}", system=system).presentation
    logged = {"chat_template": "{{ messages }}", "system_instruction": system or None, "fewshot_as_multiturn": True}
    assert presentation(logged) == harness
    assert presentation(logged | {"fewshot_as_multiturn": None}) == harness
    assert presentation(logged | {"fewshot_as_multiturn": False}) == f"{harness}, shots in one turn"


def test_filters_are_chosen_and_kept_apart(output: Path) -> None:
    first = import_records(output, options=ImportOptions(task="toy_gen"))
    assert len(first.records) == len(DOCS)
    assert first.manifest["imported"]["filters"] == {"toy_gen": "strict"}
    assert set(first.records.flag) == {"unextracted"}, "the random model writes no digit here"
    assert first.records.extracted.isna().all()
    loose = import_records(output, options=ImportOptions(task="toy_gen", filter="loose"))
    assert list(loose.records.extracted) == list(loose.records.response)
    with pytest.raises(UsageError, match="did you mean 'loose'"):
        import_records(output, options=ImportOptions(task="toy_gen", filter="lose"))


def test_becomes_an_ordinary_run(output: Path, tmp_path: Path) -> None:
    options = ImportOptions(node="sft", licence="MIT", source="own", mapping={"toy_gen": "toy:direct"})
    run = import_records(output, options=options)
    back = load_run(save_run(run, tmp_path / "run"))
    assert back.records.equals(run.records)
    assert back.tasks == run.tasks
    assert back.manifest["imported"]["licence"] == "MIT"
    assert {(r.task, r.setting) for r in back.records.itertuples()} >= {("toy", "direct"), ("toy_mc", "0-shot")}


def test_tasks_of_a_group_are_clusters(output: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(output, tmp_path / "grouped"))
    results = next(folder.rglob("results_*.json"))
    data = json.loads(results.read_text("utf-8"))
    data["group_subtasks"] = {"both": ["toy_mc"], "all": ["both"]}
    results.write_text(json.dumps(data), encoding="utf-8")
    run = import_records(folder, options=ImportOptions(task="all"))
    assert set(run.records.task) == {"all"}
    assert set(run.records.cluster) == {"toy_mc"}
    assert run.tasks[0].cluster_role == "strata"


@pytest.mark.parametrize(
    ("template", "doc", "prompt", "before"),
    [
        ("Q: {{q}}\nA:", {"q": "1+1"}, "Q: 0+1\nA: 1\n\nQ: 1+1\nA:", "Q: 0+1\nA: 1\n\n"),
        ("q", {"q": "1+1"}, "shots\n\n1+1", "shots\n\n"),
        ("{{q|regex_replace('[+]', 'plus')}}", {"q": "1+1"}, "1plus1", ""),
    ],
)
def test_shots_are_what_stands_before_the_question(template: str, doc: Any, prompt: str, before: str) -> None:
    row = {"doc": doc, "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {}}}}
    results = {"configs": {"t": {"doc_to_text": template}}, "n-shot": {"t": 1}}
    assert shots(row, "t", results) == digest(before)
    assert shots(row, "t", results | {"chat_template": "…"}) == "1-shot"
    assert shots(row, "t", {**results, "configs": {"t": {"doc_to_text": "def f(doc): ..."}}}) == "1-shot"


@pytest.mark.parametrize("template", ["{{ ''.__class__.__mro__ }}", "{{ missing }}", "{{", "{{ 1 / 0 }}"])
def test_a_template_reaches_nothing_and_breaks_nothing(template: str) -> None:
    row = {"doc": {"q": 1}, "arguments": {"gen_args_0": {"arg_0": "text", "arg_1": {}}}}
    assert shots(row, "t", {"configs": {"t": {"doc_to_text": template}}, "n-shot": {"t": 0}}) == "0-shot"


def test_unknown_names_are_answered_with_the_nearest(output: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'toy_mc'"):
        import_records(output, options=ImportOptions(task="toy_mx"))
    with pytest.raises(UsageError, match="did you mean 'acc_norm'"):
        import_records(output, options=ImportOptions(task="toy_mc", metric="acc_norn"))
    with pytest.raises(UsageError, match="unknown model 'other'"):
        import_records(output, options=ImportOptions(model="other"))


def test_a_cut_log_is_one_clear_error(output: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(output, tmp_path / "cut"))
    file = next(folder.rglob("samples_toy_mc_*.jsonl"))
    text = file.read_text("utf-8")
    file.write_text(text[: len(text) - 40], encoding="utf-8")
    with pytest.raises(BadFileError, match=r"samples_toy_mc_.*jsonl:5: not JSON"):
        import_records(folder, options=ImportOptions())
    file.write_text(text.replace('"acc": 0.0', '"acc": NaN'), encoding="utf-8")
    with pytest.raises(BadFileError, match="the score is nan"):
        import_records(folder, options=ImportOptions())
    next(folder.rglob("results_*.json")).unlink()
    with pytest.raises(UsageError, match="has no results_"):
        import_records(folder, options=ImportOptions())
