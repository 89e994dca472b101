"""Differences split by cause: they add up to the ledger's, and a change of form is no change of capability."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capeval.attribution.anatomy import REST, anatomy_table
from capeval.attribution.causes import CAUSES
from capeval.attribution.effects import ledger
from capeval.attribution.flips import flip_table
from capeval.attribution.pairing import cells
from capeval.core import TaskSpec, Tree
from capeval.store.runs import as_records, with_node
from tests.records import TASK, chain, contrast

SOFT = replace(TASK, binary=False, cluster_role="sampled")
MARKS = {"lenient": 0.0, "steps": 0.0, "declined": 0.0, "length": 20.0, "finish": "stop"}


def answers(node: str, scores: Sequence[float], **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"item": [f"i{i}" for i in range(len(scores))], "score": list(scores)})
    frame = frame.assign(**({"task": "sums", "capability": "cot", "setting": "direct"} | MARKS | columns))
    return with_node(as_records(frame), node)


def split_of(tree: Tree, *parts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The anatomy, and the ledger of the same records."""
    records = pd.concat(parts, ignore_index=True)
    asked = (*tree.edges(), *tree.contrasts)
    found = cells(records)
    return (
        anatomy_table(tree, found, flip_table(records, asked, tree.tasks), alpha=0.05),
        ledger(tree, found, asked),
    )


def test_a_change_of_form_alone_is_never_another_answer() -> None:
    n = 100
    tree = chain("base", "sft")
    lenient = [1.0] * 90 + [0.0] * 10
    base = answers("base", [1.0] * 90 + [0.0] * 10, lenient=lenient)
    sentences = answers("sft", [1.0] * 30 + [0.0] * 70, lenient=lenient, length=80.0)
    table, effects = split_of(tree, base, sentences)
    assert set(table["cause"]) == {"format"}
    [row] = table.to_dict("records")
    assert (row["lost"], row["gained"], row["n"], row["share"]) == (60, 0, n, 1.0)
    assert row["net"] == row["delta"] == effects["delta"].iloc[0] == -0.6
    assert (row["low"], row["high"]) == (effects["low"].iloc[0], effects["high"].iloc[0])
    assert row["sentence"] == (
        f"base → sft, sums (direct): −60.0 points, of which −60.0 [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}] "
        "are format: the right answer is in what was said, but not in the form that is scored (median 80 characters, "
        "20 in the better answers)."
    ).replace("[-", "[−").replace(", -", ", −")


def test_gains_and_losses_of_one_cause_are_set_off() -> None:
    base = answers("base", [1, 1, 1, 0, 0, 1], declined=[0, 0, 0, 1, 0, 0])
    child = answers("sft", [0, 0, 1, 1, 1, 1], declined=[1, 0, 0, 0, 0, 0])
    table, _ = split_of(chain("base", "sft"), base, child)
    found = table.set_index("cause")
    assert found.loc["refusal", ["lost", "gained"]].tolist() == [1, 1] and found.loc["refusal", "net"] == 0
    assert found.loc["answer", ["lost", "gained", "share"]].tolist() == [1, 1, 0.5]


COLUMN = st.lists(st.floats(0, 1, allow_nan=False), min_size=12, max_size=12)
FLAGS = st.lists(st.sampled_from(["", "truncated", "empty", "refused", "unextracted"]), min_size=12, max_size=12)


@settings(max_examples=40, deadline=None)
@given(COLUMN, COLUMN, COLUMN, FLAGS, st.sampled_from(["higher", "lower"]), st.booleans())
def test_causes_add_up_to_the_ledger(
    a: list[float], b: list[float], lenient: list[float], flags: list[str], way: Any, binary: bool
) -> None:
    if binary:
        a, b = [[float(x > 0.5) for x in scores] for scores in (a, b)]
    task = replace(SOFT, binary=binary, orientation=way)
    clusters = [f"c{i % 7}" for i in range(12)]
    tree = chain("base", "sft", tasks=[task])
    table, effects = split_of(
        tree,
        answers("base", a, flag=flags, lenient=lenient, cluster=clusters),
        answers("sft", b, flag=flags[::-1], lenient=lenient, cluster=clusters),
    )
    row = effects.iloc[0]
    big = np.abs(np.array(b) - np.array(a)) >= 0.5
    if not big.any():
        assert table.empty
        return
    assert table["net"].sum() == pytest.approx(row["delta"], abs=1e-12)
    assert (table["n"] == row["n"]).all() and set(table["cause"]) <= {*CAUSES, REST}
    assert table["lost"].sum() + table["gained"].sum() == big.sum()
    assert ((table["low"] <= table["net"] + 1e-12) & (table["net"] <= table["high"] + 1e-12)).all()


