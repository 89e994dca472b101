"""The claims ledger: every verdict is forced by planted data, and combined as the docstring says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capeval.attribution.claims.cells import asked, node_pairs
from capeval.attribution.claims.items import Evidence
from capeval.attribution.claims.table import claims_table
from capeval.attribution.claims.verdicts import VERDICTS
from capeval.attribution.pairing import Cells, cells
from capeval.attribution.summaries import with_summaries
from capeval.columns import CLAIM_COLUMNS, SCALING_COLUMNS, UNLOCK_COLUMNS
from capeval.core import Cell, Claim, Claims, ClaimTest, Contrast, Link, Pick, Source, Stage, TaskSpec, Tree
from capeval.literature import load_claims
from tests.records import records

MORE, OTHER = (
    TaskSpec(name=name, capability=name, metric="exact_match", margin=0.05) for name in ("follows", "examples")
)
MEASURES = {"zero-shot": (Source(capability=("follows",)),), "with examples": (Source(capability=("examples",)),)}


def stage(name: str, kind: Any, parent: str = "", **more: Any) -> Stage:
    links = (Link(parent=parent, certainty="documented"),) if parent else ()
    return Stage(name=name, kind=kind, links=links, **more)


TREE = Tree(
    name="planted",
    tasks=(MORE, OTHER),
    stages=(
        stage("base", "base"),
        stage("code", "code", "base"),
        stage("continued", "continued", "base"),
        stage("sft", "sft", "code"),
        stage("plain-sft", "sft", "continued"),
        stage("ppo", "rlhf", "sft"),
        stage("ptx", "rlhf", "sft", tags=("ptx",)),
    ),
)


def share(rate: float, n: int = 400) -> list[float]:
    """Scores with exactly this rate, spread alike over the items of every node, so that flips are few."""
    return [float(math.floor((i + 1) * rate) > math.floor(i * rate)) for i in range(n)]


def claim(*tests: ClaimTest, name: str = "c") -> Claim:
    return Claim(id=name, text="t", grade="H", graded_by="us", source="here", tests=tests)


def test_(expect: Any, measure: str = "zero-shot", **more: Any) -> ClaimTest:
    given = {"child": Pick(kind=("sft",)), "relation": "parent"} | more
    return ClaimTest(name=f"{expect} {measure}", expect=expect, measure=measure, **given)


test_.__test__ = False  # type: ignore[attr-defined]


def put(frames: list[pd.DataFrame], *claims: Claim, tree: Tree = TREE) -> pd.DataFrame:
    return put_runs([frames], *claims, tree=tree)


def put_runs(runs: list[list[pd.DataFrame]], *claims: Claim, tree: Tree = TREE, **tables: pd.DataFrame) -> pd.DataFrame:
    known = tuple(with_summaries(tree, cells(pd.concat(frames, ignore_index=True))) for frames in runs)
    return table_of(known, Claims(measures=MEASURES, claims=claims), tree=tree, **tables)


def table_of(runs: tuple[Cells, ...], claims: Claims, *, tree: Tree, **tables: pd.DataFrame) -> pd.DataFrame:
    empty = {
        "scaling": pd.DataFrame(columns=list(SCALING_COLUMNS)),
        "unlock": pd.DataFrame(columns=list(UNLOCK_COLUMNS)),
    }
    evidence = Evidence(tree=tree, runs=runs, measures=claims.measures, alpha=0.05, seed=0, **(empty | tables))
    return claims_table(claims, evidence)


def asked_of(task: str, **rates: float) -> list[pd.DataFrame]:
    return [
        records(node.replace("_", "-"), share(rate), task=task, capability=task) for node, rate in rates.items()
    ]  # fmt: skip


def test_one_claim_for_every_verdict() -> None:
    frames = asked_of("follows", code=0.2, sft=0.8, ppo=0.2)
    rng = np.random.default_rng(0)
    noisy = [records(node, rng.integers(0, 2, 40), task="examples", capability="examples") for node in ("code", "sft")]
    table = put(
        [*frames, *noisy],
        claim(test_("more"), name="right"),
        claim(test_("more", child=Pick(kind=("rlhf",))), name="wrong"),
        claim(test_("more", "with examples"), name="open"),
        claim(test_("more", child=Pick(kind=("chat",))), name="lacking"),
    )
    sums = table[table["test"] == "claim"].set_index("claim")
    assert list(table.columns) == list(CLAIM_COLUMNS)
    assert dict(sums["verdict"]) == dict(zip(("right", "wrong", "open", "lacking"), VERDICTS, strict=True))
    assert sums.loc["right", "delta"] == pytest.approx(0.6)
    assert sums.loc["right", "sentence"].startswith("right: supported: +60.0 points [+")
    assert sums.loc["open", "n_needed"] > 40
    assert sums.loc["lacking", "reason"] == "no stage is chat"
    assert math.isnan(sums.loc["lacking", "p"])
    assert list(sums["grade"]) == ["B", "B", "D", ""]


def test_an_effect_that_is_shown_to_be_nothing_contradicts_more_and_supports_the_rest() -> None:
    frames = asked_of("follows", code=0.5, sft=0.5)
    expects = ("more", "less", "same", "not more", "not less")
    sums = put(frames, *(claim(test_(expect), name=expect) for expect in expects)).query("test == 'claim'")
    assert list(sums["verdict"]) == ["contradicted", "contradicted", "supported", "supported", "supported"]


def test_a_claim_is_the_conjunction_of_its_tests() -> None:
    frames = asked_of("follows", code=0.2, sft=0.8) + asked_of("examples", code=0.8, sft=0.8)
    both = put(frames, claim(test_("more"), test_("less", "with examples")))
    assert list(both["verdict"]) == ["contradicted", "supported", "contradicted"]
    assert both["reason"].iloc[0] == "against it: less with examples"
    half = put(frames[:2], claim(test_("more"), test_("less", "with examples")))
    assert list(half["verdict"]) == ["untestable", "supported", "untestable"]
    assert "by itself supported: more zero-shot" in half["reason"].iloc[0]
    refuted = put(frames[:2], claim(test_("less"), test_("less", "with examples")))
    assert refuted["verdict"].iloc[0] == "contradicted", "what one test refutes no missing one can save"


def test_pairs_that_share_items_are_averaged_inside_them() -> None:
    """Two edges on the same 400 items are 400 items, not 800; one edge up and one down are nothing."""
    frames = asked_of("follows", code=0.2, sft=0.6, continued=0.6, plain_sft=0.2)
    table = put(frames, claim(test_("more")))
    assert (table["n"] == 400).all()
    assert table["delta"].iloc[0] == pytest.approx(0.0)
    assert table["contrast"].iloc[1] == "code → sft, continued → plain-sft"


def test_each_pair_by_itself_decides() -> None:
    frames = asked_of("follows", code=0.5, sft=0.3, ppo=0.8, ptx=0.4)
    picks = {"child": Pick(kind=("sft", "rlhf")), "relation": "ancestor", "against": Pick(kind=("code",))}
    table = put(frames, claim(test_("not more", each=True, **picks)))
    assert table["verdict"].iloc[0] == "contradicted"
    assert list(table["contrast"].iloc[1:]) == ["code → sft", "code → ppo", "code → ptx"]
    assert table["contrast"].iloc[0] == "code → ppo", "the row that sums up quotes the one that refutes"


def test_tasks_count_alike_and_may_disagree() -> None:
    second = TaskSpec(name="unseen", capability="follows", metric="exact_match", margin=0.05)
    tree = Tree(name="planted", stages=TREE.stages, tasks=(MORE, second))
    few = [records(n, share(r, 40), task="unseen", capability="follows") for n, r in (("code", 0.8), ("sft", 0.2))]
    table = put([*asked_of("follows", code=0.2, sft=0.8), *few], claim(test_("more")), tree=tree)
    assert table["delta"].iloc[0] == pytest.approx(0.0), "40 items weigh as much as 400"
    assert table["by_task"].iloc[1].startswith("follows +60.0 [")
    assert "; unseen −60.0 [" in table["by_task"].iloc[1]


def test_lower_is_better_is_turned_unless_taken_as_it_is() -> None:
    toxic = TaskSpec(name="follows", capability="follows", metric="toxicity", orientation="lower", margin=0.05)
    tree = Tree(name="planted", stages=TREE.stages, tasks=(toxic,))
    table = put(asked_of("follows", code=0.8, sft=0.2), claim(test_("more")), claim(test_("less", raw=True), name="d"),
                tree=tree)  # fmt: skip
    assert list(table["verdict"]) == ["supported"] * 4
    assert list(table["delta"].round(2)) == [0.6, 0.6, -0.6, -0.6]


def test_a_node_by_itself_is_held_against_the_margin() -> None:
    alone = {"relation": None, "child": Pick(kind=("sft",)), "margin": 0.3}
    frames = asked_of("follows", sft=0.5)
    table = put(frames, claim(test_("more", **alone)), claim(test_("not more", **alone), name="d"))
    assert list(table.query("test == 'claim'")["verdict"]) == ["supported", "contradicted"]


def test_a_slope_over_sizes() -> None:
    sizes = {"small": 1e6, "middle": 1e7, "large": 1e8}
    tree = Tree(
        name="planted", tasks=(MORE,), stages=tuple(stage(n, "base", parameters=p) for n, p in sizes.items())
    )  # fmt: skip
    rising = test_("more", form="slope", relation=None, child=Pick(kind=("base",)))
    table = put(asked_of("follows", small=0.2, middle=0.5, large=0.8), claim(rising), tree=tree)
    assert table["delta"].iloc[0] == pytest.approx(0.3), "points per tenfold size"
    assert table["verdict"].iloc[0] == "supported"
    two = put(asked_of("follows", small=0.2, middle=0.5), claim(rising), tree=tree)
    assert two["verdict"].iloc[0] == "untestable"


def test_other_items_are_subtracted_and_pairs_need_one_set_of_shots() -> None:
    frames = asked_of("follows", code=0.2, sft=0.8) + asked_of("examples", code=0.2, sft=0.4)
    table = put(frames, claim(test_("more", minus="with examples")))
    assert table["delta"].iloc[0] == pytest.approx(0.4)
    assert table["n"].iloc[0] == 800
    shots = [frame.assign(shots=frame["node"]) for frame in frames[:2]]
    assert "can't be paired (different shots)" in put(shots, claim(test_("more")))["reason"].iloc[0]


def test_holm_over_the_claims_holds_the_chance_of_any_wrong_verdict() -> None:
    """40 claims on pure noise: decided claims are rarer than α in traces, whatever is expected."""
    rng = np.random.default_rng(1)
    claims = [claim(test_("more", f"m{i}"), name=f"c{i}") for i in range(8)]
    measures = {f"m{i}": (Source(tasks=(f"t{i}",)),) for i in range(8)}
    specs = tuple(TaskSpec(name=f"t{i}", capability="x", metric="m", margin=0.001) for i in range(8))
    tree = Tree(name="null", stages=TREE.stages, tasks=specs)
    wrong = 0
    for _ in range(60):
        frames = [
            records(node, rng.integers(0, 2, 80), task=spec.name, capability="x")
            for spec in specs for node in ("code", "sft")
        ]  # fmt: skip
        known = cells(pd.concat(frames, ignore_index=True))
        table = table_of((known,), Claims(measures=measures, claims=tuple(claims)), tree=tree)
        wrong += bool((table.query("test == 'claim'")["verdict"] != "undecided").any())
    assert wrong <= 7, "of 60 traces, 3 are expected and 8 or more have a chance of 2 %"


def test_relations_between_stages() -> None:
    def names(relation: Any, child: Pick, against: Pick | None = None) -> set[tuple[str, str]]:
        return set(node_pairs(TREE, test_("more", child=child, relation=relation, against=against or Pick())))

    code, on_code = Pick(kind=("code",)), Pick(kind=("sft",), below=("code",))
    assert names("parent", code) == {("code", "base")}
    assert names("sibling", code, Pick(kind=("continued",))) == {("code", "continued")}
    assert names("cousin", on_code, Pick(kind=("sft",))) == {("sft", "plain-sft")}
    assert names("ancestor", Pick(tags=("ptx",)), Pick(without=("x",))) == {("ptx", n) for n in ("sft", "code", "base")}
    assert names("sibling", Pick(tags=("ptx",)), Pick(without=("ptx",))) == {("ptx", "ppo")}
    assert names("larger", code) == set(), "nobody knows its size"
    assert len(names("any", code)) == 6


def test_a_summary_of_level_stands_for_the_settings_of_a_ladder() -> None:
    ladder = TaskSpec(
        name="map", capability="icl", metric="acc", settings=("0-shot", "2-shot"), summaries=("slope", "area")
    )
    tree = Tree(name="t", stages=TREE.stages, tasks=(ladder,))
    frames = [records("sft", [0, 1], task="map", capability="icl", setting=s) for s in ladder.settings]
    known = with_summaries(tree, cells(pd.concat(frames, ignore_index=True)))
    assert [a.setting for a in asked(tree, known, (Source(capability=("icl",)),))] == ["area"]
    assert [
        a.name for a in asked(tree, known, (Source(capability=("icl",), settings=("2-shot",), minus="0-shot"),))
    ] == ["2-shot − 0-shot"]


def test_the_shipped_claims_are_those_of_the_digest_and_name_their_sources() -> None:
    claims = load_claims()
    assert len(claims.claims) == 41
    assert all(one.source and one.tests for one in claims.claims)
    used = {name for c in claims.claims for t in c.tests for name in (t.measure, t.minus, t.against_measure) if name}
    assert used == set(claims.measures), "no measure is dead"


def test_training_runs_that_differ_leave_a_claim_undecided_and_those_that_agree_grade_it_a() -> None:
    recipes = tuple(replace(one, recipe={"stage": "x"}) for one in TREE.stages)
    against = Contrast(
        name="continued → code", kind="sibling", control=True,
        cells=(Cell(node="code", weight=1.0), Cell(node="continued", weight=-1.0)),
    )  # fmt: skip
    tree = replace(TREE, stages=recipes, contrasts=(against,))
    picks = {"child": Pick(kind=("code",)), "relation": "sibling", "against": Pick(kind=("continued",))}
    one = claim(test_("more", **picks))

    def said(*rates: float) -> Any:
        runs = [asked_of("follows", code=rate, continued=0.2) for rate in rates]
        return put_runs(runs, one, tree=tree).iloc[1]

    agree, differ, single = said(0.6, 0.62, 0.58), said(0.9, 0.2, 0.3), said(0.6)
    assert (agree["verdict"], agree["grade"], agree["grade_reason"], agree["seeds"]) == ("supported", "A", "", 3)
    assert agree["delta"] == pytest.approx(0.4, abs=0.01)
    assert agree["seed_low"] > 0.3
    assert (differ["verdict"], differ["grade_reason"]) == ("undecided", "training runs differ")
    assert differ["reason"].startswith("3 training runs: +26.")
    assert (single["verdict"], single["grade"], single["grade_reason"]) == ("supported", "B", "one training run")
    plain = put_runs([asked_of("follows", code=r, continued=0.2) for r in (0.6, 0.62, 0.58)], one).iloc[1]
    assert (plain["grade"], plain["grade_reason"]) == ("B", "continued was not trained again")


@pytest.mark.parametrize(
    ("delta", "low", "high", "verdicts"),
    [
        (0.5, 0.4, 0.6, ["supported", "contradicted"]),
        (0.0, -0.04, 0.04, ["contradicted", "supported"]),
        (0.1, -0.2, 0.4, ["undecided", "undecided"]),
    ],
)
def test_what_was_unlocked_comes_from_its_table(delta: float, low: float, high: float, verdicts: list[str]) -> None:
    row = dict.fromkeys(UNLOCK_COLUMNS, "") | {
        "parent": "code", "child": "sft", "task": "follows", "setting": "direct", "elicited": "8-shot", "n_new": 50,
        "n_control": 50, "share_new": 0.3, "delta": delta, "low": low, "high": high, "margin": 0.1,
    }  # fmt: skip
    unlock = pd.DataFrame([row, row | {"child": "plain-sft"}])
    picks = {"relation": None, "child": Pick(kind=("sft",))}
    tests = [test_("more", form="unlocked", **picks), test_("same", form="injected", **picks)]
    frames = asked_of("follows", code=0.2, sft=0.8)
    table = put_runs([frames], *(claim(t, name=t.form) for t in tests), unlock=unlock)
    assert list(table.query("test == 'claim'")["verdict"]) == verdicts
    assert (table["n"] == 50).all(), "two edges on one task's items are no more items"
    knew = put_runs([frames], claim(tests[1]), unlock=pd.DataFrame([row | {"share_new": 0.9}]))
    assert knew["verdict"].iloc[0] != "supported", "what the parent solves mostly was not put in"
    without = pd.DataFrame([row | {"delta": math.nan, "share_new": delta}])
    guessing = put_runs([frames], *(claim(t, name=t.form) for t in tests), unlock=without).query("test == 'claim'")
    assert list(guessing["verdict"]) == ["untestable", verdicts[1]], "without controls only injection can be shown"
    nobody = put_runs([frames], claim(tests[0]))
    assert nobody["reason"].iloc[0] == "no parent was asked its child's newly solved items in another setting"


def test_a_bend_comes_from_the_scaling_table() -> None:
    row = dict.fromkeys(SCALING_COLUMNS, "") | {
        "axis": "parameters", "nodes": "code, sft", "task": "follows", "setting": "direct", "slope": 0.1, "low": 0.05,
        "high": 0.15, "n": 100, "unit": "points", "p_change": 0.001, "after": 0.3,
    }  # fmt: skip
    bend = test_("more", form="bend", relation=None, child=Pick(kind=("code", "sft")))
    frames = asked_of("follows", code=0.2, sft=0.8)
    for change, verdict in (({}, "supported"), ({"p_change": 0.5}, "undecided"), ({"after": math.nan}, "undecided")):
        table = put_runs([frames], claim(bend), scaling=pd.DataFrame([row | change]))
        assert table["verdict"].iloc[0] == verdict
    few = put_runs([frames], claim(bend), scaling=pd.DataFrame([row | {"p_change": math.nan}]))
    assert few["reason"].iloc[0].startswith("fewer than 5 parameters of stages that are code or sft")


def test_what_is_only_a_change_of_form_decides_no_claim() -> None:
    """The child answers in sentences: right as before, and scored wrong; forgiven, nothing changed."""
    scores = share(0.8)
    parent = records("code", scores, task="follows", capability="follows", lenient=scores)
    child = records("sft", [0.0] * 400, task="follows", capability="follows", lenient=scores)
    losing, flat = (
        put([parent, child], claim(test_("less")), claim(test_("same"), name="d")).query("test == 'claim'").iloc
    )
    assert losing["delta"] == pytest.approx(-0.8)
    assert losing["verdict"] == flat["verdict"] == "undecided"
    assert "with the form of answers forgiven +0.0 [" in losing["reason"]
    assert (losing["grade"], losing["grade_reason"]) == ("D", "hinges on the form of answers")
    truly = records("sft", [0.0] * 400, task="follows", capability="follows", lenient=[0.0] * 400)
    assert put([parent, truly], claim(test_("less")))["verdict"].iloc[0] == "supported"


def test_where_the_ledger_can_tell_nothing_claims_say_so() -> None:
    """Half of the child's answers are cut, missing where wrong, or all items share five articles: no verdict."""
    parent = records("code", share(0.5), task="follows", capability="follows")
    cut = records("sft", share(0.2), task="follows", capability="follows", flag=["truncated", ""] * 200)
    gone = records("sft", [1.0 if s else None for s in share(0.8)], task="follows", capability="follows")
    for child, why in ((cut, "truncated: 50% against 0%"), (gone, "missing: 20% against 0%")):
        for expect in ("more", "less", "same"):
            row = put([parent, child], claim(test_(expect))).iloc[0]
            assert (row["verdict"], row["grade"]) == ("untestable", "")
            assert f"nothing can be told of code → sft ({why})" in row["reason"]
    grouped = replace(MORE, cluster_role="sampled")
    tree = replace(TREE, tasks=(grouped,))
    few = [
        records(n, share(r, 50), task="follows", capability="follows", cluster=[f"c{i % 5}" for i in range(50)])
        for n, r in (("code", 0.8), ("sft", 0.2))
    ]
    assert "fewer than six clusters (5)" in put(few, claim(test_("more")), tree=tree)["reason"].iloc[0]


