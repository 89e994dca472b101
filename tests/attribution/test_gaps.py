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
    assert (gap["kind"], gap["contrast"]) == ("within", "base: gap to sums")
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

    assert change(200)["label"] not in ("decreased", "increased") and change(200)["delta"] == pytest.approx(0)
    widened = change(60)
    assert widened["label"] == "decreased" and widened["delta"] == pytest.approx(10 / 300 - 150 / 300)
    assert widened["low"] < widened["delta"] < widened["high"] < 0


def test_a_setting_that_only_one_of_the_two_has_gives_no_gap() -> None:
    tree = chain("base", tasks=(PLAIN, SHIFTED))
    shifted = records("base", [1.0] * 9, task="shifted", setting="cot")
    assert ledger(tree, cells(pd.concat([answers("base", "sums", 5, 9), shifted])), tree.edges()).empty


def test_a_set_that_could_not_be_read_tells_nothing_of_a_gap() -> None:
    tree = chain("base", "tuned", tasks=(PLAIN, SHIFTED))
    cut = ["truncated"] * 60 + [""] * 40
    parts = [
        answers("base", "sums", 70, 100), answers("base", "shifted", 70, 100), answers("tuned", "sums", 70, 100),
        records("tuned", [0.0] * 60 + [1.0] * 40, task="shifted", flag=cut),
    ]  # fmt: skip
    rows = ledger(tree, cells(pd.concat(parts)), tree.edges())
    told = rows[rows["contrast"].str.contains("gap to")].set_index("contrast")
    assert told.loc["base: gap to sums", "reason"] == ""
    for contrast in ("tuned: gap to sums", "base → tuned: gap to sums"):
        assert told.loc[contrast, "answer"] == "cant_tell" and told.loc[contrast, "reason"].startswith("truncated")


def test_a_change_of_a_gap_names_what_confounds_the_stage_and_its_reading() -> None:
    tree = chain("base", "tuned", tasks=(PLAIN, SHIFTED))
    parts = [answers(node, task, 30, 60).assign(rung="strict") for node in ("base", "tuned")
             for task in ("sums", "shifted")]  # fmt: skip
    parts[3] = parts[3].assign(rung="last", presentation="chat")
    rows = ledger(tree, cells(pd.concat(parts)), tree.edges())
    [row] = rows[rows["kind"] == "difference"].to_dict("records")
    assert "different presentation on 60 items" in row["confounds"]
    assert "answers read otherwise" in row["confounds"]
    assert np.isnan(row["parent_score"]), "of a difference of differences no two scores make the difference"


def test_fewer_than_six_clusters_tell_no_gap() -> None:
    sampled = [replace(task, cluster_role="sampled", cluster="article") for task in (PLAIN, SHIFTED)]
    tree = chain("base", tasks=sampled)
    parts = [answers("base", task, k, 60).assign(cluster=[f"c{i % 4}" for i in range(60)])
             for task, k in (("sums", 55), ("shifted", 5))]  # fmt: skip
    [gap] = ledger(tree, cells(pd.concat(parts)), tree.edges()).to_dict("records")
    assert gap["reason"] == "fewer than six clusters (4)"


def test_an_item_that_was_dropped_confounds_nothing() -> None:
    tree = chain("base", "tuned", tasks=(PLAIN, SHIFTED))
    parts = [answers(node, task, 100, 200).assign(shots="a") for node in ("base", "tuned")
             for task in ("sums", "shifted")]  # fmt: skip
    parts[3].loc[0, "shots"] = "b"
    rows = ledger(tree, cells(pd.concat(parts)), tree.edges())
    [row] = rows[rows["kind"] == "difference"].to_dict("records")
    assert row["confounds"] == "" and row["dropped"] == 1
