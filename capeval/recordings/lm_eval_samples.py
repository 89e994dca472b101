"""lm-eval's logged samples: `results_<date>.json` beside `samples_<task>_<date>.jsonl`, as lm-eval 0.4.13 writes them.

An item is the digest of its document, not lm-eval's `doc_id`, so two evaluations pair even if one was cut by `--limit`.
The subtasks of a group (BBH's 27) become the clusters of one task.

    lm_eval run --model hf --model_args pretrained=CKPT --tasks gsm8k --log_samples --output_path DIR
    capeval import DIR --format lm-eval --node sft
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from capeval.digest import digest
from capeval.errors import BadFileError, UsageError, unknown
from capeval.item_metrics import NOTHING, likeliest
from capeval.recordings.answers import Answer
from capeval.recordings.columns import Imported
from capeval.recordings.lm_eval_metrics import choose_metric, per_item, spec
from capeval.recordings.lm_eval_prompts import continuations, is_generation, presentation, prompts, shots
from capeval.recordings.options import ImportOptions
from capeval.recordings.tables import Row, read_rows, require_columns
from capeval.store.files import read_json
from capeval.store.items import item_digest
from capeval.store.runs import number_repeats

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_NEEDED = ("doc", "doc_id", "filter", "metrics", "arguments", "resps", "filtered_resps", "target")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """The samples of one lm-eval task, of one filter."""

    name: str
    path: Path
    rows: list[Row]
    metric: str
    results: Mapping[str, Any]


def read(path: Path, options: ImportOptions) -> Imported:
    """Read the newest samples of every task in the folder.

    Args:
        path: The `--output_path`, or a model's folder in it.
        options: `task`, `filter`, `metric`, `model` choose; `mapping` renames (gsm8k_cot=gsm8k:cot).

    Raises:
        UsageError: no such output, several models and none chosen, unknown task, filter or metric.
        BadFileError: cut or malformed files.
    """
    folder, model = _model_folder(path, options.model)
    files = _newest(folder)
    results = {name: read_json(_results_file(file, folder)) for name, file in files.items()}
    groups = _groups(results)
    wanted = _wanted(files, groups, options.task)
    logs = _consistent([_log(name, files[name], results[name], options) for name in wanted], options)
    tasks: dict[str, list[Answer]] = {}
    specs: dict[str, Mapping[str, Any]] = {}
    for log in logs:
        task, setting = _renamed(groups.get(log.name, log.name), log, options)
        cluster = log.name if log.name in groups else ""
        tasks.setdefault(task, []).extend(_answers(log, setting, cluster))
        specs[task] = spec(log.metric, log.name, log.results, [row.data for row in log.rows], clustered=bool(cluster))
    newest = results[logs[-1].name]
    return Imported(
        tasks={task: _numbered(answers) for task, answers in tasks.items()},
        model=model,
        files=tuple(files[name] for name in wanted),
        specs=specs,
        notes={
            "filters": {log.name: log.rows[0].data["filter"] for log in logs},
            "lm_eval": {
                key: newest.get(key) for key in ("lm_eval_version", "transformers_version", "git_hash", "date")
            },
            "chat_template_sha": newest.get("chat_template_sha"),
            "config": newest.get("config", {}),
        },
    )


def is_output(path: Path) -> bool:
    """Whether a folder holds logged samples."""
    return path.is_dir() and any(_SAMPLES.fullmatch(file.name) for file in path.rglob("samples_*.jsonl"))


def _model_folder(path: Path, model: str) -> tuple[Path, str]:
    """lm-eval makes one folder per model inside its --output_path."""
    if not path.is_dir():
        raise UsageError(
            f"{path} is no folder; give lm-eval's --output_path, which holds results_*.json and samples_*.jsonl"
        )
    folders = {
        file.parent.name: file.parent for file in sorted(path.rglob("samples_*.jsonl")) if _SAMPLES.fullmatch(file.name)
    }
    if not folders:
        raise UsageError(f"{path} holds no samples_<task>_<date>.jsonl; lm-eval writes them under --log_samples")
    if model and model not in folders:
        raise UsageError(f"{unknown('model', model, folders, f'ls {path}')} {path} holds: {', '.join(folders)}")
    if not model and len(folders) > 1:
        raise UsageError(
            f"{path} holds several models: {', '.join(folders)}. Choose one: --model {next(iter(folders))}"
        )
    name = model or next(iter(folders))
    return folders[name], name


def _newest(folder: Path) -> dict[str, Path]:
    """The newest samples of each task; dates in names sort as text."""
    found: dict[str, Path] = {}
    dates: dict[str, str] = {}
    for file in sorted(folder.glob("samples_*.jsonl")):
        if (match := _SAMPLES.fullmatch(file.name)) and match["date"] > dates.get(match["task"], ""):
            found[match["task"]], dates[match["task"]] = file, match["date"]
    return found


def _results_file(samples: Path, folder: Path) -> Path:
    match = _SAMPLES.fullmatch(samples.name)
    file = folder / f"results_{match['date'] if match else ''}.json"
    if not file.is_file():
        raise UsageError(f"{samples} has no {file.name} beside it, where lm-eval says which metrics it used")
    return file


def _groups(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Task → the outermost group that holds it, for groups with several tasks."""
    up: dict[str, str] = {}
    for result in results.values():
        for group, members in (result.get("group_subtasks") or {}).items():
            up.update({member: group for member in members})
    found = {}
    for task in results:
        group = task
        for _ in up:  # as many steps as there are links: no cycle can hold it
            group = up.get(group, group)
        if group != task:
            found[task] = group
    return found


