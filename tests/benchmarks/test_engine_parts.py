"""The arithmetic of `make bench`: distinct tokens, ratios, limits, and that a planted difference stops it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engine import table
from benchmarks.engine.agree import DisagreementError, compare
from benchmarks.engine.checkpoints import Shape
from benchmarks.engine.distinct import Needed, needed, with_answers
from benchmarks.engine.limits import least_seconds, operations, totals
from benchmarks.engine.machine import described
from benchmarks.engine.ties import NEAR, gap_where_they_part
from capeval.core import Request

SCORED = Request(kind="loglikelihood", text="a", continuation=" b")
TEXT = Request(kind="perplexity", text="a b")
ASKED = Request(kind="generate", text="a", generation={"max_gen_toks": 4})


def said(**more: Any) -> dict[str, Any]:
    return {"text": None, "logprob": None, "greedy": None, "n_tokens": 1, "cut": 0, "error": "", **more}


def test_distinct_tokens_are_the_distinct_prefixes() -> None:
    rng = random.Random(0)
    rows = [tuple(rng.randrange(3) for _ in range(rng.randrange(9))) for _ in range(200)]
    prefixes = {row[:n] for row in rows for n in range(1, len(row) + 1)}
    assert needed(rows) == Needed(len(prefixes), sum(map(len, prefixes)))
    assert needed(reversed(rows)) == needed(rows)
    assert needed([]) == needed([()]) == Needed(0, 0)


def test_an_answer_adds_its_tokens_but_the_last() -> None:
    whole, prompt = needed([(1, 2, 3, 4, 5)]), needed([(1, 2, 3)])
    assert with_answers([3], [3]) == Needed(whole.tokens - prompt.tokens, whole.pairs - prompt.pairs)
    assert with_answers([3, 0], [1, 5]) == Needed(
        0, 0
    )  # one token is only predicted; a prompt asked before costs nothing


def test_equal_answers_agree_and_the_largest_difference_is_told() -> None:
    ours = [said(logprob=-1.0, greedy=True), said(logprob=-2.0), said(text=" c")]
    found = compare([SCORED, TEXT, ASKED], ours, [[-1.00005, True], -2.0, " c"])
    assert found.largest == pytest.approx(5e-5)
    assert (found.requests, found.texts, found.different) == (3, 1, ())


def test_greediness_that_capeval_was_not_asked_for_is_not_compared() -> None:
    compare([SCORED], [said(logprob=-1.0)], [[-1.0, True]])


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (said(logprob=-1.0, greedy=True), [-1.001, True]),
        (said(logprob=float("nan"), greedy=True), [-1.0, True]),
        (said(logprob=-1.0, greedy=True), [-1.0, False]),
        (said(logprob=-1.0, greedy=True, cut=3), [-1.0, True]),
        (said(error="no reply"), [-1.0, True]),
    ],
)
def test_a_planted_difference_stops_and_names_the_item_without_its_text(own: dict[str, Any], other: list[Any]) -> None:
    secret = Request(kind="loglikelihood", text="the benchmark's question", continuation=" answer")
    with pytest.raises(
        DisagreementError, match=r"request 1 \(loglikelihood, [0-9a-f]{16}, 24 \+ 7 characters\)"
    ) as stop:
        compare([SCORED, secret], [said(logprob=-1.0, greedy=True), own], [[-1.0, True], other])
    assert "question" not in str(stop.value)


def test_outside_float32_differences_are_reported() -> None:
    found = compare([SCORED, ASKED], [said(logprob=-1.0, greedy=True), said(text="c")], [[-1.5, False], "d"], False)
    assert found.largest == 0.5
    assert found.different == (1,)


def test_missing_answers_stop() -> None:
    with pytest.raises(DisagreementError):
        compare([SCORED, SCORED], [said(logprob=-1.0)], [[-1.0, True]])


def parting(one: str, other: str, gaps: dict[str, tuple[str, str, float]]) -> float | None:
    """A model of characters: text so far → the most probable, the next, their distance."""
    return gap_where_they_part(
        lambda ids: (lambda first, second, gap: (ord(first), ord(second), gap))(*gaps["".join(map(chr, ids))]),
        lambda ids: "".join(map(chr, ids)),
        one,
        other,
        4,
    )


def test_texts_that_part_at_a_tie_are_told_from_others() -> None:
    tie = {"": ("a", "x", 1.0), "a": ("b", "c", NEAR / 2)}
    assert parting("ab", "ac", tie) == NEAR / 2
    assert parting("ac", "ab", tie) == NEAR / 2
    assert parting("ab", "ac", {**tie, "a": ("b", "c", 0.1)}) is None  # both sides saw the same logits, one went wrong
    assert parting("ab", "ad", tie) is None  # the third most probable token is no tie
    assert parting("xb", "ab", tie) is None


def test_a_tie_inside_a_character_is_found_where_the_character_ends() -> None:
    gaps = {"": ("�", "y", NEAR / 2), "�": ("z", "w", 1.0)}
    assert parting("yy", "�w", gaps) == NEAR / 2
    assert parting("yy", "�w", {**gaps, "": ("�", "y", 1.0)}) is None


def test_the_limit_is_arithmetic_or_memory() -> None:
    shape = Shape(parameters=120, body=100, width=8, layers=2, hidden=5, vocabulary=4)
    counted = {"tokens": 10, "pairs": 55, "scored": 2, "prompts": [10]}
    total = totals(counted, [3])
    assert total == {"tokens": 12, "pairs": 55 + 11 + 12, "scored": 5, "steps": 3, "answers": 3}
    work = operations(shape, total)
    assert work == 2 * 100 * 12 + 4 * 8 * 2 * 78 + 2 * 5 * 4 * 5
    assert least_seconds(shape, total, {"gflops": 1, "gb_per_second": 1e9}, "float32") == work / 1e9
    assert least_seconds(shape, total, {"gflops": 1e9, "gb_per_second": 1}, "bfloat16") == 120 * 2 * 3 / 1e9


def round_of(ours: float, theirs: float) -> dict[str, dict[str, float]]:
    return {
        side: {"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_mb": 100 * seconds}
        for side, seconds in (("ours", ours), ("theirs", theirs))
    }


CELL = {
    "title": "work", "model": "1 M", "items": 3, "requests": 6, "batch": 8, "least_seconds": 0.5,
    "rounds": [round_of(1, 4), round_of(2, 6), round_of(1, 5)],
    "tokens": {"tokens": 10, "theirs": 40, "longest": 0},
    "agreement": {"largest": 2e-6, "texts": 2, "different": 1, "ties": [3e-7]},
}  # fmt: skip


def test_the_table_takes_ratios_round_by_round() -> None:
    row = list(table.cells([CELL]))[-1]
    assert "**4.00 (3.00–5.00)**" in row
    assert "200 / 600" in row
    assert "2e-06, 1 of 2 texts, ties: 1, at most 3e-07" in row
    assert "4.00× / —" in row
    assert row.endswith("| 50.0% |")


def test_the_page_says_how_it_was_measured_and_shows_whole_runs() -> None:
    again = {"again": {"seconds": 0.5, "cpu_seconds": 0.5, "peak_mb": 1}}
    whole = {"model": "1 M", "tasks": ["a", "b"], "items": 100, "batch": 16, "rounds": [{**round_of(10, 30), **again}]}
    shown = table.page(
        {
            "commands": ["python -m benchmarks.engine"], "date": "2026-01-01", "machine": described(), "threads": 2,
            "device": "cpu", "dtype": "float32", "rounds": 3, "cells": [CELL], "whole": [whole],
            "speed": {"gflops": 1234.5, "gb_per_second": 20.0},
        }
    )  # fmt: skip
    for part in ("`python -m benchmarks.engine`, 2026-01-01, 3 rounds", "1,234.5 GFLOP/s", "lm-eval 0.4"):
        assert part in shown
    assert "| 1 M | 2 | 100 | 16 | **3.00 (3.00–3.00)** |" in shown
    assert "| 5% (5%–5%) |" in shown


def test_the_table_goes_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.update(page, "new\n")
    table.update(page, "newer\n")
    assert page.read_text() == f"before\n{table.BEGIN}\nnewer\n{table.END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="no markers|write between"):
        table.update(page, "new")
