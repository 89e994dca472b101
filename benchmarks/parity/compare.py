"""Both harnesses on one checkpoint, then every prompt, reply, log-probability, extraction and metric side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.parity.tasks import ParityTask, lm_eval_config, write_suite
from capeval.digest import digest
from capeval.item_metrics import NOTHING, PERPLEXITIES, pooled
from capeval.runner import RunOptions, run

TOLERANCE = 1e-4
"""Of scores and log-probabilities; a single log-probability is recorded with six digits, whose last may differ."""
DIGITS = 1e-5
_BATCH = 8
_LEAST = 0.2
Samples = Mapping[str, Sequence[Mapping[str, Any]]]
"""lm-eval's task → its logged samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One filter of one task file, item by item."""

    path: str
    task: str
    """lm-eval's name of it."""
    output_type: str
    shots: int
    setting: str
    """The filter, or `ladder`."""
    items: int
    right: float
    wrong: float
    extracted: float
    """Share of items in which the filter found something."""
    differences: tuple[str, ...]
    """What differs and in which item: "3 score"."""

    @property
    def agreement(self) -> float:
        """Share of items in which nothing differs."""
        return 1 - len({text.split()[0] for text in self.differences}) / self.items


def lopsided(one: Compared) -> bool:
    """Whether its answers are nearly all right or nearly all wrong, or its filter finds nothing: that proves little."""
    return min(one.right, one.wrong) < _LEAST or not one.extracted


def lm_eval_samples(checkpoint: Path, tasks: Sequence[ParityTask], limit: int) -> tuple[Samples, Mapping[str, Any]]:
    """What lm-eval logs of the tasks, and its configurations by path of the task file."""
    import logging

    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    configs = {task.path: lm_eval_config(task) for task in tasks}
    found = simple_evaluate(
        model=HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=_BATCH),
        tasks=list(configs.values()),
        task_manager=TaskManager(include_defaults=False),
        limit=limit,
        log_samples=True,
        bootstrap_iters=0,
    )
    shots = {name: found["n-shot"][name] for name in found["samples"]}
    told = {path: config | {"num_fewshot": shots[config["task"]]} for path, config in configs.items()}
    return found["samples"], told


def capeval_records(
    checkpoint: Path, tasks: tuple[ParityTask, ...], limit: int, out: Path, overrides: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """What capeval records of the same; see `write_suite` for overrides."""
    out.mkdir(parents=True, exist_ok=True)
    suite = write_suite(tasks, out / "suite.yaml", overrides)
    done = run(str(checkpoint), str(suite), options=RunOptions(out=out / "run", limit=limit))
    if done.manifest["cut"] or done.manifest["dropped"]:
        raise SystemExit("the window is too small: prompts lost shots, or their beginning, so nothing compares")
    return done.records


def compare(
    tasks: Sequence[ParityTask], records: pd.DataFrame, samples: Samples, configs: Mapping[str, Any]
) -> list[Compared]:
    """Every filter of every task; see `Compared`."""
    found = []
    for task in tasks:
        config = configs[task.path]
        theirs = [dict(sample) for sample in samples[config["task"]]]
        by_filter = {
            name: sorted((s for s in theirs if s["filter"] == name), key=lambda s: s["doc_id"]) for name in task.filters
        }
        if len(task.filters) > 1:
            rungs = zip(*by_filter.values(), strict=True)
            by_filter["ladder"] = [next((s for s in rung if _extracted(s)), rung[0]) for rung in rungs]
        for setting, chosen in by_filter.items():
            found.append(_compared(task, setting, chosen, records, config))
    return found


def _compared(
    task: ParityTask, setting: str, theirs: list[dict[str, Any]], records: pd.DataFrame, config: Mapping[str, Any]
) -> Compared:
    differences: list[str] = []
    for metric in task.metrics:
        ours = records[(records["task"] == f"{task.path} {metric}") & (records["setting"] == setting)]
        if len(ours) != len(theirs):
            raise SystemExit(f"{task.path}: lm-eval asked {len(theirs)} items, capeval {len(ours)}")
        for number, ((_, row), sample) in enumerate(zip(ours.iterrows(), theirs, strict=True)):
            differences += [f"{number} {what}" for what in _differences(row, sample, metric)]
    scores = [_number(sample, next(iter(task.metrics))) for sample in theirs]
    # a text that was learnt takes less than one bit a byte, another takes several
    right = sum(s < 1 if config["output_type"] == "loglikelihood_rolling" else s >= 0.5 for s in scores) / len(scores)
    return Compared(
        path=task.path, task=config["task"], output_type=config["output_type"], shots=config["num_fewshot"] or 0,
        setting=setting, items=len(theirs), right=right, wrong=1 - right,
        extracted=sum(map(_extracted, theirs)) / len(theirs), differences=tuple(differences),
    )  # fmt: skip


def _differences(row: pd.Series, sample: Mapping[str, Any], metric: str) -> Iterator[str]:
    """What of an item differs: error, prompt, response, extracted, score."""
    if row["error"]:
        yield "error"
    arguments = [list(given) for given in sample["arguments"]]
    if row["prompt_digest"] != digest([given[0] for given in arguments]):
        yield "prompt"
    replies = [responses[0] for responses in sample["resps"]]
    if isinstance(replies[0], str):
        if row["response"] != replies[0]:
            yield "response"
        if row["extracted"] != (_taken(sample) if _extracted(sample) else None):
            yield "extracted"
    elif not _same_logprobs(row["response"], arguments, replies):
        yield "response"
    if not math.isclose(row["score"], _number(sample, metric), rel_tol=DIGITS, abs_tol=TOLERANCE):
        yield "score"


def _same_logprobs(response: str, arguments: list[list[Any]], replies: list[Any]) -> bool:
    """Of every choice, with its text."""
    wanted = [float(reply[0] if isinstance(reply, tuple) else reply) for reply in replies]
    seen = json.loads(response)
    if isinstance(seen, list):
        choices = [given[1].strip() or given[0] for given in arguments]
        if choices != [choice for choice, _ in seen]:
            return False
    got = [value for _, value in seen] if isinstance(seen, list) else [seen]
    return all(math.isclose(a, b, rel_tol=DIGITS, abs_tol=TOLERANCE) for a, b in zip(got, wanted, strict=True))


def _taken(sample: Mapping[str, Any]) -> str:
    """What lm-eval's filter took from the first (only) reply."""
    taken = sample["filtered_resps"][0]
    return str(taken[0] if isinstance(taken, list) else taken)


def _extracted(sample: Mapping[str, Any]) -> bool:
    return not isinstance(sample["resps"][0][0], str) or _taken(sample).strip() not in NOTHING


def _number(sample: Mapping[str, Any], metric: str) -> float:
    value = sample[metric]
    return pooled(metric, *value) if metric in PERPLEXITIES and isinstance(value, tuple | list) else float(value)
