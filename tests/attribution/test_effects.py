"""The ledger: what it says about planted truth."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capeval.attribution.effects import ledger
from capeval.attribution.pairing import cells
from capeval.columns import EFFECT_COLUMNS
from capeval.core import ANSWERS, Contrast, TaskSpec, Tree
from capeval.stats.power import detectable_by_mcnemar
from tests.records import TASK, chain, contrast, records


def book(tree: Tree, *frames: pd.DataFrame, contrasts: tuple[Contrast, ...] | None = None) -> pd.DataFrame:
    chosen = tree.edges() + tree.contrasts if contrasts is None else contrasts
    return ledger(tree, cells(pd.concat(frames, ignore_index=True)), chosen)


def test_a_planted_gain_is_gained_and_counts_its_flips() -> None:
    frame = book(
        chain("a", "b"), records("a", [0] * 60 + [1] * 40), records("b", [1] * 50 + [0] * 10 + [1] * 38 + [0] * 2)
    )
    row = frame.iloc[0]
    assert list(frame.columns) == list(EFFECT_COLUMNS)
    assert (row["answer"], row["gained"], row["lost"], row["n"]) == ("gained", 50, 2, 100)
    assert row["delta"] == pytest.approx(0.48)
    assert row["low"] < 0.48 < row["high"]
    assert "a → b: gained on sums (direct): +48.0 points" in row["sentence"]


def test_a_run_against_itself_has_no_effect() -> None:
    scores = [1, 0] * 500
    row = book(chain("a", "b"), records("a", scores), records("b", scores)).iloc[0]
    assert (row["delta"], row["p"], row["gained"], row["lost"], row["answer"]) == (0, 1, 0, 0, "equivalent")


def test_too_few_items_say_so_and_how_many_it_takes() -> None:
    rng = np.random.default_rng(0)
    row = book(chain("a", "b"), records("a", rng.integers(0, 2, 40)), records("b", rng.integers(0, 2, 40))).iloc[0]
    assert row["answer"] == "cant_tell"
    assert row["n_needed"] > 1000
    assert "takes about" in row["sentence"]


def test_lower_is_better_turns_the_answer_but_not_the_sign() -> None:
    toxic = TaskSpec(name="sums", capability="style", metric="toxicity", orientation="lower", binary=False)
    rng = np.random.default_rng(0)
    base = rng.uniform(0.4, 0.6, 200)
    row = book(
        chain("a", "b", tasks=[toxic]), records("a", base), records("b", base - 0.2 + rng.normal(0, 0.02, 200))
    ).iloc[0]
    assert row["delta"] < 0
    assert (row["answer"], row["gained"], row["lost"]) == ("gained", 200, 0)


def test_a_metric_without_a_better_end_increases() -> None:
    length = TaskSpec(
        name="sums",
        capability="style",
        metric="characters",
        orientation="none",
        binary=False,
        unit="characters",
        margin=5,
    )
    rng = np.random.default_rng(0)
    base = rng.normal(100, 10, 100)
    row = book(chain("a", "b", tasks=[length]), records("a", base), records("b", base + rng.normal(50, 5, 100))).iloc[0]
    assert (row["answer"], row["label"]) == ("gained", "increased")
    assert "increased on sums (direct): +49.7 characters" in row["sentence"]


def test_ends_that_differ_in_unreadable_answers_cant_be_told_apart() -> None:
    lost = ["unextracted"] * 30 + [""] * 70
    row = book(chain("a", "b"), records("a", [1] * 100), records("b", [0] * 30 + [1] * 70, flag=lost)).iloc[0]
    assert (row["answer"], row["reason"]) == ("cant_tell", "extraction: 30% against 0%")
    assert math.isnan(row["p_adjusted"])


def test_different_shots_are_a_row_that_cant_tell_unless_the_tree_allows_them() -> None:
    frames = records("a", [0] * 50, shots="x"), records("b", [1] * 50, shots="y")
    refused = book(chain("a", "b"), *frames).iloc[0]
    assert (refused["answer"], refused["reason"], refused["n"], refused["dropped"]) == (
        "cant_tell",
        "different shots",
        0,
        50,
    )
    allow = contrast("path", {("b", None): 1, ("a", None): -1}, allow_different_shots=True, confounds=("wording",))
    row = book(chain("a", "b"), *frames, contrasts=(allow,)).iloc[0]
    assert (row["answer"], row["confounds"]) == ("gained", "wording; different shots on 50 items")


def test_five_clusters_cant_tell_and_six_can() -> None:
    spec = TaskSpec(name="sums", capability="cot", metric="exact_match", cluster_role="sampled")
    for groups, answer in ((5, "cant_tell"), (7, "gained")):
        labels = [f"c{i % groups}" for i in range(70)]
        frame = book(
            chain("a", "b", tasks=[spec]),
            records("a", [0] * 70, cluster=labels),
            records("b", [1] * 70, cluster=labels),
        )
        assert frame.iloc[0]["answer"] == answer
        assert frame.iloc[0]["n_clusters"] == groups


def test_strata_show_both_intervals() -> None:
    spec = TaskSpec(name="sums", capability="cot", metric="exact_match", cluster_role="strata")
    rng = np.random.default_rng(1)
    labels = [f"t{i // 50}" for i in range(500)]
    effect = np.repeat(rng.uniform(0, 0.6, 10), 50)
    child = (rng.uniform(size=500) < effect).astype(float)
    row = book(
        chain("a", "b", tasks=[spec]), records("a", [0] * 500, cluster=labels), records("b", child, cluster=labels)
    ).iloc[0]
    # subtasks that differ make the interval that generalises to other subtasks wider
    assert row["high_clustered"] - row["low_clustered"] > row["high"] - row["low"]


def test_within_a_node_settings_are_compared_on_the_same_items() -> None:
    cot = records("a", [1] * 60 + [0] * 40, setting="cot", shots="chains")
    direct = records("a", [0] * 50 + [1] * 10 + [0] * 40, shots="answers")
    inside = contrast("within", {("a", "cot"): 1, ("a", "direct"): -1})
    row = book(chain("a", contrasts=[inside]), cot, direct).iloc[0]
    assert (row["setting"], row["family"], row["answer"]) == ("cot − direct", "within", "gained")
    assert row["delta"] == pytest.approx(0.5)


def test_difference_of_differences_uses_items_of_all_four_cells() -> None:
    cells_ = {("b", "cot"): 1.0, ("b", "direct"): -1.0, ("a", "cot"): -1.0, ("a", "direct"): 1.0}
    frames = [
        records("a", [0] * 50, setting="cot"), records("a", [0] * 50), records("b", [1] * 40 + [0] * 10, setting="cot"),
        records("b", [0] * 49),
    ]  # fmt: skip
    row = book(chain("a", "b"), *frames, contrasts=(contrast("difference", cells_),)).iloc[0]
    assert (row["n"], row["dropped"]) == (49, 1)
    assert row["delta"] == pytest.approx(40 / 49)


def test_differences_of_differences_check_the_shots_of_each_setting() -> None:
    cells_ = {("b", "cot"): 1.0, ("b", "direct"): -1.0, ("a", "cot"): -1.0, ("a", "direct"): 1.0}
    frames = [records(n, [0, 1] * 20, setting=s, shots=f"{n} {s}") for n in "ab" for s in ("cot", "direct")]
    row = book(chain("a", "b"), *frames, contrasts=(contrast("difference", cells_),)).iloc[0]
    assert (row["answer"], row["reason"]) == ("cant_tell", "different shots")


def test_sizes_that_differ_are_listed_as_a_confound() -> None:
    tree = chain("a", "b")
    small = Tree(
        name="t", tasks=(TASK,),
        stages=tuple(type(s)(**{f: getattr(s, f) for f in s.__slots__} | {"parameters": p})  # type: ignore[attr-defined]
                     for s, p in zip(tree.stages, (175e9, 1.3e9), strict=True)),
    )  # fmt: skip
    row = ledger(small, cells(pd.concat([records("a", [0, 1]), records("b", [0, 1])])), small.edges()).iloc[0]
    assert row["confounds"] == "size: 1.3B against 175B"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, None])] * 3), min_size=1, max_size=40))
def test_deltas_along_a_path_add_up_on_the_items_that_it_shares(rows: list[tuple[float | None, ...]]) -> None:
    whole = [row for row in rows if None not in row]
    if not whole:
        return
    tree = chain("a", "b", "c")
    frames = [records(node, [row[i] for row in whole]) for i, node in enumerate("abc")]
    path = contrast("path", {("c", None): 1, ("a", None): -1})
    frame = book(tree, *frames, contrasts=(*tree.edges(), path)).set_index("kind")
    assert frame.loc["edge", "delta"].sum() == pytest.approx(frame.loc["path", "delta"])
    assert set(frame["answer"]) <= set(ANSWERS)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_the_items_does_not_matter(order: list[int]) -> None:
    a, b = records("a", [0, 1] * 6), records("b", [1, 1, 0] * 4)
    straight = book(chain("a", "b"), a, b)
    shuffled = book(chain("a", "b"), a.iloc[order], b)
    pd.testing.assert_frame_equal(straight, shuffled)


def test_families_are_adjusted_apart() -> None:
    tree = chain("a", "b", contrasts=[contrast("within", {("a", "cot"): 1, ("a", "direct"): -1})])
    rng = np.random.default_rng(0)
    frames = [records(n, rng.integers(0, 2, 80), setting=s) for n in "ab" for s in ("cot", "direct")]
    frame = book(tree, *frames)
    alone = frame[frame["family"] == "within"]
    assert len(alone) == 1
    assert alone.iloc[0]["p_adjusted"] == alone.iloc[0]["p"]
    assert (frame[frame["family"] == "tasks"]["p_adjusted"] >= frame[frame["family"] == "tasks"]["p"] - 1e-12).all()


def test_the_smallest_detectable_effect_is_at_the_level_that_the_family_leaves() -> None:
    # four edges, nothing told: each is judged at 0.05 / 4
    tree = chain("a", "b", "c", "d", "e")
    scores = [1.0] * 40 + [0.0] * 40
    frame = pd.concat([records(node, scores[i:] + scores[:i]) for i, node in enumerate("abcde")])
    rows = ledger(tree, cells(frame), tree.edges())
    assert rows["mde"].tolist() == [detectable_by_mcnemar(80, 2, alpha=0.0125)] * 4
