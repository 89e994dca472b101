"""What the page and the terminal say of chains that a parent read."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from capeval.attribution.reasoning import reasoning_table
from capeval.columns import REASONING_COLUMNS
from capeval.report.page import render, write_report
from capeval.report.reasoning import HIGH, LEFT, WIDE, say_part, story
from capeval.store.traces import Trace, load_trace, save_trace
from tests.reads import planted
from tests.records import TASK

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m"
READS = pd.concat(
    [
        planted(40, found=(0.1, 0.1, 0.9), noise=2.0),
        planted(20, found=(0.9, 0.9, 0.9), group=(1.0, 1.0), ratios=(0.0, 1.0, -3.0, 0.0)),
        planted(3, group=(0.0, 0.0)),
    ],
    ignore_index=True,
)


@pytest.fixture
def told(trace: Trace) -> Trace:
    return replace(trace, reads=READS, reasoning=reasoning_table([TASK], READS, alpha=0.05))


def said(trace: Trace) -> str:
    stream = io.StringIO()
    say_part(trace, Console(file=stream, width=100))
    return stream.getvalue()


def test_a_pair_has_its_sentence_its_numbers_and_a_line_for_each_group(told: Trace) -> None:
    [pair] = story(told)
    assert (pair["name"], pair["task"], pair["setting"]) == ("sft, read by base", "sums", "cot")
    assert "finds them when it is told the steps" in pair["sentence"]
    assert [group["name"] for group in pair["groups"]] == ["newly solved", "solved by both"]  # three chains say nothing
    gained, both = pair["groups"]
    assert (gained["n"], gained["of"]) == ("40", "40 in steps of 40")
    assert gained["ratio"].startswith("0.2") and both["ratio"].startswith("−0.05")
    assert gained["parts_at"].startswith("38%") and both["parts_at"] == "never"
    assert gained["end"].count("%") == 1 and "[" in gained["end"]


def test_curves_lie_in_the_picture_and_the_higher_value_is_higher(told: Trace) -> None:
    picture = story(told)[0]["picture"]
    gained, both = picture["lines"]
    for line in (gained, both):
        points = [tuple(map(float, point.split())) for point in line["line"].strip("M").split(" L")]
        assert len(points) == 10
        assert all(LEFT <= x <= WIDE and 0 <= y <= HIGH for x, y in points)
        assert [x for x, _ in points] == sorted(x for x, _ in points)
        assert line["band"].endswith("Z")
    heights = [float(point.split()[1]) for point in gained["line"].strip("M").split(" L")]
    assert min(heights) == heights[3] < float(picture["zero"])  # the second step
    below = [float(point.split()[1]) for point in both["line"].strip("M").split(" L")]
    assert max(below) > float(picture["zero"])
    assert "newly solved: 0.0 at the beginning" in picture["words"]


def test_the_terminal_says_the_sentence_in_lines_that_fit(told: Trace) -> None:
    lines = said(told).strip().splitlines()
    assert lines[0] == "Chains of thought, read by the parent (95 % intervals, one by one)"
    assert "base, reading sft on sums (cot): does not have the answers by itself" in " ".join(said(told).split())
    assert max(map(cell_len, lines)) <= 100


def test_nothing_to_say_says_nothing(trace: Trace) -> None:
    none = replace(trace, reasoning=pd.DataFrame(columns=list(REASONING_COLUMNS)))
    assert story(none) == [] and said(none) == "" and 'id="reasoning"' not in render(none)
    few = replace(trace, reasoning=reasoning_table([TASK], planted(3), alpha=0.05))
    assert story(few) == [] and said(few) == ""


def test_what_came_from_outside_is_only_text(told: Trace) -> None:
    reads = READS.assign(parent=HOSTILE, child=HOSTILE, task=HOSTILE, setting=HOSTILE)
    hostile = replace(told, reasoning=reasoning_table([TASK], reads, alpha=0.05))
    page = render(hostile)
    assert "<img" not in page and "&lt;img" in page and "\x1b" not in page
    assert "\x1b" not in said(hostile)


def test_it_is_stored_with_the_trace_and_the_page_is_made_from_that(told: Trace, tmp_path: Path) -> None:
    folder = save_trace(told, tmp_path)
    again = load_trace(folder)
    pd.testing.assert_frame_equal(again.reads, told.reads, check_dtype=False)
    assert again.reasoning["sentence"].tolist() == told.reasoning["sentence"].tolist()
    assert story(again) == story(told)
    page = write_report(again, folder).read_text(encoding="utf-8")
    assert "Chains of thought, read by the parent" in page and 'class="line chain-gained"' in page
