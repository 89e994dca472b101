"""Changes of form below ten points are marked, and luck is not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capeval.attribution.confounds import read_otherwise
from capeval.attribution.effects import ledger
from capeval.attribution.pairing import cells
from tests.records import chain, records

N = 400
RIGHT = np.tile([1.0, 0.0], N // 2)


def ends(child: dict, parent: dict) -> list[pd.DataFrame]:
    found = cells(pd.concat([records("child", list(RIGHT), **child), records("parent", list(RIGHT), **parent)]))
    return [found[(node, "sums", "direct")] for node in ("child", "parent")]


def rungs(count: int) -> list[str]:
    return ["last"] * count + ["strict"] * (N - count)


def lenient(count: int) -> np.ndarray:
    """Of the wrong answers so many say the gold in a sentence."""
    said = RIGHT.copy()
    said[1 : 2 * count : 2] = 1.0
    return said


def test_a_rung_that_moved_by_more_than_luck_is_marked() -> None:
    # at one end only: five of 400 have an exact McNemar p of .0625, six of .031
    assert read_otherwise([ends({"rung": rungs(5)}, {"rung": rungs(0)})]) == []
    assert read_otherwise([ends({"rung": rungs(6)}, {"rung": rungs(0)})]) == [
        "answers read otherwise: by last 2% against 0%"
    ]


def test_answers_that_are_right_but_for_their_form_are_marked_where_somebody_looked() -> None:
    found = read_otherwise([ends({"lenient": lenient(20)}, {"lenient": lenient(0)})])
    assert found == ["held back by their form: 5% against 0%"]
    assert read_otherwise([ends({"lenient": lenient(20)}, {})]) == []
    assert read_otherwise([ends({"lenient": lenient(20)}, {"lenient": lenient(20)})]) == []


def test_of_several_settings_the_largest_difference_is_told() -> None:
    small, large = (ends({"rung": rungs(count)}, {"rung": rungs(0)}) for count in (8, 80))
    assert read_otherwise([small, large]) == ["answers read otherwise: by last 20% against 0%"]
    assert read_otherwise([[part.iloc[:0] for part in small]]) == []


def test_samples_of_an_item_count_once() -> None:
    frames = [
        records(
            node, [0.0] * 40, item=[f"i{i // 4}" for i in range(40)], sample=[i % 4 for i in range(40)],
            lenient=[said] * 40,
        )
        for node, said in (("child", 1.0), ("parent", 0.0))
    ]  # fmt: skip
    found = cells(pd.concat(frames))
    parts = [found[(node, "sums", "direct")] for node in ("child", "parent")]
    assert read_otherwise([parts]) == ["held back by their form: 100% against 0%"]
    assert len(parts[0]) == 10


def test_the_ledger_marks_a_loss_that_is_form() -> None:
    scores = np.ones(N)
    scores[:24] = 0.0
    frame = pd.concat([records("a", [1.0] * N, lenient=[1.0] * N), records("b", list(scores), lenient=[1.0] * N)])
    tree = chain("a", "b")
    row = ledger(tree, cells(frame), tree.edges()).iloc[0]
    assert row["answer"] == "lost" and row["confounds"] == "held back by their form: 6% against 0%"