def test_a_pair_of_which_nothing_can_be_told_is_left_out_and_named() -> None:
    frames = asked_of("follows", code=0.2, sft=0.8, continued=0.2)
    cut = records("plain-sft", share(0.1), task="follows", capability="follows", flag=["truncated", ""] * 200)
    row = put([*frames, cut], claim(test_("more"))).iloc[1]
    assert (row["verdict"], row["contrast"]) == ("supported", "code → sft")
    assert row["confounds"] == "left out: continued → plain-sft (truncated: 50% against 0%)"


def test_two_alike_items_on_a_scale_without_ends_show_nothing() -> None:
    words = TaskSpec(name="follows", capability="follows", metric="words", unit="words", binary=False, margin=0.5)
    tree = replace(TREE, tasks=(words,))
    frames = [records(n, [s, s], task="follows", capability="follows") for n, s in (("code", 5.0), ("sft", 2.0))]
    for expect in ("more", "less", "same"):
        assert put(frames, claim(test_(expect)), tree=tree)["verdict"].iloc[0] == "undecided"


@pytest.mark.parametrize("summary", ["mean", "spread", "gap", "area"])
def test_a_lenient_reading_that_changes_nothing_changes_no_summary(summary: str) -> None:
    names = ("0-shot", "2-shot")
    spec = replace(MORE, settings=names, summaries=(summary,))
    frames = [
        records(n, share(r), task="follows", capability="follows", setting=s, lenient=share(r))
        for n, rates in (("code", (0.5, 0.0)), ("sft", (0.9, 0.3)))
        for s, r in zip(names, rates, strict=True)
    ]
    cell = with_summaries(replace(TREE, tasks=(spec,)), cells(pd.concat(frames, ignore_index=True)))
    part = cell["sft", "follows", summary]
    assert part["lenient"].tolist() == pytest.approx(part["score"].tolist())


def test_runs_that_differ_are_no_change_of_form() -> None:
    def read_alike(node: str, rate: float) -> pd.DataFrame:
        return records(node, share(rate), task="follows", capability="follows", lenient=share(rate))

    runs = [[read_alike("code", 0.2), read_alike("sft", rate)] for rate in (0.3, 0.6, 0.9)]
    row = put_runs(runs, claim(test_("more"))).iloc[1]
    assert "forgiven" not in row["reason"] + row["confounds"]
