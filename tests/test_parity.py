"""Item by item, capeval's scores are those of `lm_eval` itself: same tasks, same checkpoint, every output type."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from capeval.core import Suite, TaskSource
from capeval.runner import RunOptions, run
from capeval.suites import load_suite, task_file


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """lm-eval reads JSON through datasets' cache on disk."""
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def peer(checkpoint: Path, configs: list[dict[str, Any]], limit: int | None, **form: Any) -> dict[str, list[Any]]:
    """lm-eval's own samples by task name."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    options = {key: form.pop(key) for key in ("add_bos_token", "batch_size") if key in form}
    model = HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", **{"batch_size": 8} | options)
    manager = TaskManager(include_defaults=False)
    found = simple_evaluate(model=model, tasks=configs, task_manager=manager, limit=limit, log_samples=True,
                            bootstrap_iters=0, **form)  # fmt: skip
    return found["samples"]


def config_of(source: TaskSource, dataset: Callable[..., Any] | None = None) -> dict[str, Any]:
    """The task file as lm-eval reads it; its data from beside the file, or from `dataset`."""
    from lm_eval.tasks._yaml_loader import load_yaml

    path = task_file(source)
    config = load_yaml(path) | source.override
    if dataset:
        repo, name = config.pop("dataset_path"), config.pop("dataset_name")
        config["custom_dataset"] = lambda **_: dataset(repo, name)
    else:
        files = config["dataset_kwargs"]["data_files"]
        config["dataset_kwargs"] = {"data_files": {k: str(path.parent / v) for k, v in files.items()}}
    return config


def same(suite: Suite, records: pd.DataFrame, samples: dict[str, list[Any]], configs: list[dict[str, Any]]) -> None:
    """Scores and replies of every item; records are in lm-eval's order."""
    start = 0
    for source, config in zip(suite.sources, configs, strict=True):
        metric = source.metric or suite.task(source.task).metric
        theirs = samples[config["task"]]
        theirs = [s for s in theirs if s["filter"] == (source.filter or theirs[0]["filter"])]
        theirs.sort(key=lambda sample: sample["doc_id"])
        ours = records.iloc[start : start + len(theirs)]
        start += len(theirs)
        assert set(ours["task"]) == {source.task}
        for (_, row), sample in zip(ours.iterrows(), theirs, strict=True):
            assert not row["error"]
            assert row["score"] == pytest.approx(number(sample[metric]), abs=1e-4), (source.path, row["response"])
            same_reply(row, sample)
    assert start == len(records)


def number(value: Any) -> float:
    """A logged metric of one item; bits per byte are logged as (log-probability, bytes)."""
    return -value[0] / value[1] / math.log(2) if isinstance(value, tuple) else float(value)


def same_reply(row: pd.Series, sample: dict[str, Any]) -> None:
    replies = [responses[0] for responses in sample["resps"]]
    if isinstance(replies[0], str):
        assert row["response"] == replies[0]
        return
    logprobs = [reply[0] if isinstance(reply, tuple) else reply for reply in replies]
    seen = json.loads(row["response"])
    seen = [pair[1] for pair in seen] if isinstance(seen, list) else [seen]
    assert seen == pytest.approx(logprobs, abs=1e-3, rel=1e-5)


def test_smoke_suite_scores_as_lm_eval_does(tiny_checkpoint: Path, tmp_path: Path) -> None:
    suite = load_suite("smoke")
    configs = [config_of(source) for source in suite.sources]
    samples = peer(tiny_checkpoint, configs, None)
    records = run(str(tiny_checkpoint), "smoke", options=RunOptions(out=tmp_path / "r")).records
    same(suite, records, samples, configs)
    assert len(suite.sources) >= 6
    kinds = {config["output_type"] for config in configs}
    assert kinds == {"generate_until", "multiple_choice", "loglikelihood", "loglikelihood_rolling"}
    mixed = records.groupby("task")["score"].nunique()
    assert (mixed >= 2).all(), "a task where all items score the same would prove nothing"


