"""Pairing: which items may be compared."""

import numpy as np
import pandas as pd
import pytest

from capeval.attribution.pairing import cells, pair, shares
from capeval.errors import PairingError
from tests.records import records

SAME = ["direct", "direct"]


def two(a: pd.DataFrame, b: pd.DataFrame) -> list[pd.DataFrame]:
    found = cells(pd.concat([a, b], ignore_index=True))
    return [found[("a", "sums", "direct")], found[("b", "sums", "direct")]]


def test_items_pair_by_digest_not_by_position() -> None:
    a = records("a", [1, 0, 1])
    b = records("b", [0, 0, 1]).iloc[::-1]
    pairs = pair(two(a, b), SAME)
    assert dict(zip(pairs.items, pairs.scores.tolist(), strict=True)) == {"i0": [1, 0], "i1": [0, 0], "i2": [1, 1]}
    assert pairs.dropped == 0


def test_missing_scores_and_lonely_items_are_dropped_and_counted() -> None:
    pairs = pair(two(records("a", [1, None, 1, 0]), records("b", [1, 1, None])), SAME)
    assert list(pairs.items) == ["i0"]
    assert pairs.dropped == 3


def test_samples_are_averaged_inside_the_item_and_a_missing_one_does_not_count() -> None:
    many = records("a", [1, 0, None, 1], item=["i0", "i0", "i0", "i1"], sample=[0, 1, 2, 0])
    pairs = pair(two(many, records("b", [1, 1])), SAME)
    assert pairs.scores.tolist() == [[0.5, 1], [1, 1]]


def test_different_shots_are_refused_unless_allowed() -> None:
    parts = two(records("a", [1, 0, 1], shots="x"), records("b", [1, 1, 1], shots="y"))
    with pytest.raises(PairingError, match="3 of 3 items were asked with different shots"):
        pair(parts, SAME)
    allowed = pair(parts, SAME, allow_different_shots=True)
    assert (len(allowed.items), allowed.reshot) == (3, 3)
    assert len(pair(parts, ["x", "y"]).items) == 3


def test_a_small_share_of_different_shots_is_dropped_and_counted() -> None:
    shots = ["x"] * 200
    parts = two(records("a", [1] * 200, shots=shots), records("b", [1] * 200, shots=[*shots[:-1], "y"]))
    pairs = pair(parts, SAME)
    assert (len(pairs.items), pairs.dropped, pairs.reshot) == (199, 1, 1)


def test_presentation_may_differ_and_is_counted() -> None:
    pairs = pair(two(records("a", [1, 0], presentation="document"), records("b", [1, 1], presentation="chat")), SAME)
    assert (len(pairs.items), pairs.represented) == (2, 2)


def test_subsets_become_cells_of_their_own() -> None:
    found = cells(records("a", [1, 0, 1], subset=["easy", "easy", "hard"]))
    assert sorted(found) == [("a", "sums", "direct"), ("a", "sums:easy", "direct"), ("a", "sums:hard", "direct")]
    assert found[("a", "sums:easy", "direct")]["score"].tolist() == [1, 0]


def test_shares_count_flags_among_the_scored_only() -> None:
    part = cells(records("a", [0, 0, None, 1], flag=["truncated", "unextracted", "truncated", ""]))[
        ("a", "sums", "direct")
    ]
    assert shares(part) == pytest.approx({"missing": 0.25, "truncated": 1 / 3, "unextracted": 1 / 3})


def test_no_records_no_cells() -> None:
    assert cells(records("a", [])) == {}
    assert np.isnan(shares(cells(records("a", [None]))[("a", "sums", "direct")])["missing"]) == np.False_


def test_a_prompt_in_other_words_is_kept_and_counted() -> None:
    a, b = records("a", [1, 0, 1], prompt_digest=["p", "q", ""]), records("b", [1, 1, 1], prompt_digest=["p", "z", "w"])
    pairs = pair(two(a, b), SAME)
    assert (len(pairs.items), pairs.represented, pairs.reworded) == (3, 0, 1)


def test_clusters_come_from_whichever_end_knows_them_and_must_agree() -> None:
    known = records("b", [1, 1], cluster=["x", "y"])
    clusters = pair(two(records("a", [1, 0]), known), SAME).clusters
    assert clusters is not None and clusters.tolist() == ["x", "y"]
    with pytest.raises(PairingError, match="different clusters"):
        pair(two(records("a", [1, 0], cluster=["x", "x"]), known), SAME)
