from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from capeval.columns import PLAN_COLUMNS
from capeval.report.plan import print_plan
from tests.report.conftest import HOSTILE

ITEMS = {
    "about": "items", "what": "base → sft", "task": "sums", "setting": "direct", "problem": "can't tell",
    "effect": 0.05, "unit": "points", "have": 120, "need": 628, "remedy": "more items",
}  # fmt: skip


def told(*rows: dict) -> str:
    console = Console(file=io.StringIO(), width=100)
    print_plan(pd.DataFrame(rows, columns=list(PLAN_COLUMNS)), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_items_are_summed_up_by_task() -> None:
    text = told(ITEMS, ITEMS | {"what": "sft → ppo", "need": 1_000}, ITEMS | {"task": "facts", "need": 200})
    assert "Items: 3 contrasts are open" in text and "630 to 1,000" in text and "5.0 points" in text
    assert text.index("sums · direct") < text.index("facts · direct")


def test_claims_by_what_is_missing_and_branches() -> None:
    claim = {"about": "claim", "what": "a", "problem": "untestable: no stage is code", "have": None, "need": None}
    undecided = claim | {"what": "c", "problem": "undecided: open: x", "have": 120, "need": 691.0}
    control = {
        "about": "control",
        "what": "base → sft",
        "problem": "no token-matched control branch",
        "remedy": "train",
    }
    text = told(claim, claim | {"what": "b"}, undecided, control, control | {"remedy": "other"})
    assert "a, b: no stage is code" in text and "needs about 700" in text and "for the first: train" in text


def test_nothing_missing_and_hostile_names() -> None:
    assert "nothing is missing" in told()
    rows = [ITEMS | {"what": text, "task": text, "problem": text, "remedy": text, "need": need}
            for text in HOSTILE for need in (700, None)]  # fmt: skip
    text = told(*rows, *({"about": about, "what": t, "problem": t, "remedy": t} for t in HOSTILE
                         for about in ("claim", "control", "design", "seeds")))  # fmt: skip
    assert "\x1b" not in text and "\u202e" not in text


def test_the_command(capeval, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, out, _ = capeval("plan", "lab-scale", "--json")
    found = json.loads(out)
    assert code == 0 and {row["about"] for row in found["plan"]} == {"design", "control", "items", "seeds"}
    assert capeval("plan", "lab-scale")[0] == 0
    for args, said in (
        (["lab-scale", "--effect", "0"], "--effect"),
        (["lab-scale", "--trace", "nowhere"], "nowhere is no trace folder"),
        (["lab-scal"], "did you mean 'lab-scale'"),
    ):
        code, _, error = capeval("plan", *args)
        assert code == 2 and said in error
