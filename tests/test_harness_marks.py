"""Marks of answers that a suite scored: the gold comes from the task, whatever it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from capeval.harness import Form, prepare, rescore
from capeval.suites import load_suite

SUITE = """
name: mine
tasks:
  - name: t
    capability: c
    metric: {metric}
    orientation: {orientation}
    sources: [{{path: a.yaml, setting: direct}}]
"""
TASK = """
task: mine
dataset_path: json
test_split: test
dataset_kwargs: {{data_files: {{test: items.json}}}}
output_type: generate_until
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: "{target}"
generation_kwargs: {{until: ["\\n\\n"]}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def scored(home: Path, said: str, *, target: str = "{{gold}}", orientation: str = "higher") -> pd.Series:
    (home / "mine.yaml").write_text(SUITE.format(metric="exact_match", orientation=orientation))
    (home / "items.json").write_text(json.dumps([{"question": "Who?", "gold": "the Saints", "n": 7}]))
    (home / "a.yaml").write_text(TASK.format(target=target))
    asked = prepare(load_suite(str(home / "mine.yaml")), Form())
    found: pd.Series = rescore(asked, {"Who?": said}, "{{question}}").iloc[0]
    return found


def test_a_gold_in_a_sentence_is_forgiven(tmp_path: Path) -> None:
    found = scored(tmp_path, "It was late. The Saints scored first.")
    assert found[["score", "lenient", "steps", "declined"]].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert pd.isna(found["slips"])


@pytest.mark.parametrize(
    ("said", "column", "value"),
    [("I don't know.", "declined", 1.0), ("3 + 4 = 8", "slips", 1.0), ("Nobody did.", "lenient", 0.0)],
)
def test_the_other_marks(tmp_path: Path, said: str, column: str, value: float) -> None:
    assert scored(tmp_path, said)[column] == value


def test_a_number_is_a_gold_too(tmp_path: Path) -> None:
    assert scored(tmp_path, "There are seven.", target="{{n}}")["lenient"] == 1.0


def test_what_has_no_gold_or_no_better_end_is_not_forgiven(tmp_path: Path) -> None:
    assert pd.isna(scored(tmp_path, "The Saints.", target=" ")["lenient"])
    assert pd.isna(scored(tmp_path, "The Saints.", orientation="none")["lenient"])
