"""What the page and the terminal say of causes: bars, tables, the largest taxes in words."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.validate_anatomy import records
from capeval.assembly import assemble
from capeval.columns import ANATOMY_COLUMNS
from capeval.report.anatomy import WIDE, largest, say_part, story
from capeval.report.page import render
from capeval.store.traces import Trace, load_trace, save_trace

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m"


def row(cause: str, net: float, low: float, high: float, **more: object) -> dict[str, object]:
    return {
        "kind": "edge", "contrast": "base → sft", "parent": "base", "child": "sft", "task": "sums", "setting": "direct",
        "cause": cause, "n": 100, "lost": max(0, round(-100 * net)), "gained": max(0, round(100 * net)), "delta": -0.21,
        "net": net, "low": low, "high": high, "share": 0.5, "orientation": "higher", "unit": "points",
        "sentence": f"said of {cause}",
    } | more  # fmt: skip


ROWS = [
    row("format", -0.18, -0.26, -0.11),
    row("refusal", -0.04, -0.09, 0.01),
    row("answer", -0.05, -0.08, -0.02),
    row("small changes", 0.06, 0.01, 0.1, lost=0, gained=0, share=float("nan")),
    row("format", 0.2, 0.1, 0.3, task="toxicity", orientation="lower", lost=20, gained=0),
    row("format", -0.5, -0.6, -0.4, task="sums:easy"),
    row("slip", -0.4, -0.5, -0.3, kind="path", contrast="base → ppo"),
]


@pytest.fixture
def told(trace: Trace) -> Trace:
    return replace(trace, anatomy=pd.DataFrame(ROWS, columns=list(ANATOMY_COLUMNS)))


def said(trace: Trace) -> str:
    stream = io.StringIO()
    say_part(trace, Console(file=stream, width=100))
    return stream.getvalue()


def test_the_largest_taxes_are_sure_losses_of_stages_other_than_wrong_answers(told: Trace) -> None:
    found = largest(told)
    assert found[["task", "cause"]].to_numpy().tolist() == [["toxicity", "format"], ["sums", "format"]]
    lines = said(told).strip().splitlines()
    assert lines[0].startswith("What stages took by another cause than a wrong answer")
    assert lines[1].strip() == "said of format" and len(lines) == 3


def test_bars_are_to_scale_and_lose_to_the_left(told: Trace) -> None:
    first, path = story(told)
    assert (first["name"], first["lost"], path["name"]) == ("base → sft", 47, "base → ppo")
    sums = first["tasks"][0]
    assert [piece["words"] for piece in sums["bar"]] == ["18 lost: format", "4 lost: refusal", "5 lost: another answer"]
    widths = [float(piece["width"]) for piece in sums["bar"]]
    assert widths[0] / widths[1] == pytest.approx(18 / 4, abs=0.02)
    assert float(sums["bar"][0]["x"]) + widths[0] == pytest.approx(WIDE / 2, abs=0.1)
    assert float(sums["bar"][-1]["x"]) >= 0
    assert [cause["net"] for cause in sums["causes"]] == ["−18.0", "−4.0", "−5.0", "+6.0"]
    assert first["sentences"] == ["said of format"] * 2
    assert {entry["cause"] for entry in first["legend"]} == {"format", "refusal", "slip", "answer", "small-changes"}


def test_nothing_to_say_says_nothing(trace: Trace) -> None:
    none = replace(trace, anatomy=pd.DataFrame(columns=list(ANATOMY_COLUMNS)))
    assert story(none) == [] and said(none) == ""
    assert 'id="anatomy"' not in render(none)
    gains = replace(none, anatomy=pd.DataFrame([row("format", 0.2, 0.1, 0.3)], columns=list(ANATOMY_COLUMNS)))
    assert story(gains) == [] and said(gains) == ""


def test_what_came_from_outside_is_only_text(told: Trace) -> None:
    anatomy = told.anatomy.assign(contrast=HOSTILE, task=HOSTILE, setting=HOSTILE, sentence=HOSTILE)
    hostile = replace(told, anatomy=anatomy)
    page = render(hostile)
    assert "<img" not in page and "&lt;img" in page and "\x1b" not in page
    assert "\x1b" not in said(hostile)


def test_it_is_stored_with_the_trace(told: Trace, tmp_path: Path) -> None:
    again = load_trace(save_trace(told, tmp_path))
    assert again.anatomy["cause"].tolist() == told.anatomy["cause"].tolist()


def test_instructgpt_says_that_drop_zero_shot_is_a_tax_of_form() -> None:
    tree, shipped = records("instructgpt")
    drop = shipped[shipped["task"] == "drop"]
    found = assemble(replace(tree, tasks=(tree.task("drop"),), contrasts=()), drop, provenance={})
    text = " ".join(said(found).split())
    assert "gpt-175b → sft-175b, drop (zero-shot): −21.2 points, of which −14.3 [−19.9, −8.7] are format" in text
