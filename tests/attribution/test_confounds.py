"""What else differs between the ends of a contrast: one test for each thing that is listed."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from capeval.attribution.confounds import of_answers, of_contrast, since_fork
from capeval.attribution.effects import ledger
from capeval.attribution.pairing import cells
from capeval.attribution.sentences import size_text
from capeval.core import Contrast, Link, Stage, TaskSpec, Tree
from tests.records import TASK, chain, contrast, records


def branches(**changes: dict[str, Any]) -> Tree:
    """base → (code → code-sft, continued → continued-sft); `changes` by node."""

    def stage(name: str, parent: str | None, data: str, tokens: float | None) -> Stage:
        links = (Link(parent=parent, certainty="documented"),) if parent else ()
        made = Stage(name=name, kind="base", links=links, tokens=tokens, recipe={"data": data} if data else {})
        return replace(made, **changes.get(name.replace("-", "_"), {}))

    stages = (
        stage("base", None, "web", 2e6),
        stage("code", "base", "programs", 1e6),
        stage("continued", "base", "web", 1e6),
        stage("code-sft", "code", "tasks", 5e5),
        stage("continued-sft", "continued", "tasks", 5e5),
    )
    return Tree(name="t", stages=stages, tasks=(TASK,))


def between(child: str, parent: str, kind: str = "sibling", **more: Any) -> Contrast:
    return contrast(kind, {(child, None): 1, (parent, None): -1}, **more)


def test_data_of_branches_are_named_from_the_fork_on() -> None:
    assert of_contrast(branches(), between("code", "continued")) == ["data: programs against web"]
    assert of_contrast(branches(), between("code-sft", "continued-sft")) == ["data: programs against web"]
    assert of_contrast(branches(), between("code-sft", "continued")) == [
        "tokens: 1.5M against 1M", "data: programs, tasks against web",
    ]  # fmt: skip
    more = branches(code={"recipe": {"data": "web", "ptx_data": "books"}})
    assert of_contrast(more, between("code", "continued")) == ["data: books against nothing more"]
    assert of_contrast(branches(code={"recipe": {"data": "web"}}), between("code", "continued")) == []


def test_the_data_of_a_control_are_what_it_is_about() -> None:
    assert of_contrast(branches(), between("code", "continued", control=True)) == []


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(1.1e6, []), (1.2e6, ["tokens: 1.2M against 1M"]), (8.5e5, ["tokens: 850k against 1M"]), (None, [])],
)
def test_tokens_that_differ_by_more_than_a_tenth_are_said(tokens: float | None, said: list[str]) -> None:
    tree = branches(code={"tokens": tokens})
    assert of_contrast(tree, between("code", "continued", control=True)) == said


def test_stages_of_a_path_act_together() -> None:
    assert of_contrast(branches(), between("code-sft", "base", "path")) == ["2 stages together"]
    assert of_contrast(branches(), branches().edges()[0]) == []


def test_doubtful_links_are_said_of_edges_and_of_paths_over_them() -> None:
    doubt = branches(code={"links": (Link(parent="base", certainty="disputed"),)})
    edge = next(e for e in doubt.edges() if e.child == "code")
    assert of_contrast(doubt, edge) == ["disputed link"]
    assert of_contrast(doubt, between("code-sft", "base", "path")) == ["2 stages together", "disputed link"]
    reported = branches(code={"links": (Link(parent="base", certainty="reported"),)})
    assert of_contrast(reported, next(e for e in reported.edges() if e.child == "code")) == []


def test_nodes_without_a_common_ancestor_and_within_a_node() -> None:
    roots = Tree(name="t", stages=(Stage(name="a", kind="base", tokens=1e9), Stage(name="b", kind="base", tokens=3e9)))
    assert of_contrast(roots, between("b", "a", "cross-size")) == ["tokens: 3B against 1B"]
    within = contrast("within", {("a", "cot"): 1, ("a", "direct"): -1})
    assert of_contrast(roots, within) == []


def test_the_fork_is_where_the_drawn_paths_part() -> None:
    own, other = since_fork(branches(), "code-sft", "continued")
    assert [[stage.name for stage in end] for end in (own, other)] == [["code-sft", "code"], ["continued"]]
    assert since_fork(branches(), "code", "base")[1] == []


def parts(a: dict[str, Any], b: dict[str, Any], n: int = 100) -> list[pd.DataFrame]:
    found = cells(pd.concat([records("b", **({"scores": [1] * n} | b)), records("a", **({"scores": [1] * n} | a))]))
    return [found["b", "sums", "direct"], found["a", "sums", "direct"]]


def flags(n: int, of: int, flag: str = "truncated") -> dict[str, Any]:
    return {"flag": [flag] * n + [""] * (of - n)}


def test_truncation_is_listed_beyond_two_points_and_before_nothing_can_be_told() -> None:
    assert of_answers(parts(flags(3, 100), flags(9, 100)), alpha=0.05) == ["truncated 9% against 3%"]
    assert of_answers(parts(flags(3, 100), flags(5, 100)), alpha=0.05) == []
    assert of_answers(parts(flags(0, 100), flags(30, 100)), alpha=0.05) == []  # that is the reason then
    told = of_answers(parts(flags(0, 100), flags(4, 100, "unextracted")), alpha=0.05)
    assert told == ["unextracted 4% against 0%"]


def test_a_small_difference_is_listed_where_it_is_certain() -> None:
    few, many = flags(0, 1000), flags(12, 1000)
    assert of_answers(parts(few, many, n=1000), alpha=0.05) == ["truncated 1% against 0%"]
    # as many, but on other items: nothing certain
    moved = {"flag": [""] * 12 + ["truncated"] * 10 + [""] * 978}
    assert of_answers(parts(moved, many, n=1000), alpha=0.05) == []
    assert of_answers(parts(few, many, n=1000), alpha=0.05, paired=False) == []


def test_missing_scores_that_differ_are_listed() -> None:
    lost = {"scores": [None] * 5 + [1] * 95}
    assert of_answers(parts({}, lost), alpha=0.05) == ["missing 5% against 0%"]


def test_rows_say_what_the_tree_and_the_answers_show() -> None:
    tree = branches()
    frames = [records("code", [1] * 100, **flags(6, 100)), records("continued", [0] * 100)]
    frame = ledger(tree, cells(pd.concat(frames)), [between("code", "continued")])
    assert frame.iloc[0]["confounds"] == "data: programs against web; truncated 6% against 0%"


def test_completers_are_the_items_that_every_end_answered_readably() -> None:
    child = records("b", [0] * 8 + [1] * 92, **flags(8, 100))
    parent = records("a", [1] * 50 + [0] * 50, flag=[""] * 98 + ["refused", "empty"])
    row = ledger(chain("a", "b"), cells(pd.concat([parent, child])), chain("a", "b").edges()).iloc[0]
    assert row["delta"] == pytest.approx(0.42)
    assert (row["n"], row["n_completers"]) == (100, 90)
    assert row["delta_completers"] == pytest.approx((90 - 42) / 90)


def test_nobody_completes() -> None:
    row = ledger(
        chain("a", "b"),
        cells(pd.concat([records("a", [0] * 9, flag="empty"), records("b", [0] * 9, flag="empty")])),
        chain("a", "b").edges(),
    ).iloc[0]
    assert row["n_completers"] == 0 and pd.isna(row["delta_completers"])


def test_gaps_to_other_items_have_completers_too() -> None:
    shifted = TaskSpec(name="far", capability="ood", metric="exact_match", reference="sums")
    tree = replace(chain("a", "b"), tasks=(TASK, shifted))
    frames = [
        records("a", [1] * 20, **flags(1, 20)), records("b", [1] * 20),
        records("a", [0] * 2 + [1] * 18, task="far", **flags(1, 20)), records("b", [1] * 20, task="far"),
    ]  # fmt: skip
    frame = ledger(tree, cells(pd.concat(frames)), ()).set_index("contrast")
    within = frame.loc["a: gap to sums"]
    assert (within["n_completers"], within["delta_completers"]) == (38, pytest.approx(18 / 19 - 1))
    change = frame.loc["a → b: gap to sums"]
    assert (change["n_completers"], change["delta_completers"]) == (38, pytest.approx(1 / 19))


def test_numbers_are_short() -> None:
    assert [size_text(n) for n in (0, 175, 53408, 1331200, 6.7e9, 3e11)] == [
        "0",
        "175",
        "53.4k",
        "1.33M",
        "6.7B",
        "300B",
    ]
