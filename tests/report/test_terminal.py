"""What is printed: fits, survives a pipe, obeys no control character, and says what matters first."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from capeval.columns import SCORE_COLUMNS
from capeval.core import TaskSpec, Verdict
from capeval.report.terminal import print_effects, print_gate, print_run, print_table, print_trace
from capeval.report.words import clean, cut_notes, interval, number, short_p, signed
from capeval.store.runs import Run, as_records, make_manifest
from capeval.store.traces import Trace

from .conftest import HOSTILE, HOSTILE_NODE


def _console(width: int = 100, *, terminal: bool = False, encoding: str = "utf-8") -> tuple[Console, io.BytesIO]:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    return Console(file=stream, width=width, force_terminal=terminal, color_system="256" if terminal else None), raw


def _printed(call: Any, *args: Any, width: int = 100, encoding: str = "utf-8") -> str:
    console, raw = _console(width, encoding=encoding)
    call(*args, console)
    return raw.getvalue().decode(encoding)


def _plain(trace: Trace) -> Trace:
    keep = (trace.effects["parent"] != HOSTILE_NODE) & (trace.effects["child"] != HOSTILE_NODE)
    return replace(trace, effects=trace.effects[keep & ~trace.effects["task"].str.contains("<")])


def test_a_pipe_gets_plain_lines(trace: Trace) -> None:
    text = _printed(print_trace, trace)
    assert "\x1b" not in text
    assert "toy · A toy tree" in text.splitlines()[0]
    assert f"{len(trace.effects):,} effects" in text
    assert text.index("largest first") < text.index("Stages")


def test_lines_fit_one_hundred_columns(trace: Trace) -> None:
    assert max(map(cell_len, _printed(print_trace, _plain(trace)).splitlines())) <= 100


def test_a_narrow_terminal_cuts_names_not_numbers(trace: Trace) -> None:
    console, raw = _console(80, terminal=True)
    print_effects(_plain(trace).effects, console)
    text = raw.getvalue().decode()
    assert "\x1b[" in text
    assert "[+" in text


def test_rows_are_limited_and_the_rest_is_counted(trace: Trace) -> None:
    console, raw = _console()
    print_trace(trace, console, rows=4)
    text = raw.getvalue().decode()
    assert f"of {len(trace.effects):,} effects shown" in text
    assert "effects.csv" in text


def test_doubtful_links_are_named(trace: Trace) -> None:
    assert "code → code-sft (disputed link)" in _printed(print_trace, trace)


def test_confounded_effects_are_marked_and_say_by_what(trace: Trace) -> None:
    lines = _printed(print_trace, trace).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("ppo → ppo-ptx "))
    assert lines[start + 1].startswith("  † confounded: another seed; </script>")
    assert lines[start + 2].endswith("gained †")
    stages = "\n".join(lines[lines.index("Stages") : lines.index("Branches")])
    certain, disputed = stages.split("code → code-sft (disputed link)")
    assert "gained †" not in certain
    assert disputed.splitlines()[1] == "  † confounded: disputed link"
    sibling = trace.effects[trace.effects["kind"] == "sibling"]
    only = _printed(print_trace, replace(trace, effects=sibling))
    assert "largest first (adjusted p ≤ .05; † confounded)" in only
    assert "n = 60 †" in only


def test_the_grade_stands_before_the_answer(trace: Trace) -> None:
    text = _printed(print_trace, trace)
    assert "  B  ▲ gained" in text and "  B  ▼ lost" in text
    assert "Grade, before each answer: A seeds and a control, B adjusted p" in text
    graded = replace(trace, effects=trace.effects.assign(grade="A"))
    assert "  A  ▲ gained" in _printed(print_trace, graded)


def test_a_benchmark_of_subtasks_shows_both_intervals(trace: Trace) -> None:
    within = trace.effects[trace.effects["kind"] == "within"].assign(low_clustered=0.124, high_clustered=0.306)
    lines = _printed(print_effects, within).splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("  sums · cot − direct"))
    assert lines[row + 1] == "      [+12.4, +30.6] over other subtasks"
    assert not any("other subtasks" in line for line in _printed(print_trace, trace).splitlines())


def test_large_effects_of_stages_leave_room_for_contrasts_within_a_node(trace: Trace) -> None:
    edges = trace.effects[trace.effects["kind"] == "edge"].assign(kind="path")
    small = trace.effects[trace.effects["kind"] == "within"].assign(delta=0.05)
    text = _printed(print_trace, replace(trace, effects=pd.concat([trace.effects, edges, small], ignore_index=True)))
    assert "sums · cot − direct" in text.partition("Within a node")[2]


def test_hostile_names_neither_move_the_cursor_nor_become_markup(trace: Trace) -> None:
    text = _printed(print_trace, replace(trace, tree=replace(trace.tree, title="[bold red]" + "".join(HOSTILE))))
    assert "[bold red]" in text
    for character in ("\x1b", "\x07", "\x00", "\u202e", "\u2028"):
        assert character not in text


def test_ascii_streams_get_ascii(trace: Trace) -> None:
    text = _printed(print_trace, _plain(trace), encoding="ascii")
    assert "base -> sft" in text


def test_effects_say_what_it_would_take(trace: Trace) -> None:
    row = trace.effects.iloc[[0]].assign(answer="cant_tell", label="can't tell", reason="", n_needed=1234.0, mde=0.08)
    text = _printed(print_effects, row)
    assert "would have shown 8.0 points" in text
    assert "takes about 1,300" in text
    assert "nothing to compare" in _printed(print_effects, row.iloc[:0])


def test_a_run_shows_score_interval_n_and_flags(trace: Trace) -> None:
    spec = TaskSpec(name="sums", capability="cot", metric="exact_match")
    run = Run(node="mine", manifest=make_manifest(node="mine", tasks=(spec,)), records=as_records([]))
    scores = trace.scores[trace.scores["node"] == "code"].assign(unextracted=0.12, missing=3)
    within = trace.effects[trace.effects["kind"] == "within"]
    seen = replace(trace, scores=scores[list(SCORE_COLUMNS)], effects=within)
    text = _printed(print_run, run, seen)
    first = next(line for line in text.splitlines() if line.startswith("sums · "))
    assert " 60 " in first
    assert "12% unextracted, 3 missing" in first
    assert "On the same items" in text
    assert "sums · cot − direct" in text
    assert "On the same items" not in _printed(print_run, run, replace(seen, effects=within.iloc[:0]))


def test_a_run_says_which_prompts_were_cut(trace: Trace) -> None:
    cut = {"bbh cot": {"prompts": 12, "tokens": 1340}, "gsm8k direct": {"prompts": 1, "tokens": 1}}
    spec = TaskSpec(name="sums", capability="cot", metric="exact_match")
    run = Run(node="mine", manifest={**make_manifest(node="mine", tasks=(spec,)), "cut": cut}, records=as_records([]))
    text = _printed(print_run, run, replace(trace, scores=trace.scores.iloc[:1], effects=trace.effects.iloc[:0]))
    assert "12 prompts of bbh cot did not fit into the model's window and lost 1,340 tokens on their left" in text
    assert "1 prompt of gsm8k direct did not fit into the model's window and lost 1 token on its left" in text
    assert cut_notes(None) == cut_notes({}) == []


def test_a_gate_ends_with_its_verdict(verdicts: list[Verdict]) -> None:
    lines = _printed(print_gate, verdicts).splitlines()
    assert lines[0].startswith("✘ fail")
    assert lines[-1] == "gate: fail (1 fail, 1 can't tell, 1 pass)"


def test_listings_keep_every_word_in_a_pipe() -> None:
    rows = [{"suite": "cot", "about": "x" * 300}, {"suite": "smoke", "about": None}]
    text = _printed(print_table, rows)
    assert "x" * 300 in text
    assert text.splitlines()[0].split() == ["suite", "about"]
    assert _printed(print_table, []) == "nothing\n"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(-0.213, "points", "−21.3"), (0.0, "points", "+0.0"), (3752.6, "characters", "+3,753"), (np.nan, "points", "–"),
     (-12.34, "characters", "−12.3")],
)  # fmt: skip
def test_differences_carry_their_sign(value: float, unit: str, shown: str) -> None:
    assert signed(value, unit) == shown


def test_numbers_and_p_values_as_papers_print_them() -> None:
    assert number(0.63, "points") == "63.0"
    assert [short_p(p) for p in (0.0004, 0.001, 0.0312, 1.0, float("nan"))] == ["<.001", ".001", ".031", "1", "–"]
    assert interval(-0.33, 0.09, "points") == "[−33.0, +9.0]"
    assert interval(float("nan"), 0.1, "points") == ""


def test_clean_keeps_one_line() -> None:
    assert clean("a\nb\tc") == "a b c"
    assert clean(None) == clean(float("nan")) == ""
    assert "\x1b" not in clean("\x1b[31m")


def test_runs_of_pandas_strings_are_accepted(trace: Trace) -> None:
    frame = trace.effects.astype({"task": pd.StringDtype()})
    assert _printed(print_effects, frame)
