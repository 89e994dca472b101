"""Small records and trees that tests write down by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from capeval.core import Cell, Contrast, Link, Stage, TaskSpec, Tree
from capeval.store.runs import Run, as_records, make_manifest, with_node

TASK = TaskSpec(name="sums", capability="cot", metric="exact_match", margin=0.05)


def records(node: str, scores: Sequence[float | None], **columns: Any) -> pd.DataFrame:
    """One row per score, items i0, i1 …; `columns` are constants or lists."""
    frame = pd.DataFrame({"item": [f"i{i}" for i in range(len(scores))], "score": list(scores)})
    frame = frame.assign(**({"task": "sums", "capability": "cot", "setting": "direct"} | columns))
    return with_node(as_records(frame), node)


def chain(*names: str, tasks: Sequence[TaskSpec] = (TASK,), contrasts: Sequence[Contrast] = (), **stage: Any) -> Tree:
    """A tree that is one path."""
    stages = [
        Stage(
            name=name,
            kind="base" if i == 0 else "sft",
            links=(Link(parent=names[i - 1], certainty="documented"),) if i else (),
            **stage,
        )
        for i, name in enumerate(names)
    ]
    return Tree(name="chain", stages=tuple(stages), tasks=tuple(tasks), contrasts=tuple(contrasts))


def contrast(kind: str, weights: Mapping[tuple[str, str | None], float], **more: Any) -> Contrast:
    """A contrast from {(node, setting): weight}."""
    cells = tuple(Cell(node=n, setting=s, weight=w) for (n, s), w in weights.items())
    return Contrast(name=kind, kind=kind, cells=cells, **more)  # type: ignore[arg-type]


def run_of(node: str, scores: Sequence[float | None], *, task: TaskSpec = TASK, **columns: Any) -> Run:
    """A run with one task."""
    frame = records(node, scores, task=task.name, **columns).drop(columns="node")
    return Run(node=node, manifest=make_manifest(node=node, tasks=(task,)), records=frame)
