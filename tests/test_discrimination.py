from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.discrimination import PLANTED, _told
from capeval.suites import load_suite
from tests.records import TASK, run_of

CHAT = replace(TASK, name="lab-dialogues", capability="chat")


def told(a: list[float], b: list[float]) -> dict[str, object]:
    runs = [run_of(node, scores, task=CHAT, setting="asked") for node, scores in (("a", a), ("b", b))]
    return _told("chat", *runs)


def test_a_large_difference_is_told_and_the_same_answers_or_chance_are_not() -> None:
    rng = np.random.default_rng(0)
    base = (rng.random(200) < 0.5).astype(float)
    assert told(list(base), [1.0] * 200)["apart"]
    assert not told(list(base), list(base))["apart"]
    assert not told(list(base), list((rng.random(200) < 0.5).astype(float)))["apart"]


def test_every_suite_of_the_lab_has_a_planted_pair() -> None:
    assert {f"lab/{suite}" for suite in PLANTED} <= {load_suite(f"lab/{suite}").name for suite in PLANTED}
    assert len(PLANTED) == 12