def test_small_changes_have_a_row_of_their_own() -> None:
    base, child = answers("base", [1.0, 0.5, 0.5, 0.2]), answers("sft", [0.0, 0.8, 0.6, 0.2])
    table, _ = split_of(chain("base", "sft", tasks=[replace(TASK, binary=False)]), base, child)
    found = table.set_index("cause")
    assert found.loc[REST, "net"] == pytest.approx(0.1)
    assert found.loc[REST, ["lost", "gained"]].tolist() == [0, 0]
    assert np.isnan(found.loc[REST, "share"]) or found.loc[REST, "share"] == 0


def test_lower_is_turned_and_what_has_no_better_end_stays_out() -> None:
    base, child = answers("base", [0.0, 0.9]), answers("sft", [1.0, 0.1], length=[0.0, 20.0])
    lower = chain("base", "sft", tasks=[replace(TASK, orientation="lower", binary=False)])
    table, _ = split_of(lower, base, child)
    found = table.set_index("cause")
    assert found.loc["empty", ["lost", "gained"]].tolist() == [
        1,
        0,
    ]  # the child's rise is the loss, and it said nothing
    assert found.loc["answer", ["lost", "gained"]].tolist() == [0, 1]
    nobody = chain("base", "sft", tasks=[replace(TASK, orientation="none", binary=False)])
    table, _ = split_of(nobody, base, child)
    assert table.empty
    flips = flip_table(pd.concat([base, child]), nobody.edges(), nobody.tasks)
    assert flips["cause"].tolist() == ["", ""]


def test_the_answer_that_speaks_for_several_samples_is_as_most_are() -> None:
    base = answers("base", [1.0, 1.0, 1.0], item="i", sample=[0, 1, 2])
    child = answers("sft", [1.0, 0.0, 0.0], item="i", sample=[0, 1, 2], declined=[0, 1, 1], response=["x", "no", "no"])
    flips = flip_table(pd.concat([base, child]), chain("base", "sft").edges(), [replace(TASK, binary=False)])
    [row] = flips.to_dict("records")
    assert (row["child_score"], row["cause"], row["child_response"]) == (pytest.approx(1 / 3), "refusal", "no")


def test_subsets_and_two_settings_and_tasks_of_a_contrast() -> None:
    within = contrast("within", {("sft", "cot"): 1, ("sft", "direct"): -1}, tasks=("sums",))
    elsewhere = contrast("within", {("sft", "cot"): 1, ("sft", "direct"): -1}, tasks=("other",))
    subset = ["easy"] * 3 + ["hard"] * 3
    direct = answers("sft", [0, 0, 1, 0, 0, 1], subset=subset)
    cot = answers("sft", [1, 1, 1, 1, 0, 1], setting="cot", steps=4.0, subset=subset)
    table, effects = split_of(chain("sft", contrasts=[within, elsewhere]), direct, cot)
    assert table["cause"].unique().tolist() == ["reasoning"]
    assert table.groupby("task")["gained"].sum().to_dict() == {"sums": 3, "sums:easy": 2, "sums:hard": 1}
    assert table["setting"].unique().tolist() == ["cot − direct"]
    deltas = effects.set_index("task")["delta"]
    assert table.set_index("task")["net"].to_dict() == pytest.approx(deltas.to_dict())


def test_other_shots_do_not_pair_unless_the_tree_allows() -> None:
    base, child = answers("base", [1.0] * 9, shots="a"), answers("sft", [0.0] * 9, shots="b")
    table, _ = split_of(chain("base", "sft"), base, child)
    assert table.empty


def test_nothing_has_no_anatomy() -> None:
    table, _ = split_of(chain("base", "sft"), answers("base", [1.0]), answers("other", [0.0]))
    assert table.empty and "sentence" in table


def test_two_hundred_thousand_records_take_seconds() -> None:
    rng = np.random.default_rng(0)
    tasks = [TaskSpec(name=f"t{i}", capability="c", metric="exact_match") for i in range(10)]
    frames = []
    for node in ("base", "sft", "ppo", "chat"):
        frame = pd.DataFrame({"item": np.tile([f"i{i}" for i in range(5_000)], 10)})
        frame = frame.assign(
            task=np.repeat([t.name for t in tasks], 5_000), capability="c", setting="direct",
            score=(rng.random(len(frame)) < 0.5).astype(float), lenient=rng.random(len(frame)), steps=1.0, declined=0.0,
            length=30.0,
        )  # fmt: skip
        frames.append(with_node(as_records(frame), node))
    records = pd.concat(frames, ignore_index=True)
    tree = chain("base", "sft", "ppo", "chat", tasks=tasks)
    found = cells(records)
    begun = time.perf_counter()
    flips = flip_table(records, tree.edges(), tree.tasks)
    table = anatomy_table(tree, found, flips, alpha=0.05)
    assert time.perf_counter() - begun < 10
    assert len(flips) > 60_000 and set(table["cause"]) == {"format", "answer"}