def _wanted(files: Mapping[str, Path], groups: Mapping[str, str], task: str) -> list[str]:
    if not task:
        return list(files)
    chosen = [name for name in files if task in (name, groups.get(name))]
    if not chosen:
        raise unknown("lm-eval task", task, [*files, *groups.values()], "ls the folder")
    return chosen


def _log(name: str, path: Path, results: Mapping[str, Any], options: ImportOptions) -> _Log:
    """One task's rows of one filter, in the order of the documents."""
    rows = read_rows(path)
    for row in rows:
        if missing := [key for key in _NEEDED if key not in row.data]:
            require_columns(missing, [row], path)
        if not isinstance(row.data["doc"], dict):
            raise BadFileError(f"{row.where}: 'doc' must be an object")
    filters = list(dict.fromkeys(str(row.data["filter"]) for row in rows))
    if options.filter and options.filter not in filters and len(filters) > 1:
        raise unknown(f"filter of {name}", options.filter, filters, f"filters: {', '.join(filters)};")
    chosen = options.filter if options.filter in filters else filters[0]
    rows = [row for row in rows if row.data["filter"] == chosen]
    rows.sort(key=lambda row: (isinstance(row.data["doc_id"], int), row.data["doc_id"]))
    metrics = [str(metric) for metric in rows[0].data["metrics"]]
    return _Log(name=name, path=path, rows=rows, metric=_metric(name, metrics, rows, options), results=results)


def _metric(task: str, metrics: list[str], rows: list[Row], options: ImportOptions) -> str:
    if options.metric and options.metric not in metrics:
        raise unknown(f"metric of {task}", options.metric, metrics, f"metrics: {', '.join(metrics)};")
    chosen = choose_metric([options.metric] if options.metric else metrics, [row.data for row in rows])
    if chosen is None:
        raise UsageError(f"no metric of {task} has a score per item ({', '.join(metrics)}); it can't be paired")
    return chosen


def _consistent(logs: list[_Log], options: ImportOptions) -> list[_Log]:
    if options.filter and all(log.rows[0].data["filter"] != options.filter for log in logs):
        filters = sorted({str(log.rows[0].data["filter"]) for log in logs})
        raise unknown("filter", options.filter, filters, f"filters: {', '.join(filters)};")
    return logs


def _renamed(task: str, log: _Log, options: ImportOptions) -> tuple[str, str]:
    """Task and setting under which the samples are filed."""
    number = (log.results.get("n-shot") or {}).get(log.name)
    new, _, setting = options.mapping.get(log.name, options.mapping.get(task, task)).partition(":")
    return new or task, setting or options.setting or (f"{number}-shot" if number is not None else "default")


def _answers(log: _Log, setting: str, cluster: str) -> list[Answer]:
    shown = presentation(log.results)
    answers = []
    for row in log.rows:
        answer = Answer(
            where=row.where,
            item=item_digest(row.data["doc"]),
            setting=setting,
            gold=row.data["target"],
            score=per_item(log.metric, row.data.get(log.metric)),
            cluster=cluster,
            shots=shots(row.data, log.name, log.results),
            presentation=shown,
            prompt_digest=digest(prompts(row.data)),
        )
        answers.append(_with_text(answer, row, log.metric))
    return answers


def _numbered(answers: list[Answer]) -> list[Answer]:
    """Repeated documents get #2, #3 …, counted within a setting over all subtasks, as the harness does."""
    frame = pd.DataFrame({"setting": [a.setting for a in answers], "item": [a.item for a in answers]}, dtype=object)
    items = frame.groupby("setting", sort=False)["item"].transform(number_repeats)
    return [replace(answer, item=item) for answer, item in zip(answers, items, strict=True)]


def _with_text(answer: Answer, row: Row, metric: str) -> Answer:
    """Adds what was said and extracted; a multiple-choice task says nothing, its choice counts as extracted."""
    responses, filtered = row.data["resps"], row.data["filtered_resps"]
    if not isinstance(responses, list) or not responses or not isinstance(filtered, list) or not filtered:
        raise BadFileError(f"{answer.where}: 'resps' and 'filtered_resps' must be lists that are not empty")
    if is_generation(row.data):
        said = responses[0][0] if isinstance(responses[0], list) and responses[0] else responses[0]
        taken = filtered[0] if isinstance(filtered[0], str) else json.dumps(filtered[0], ensure_ascii=False)
        nothing = taken.strip() in NOTHING
        flag = "unextracted" if nothing else ""
        return replace(answer, response=str(said), extracted=None if nothing else taken, flag=flag)
    choices = continuations(row.data)
    if choices is not None and len(choices) == len(filtered) > 1:
        # filtered: [log-probability, whether greedy] of each, as text
        logprobs = [float(pair[0] if isinstance(pair, list) else pair) for pair in filtered]
        return replace(answer, extracted=likeliest([choice.strip() for choice in choices], logprobs, metric))
    return answer
