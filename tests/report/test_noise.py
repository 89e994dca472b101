"""A noise floor in the terminal: what flips in all, the worst tasks, what was not seen and may be all the same."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from capeval.report.noise import ROWS, print_noise
from capeval.store.noise import NoiseFloor
from tests.noise import floor_of, noise_of


def printed(floor: NoiseFloor) -> list[str]:
    stream = io.StringIO()
    print_noise(floor, Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    return lines


def test_a_variant_says_what_flips_in_all_and_where_most() -> None:
    texts = {"n_texts": 500, "texts_differ": 0.1}
    rows = [noise_of(n=500, better=i, worse=i, task=f"t{i}") for i in range(20)]
    rows[3] = replace(rows[3], **texts)
    lines = printed(floor_of(*rows, noise_of(task="t1:part", n=50, better=1)))
    assert lines[0] == "base · smoke · hf float32 cpu"
    assert lines[2] == "order 1   requests shuffled, 1,024 tokens a batch"
    assert lines[3] == "  380 of 10,000 scores flip (3.80 %); 50 of 500 texts differ"
    assert lines[5].split() == [
        "t19",
        "·",
        "direct",
        "500",
        "38",
        "19",
        "/",
        "19",
        "7.6",
        "%",
        "[5.4,",
        "10.3]",
        "+0",
        "–",
        "–",
    ]
    assert len([line for line in lines if " · direct" in line]) == ROWS
    assert "  … and 8 more in which something differs" in lines
    assert lines[-1] == "  none flips in the other 1: at most 0.7 % of their items do (exact 95 % interval, by n)"


def test_scores_that_do_not_flip_only_move() -> None:
    moved = replace(noise_of(binary=False, unit="bits per byte", mean_difference=0.00123), differ=500)
    lines = printed(floor_of(replace(moved, n_logprobs=500, largest_logprob=0.25)))
    assert lines[3] == "  log-probabilities move by up to 2.5e-01"
    assert lines[5].split() == [
        "sums",
        "·",
        "direct",
        "500",
        "–",
        "–",
        "–",
        "+0.00123",
        "bits",
        "per",
        "byte",
        "–",
        "2.5e-01",
    ]
    assert not any("flip" in line for line in (lines[3], *lines[5:]))


def test_flips_that_go_one_way_are_said_and_names_cannot_move_a_cursor() -> None:
    lines = printed(floor_of(noise_of(better=9, task="x\x1b[2J")))
    assert "  ! x\ufffd[2J · direct: flips go one way (Holm p = .004)" in lines


def test_what_was_skipped_is_said() -> None:
    floor = replace(floor_of(noise_of()), provenance={"skipped": ["vllm: it is not installed"]})
    assert printed(floor)[-1] == "! skipped vllm: it is not installed"
