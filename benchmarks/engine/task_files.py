"""Three task files that both programs read, with their data: `python -m benchmarks.engine.task_files HOME real`.

lm-eval can't read a mirror of data sets, so the items that its own task files ask for are written as JSON, which the
copies of those files name instead. They are made outside the checkout; nothing of the items is kept.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.engine.workloads import SUITE, fixed_head
from capeval.core import TaskSource
from capeval.harness.mirror import DataSource, load_data
from capeval.suites import load_suite, task_file

_REAL = ("mmlu", "openbookqa", "gsm8k")
_SHIPPED = ("smoke-capitals", "smoke-comparisons", "smoke-arithmetic")
_ANSWER = 96
_SPLITS = ("test_split", "validation_split", "training_split", "fewshot_split")


def write(home: Path, real: bool = True) -> None:
    """`bench_*.yaml`, their JSON and `suite.yaml`, all in `home`."""
    suite = load_suite(str(SUITE) if real else "smoke")
    entries = []
    for name in _REAL if real else _SHIPPED:
        sources = [source for source in suite.sources if source.task == name]
        source = sources[0]
        if name == "mmlu":
            source = replace(source, override={**source.override, **fixed_head()})
        task = f"bench_{name.replace('-', '_')}"
        _write_task(home, task, source, subjects=name == "mmlu")
        used = {"path": f"{task}.yaml", "setting": source.setting} | (
            {"filter": source.filter} if source.filter else {}
        )
        entries.append(
            {"name": task, "capability": "ci", "metric": source.metric or suite.task(name).metric, "sources": [used]}
        )
    (home / "suite.yaml").write_text(yaml.safe_dump({"name": "ci", "tasks": entries}), encoding="utf-8")


def _write_task(home: Path, name: str, source: TaskSource, subjects: bool) -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    path = task_file(source)
    config: dict[str, Any] = load_yaml(path) | dict(source.override)
    data = DataSource(
        path=config.pop("dataset_path"),
        name="all" if subjects else str(config.pop("dataset_name", None) or ""),
        kwargs=config.pop("dataset_kwargs", None) or {},
        home=path.parent,
    )
    config.pop("dataset_name", None)
    tables, files = load_data(data), {}
    for split in {config[key] for key in _SPLITS if config.get(key)}:
        rows = _one_of_each(tables[split]) if subjects else list(tables[split])
        files[split] = str(home / f"{name}-{split}.jsonl")
        Path(files[split]).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    config |= {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": files}}
    if config["output_type"] == "generate_until":
        config["generation_kwargs"] = {**config.get("generation_kwargs", {}), "max_gen_toks": _ANSWER}
    kept = {key: value for key, value in config.items() if key not in ("tag", "task_alias") and value is not None}
    (home / f"{name}.yaml").write_text(yaml.safe_dump(kept), encoding="utf-8")


def _one_of_each(rows: Any) -> list[dict[str, Any]]:
    """The first item of each subject."""
    return list({row["subject"]: dict(row) for row in reversed(list(rows))}.values())[::-1]


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2] == "real")
