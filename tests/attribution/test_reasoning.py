"""The child's chains, read by its parent, on planted truth: knows, follows, cannot, can't tell, and where they part."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capeval.attribution.reasoning import reasoning_table
from capeval.columns import READ_COLUMNS, REASONING_COLUMNS
from capeval.core import TaskSpec
from tests.reads import planted
from tests.records import TASK

GROUPS = {"gained": (1.0, 0.0), "both": (1.0, 1.0), "wrong": (0.0, 0.0)}


def table(*reads: pd.DataFrame, task: TaskSpec = TASK, alpha: float = 0.05) -> pd.DataFrame:
    return reasoning_table([task], pd.concat(reads, ignore_index=True), alpha=alpha)


def gained(*reads: pd.DataFrame, **more: Any) -> dict[str, Any]:
    found = table(*reads, **more)
    return dict(found[found["group"] == "gained"].iloc[0])


def test_nothing_read_is_an_empty_table() -> None:
    found = reasoning_table([TASK], pd.DataFrame(columns=list(READ_COLUMNS)), alpha=0.05)
    assert found.empty and list(found.columns) == list(REASONING_COLUMNS)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ((0.9, 0.9, 0.95), "knows"),
        ((0.1, 0.2, 0.9), "follows"),
        ((0.1, 0.1, 0.1), "cannot"),
        ((0.5, 0.5, 0.9), "cant_tell"),
        ((0.1, 0.3, 0.5), "cant_tell"),
    ],
)
def test_the_planted_answer_is_given(found: tuple[float, float, float], answer: str) -> None:
    control = planted(40, found=(0.9, 0.9, 0.9), group=GROUPS["both"], seed=1)
    row = gained(planted(60, found=found), control)
    assert row["answer"] == answer
    for place, planted_share in zip(("start", "unstated", "end"), found, strict=True):
        assert row[place] == pytest.approx(planted_share, abs=0.15)
        assert row[f"{place}_low"] <= row[place] <= row[f"{place}_high"]
    assert row["confounds"] == ""


def test_a_parent_that_does_not_say_its_own_answers_there_either_is_not_said_to_be_unable() -> None:
    unable = planted(60)
    assert gained(unable)["answer"] == "cant_tell"
    assert "too few items that both solve" in gained(unable)["confounds"]
    foreign = planted(40, found=(0.25, 0.25, 0.25), group=GROUPS["both"], seed=3)
    row = gained(unable, foreign)
    assert row["answer"] == "cant_tell"
    assert row["confounds"].startswith("on 40 items that both solve, the parent finds its own answer in")
    known = planted(12, found=(0.8, 0.8, 0.8), group=GROUPS["both"])
    assert gained(unable, known)["answer"] == "cannot" and gained(unable, known)["confounds"] == ""


def test_a_parent_that_knows_nothing_is_seldom_said_to_know_or_follow() -> None:
    """Its answers are as likely as those to other items: found in a quarter."""
    control = planted(30, found=(0.9, 0.9, 0.9), group=GROUPS["both"])
    answers = [gained(planted(40, found=(0.25,) * 3, seed=seed), control)["answer"] for seed in range(60)]
    assert answers.count("cannot") >= 50
    assert answers.count("knows") + answers.count("follows") == 0
    coins = [gained(planted(40, found=(0.5,) * 3, seed=seed), control)["answer"] for seed in range(60)]
    assert coins.count("cant_tell") >= 54  # each bound errs in one of forty


def test_a_few_items_have_no_majority() -> None:
    row = gained(planted(4, found=(1.0, 1.0, 1.0)))
    assert row["answer"] == "cant_tell" and row["n"] == 4


def test_where_they_part_and_by_how_much() -> None:
    row = gained(planted(50, ratios=(0.0, 10.0, 0.0, 1.0), noise=0.3))
    assert row["parts_at"] == pytest.approx(15 / 40)  # the middle of the second of four steps
    assert (row["parts_low"], row["parts_high"], row["parted"]) == (row["parts_at"], row["parts_at"], 1.0)
    assert row["low"] < 11 / 40 < row["high"]
    assert row["high"] - row["low"] < 0.01
    curve = json.loads(row["curve"])
    assert len(curve) == 10 and all(low <= mean <= high for _, mean, low, high in curve)
    assert [point[0] for point in curve] == pytest.approx(np.arange(0.05, 1, 0.1).tolist())
    assert curve[3][1] == pytest.approx(1.0, abs=0.05)
    assert np.mean([point[1] for point in curve]) == pytest.approx(row["ratio"], abs=1e-6)
    assert "They part at 38% of the chain" in row["sentence"]


def test_a_model_that_reads_itself_never_parts() -> None:
    reads = planted(30, ratios=(0.0,) * 4, group=GROUPS["both"], found=(1.0, 1.0, 1.0))
    found = table(reads)
    row = found.iloc[0]
    assert (row["ratio"], row["low"], row["high"], row["parted"]) == (0.0, 0.0, 0.0, 0.0)
    assert math.isnan(row["parts_at"])
    assert (row["answer"], row["sentence"]) == ("", "")
    turned = gained(planted(30, ratios=(0.0,) * 4))
    assert "Most chains never part (0% do)" in turned["sentence"]


def test_clusters_that_are_sampled_widen_the_intervals() -> None:
    rng = np.random.default_rng(0)
    reads = planted(60, found=(0.0, 0.0, 0.0))
    of_cluster = {cluster: rng.random() < 0.5 for cluster in reads["cluster"].unique()}
    hit = reads["cluster"].map(of_cluster) & reads["said"].notna()
    reads["said"] = reads["said"].mask(hit, -1.0)
    free = gained(reads)
    held = gained(reads, task=TaskSpec(name="sums", capability="cot", metric="em", cluster_role="sampled"))
    assert held["start_high"] - held["start_low"] > 1.5 * (free["start_high"] - free["start_low"])
    assert held["start"] == free["start"]


def test_answers_need_something_to_be_held_against() -> None:
    reads = planted(20, found=(1.0, 1.0, 1.0)).assign(own=np.nan, decoy=np.nan, decoys=0)
    row = gained(reads)
    assert row["n_answers"] == 0 and math.isnan(row["start"]) and row["answer"] == "cant_tell"
    assert "no answer could be put in place" in row["sentence"]


def test_chance_is_one_of_the_answers_that_are_as_likely_to_who_knows_nothing() -> None:
    assert gained(planted(20))["chance"] == 0.25
    assert gained(planted(20, decoys=1))["chance"] == 0.5


def test_who_always_takes_the_commonest_answer_does_not_know() -> None:
    skewed = planted(60, found=(0.8, 0.8, 0.8), commonest=True)
    assert gained(skewed)["chance"] == 1.0 and gained(skewed)["answer"] == "cant_tell"
    assert gained(skewed.assign(commonest=False))["answer"] == "knows"


def test_what_weakens_the_reading_is_named_and_wrong_chains_stand_beside() -> None:
    reads = planted(30, restated=True, greedy=False)
    row = gained(reads, planted(20, found=(0.0, 0.0, 1.0), group=GROUPS["wrong"]))
    assert "30 read in another form" in row["confounds"]
    assert "would not write 100% again" in row["confounds"]
    assert "Wrong chains lead it to their wrong answer in 100% [84, 100] of 20." in row["sentence"]


def test_many_answers_share_the_level() -> None:
    """Bonferroni: what one pair shows, it does not show as one of twenty."""
    reads = [planted(24, found=(1.0, 1.0, 1.0)).assign(child=f"c{i}") for i in range(20)]
    for part in reads:
        first = part["item"].isin(part["item"].unique()[:6]) & part["said"].notna()
        part["said"] = part["said"].mask(first, -5.0)
    assert gained(reads[0])["answer"] == "knows"
    assert set(table(*reads)["answer"]) == {"cant_tell"}