def test_batches_of_any_size_score_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    whole = run(str(tiny_checkpoint), "smoke", options=RunOptions(out=tmp_path / "a")).records
    small = run(str(tiny_checkpoint), "smoke", options=RunOptions(out=tmp_path / "b", batch_tokens=150)).records
    assert small["score"].to_numpy() == pytest.approx(whole["score"].to_numpy(), abs=1e-5)
    told = whole["finish"] != ""
    assert list(small[told]["response"]) == list(whole[told]["response"])


def test_a_tokenizer_that_adds_bos(bos_checkpoint: Path, tmp_path: Path) -> None:
    suite = load_suite("smoke")
    records = run(str(bos_checkpoint), "smoke", options=RunOptions(out=tmp_path / "r")).records
    configs = [config_of(source) for source in suite.sources]
    samples = peer(bos_checkpoint, configs[:-1], None)
    # lm-eval puts a second BOS before a rolling text; told to add none, it has one, as we do
    samples |= peer(bos_checkpoint, [config_of(suite.sources[-1])], None, add_bos_token=False)
    same(suite, records, samples, configs)


def test_chat_template_and_system_prompt(tiny_checkpoint: Path, tmp_path: Path) -> None:
    import shutil

    checkpoint = tmp_path / "chatty"
    shutil.copytree(tiny_checkpoint, checkpoint)
    template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    (checkpoint / "chat_template.jinja").write_text(template)
    suite = load_suite("smoke")
    configs = [config_of(source) for source in suite.sources[:5]]
    samples = peer(checkpoint, configs, 6, apply_chat_template=True, system_instruction="Be brief.")
    options = RunOptions(out=tmp_path / "r", limit=6, chat=True, system="Be brief.")
    records = run(str(checkpoint), "smoke", options=options).records
    plain = run(str(checkpoint), "smoke", options=RunOptions(out=tmp_path / "p", limit=6)).records
    first = records[records["task"] != "smoke-sentences"]
    same(Suite(name="s", title="", tasks=suite.tasks, sources=suite.sources[:5]), first, samples, configs)
    assert list(records["shots"]) == list(plain["shots"]), "the form is no part of the shots"
    assert not set(records["presentation"]) & set(plain["presentation"])


@pytest.mark.data
def test_gsm8k_and_bbh_score_as_lm_eval_does(
    tiny_checkpoint: Path, public_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    file = tmp_path / "few.yaml"
    file.write_text(_FEW.format(direct=task_file(load_suite("cot").sources[1])))
    suite = load_suite(str(file))
    configs = [config_of(source, dataset=real_data(public_data)) for source in suite.sources]
    samples = peer(tiny_checkpoint, configs, 2)
    records = run(str(tiny_checkpoint), str(file), options=RunOptions(out=tmp_path / "r", limit=2)).records
    same(suite, records, samples, configs)
    assert set(records["cluster"]) == {"", "navigate", "boolean_expressions"}
    both = records[records["task"] == "gsm8k"].groupby("setting")["item"].apply(list)
    assert both["cot"] == both["direct"], "the two settings ask the same items"


def real_data(folder: Path) -> Callable[[str, str], Any]:
    import datasets

    def load(repo: str, name: str) -> Any:
        if "gsm8k" in repo:
            rows = [json.loads(line) for line in (folder / "gsm8k" / "test.jsonl").read_text().split("\n") if line]
        else:
            rows = json.loads((folder / "bbh" / f"{name}.json").read_text())["examples"]
        return datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)})

    return load


_FEW = """
name: few
tasks:
  - name: gsm8k
    capability: arithmetic
    metric: exact_match
    sources:
      - {{path: "lm_eval:gsm8k/gsm8k-cot.yaml", setting: cot, filter: strict-match}}
      - {{path: "{direct}", setting: direct, filter: flexible-extract}}
  - name: bbh
    capability: reasoning
    metric: exact_match
    cluster_role: strata
    sources:
      - path: "lm_eval:bbh/fewshot/navigate.yaml"
        setting: direct
        cluster: "{{stem}}"
        override: {{generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: 16, do_sample: false}}}}
      - path: "lm_eval:bbh/cot_fewshot/boolean_expressions.yaml"
        setting: cot
        cluster: "{{stem}}"
        override: {{generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: 24, do_sample: false}}}}
"""
