from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from capeval.attribution.effects import ledger
from capeval.attribution.pairing import cells
from capeval.attribution.scores import rung_table, score_table
from capeval.attribution.summaries import weights, with_summaries
from tests.records import TASK, chain, records

KS = (0, 1, 2, 4, 8)
SETTINGS = tuple(f"{k}-shot" for k in KS)
X = np.log2(1 + np.array(KS, float))
LADDER = replace(TASK, settings=SETTINGS, summaries=("slope", "area"))


def curve(node: str, rows: np.ndarray, **columns) -> pd.DataFrame:
    """Records from scores (items, settings)."""
    parts = [records(node, list(rows[:, i]), setting=s, **columns) for i, s in enumerate(SETTINGS)]
    return pd.concat(parts, ignore_index=True)


def test_slope_is_least_squares_and_area_is_the_trapezoid_rule() -> None:
    rng = np.random.default_rng(0)
    for y in rng.random((5, len(KS))):
        assert y @ weights("slope", SETTINGS) == pytest.approx(stats.linregress(X, y).slope)
        assert y @ weights("area", SETTINGS) == pytest.approx(np.trapezoid(y, X) / (X[-1] - X[0]))
    shuffled = rng.permutation(len(KS))
    again = weights("area", [SETTINGS[i] for i in shuffled])
    assert again == pytest.approx(weights("area", SETTINGS)[shuffled])


def test_an_items_slope_pairs_between_nodes_and_its_mean_is_the_slope_of_the_means() -> None:
    rng = np.random.default_rng(1)
    flat = (rng.random((80, 5)) < 0.5).astype(float)
    steep = (rng.random((80, 5)) < np.linspace(0.2, 0.9, 5)).astype(float)
    tree = chain("base", "sft", tasks=(LADDER,))
    found = with_summaries(tree, cells(pd.concat([curve("base", steep), curve("sft", flat)])))
    scores = score_table(tree, found).set_index(["node", "setting"])
    assert scores.loc[("base", "slope"), "score"] == pytest.approx(stats.linregress(X, steep.mean(axis=0)).slope)
    assert scores.loc[("base", "slope"), "metric"] == "slope of exact_match"
    effects = ledger(tree, found, tree.edges()).set_index("setting")
    assert effects.loc["slope", "label"] == "decreased"
    each = (flat - steep) @ weights("slope", SETTINGS)
    assert effects.loc["slope", "p"] == pytest.approx(stats.ttest_1samp(each, 0).pvalue)
    assert effects.loc["slope", "margin"] == pytest.approx(TASK.margin / (X[-1] - X[0]))
    assert effects.loc["area", "delta"] == pytest.approx(((flat - steep) @ weights("area", SETTINGS)).mean())


def test_spread_is_one_where_the_wording_decides_and_neither_way_is_better() -> None:
    spec = replace(TASK, settings=("w1", "w2", "w3"), summaries=("mean", "spread"))
    sure, torn = [[1, 1, 1]] * 30 + [[0, 0, 0]] * 30, [[1, 0, 1]] * 30 + [[0, 0, 1]] * 30
    parts = [
        records(node, [float(row[i]) for row in rows], setting=spec.settings[i])
        for node, rows in (("base", sure), ("sft", torn))
        for i in range(3)
    ]
    tree = chain("base", "sft", tasks=(spec,))
    found = with_summaries(tree, cells(pd.concat(parts)))
    scores = score_table(tree, found).set_index(["node", "setting"])["score"]
    assert (scores[("base", "spread")], scores[("sft", "spread")]) == (0, 1)
    assert scores[("sft", "mean")] == pytest.approx(0.5)
    effects = ledger(tree, found, tree.edges()).set_index("setting")
    assert effects.loc["spread", "label"] == "increased"
    assert effects.loc["mean", "answer"] != "lost"


def test_a_setting_that_is_missing_or_an_item_without_a_score_gives_no_summary() -> None:
    rows = np.ones((4, 5))
    rows[2, 3] = np.nan
    whole = curve("base", rows)
    tree = chain("base", "sft", tasks=(LADDER,))
    found = with_summaries(tree, cells(pd.concat([whole, whole[whole["setting"] != "2-shot"].assign(node="sft")])))
    assert ("base", "sums", "slope") in found and ("sft", "sums", "slope") not in found
    slope = score_table(tree, found).set_index(["node", "setting"]).loc[("base", "slope")]
    assert (slope["n"], slope["missing"]) == (3, 1)


