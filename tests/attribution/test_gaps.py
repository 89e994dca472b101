from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from capeval.attribution.effects import ledger
from capeval.attribution.pairing import cells
from capeval.stats.rates import newcombe_independent
from tests.records import TASK, chain, records

PLAIN = TASK
SHIFTED = replace(TASK, name="shifted", reference="sums")


def answers(node: str, task: str, right: int, n: int, seed: int = 0) -> pd.DataFrame:
    scores = np.random.default_rng(seed).permutation([1.0] * right + [0.0] * (n - right))
    return records(node, list(scores), task=task)


def test_a_nodes_gap_shows_both_scores_and_newcombes_interval() -> None:
    tree = chain("base", tasks=(PLAIN, SHIFTED))
    found = cells(pd.concat([answers("base", "sums", 70, 100), answers("base", "shifted", 40, 80)]))
    [gap] = ledger(tree, found, tree.edges()).to_dict("records")
    expected = newcombe_independent(40, 80, 70, 100)
    assert (gap["kind"], gap["contrast"]) == ("within", "base: shifted − sums")
    assert gap["setting"] == "direct − sums"
    assert (gap["parent_score"], gap["child_score"], gap["delta"]) == pytest.approx((0.7, 0.5, -0.2))
    assert (gap["low"], gap["high"]) == pytest.approx((expected.low, expected.high))
    assert gap["answer"] == "lost" and "other items" in gap["confounds"] and gap["n"] == 180


def test_an_edge_that_gains_on_both_alike_changes_no_gap_and_one_that_overfits_widens_it() -> None:
    tree = chain("base", "tuned", tasks=(PLAIN, SHIFTED))
    before = [answers("base", "sums", 50, 300), answers("base", "shifted", 50, 300)]

    def change(right: int) -> dict:
        after = [answers("tuned", "sums", 200, 300), answers("tuned", "shifted", right, 300)]
        rows = ledger(tree, cells(pd.concat([*before, *after])), tree.edges())
        [row] = rows[rows["kind"] == "difference"].to_dict("records")
        assert row["contrast"] == "base → tuned: gap to sums"
        return row

    assert change(200)["answer"] != "lost" and change(200)["delta"] == pytest.approx(0)
    widened = change(60)
    assert widened["answer"] == "lost" and widened["delta"] == pytest.approx(10 / 300 - 150 / 300)
    assert widened["low"] < widened["delta"] < widened["high"] < 0


def test_a_setting_that_only_one_of_the_two_has_gives_no_gap() -> None:
    tree = chain("base", tasks=(PLAIN, SHIFTED))
    shifted = records("base", [1.0] * 9, task="shifted", setting="cot")
    assert ledger(tree, cells(pd.concat([answers("base", "sums", 5, 9), shifted])), tree.edges()).empty
