from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd
from rich.cells import cell_len
from rich.console import Console

from capeval.columns import UNLOCK_COLUMNS
from capeval.report.page import render
from capeval.report.unlock import say_part, story
from capeval.store.traces import Trace
from tests.report.conftest import HOSTILE

NAN = float("nan")


def rows(**names: str) -> pd.DataFrame:
    told = {"parent": "base", "child": "sft", "capability": "cot", "task": "sums", "setting": "direct"} | names
    numbers = {"high": 0.7, "most": 0.6, "p": 0.001, "p_adjusted": 0.002, "margin": 0.2, "logprob": 1.25,
               "elicited": "8-shot (elicited)", "confounds": "", "sentence": ""}  # fmt: skip
    unlocked = {"n_new": 40, "n_control": 90, "share_new": 0.6, "share_control": 0.1, "delta": 0.5, "low": 0.3,
                "answer": "unlocked"}  # fmt: skip
    alone = {"n_new": 40, "n_control": 0, "share_new": -0.05, "share_control": NAN, "delta": NAN, "low": -0.1,
             "answer": "injected", "p_adjusted": NAN, "logprob": NAN}  # fmt: skip
    return pd.DataFrame(
        [told | numbers | alone, told | numbers | unlocked, told | numbers | alone | {"answer": "cant_tell"}],
        columns=list(UNLOCK_COLUMNS),
    )


def printed(trace: Trace) -> str:
    out = io.StringIO()
    say_part(trace, Console(file=out, width=100))
    return out.getvalue()


def test_what_is_told_comes_first_and_what_cannot_be_is_counted(trace: Trace) -> None:
    part = story(replace(trace, unlock=rows()))
    assert part["tally"] == {"unlocked": 1, "injected": 1, "can't tell": 1} and part["margin"] == "20"
    first, second = part["told"]
    assert (first["label"], first["new"], first["control"]) == ("unlocked", "60% of 40", "10% of 90")
    assert (first["difference"], first["p"], first["logprob"]) == ("+50.0 [+30.0, +70.0]", ".002", "+1.2")
    assert (second["label"], second["new"], second["control"]) == ("injected", "−5% of 40", "–")
    assert (second["own"], second["p"], second["logprob"]) == ("[−10.0, +70.0]", "–", "–")
    assert len(part["untold"]) == 1


def test_the_terminal_says_what_is_told_in_lines_that_fit(trace: Trace) -> None:
    text = printed(replace(trace, unlock=rows(child="a-node-with-a-name", task="a-task-with-a-long-name")))
    assert "1 unlocked, 1 injected, 1 can't tell; --elicit" in text and "< unlocked" in text
    assert max(map(cell_len, text.splitlines())) <= 100
    assert printed(replace(trace, unlock=rows().iloc[:0])) == ""


def test_names_stay_names(trace: Trace) -> None:
    for text in HOSTILE:
        found = replace(trace, unlock=rows(parent=text, task=text))
        assert text not in render(found) or "<" not in text
        assert "\x1b" not in printed(found)
