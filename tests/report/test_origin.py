"""Origin and 2 × 2 on the page and in the terminal: what is told, once, escaped."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from capeval.assembly import assemble
from capeval.core import Link, Stage, TaskSpec, Tree
from capeval.report import factorial, origin
from capeval.report.page import render
from capeval.store.traces import Trace, load_trace, save_trace
from tests.records import records
from tests.report.conftest import HOSTILE_NODE, HOSTILE_TASK

SFT = {"stage": "sft", "data": "d"}
PARENTS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "base": ("base", None, {}), "continued": ("continued", "base", {}), "code": ("code", "base", {}),
    "plain": ("sft", "continued", SFT), HOSTILE_NODE: ("sft", "code", SFT), "chat": ("chat", HOSTILE_NODE, {}),
}  # fmt: skip
RIGHT = {"base": 4, "continued": 6, "code": 6, "plain": 60, HOSTILE_NODE: 95, "chat": 50}


@pytest.fixture(scope="module")
def crossed() -> Trace:
    """Instructions give it on both branches, more of it after code; chat takes half of that back."""
    stages = tuple(
        Stage(
            name=name, kind=kind, links=(Link(parent=parent, certainty="documented"),) if parent else (), recipe=recipe  # type: ignore[arg-type]
        )
        for name, (kind, parent, recipe) in PARENTS.items()
    )  # fmt: skip
    tasks = (
        TaskSpec(name=HOSTILE_TASK, capability="cot", metric="exact_match", chance=0.05),
        TaskSpec(name="flat", capability="cot", metric="exact_match"),
        TaskSpec(name="words", capability="style", metric="words", orientation="none", binary=False, unit="words"),
    )
    frames = []
    for node, right in RIGHT.items():
        frames.append(records(node, [1.0] * right + [0.0] * (100 - right), task=HOSTILE_TASK, setting="asked"))
        frames.append(records(node, [0.0] * 100, task="flat", setting="asked"))
        frames.append(records(node, np.arange(100.0), task="words", setting="asked"))
    tree = Tree(name="crossed", stages=stages, tasks=tasks)
    return assemble(tree, pd.concat(frames, ignore_index=True), provenance={})


def printed(part: Any, trace: Trace) -> str:
    stream = io.StringIO()
    part.say_part(trace, Console(file=stream, width=200))
    return stream.getvalue()


def test_the_page_draws_a_waterfall_that_ends_at_the_leaf(crossed: Trace) -> None:
    part = origin.story(crossed)
    assert [row["node"] for row in part["rows"] + part["more"]] == [HOSTILE_NODE, "plain"]
    row = part["rows"][0]
    assert [step["bar"] for step in row["path"]] == ["first", "unsure", "gave", "took"]
    assert (row["leaf"], row["leaves"][0]["left"]) == ("chat", "49%")
    bars = [(float(step["x"]), float(step["width"]), float(step["from"])) for step in row["path"]]
    (_, _, _), _, gave, took = bars
    assert gave[0] == pytest.approx(gave[2]) and gave[0] + gave[1] == pytest.approx(took[2], abs=0.2)
    assert part["none"] == ["flat · asked"]


def test_the_terminal_tells_a_capability_once_over_its_branches(crossed: Trace) -> None:
    text = printed(origin, crossed)
    assert text.count("n = ") == 1 and "plain" not in text
    assert re.search(r"\+89\.0 \[\+81\.4, \+93\.7\], n = 100; 49% left", text)
    assert "flat" not in text and "words" not in text


def test_the_two_by_two_on_page_and_terminal(crossed: Trace) -> None:
    [part] = factorial.story(crossed)
    assert part["nodes"]["both"] == HOSTILE_NODE and (part["first"], part["second"]) == ("code", "instructions")
    row = next(row for row in part["rows"] if row["what"].startswith("sums"))
    assert row["scores"] == ["6.0", "6.0", "60.0", "95.0"]
    assert row["effects"][2]["delta"].startswith("+35.0 [") and row["effects"][2]["verdict"].startswith("better")
    assert row["picture"]["with"][0] == row["picture"]["without"][0]
    text = printed(factorial, crossed)
    assert "2 × 2: code × instructions: 1 of 3 interactions are certain\n  continued, code, plain, evil" in text
    assert "+17.5" in text and "▲ better" in text


def test_hostile_names_stay_text(crossed: Trace) -> None:
    page = render(crossed)
    for name in ("origin", "factorial"):
        section = page[page.index(f'<section id="{name}"') :]
        section = section[: section.index("</section>")]
        assert "<img" not in section and "<script" not in section and "&lt;img src=x" in section
    assert "\x1b" not in printed(origin, crossed) + printed(factorial, crossed)


def test_both_survive_the_disk_with_a_declared_design(crossed: Trace, tmp_path: Any) -> None:
    from capeval.core import Factorial

    nodes = dict(zip(("neither", "first", "second", "both"), ("continued", "code", "plain", "chat"), strict=True))
    declared = Factorial(name="own", factors=("programs", "talk"), **nodes)
    tree = replace(crossed.tree, factorials=(declared,))
    loaded = load_trace(save_trace(replace(crossed, tree=tree), tmp_path / "out"))
    assert loaded.tree.factorials == (declared,)
    pd.testing.assert_frame_equal(loaded.origin, crossed.origin)
    pd.testing.assert_frame_equal(loaded.factorial, crossed.factorial)


def test_nothing_is_shown_where_there_is_nothing_to_say(crossed: Trace) -> None:
    empty = replace(crossed, origin=crossed.origin.iloc[:0], factorial=crossed.factorial.iloc[:0])
    assert origin.story(empty) == {} and factorial.story(empty) == []
    assert printed(origin, empty) + printed(factorial, empty) == ""
    page = render(empty)
    assert 'id="origin"' not in page and 'id="factorial"' not in page