def test_summaries_pair_only_where_every_setting_showed_the_same_examples() -> None:
    rows = np.ones((4, 5))
    same, other = curve("base", rows, shots="a"), curve("sft", rows, shots="a")
    other.loc[other["setting"] == "8-shot", "shots"] = "b"
    tree = chain("base", "sft", tasks=(LADDER,))
    effects = ledger(tree, with_summaries(tree, cells(pd.concat([same, other]))), tree.edges()).set_index("setting")
    assert effects.loc["1-shot", "reason"] == ""
    assert effects.loc["slope", "reason"] == "different shots"


def test_a_gap_pairs_shifted_items_with_what_they_were() -> None:
    spec = replace(TASK, settings=("shifted", "plain"), summaries=("gap",))
    parts = [
        records(node, [score] * 40, setting=setting)
        for node, setting, score in (
            ("base", "shifted", 1.0),
            ("base", "plain", 1.0),
            ("sft", "shifted", 0.0),
            ("sft", "plain", 1.0),
        )
    ]
    tree = chain("base", "sft", tasks=(spec,))
    found = with_summaries(tree, cells(pd.concat(parts)))
    scores = score_table(tree, found).set_index(["node", "setting"])
    assert scores.loc[("sft", "gap"), "low"] == -1 < scores.loc[("sft", "gap"), "high"] < -0.7
    effects = ledger(tree, found, tree.edges()).set_index("setting")
    assert effects.loc["gap", "delta"] == -1 and effects.loc["gap", "label"] == "decreased"


def test_single_settings_stay_out_of_the_headlines() -> None:
    assert chain("a", tasks=(LADDER, TASK)).second_metrics() == {f"sums {s}" for s in SETTINGS}


def test_rungs_are_counted_and_a_change_of_format_is_marked() -> None:
    scores = [1.0] * 40
    strict = records("base", scores, rung=["strict"] * 36 + ["last"] * 4)
    loose = records("sft", [*scores[:20], *[0.0] * 20], rung=["last"] * 35 + ["not found"] * 5)
    tree = chain("base", "sft")
    found = cells(pd.concat([strict, loose]))
    table = rung_table(found).set_index(["node", "rung"])
    assert table.loc[("base", "strict"), "share"] == pytest.approx(0.9)
    assert table.loc[("sft", "not found"), "score"] == 0
    [effect] = ledger(tree, found, tree.edges()).to_dict("records")
    assert "answers read otherwise: by strict 0% against 90%" in effect["confounds"] or (
        "answers read otherwise: by last 88% against 10%" in effect["confounds"]
    )
    [same] = ledger(chain("base", "sft"), cells(pd.concat([strict, strict.assign(node="sft")])), tree.edges()).to_dict(
        "records"
    )
    assert same["confounds"] == ""


def test_a_summary_bears_the_confounds_of_its_settings() -> None:
    spec = replace(TASK, settings=("w1", "w2"), summaries=("mean",))
    parts = [
        records(node, [1.0] * 40, setting=setting, rung=rung, prompt_digest=digest)
        for node, rung, digest in (("base", "strict", "a"), ("sft", "last", "b"))
        for setting in spec.settings
    ]
    tree = chain("base", "sft", tasks=(spec,))
    effects = ledger(tree, with_summaries(tree, cells(pd.concat(parts))), tree.edges()).set_index("setting")
    assert "answers read otherwise" in effects.loc["mean", "confounds"]
    assert "different prompt on 40 items" in effects.loc["mean", "confounds"]


def test_an_end_without_a_ladder_did_not_move_on_it() -> None:
    found = cells(pd.concat([records("base", [1.0] * 20), records("sft", [1.0] * 20, rung="strict")]))
    [row] = ledger(chain("base", "sft"), found, chain("base", "sft").edges()).to_dict("records")
    assert row["confounds"] == ""
