"""What the recorded trees show: the figures that README and reports state, from the records that ship."""

import functools
import math
from typing import Any

import pytest

from capeval.core import ANSWERS
from capeval.store.traces import Trace
from capeval.tracer import trace


@functools.cache
def traced(name: str) -> Trace:
    return trace(name)


def row(tree: str, **wanted: object) -> dict[str, Any]:
    """The only effect of the tree with these values."""
    effects = traced(tree).effects
    for column, value in wanted.items():
        effects = effects[effects[column] == value]
    assert len(effects) == 1, effects[["kind", "parent", "child", "task", "setting"]]
    return {str(k): v for k, v in effects.iloc[0].items()}


SQUAD = {"task": "squadv2", "setting": "few-shot"}


def test_squad_falls_with_ppo_and_is_kept_by_ptx() -> None:
    edge = row("instructgpt", kind="edge", parent="sft-175b", child="ppo-175b", **SQUAD)
    path = row("instructgpt", kind="path", parent="gpt-175b", child="ppo-175b", **SQUAD)
    sibling = row("instructgpt", kind="sibling", parent="ppo-175b", child="ppo-ptx-175b", **SQUAD)
    first = row("instructgpt", kind="edge", parent="gpt-175b", child="sft-175b", **SQUAD)
    scores = [first["parent_score"], first["child_score"], edge["child_score"], sibling["child_score"]]
    assert scores == pytest.approx([0.63, 0.60, 0.39, 0.62])
    assert [e["delta"] for e in (edge, path, sibling)] == pytest.approx([-0.21, -0.24, 0.23])
    assert [e["answer"] for e in (edge, path, sibling)] == ["lost", "lost", "gained"]
    for effect in (edge, path, sibling):
        assert effect["n_clusters"] == 32
        assert 0.0003 < effect["p"] < 0.003  # p ≈ .001 with article clusters
        assert "sign-flip" in effect["method"]


def test_squad_is_split_into_answerable_and_unanswerable() -> None:
    parts = [
        row("instructgpt", kind="edge", child="ppo-175b", parent="sft-175b", task=f"squadv2:{part}", setting="few-shot")
        for part in ("answerable", "unanswerable")
    ]
    assert [part["n"] for part in parts] == [49, 51]


@pytest.mark.parametrize(
    ("child", "setting", "points", "answer"),
    [
        ("ppo-ptx-175b", "qa", 39, "gained"),
        ("ppo-ptx-175b", "qa+instruction", 29, "gained"),
        ("ppo-ptx-175b", "instruction", 1, "cant_tell"),
        ("ppo-175b", "instruction", 29, "gained"),
    ],
)
def test_truthfulqa_depends_on_the_prompt(child: str, setting: str, points: int, answer: str) -> None:
    effect = row("instructgpt", kind="path", parent="gpt-175b", child=child, task="truthfulqa", setting=setting)
    assert effect["delta"] * 100 == pytest.approx(points)
    assert effect["answer"] == answer


def test_what_a_hundred_items_cannot_tell_says_how_many_it_takes() -> None:
    undecided = row(
        "instructgpt", kind="path", parent="gpt-175b", child="ppo-ptx-175b", task="truthfulqa", setting="instruction"
    )
    assert undecided["n_needed"] > 100
    assert "smallest effect that would have shown" in undecided["sentence"]
    assert "takes about" in undecided["sentence"]


def test_three_sizes_have_one_shape() -> None:
    effects = traced("instructgpt").effects
    edges = effects[effects["kind"] == "edge"]
    shapes = {
        size: sorted((e["task"], e["setting"], e["parent"].replace(size, ""), e["child"].replace(size, ""))
                     for e in edges[edges["child"].str.endswith(size)].to_dict("records"))
        for size in ("1.3b", "6b", "175b")
    }  # fmt: skip
    assert shapes["1.3b"] == shapes["6b"] == shapes["175b"] != []


def test_bbh_chain_of_thought_shows_both_intervals() -> None:
    effect = row("gpt-3.5", kind="within", child="code-davinci-002", task="bbh")
    assert effect["n"] == 6510
    assert effect["delta"] * 100 == pytest.approx(21.6, abs=0.1)
    assert effect["se"] * 100 == pytest.approx(0.67, abs=0.05)
    clustered_se = (effect["high_clustered"] - effect["low_clustered"]) / 2 / 2.056  # t with 26 df
    assert clustered_se * 100 == pytest.approx(4.4, abs=0.1)


@pytest.mark.parametrize(("setting", "n", "dropped", "points"), [("direct", 1605, 62, -16.1), ("cot", 1655, 12, -18.6)])
def test_tatqa_falls_from_code_to_text_and_is_marked(setting: str, n: int, dropped: int, points: float) -> None:
    effect = row(
        "gpt-3.5", kind="edge", parent="code-davinci-002", child="text-davinci-002", task="tatqa", setting=setting
    )
    assert (effect["n"], effect["dropped"], effect["answer"]) == (n, dropped, "lost")
    assert effect["delta"] * 100 == pytest.approx(points, abs=0.1)
    assert f"different shots on {n} items" in effect["confounds"]


def test_every_row_of_the_literatures_tree_is_a_node_and_some_say_no_data() -> None:
    found = traced("gpt-3.5")
    names = {stage.name for stage in found.tree.stages}
    assert {
        "davinci", "codex-12b", "code-cushman-001", "davinci-instruct-beta", "text-davinci-001", "code-davinci-002",
        "text-davinci-002", "text-davinci-003", "chatgpt", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613",
        "gpt-3.5-turbo-1106",
    } <= names  # fmt: skip
    disputed = found.tree.stage("text-davinci-003").links
    assert {link.parent for link in disputed} == {"text-davinci-002", "code-davinci-002"}
    assert {link.certainty for link in disputed} == {"disputed"}
    with_data = set(found.scores["node"]) | set(found.published["node"])
    assert {"davinci-instruct-beta", "codex-12b"} - with_data


@pytest.mark.parametrize("name", ["instructgpt", "gpt-3.5"])
def test_ledgers_are_whole(name: str) -> None:
    effects = traced(name).effects
    assert set(effects["answer"]) <= set(ANSWERS)
    inside = effects[(effects["n"] > 0) & effects["low"].notna()]
    assert (inside["low"] <= inside["delta"] + 1e-12).all() and (inside["delta"] <= inside["high"] + 1e-12).all()
    assert effects["p"].dropna().between(0, 1).all()
    assert not effects.duplicated(["contrast", "kind", "task", "setting"]).any()
    undecided = effects[(effects["answer"] == "cant_tell") & (effects["n"] > 1)]
    assert all(math.isfinite(m) for m in undecided["mde"])


def test_published_scores_are_never_among_the_paired() -> None:
    found = traced("gpt-3.5")
    assert len(found.published) > 100
    assert (found.published["source"] != "").all()
    rates = found.published.dropna(subset=["low"])
    assert (rates["low"] <= rates["value"]).all() and (rates["value"] <= rates["high"]).all()
