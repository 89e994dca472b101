"""Recorded HumanEval answers through the task's own scorer: does it agree with the verdicts that came with them?

    CAPEVAL_DATA=../shared/data python -m benchmarks.rescore_code

Prints a table of numbers: per model the recorded pass@1, ours, how many items agree, and how answers were read.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from capeval.core import Reply, Suite, TaskSource, TaskSpec
from capeval.harness import Form, prepare, records

RECORDED = "recorded/humaneval_chatgpt/outputs.jsonl"


def humaneval() -> Suite:
    """HumanEval as an instruction, alone."""
    return Suite(
        name="rescore",
        title="",
        tasks=(TaskSpec(name="humaneval", capability="code", metric="pass@1"),),
        sources=(TaskSource(path="code/humaneval_instruct.yaml", task="humaneval", setting="instruct"),),
    )


def answers(data: Path, model: str = "") -> pd.DataFrame:
    """The recorded answers, of one model or of all."""
    rows = pd.DataFrame(map(json.loads, (data / RECORDED).read_text(encoding="utf-8").split("\n")[:-1]))
    return rows[rows.model == model] if model else rows


def rescored(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per recorded answer: model, id, recorded (True, False or missing), said, score, rung, status."""
    return pd.concat([_of_model(str(model), given) for model, given in rows.groupby("model", sort=True)])


def _of_model(model: str, rows: pd.DataFrame) -> pd.DataFrame:
    asked = prepare(humaneval(), Form())
    given = rows.set_index("id")
    ids = [document.doc["task_id"] for document in asked[0].documents]
    scored = records(asked, [Reply(text=given.output[i], finish="stop") for i in ids])
    read: list[dict[str, Any]] = [json.loads(text) for text in scored.extracted]
    return pd.DataFrame(
        {
            "model": model,
            "id": ids,
            "recorded": [given.passed_recorded[i] for i in ids],
            "said": [given.result_recorded[i] for i in ids],
            "score": scored.score.to_numpy(),
            "rung": [one["rung"] for one in read],
            "status": [one["status"] for one in read],
        }
    )


def table(frame: pd.DataFrame) -> Iterator[str]:
    """Lines of markdown, numbers only."""
    yield "| model | n | recorded pass@1 | pass@1 here | agree | passes only there | only here | fenced / def / body |"
    yield "|---|---|---|---|---|---|---|---|"
    for model, rows in frame.groupby("model", sort=True):
        rungs = Counter(rows.rung)
        read = " / ".join(str(rungs[rung]) for rung in ("fenced", "def", "body"))
        known = rows[rows.recorded.notna()]
        ours, theirs = known.score == 1, known.recorded.astype(bool)
        agreed = f"{(ours == theirs).sum()} of {len(known)}" if len(known) else "–"
        there = f"{100 * theirs.mean():.2f}" if len(known) else "–"
        lost, won = (str((theirs & ~ours).sum()), str((ours & ~theirs).sum())) if len(known) else ("–", "–")
        yield (
            f"| {model} | {len(rows)} | {there} | {100 * rows.score.mean():.2f} | {agreed} | {lost} | {won} | {read} |"
        )


def disagreements(frame: pd.DataFrame) -> Iterator[str]:
    """Lines of markdown: why the recorded run failed what passes here, and how the answer was read here."""
    known = frame[frame.recorded.notna()]
    apart = known[(known.score == 1) != known.recorded.astype(bool)]
    said = apart.said.str.removeprefix("failed: ").str.partition(" (<string>")[0]
    yield "| the recorded run says | passes here | answers | rung |"
    yield "|---|---|---|---|"
    for (reason, score, rung), rows in apart.groupby([said, "score", "rung"]):
        yield f"| {reason} | {'yes' if score == 1 else 'no'} | {len(rows)} | {rung} |"


if __name__ == "__main__":
    found = rescored(answers(Path(os.environ["CAPEVAL_DATA"])))
    print("\n".join([*table(found), "", *disagreements(found)]))
