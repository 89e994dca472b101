"""lm-eval's own HF model on the task files of a capeval suite: `python -m benchmarks.peer CHECKPOINT SUITE OUT.json`.

The task files, their data and the model are the same as for `capeval run`; everything in between is lm-eval's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from capeval.core import TaskSource
from capeval.suites import load_suite, task_file

BATCH = 16


def config_of(source: TaskSource) -> dict[str, Any]:
    """A task file that brings its data beside it, as lm-eval reads it."""
    from lm_eval.tasks._yaml_loader import load_yaml

    path = task_file(source)
    config: dict[str, Any] = load_yaml(path) | dict(source.override)
    files = config["dataset_kwargs"]["data_files"]
    config["dataset_kwargs"] = {"data_files": {split: str(path.parent / name) for split, name in files.items()}}
    return config


def main() -> None:
    """Evaluate and write {task: [score of each item]}."""
    checkpoint, name, out = sys.argv[1:]
    suite = load_suite(name)
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=checkpoint, device="cpu", dtype="float32", batch_size=BATCH)
    configs = [config_of(source) for source in suite.sources]
    found = simple_evaluate(
        model=model,
        tasks=configs,
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )
    scores: dict[str, list[Any]] = {}
    for source, config in zip(suite.sources, configs, strict=True):
        samples = found["samples"][config["task"]]
        kept = [s for s in samples if s["filter"] == (source.filter or samples[0]["filter"])]
        metric = source.metric or suite.task(source.task).metric
        scores[source.task] = [s[metric] for s in sorted(kept, key=lambda s: s["doc_id"])]
    Path(out).write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
