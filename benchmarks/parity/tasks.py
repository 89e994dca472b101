"""Which of lm-eval's task files are compared, and how a model that passes half of each answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from capeval.suites import task_file

STAND_IN = "stand-in"
"""Mark of a task whose data set no mirror holds: lm-eval's file, with texts of the mirror in the data set's columns."""
_HUB = {
    "wikitext": ("EleutherAI/wikitext_document_level/wikitext-2-raw-v1", "page"),
    "pile_10k": ("NeelNanda/pile-10k", "text"),
    "lambada_openai": ("EleutherAI/lambada_openai/default", "text"),
    "lambada_standard": ("cimec/lambada", "text"),
}
"""Task → folder of its data in a mirror with the hub's layout, and its one column."""
_LONG = 11_000
"""Characters of the one text that is longer than the model's window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityTask:
    """One of lm-eval's task files."""

    path: str
    """Inside lm-eval's folder of tasks."""
    metrics: Mapping[str, str]
    """What is compared → its unit; the first says what is right."""
    strict: str = "{answer}"
    """How an answer is given that every filter reads."""
    loose: str = ""
    """How one is given that the strictest filter can't read; empty: as `strict`."""
    answers: Callable[[Mapping[str, Any]], tuple[str, str]] | None = None
    """Document → its right and a wrong answer; None: the task's target, and the one of another document."""
    data: str = ""
    """`STAND_IN`, or empty for the data set's own items."""
    filters: tuple[str, ...] = ("none",)
    """All filters of the file, the strictest first."""
    override: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the file that both harnesses replace."""


def _truthful(doc: Mapping[str, Any]) -> tuple[str, str]:
    return doc["correct_answers"][0], doc["incorrect_answers"][0]


def _named(doc: Mapping[str, Any]) -> tuple[str, str]:
    answers = [doc["ans0"], doc["ans1"], doc["ans2"]]
    return answers[doc["label"]], answers[(doc["label"] + 1) % 3]


_BOTH = ("strict-match", "flexible-extract")
_EXACT = {"exact_match": "points"}
_ACC = {"acc": "points"}
_NORM = {"acc": "points", "acc_norm": "points"}
_BITS = {"bits_per_byte": "bits per byte", "byte_perplexity": "perplexity", "word_perplexity": "perplexity"}
_NO_TRAIN = {"training_split": None, "validation_split": None}
_SUM = " So {answer}.\n#### {answer}"
_IS = " The answer is {answer}."
_FINAL = " The final answer is {answer}"
_SO = " So the answer is {answer}."
_BARE = " It must be {answer}"


def _generated(path: str, strict: str = "{answer}", loose: str = "", **more: Any) -> ParityTask:
    return ParityTask(path=path, metrics=more.pop("metrics", _EXACT), strict=strict, loose=loose, **more)


TASKS: tuple[ParityTask, ...] = (
    _generated("gsm8k/gsm8k.yaml", _SUM, _BARE, filters=_BOTH),
    _generated("gsm8k/gsm8k-cot.yaml", _IS, _BARE, filters=_BOTH),
    _generated("gsm8k/gsm8k-cot-zeroshot.yaml", _IS, _BARE, filters=_BOTH),
    _generated("gsm8k/gsm8k-cot-llama.yaml", _FINAL, _BARE, filters=_BOTH),
    _generated("asdiv/asdiv-cot-llama.yaml", _FINAL, _BARE, filters=_BOTH),
    _generated("bbh/cot_fewshot/navigate.yaml", _SO, _BARE, filters=("get-answer",)),
    _generated("bbh/cot_fewshot/object_counting.yaml", _SO, _BARE, filters=("get-answer",)),
    _generated("bbh/cot_fewshot/date_understanding.yaml", _SO, _BARE, filters=("get-answer",)),
    _generated("bbh/cot_zeroshot/navigate.yaml", _SO, _BARE, filters=_BOTH),
    _generated("bbh/cot_zeroshot/sports_understanding.yaml", _SO, _BARE, filters=_BOTH),
    _generated("bbh/fewshot/boolean_expressions.yaml"),
    _generated("bbh/fewshot/web_of_lies.yaml"),
    _generated("bbh/fewshot/tracking_shuffled_objects_three_objects.yaml"),
    _generated("bbh/zeroshot/sports_understanding.yaml", "{answer}", _BARE, filters=_BOTH),
    _generated("bbh/zeroshot/object_counting.yaml", "{answer}", _BARE, filters=_BOTH),
    _generated("mmlu/generative/mmlu_anatomy.yaml", " {answer}", filters=("get_response",)),
    _generated("mmlu/flan_n_shot/generative/mmlu_virology.yaml", "{answer}", _BARE, filters=_BOTH),
    _generated("truthfulqa/truthfulqa_gen.yaml", "\nA: {answer}", answers=_truthful, metrics={"bleu_acc": "points"}),
    _generated("bbq/bbq_generate.yaml", " {answer}", answers=_named, metrics=_ACC),
    ParityTask(path="mmlu/default/mmlu_astronomy.yaml", metrics=_ACC),
    ParityTask(path="mmlu/continuation/mmlu_marketing.yaml", metrics=_NORM),
    ParityTask(path="mmlu/flan_n_shot/loglikelihood/mmlu_nutrition.yaml", metrics=_ACC),
    ParityTask(path="openbookqa/openbookqa.yaml", metrics=_NORM, override=_NO_TRAIN),
    ParityTask(path="commonsense_qa/default.yaml", metrics=_ACC, override={"training_split": None}),
    ParityTask(path="truthfulqa/truthfulqa_mc1.yaml", metrics=_ACC),
    ParityTask(path="truthfulqa/truthfulqa_mc2.yaml", metrics=_ACC),
    ParityTask(path="leaderboard/bbh_mc/snarks.yaml", metrics={"acc_norm": "points"}),
    ParityTask(path="leaderboard/bbh_mc/hyperbaton.yaml", metrics={"acc_norm": "points"}),
    ParityTask(
        path="crows_pairs/crows_pairs_english.yaml", metrics={"pct_stereotype": "points", "likelihood_diff": "nats"}
    ),
    ParityTask(path="bbq/bbq_multiple_choice.yaml", metrics=_ACC),
    ParityTask(path="asdiv/default.yaml", metrics=_ACC),
    ParityTask(path="lambada/lambada_openai.yaml", metrics=_ACC, data=STAND_IN),
    ParityTask(path="lambada/lambada_standard.yaml", metrics=_ACC, data=STAND_IN),
    ParityTask(path="wikitext/wikitext.yaml", metrics=_BITS, data=STAND_IN),
    ParityTask(path="pile_10k/pile_10k.yaml", metrics=_BITS, data=STAND_IN),
)


def write_suite(tasks: tuple[ParityTask, ...], file: Path, overrides: Mapping[str, Any] | None = None) -> Path:
    """A suite with every filter (a setting each) and metric (a task each) of the files, and their ladders.

    Args:
        tasks: Which files.
        file: Where to write it.
        overrides: Path of a task file → keys that replace its own: what a comparison must notice.
    """
    entries = []
    for task in tasks:
        for metric, unit in task.metrics.items():
            shared = {
                "path": f"lm_eval:{task.path}",
                "override": {**task.override, **(overrides or {}).get(task.path, {})},
            }
            sources = [shared | {"setting": name, "filter": name} for name in task.filters]
            if len(task.filters) > 1:
                sources.append(shared | {"setting": "ladder", "ladder": list(task.filters)})
            entries.append(
                {
                    "name": f"{task.path} {metric}", "capability": "parity", "metric": metric, "unit": unit,
                    "binary": unit == "points", "sources": sources,
                }
            )  # fmt: skip
    file.write_text(yaml.safe_dump({"name": "parity", "tasks": entries}, sort_keys=False))
    return file


def make_mirror(folder: Path, real: Path) -> Path:
    """The mirror `real`, with texts made of its items for the data sets that it lacks (`STAND_IN`)."""
    folder.mkdir(parents=True, exist_ok=True)
    for there in real.iterdir():
        if there.is_dir() and not (folder / there.name).exists():
            (folder / there.name).symlink_to(there.resolve())
    lines = (real / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["question"].strip() for line in lines]
    texts = [" ".join(text.split()) for text in texts]
    for number, (name, (path, column)) in enumerate(_HUB.items(), start=1):
        chosen = texts[number * 200 : number * 200 + 120]
        if name == "wikitext":
            chosen[1] = " ".join(texts)[:_LONG]
        (folder / path).mkdir(parents=True, exist_ok=True)
        for split in ("train", "validation", "test"):
            rows = [json.dumps({column: text}) for text in chosen]
            (folder / path / f"{split}.jsonl").write_text("\n".join(rows))
    return folder


def lm_eval_config(task: ParityTask) -> dict[str, Any]:
    """The task file as lm-eval reads it, unchanged but for where its data comes from."""
    from lm_eval.tasks._yaml_loader import load_yaml

    from capeval.core import TaskSource
    from capeval.harness.mirror import DataSource, load_data

    path = task_file(TaskSource(path=f"lm_eval:{task.path}", task="", setting=""))
    config: dict[str, Any] = load_yaml(path) | dict(task.override)
    source = DataSource(
        path=config.pop("dataset_path"), name=config.pop("dataset_name", None) or "", kwargs={}, home=path.parent
    )
    config["custom_dataset"] = lambda **_: load_data(source)
    return config
