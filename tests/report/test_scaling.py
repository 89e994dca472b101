from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd
from rich.console import Console

from capeval.columns import SCALING_COLUMNS
from capeval.report.page import render
from capeval.report.scaling import picture, say_part, story
from capeval.store.traces import Trace
from tests.report.conftest import HOSTILE

ROW = {
    "series": "base", "axis": "parameters", "nodes": "base-1, base-2", "sizes": "1, 10", "task": "sums",
    "setting": "cot − direct", "capability": "cot", "n": 300, "dropped": 0, "slope": 0.2, "low": 0.1, "high": 0.3,
    "p": 0.001, "p_adjusted": 0.002, "change": 2e5, "change_low": 1e5, "change_high": 5e5, "p_change": 0.001,
    "p_change_adjusted": 0.003, "before": 0.1, "after": 0.4, "curve": "[[1e4, 0.1, 0.05, 0.15], [1e6, 0.5, 0.4, 0.6]]",
    "continuous": "", "continuous_curve": "[]", "warning": "no metric beside it; tokens differ too",
    "orientation": "higher", "unit": "points", "sentence": "",
}  # fmt: skip


def made(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame([ROW | row for row in rows], columns=list(SCALING_COLUMNS))


def told(trace: Trace) -> str:
    console = Console(file=io.StringIO(), width=100)
    say_part(trace, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_nothing_is_said_without_series(trace: Trace) -> None:
    empty = replace(trace, scaling=made()[:0])
    assert story(empty) == {} and told(empty) == "" and 'id="scaling"' not in render(empty)


def test_beginnings_come_first_and_what_holds_for_all_is_said_once(trace: Trace) -> None:
    unsure = {"setting": "direct", "p_adjusted": 0.5, "change": None, "warning": "tokens differ too"}
    found = replace(trace, scaling=made(unsure, {"setting": "cot", "change": None}, {}))
    part = story(found)
    assert [row["what"] for row in part["rows"]] == ["sums · cot − direct", "sums · cot"]
    assert [row["what"] for row in part["more"]] == ["sums · direct"]
    assert part["notes"] == ["tokens differ too"] and part["rows"][0]["warning"] == "no metric beside it"
    assert part["rows"][0]["change"] == "200k [100k, 500k]"
    text = told(found)
    assert "rises from 200k [100k, 500k]" in text and "2 of 3 slopes or bends are certain" in text
    assert text.count("tokens differ too") == 1


def test_second_metrics_subsets_and_empty_rows_stay_out(trace: Trace) -> None:
    part = story(replace(trace, scaling=made({}, {"task": "sums:near"}, {"n": 0})))
    assert len(part["rows"]) == 1 and part["total"] == 3


def test_a_curve_is_drawn_over_log_size() -> None:
    found = picture("[[1e4, 0.0, null, null], [1e5, 0.5, 0.4, 0.6], [1e6, 1.0, 0.9, 1.0]]", "points", (1e4, 1e5, 1e6))
    assert found is not None
    assert found["line"] == "M3.0 43.0 L66.0 23.0 L129.0 3.0"
    assert found["change"] == {"x": "3.0", "width": "126.0", "at": "66.0"}
    assert found["words"] == "10k: 0.0, 100k: 50.0, 1M: 100.0"
    assert picture("[[1, 0.5, 0.5, 0.5], [10, 0.5, 0.5, 0.5]]", "points") is not None  # flat, no spread
    for bad in ("[]", "<script>", "[[1, 2]]", "[[0, 1, 1, 1], [1, 1, 1, 1]]", "null"):
        assert picture(bad, "points") is None


def test_the_page_shows_it_escaped(trace: Trace) -> None:
    beside = {"continuous": HOSTILE[3], "continuous_unit": "nats", "continuous_slope": 1.0, "continuous_low": 0.5,
              "continuous_high": 2.0, "continuous_curve": ROW["curve"]}  # fmt: skip
    rows = made(*({"series": text, "setting": text, "nodes": text, "warning": text} | beside for text in HOSTILE))
    page = render(replace(trace, scaling=rows))
    assert "Against size" in page and page.count('class="size-curve"') == 2 * len(HOSTILE)
    assert "<img src=x" not in page and "&lt;img src=x" in page
    told(replace(trace, scaling=rows))
