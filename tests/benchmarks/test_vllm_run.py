"""`python -m benchmarks.vllm`: what stops it, what its table says, and a few items through both programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engine.agree import DisagreementError
from benchmarks.vllm import __main__ as bench
from benchmarks.vllm.side import _cpu_of
from capeval.core import Request

SCORED = Request(kind="loglikelihood", text="a", continuation=" b")
ASKED = Request(kind="generate", text="a", generation={"max_gen_toks": 4})


def said(**more: Any) -> dict[str, Any]:
    return {"text": None, "logprob": None, "greedy": None, "n_tokens": 1, "cut": 0, "error": "", **more}


def cell(work: str, rounds: list[tuple[float, float]]) -> dict[str, Any]:
    both = [
        {side: {"seconds": s, "cpu_seconds": s} for side, s in zip(("ours", "theirs"), r, strict=True)} for r in rounds
    ]
    return {
        "work": work, "size": 1, "prompts": {"head": 393, "median": 441}, "busy": 0.0, "requests": 8,
        "rounds": both, "largest": 0.0, "chosen": {"cache": "86.9% of 100 prompt tokens"},
    }  # fmt: skip


def test_any_difference_stops_it() -> None:
    ours = [said(logprob=-1.0, greedy=True), said(text=" c")]
    assert bench.agreement([SCORED, ASKED], ours, [[-1.00005, True], " c"]) == pytest.approx(5e-5)
    for theirs in ([[-1.001, True], " c"], [[-1.0, False], " c"], [[-1.0, True], " d"], [[-1.0, True]]):
        with pytest.raises(DisagreementError):
            bench.agreement([SCORED, ASKED], ours, theirs)


def test_scores_are_told_as_theirs_over_ours_and_answers_as_what_ours_takes_more() -> None:
    cells = [cell("letters", [(1, 10), (1, 20), (0.5, 20)]), cell("answers", [(1.03, 1), (0.99, 1), (1.01, 1)])]
    starts = {"work": "starts", "size": 1, "busy": 0.5, "counts": [[2, 2], [1, 3]], "fresh": [8.0], "swaps": [0.1, 0.1]}
    found = {"machine": {"cores": 2}, "engine": bench.ENGINE, "commands": ["c"], "cells": [*cells, starts]}
    text = bench.table(found)
    assert "| **20.0× (10.0–40.0)** |" in text
    assert "| **+1.0 % (-1.0 to +3.0)** |" in text
    assert "| 1 M | 2 | 1, 3 swaps | 8.0 s | 0.10 s, 80× sooner |" in text
    assert "other programs used 0% to 50% of the machine" in text


def test_the_page_has_a_place_for_the_table() -> None:
    before, after = bench._around()
    assert "vllm backend" in before
    assert after


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="no /proc here")
def test_the_processor_seconds_of_another_process_are_counted() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert 0.25 < _cpu_of(other.pid) < 2
        other.communicate(b"\n")
    assert _cpu_of(0) == 0


@pytest.mark.vllm
@pytest.mark.data
def test_both_programs_score_a_few_items_alike(
    public_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = bench.README.read_bytes()
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--only", "letters", "--place", str(tmp_path)])
    bench.main()
    [found] = json.loads((tmp_path / "quick.json").read_text())["cells"]
    assert found["requests"] == 64
    assert found["largest"] < 1e-4
    assert all(side["cpu_seconds"] > 0 for one in found["rounds"] for side in one.values())
    assert "lm-eval's VLLM" in capsys.readouterr().out
    assert bench.README.read_bytes() == page
