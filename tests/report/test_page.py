"""The page as text: whole, closed, escaped, and saying first what is most certain."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capeval import shipped
from capeval.errors import OutputError
from capeval.report import training
from capeval.report.figures import BOX_HEIGHT, tree_drawing
from capeval.report.findings import contrasts, counts, findings, headline, ranked
from capeval.report.pack import FLIPS_PER_EFFECT, pack, payload, to_json
from capeval.report.page import render, write_report
from capeval.store.traces import Trace, load_trace, save_trace

from .conftest import HOSTILE, HOSTILE_NODE, HOSTILE_TASK, TREE


class _Elements(HTMLParser):
    """Every element with its attributes, and the text of script and JSON blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: list[tuple[dict[str, str | None], str]] = []
        self._open: dict[str, str | None] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = dict(attrs) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.blocks.append((self._open, data))


@pytest.fixture(scope="module")
def page(trace: Trace) -> str:
    return render(trace)


@pytest.fixture(scope="module")
def elements(page: str) -> _Elements:
    parser = _Elements()
    parser.feed(page)
    return parser


def test_nothing_is_fetched(elements: _Elements) -> None:
    for tag, attributes in elements.found:
        assert tag not in {"link", "iframe", "object", "embed", "base", "img"}
        assert "src" not in attributes
        assert not (attributes.get("href") or "#").startswith(("http", "//", "javascript:", "data:"))


def test_no_event_handlers_in_markup(elements: _Elements) -> None:
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]


def test_policy_names_exactly_the_scripts(elements: _Elements) -> None:
    policy = next(a["content"] or "" for t, a in elements.found if t == "meta" and a.get("http-equiv"))
    code = [text for attributes, text in elements.blocks if not attributes.get("type")]
    assert len(code) == 2
    for text in code:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_hostile_strings_are_never_markup(page: str, elements: _Elements) -> None:
    shown = page.split('<script type="application/json"')[0]
    for text in (*HOSTILE, HOSTILE_NODE, HOSTILE_TASK, TREE.title):
        if "<" in text:
            assert text not in shown
    assert html.escape(HOSTILE_TASK, quote=False) in shown.replace("&#34;", '"').replace("&#39;", "'")
    assert sum(tag == "script" for tag, _ in elements.found) == 3


def test_the_data_comes_back_whole(trace: Trace, elements: _Elements) -> None:
    text = next(text for attributes, text in elements.blocks if attributes.get("id") == "capeval-data")
    assert not set("<>&\u2028\u2029") & set(text)
    data = json.loads(text)
    assert data["effects"]["n"] == len(trace.effects)
    effects = _unpack(data["effects"])
    assert effects["delta"] == pytest.approx(trace.effects["delta"].tolist(), abs=1e-5)
    assert effects["task"] == trace.effects["task"].tolist()
    assert any(node["name"] == HOSTILE_NODE for node in data["nodes"])


def test_first_come_the_findings_then_the_tree(page: str) -> None:
    places = [
        page.index(part) for part in ("What the stages gave", "What the stages took", 'id="tree"', 'id="explore"')
    ]
    assert places == sorted(places)


def test_nodes_without_data_say_so(page: str) -> None:
    boxes = re.findall(r'<button type="button" class="node (.*?)</button>', page, flags=re.S)
    by_name = {re.search(r'class="name">(.*?)<', box).group(1): box for box in boxes}  # type: ignore[union-attr]
    assert len(boxes) == len(TREE.stages)
    assert "no data" in by_name["lonely"]
    assert "published only" in by_name["chat"]
    assert "no data" not in by_name["sft"]


def test_provenance_is_shown(page: str) -> None:
    shown = page.partition('id="provenance"')[2]
    for text in ("0123456789abcdef", "feedc0de", "capeval trace toy.yaml", "2026-01-01"):
        assert text in shown


def test_prompts_that_were_cut_stand_in_the_provenance(trace: Trace) -> None:
    runs = {"<b>sft</b>": {"cut": {"bbh cot": {"prompts": 12, "tokens": 340}}}, "ppo": {"suite": "cot"}}
    shown = render(replace(trace, provenance={**trace.provenance, "runs": runs})).partition('id="provenance"')[2]
    said = "&lt;b&gt;sft&lt;/b&gt;: 12 prompts of bbh cot did not fit into the model&#39;s window and lost 340 tokens"
    assert said in shown


def test_the_tree_names_its_sources_without_scripts(page: str) -> None:
    part = re.search(r'<details class="sources">(.*?)</details>', page, flags=re.S)
    assert part
    entries = dict(re.findall(r"<div><dt>(\S+) .*?</dt>(.*?)</div>", part.group(1), flags=re.S))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", entries["code-sft"]))
    assert "Source: a model card" in text
    assert "Note: the stage mixes two things" in text
    assert "From code disputed a paper; as its maker says" in text
    assert f"Rival reading, from sft disputed a paper; {html.escape(HOSTILE[1])}" in text
    assert "No parent is drawn." in entries["base"]
    assert "the pretraining term" in part.group(1)
    assert part.group(1).count("<div>") == len(TREE.stages) + 1


def test_edges_name_their_largest_certain_effect(page: str, trace: Trace) -> None:
    stages = findings(trace.effects[trace.effects["kind"] == "edge"], TREE.second_metrics())
    first = stages.drop_duplicates(["parent", "child"])
    labels = re.findall(r'<button type="button" class="edge".*?</button>', page, flags=re.S)
    named = [label for label in labels if 'class="largest"' in label]
    assert len(named) == len(first)
    row = first[(first["parent"] == "sft") & (first["child"] == "ppo")].iloc[0]
    label = next(label for label in named if "sft → ppo," in label)
    assert f">{row['delta'] * 100:+.0f}".replace("-", "−") in label
    assert label.count("largest certain effect: ") == 2


def test_training_is_shown_only_where_something_was_trained(trace: Trace, page: str) -> None:
    assert '<a href="#training">' in page
    part = page.partition('<section id="training"')[2].partition("</section>")[0]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', part, flags=re.S)
    assert [html.unescape(name) for name, _ in rows] == list(trace.training)
    facts = re.findall(r"<td.*?>(.*?)</td>", rows[1][1])
    assert facts == ["sft", "base", "0", "1,500", "3,072,000", "151.2", "00112233445566ff"]
    without = render(replace(trace, training={}))
    assert 'id="training' not in without
    assert 'href="#training"' not in without


def test_hostile_samples_reach_the_page_as_data(trace: Trace, elements: _Elements) -> None:
    data = json.loads(next(text for attributes, text in elements.blocks if attributes.get("id") == "capeval-data"))
    trained = next(node for node in data["training"] if node["name"] == HOSTILE_NODE)
    assert trained["samples"] == [[text, text] for text in HOSTILE]
    assert list(trained["curves"]["columns"]) == ["step", "loss", HOSTILE[0], HOSTILE[9]]
    assert ["note", HOSTILE[3]] in trained["recipe"]


def test_an_empty_trace_renders(trace: Trace) -> None:
    empty = replace(
        trace,
        effects=trace.effects.iloc[:0],
        scores=trace.scores.iloc[:0],
        flips=trace.flips.iloc[:0],
        published=trace.published.iloc[:0],
        published_effects=trace.published_effects.iloc[:0],
        provenance={},
        training={},
    )
    page = render(empty)
    assert "Nothing certain." in page
    assert 'id="published"' not in page


def test_write_report_after_a_round_trip(trace: Trace, tmp_path: Path) -> None:
    folder = save_trace(trace, tmp_path / "toy")
    path = write_report(load_trace(folder), folder)
    assert path.name == "report.html"
    assert path.read_text(encoding="utf-8") == render(load_trace(folder))


def test_a_place_that_is_a_file_is_refused(trace: Trace, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError):
        write_report(trace, tmp_path / "taken")


def test_vendored_library_comes_with_its_licence() -> None:
    folder = shipped.folder("reports/templates") / "vendor"
    assert "MIT" in (folder / "LICENSE").read_text(encoding="utf-8")
    code = (folder / "plotly-cartesian.min.js").read_text(encoding="utf-8")
    assert "</script" not in code
    assert "\r" not in code


# --- what is said first


def test_findings_are_certain_and_ranked(trace: Trace) -> None:
    found = findings(trace.effects)
    assert set(found["answer"]) <= {"gained", "lost"}
    stages = found[(found["kind"] == "edge") & (found["unit"] == "points") & (found["reason"] == "")]
    sizes = stages["delta"].abs().tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert len(ranked(trace.effects)) == len(trace.effects)


def test_a_subset_that_repeats_its_task_is_left_out(trace: Trace) -> None:
    row = findings(trace.effects).iloc[[0]]
    both = pd.concat([row, row.assign(task=f"{row.iloc[0]['task']}:part")], ignore_index=True)
    assert len(findings(both)) == 1
    assert len(findings(both.iloc[[1]])) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "sft lost 21.0 points on squad (few-shot)"),
        ({"orientation": "lower", "delta": 0.21}, "sft got worse on squad (few-shot): up 21.0 points"),
        (
            {"orientation": "lower", "delta": -0.21, "answer": "gained"},
            "sft got better on squad (few-shot): down 21.0 points",
        ),
        ({"orientation": "none", "label": "decreased"}, "sft decreased squad (few-shot) by 21.0 points"),
        ({"contrast": "sft: cot − direct"}, "sft: cot − direct lost 21.0 points on squad (few-shot)"),
    ],
)  # fmt: skip
def test_headlines_read_as_sentences(change: dict[str, Any], expected: str) -> None:
    row = {"parent": "base", "child": "sft", "contrast": "base → sft", "task": "squad", "setting": "few-shot",
           "delta": -0.21, "low": -0.3, "high": -0.1, "unit": "points", "orientation": "higher", "answer": "lost",
           "label": "lost", "reason": "", **change}  # fmt: skip
    parts = headline(row)
    assert " ".join(parts[name] for name in ("who", "did", "size", "on")).strip() == expected


def test_counts_add_up(trace: Trace) -> None:
    assert sum(counts(trace.effects).values()) == len(trace.effects)
    assert sum(c["n"] for c in contrasts(trace.effects)) == len(trace.effects)


# --- the drawing


def test_boxes_do_not_overlap_and_parents_stand_left(trace: Trace) -> None:
    drawing = tree_drawing(TREE, contrasts(trace.effects), {})
    places = {node["name"]: (node["x"], node["y"]) for node in drawing["nodes"]}
    by_column: dict[float, list[float]] = {}
    for x, y in places.values():
        by_column.setdefault(x, []).append(y)
    for column in by_column.values():
        gaps = np.diff(sorted(column))
        assert (gaps > BOX_HEIGHT).all()
    for stage in TREE.stages:
        if stage.parent and stage.name in places:
            assert places[stage.parent][0] < places[stage.name][0]


def test_rival_readings_are_drawn_apart(trace: Trace) -> None:
    edges = tree_drawing(TREE, contrasts(trace.effects), {})["edges"]
    rivals = [edge for edge in edges if edge["rival"]]
    assert {(edge["parent"], edge["child"]) for edge in rivals} == {
        ("continued", "sft"), ("sft", "code-sft"), ("ppo", "chat"),
    }  # fmt: skip
    assert all(edge["contrast"] is None for edge in rivals)


# --- the data


def _unpack(table: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        name: column["v"] if "v" in column else [None if code < 0 else column["d"][code] for code in column["c"]]
        for name, column in table["columns"].items()
    }


def test_pack_keeps_values_and_missing_ones() -> None:
    frame = pd.DataFrame(
        {"a": [0.1234567, np.nan, np.inf], "b": ["x", None, "x"], "c": [True, False, True], "d": [1, 2, 3]}
    )
    columns = _unpack(pack(frame))
    assert columns["a"] == [0.123457, None, None]
    assert columns["b"] == ["x", None, "x"]
    assert columns["c"] == [True, False, True]
    assert columns["d"] == [1, 2, 3]


def test_flips_beyond_the_limit_are_counted(trace: Trace) -> None:
    one = trace.flips.iloc[[0]]
    many = pd.concat([one] * (FLIPS_PER_EFFECT + 7), ignore_index=True)
    data = payload(replace(trace, flips=many))
    assert data["flips"]["n"] == FLIPS_PER_EFFECT
    assert data["flipsCut"] == {"rows": 7, "texts": 0}


def test_a_trained_node_in_words() -> None:
    sample = {"prompt": "x" * (training.SAMPLE_CHARACTERS + 1), "answer": None}
    entry = {"stage": "init", "parent": None, "recipe": {"model": {"layers": 2, "rope": {}}, "tied": True},
             "samples": [sample] * (training.SAMPLES + 2)}  # fmt: skip
    (node,) = training.nodes({"a\nb": entry})
    assert node["name"] == "a\nb"
    assert node["facts"]["Parent"] == "none"
    assert node["facts"]["Tokens"] == node["facts"]["Digest"] == "–"
    assert node["recipe"] == [("model.layers", "2"), ("model.rope", "{}"), ("tied", "true")]
    assert (len(node["samples"]), node["left"]) == (training.SAMPLES, 2)
    assert node["samples"][0][0].endswith("x … (cut here)")
    assert node["samples"][0][1] == ""
    assert training.curves(entry).empty


@pytest.mark.parametrize("points", [1, training.CURVE_POINTS, training.CURVE_POINTS + 1, 1000])
def test_long_curves_are_thinned_and_keep_their_last_point(points: int) -> None:
    steps = list(range(1, points + 1))
    frame = training.curves({"curves": {"step": steps, "loss": [None, *steps[1:]]}})
    assert len(frame) <= training.CURVE_POINTS
    assert frame["step"].iloc[-1] == points
    assert len(frame) == points or points > training.CURVE_POINTS
    assert pack(frame)["columns"]["loss"]["v"][-1] == (points if points > 1 else None)


def test_json_can_not_end_its_script() -> None:
    text = to_json({"a": list(HOSTILE), "b": float("nan")})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": list(HOSTILE), "b": None}
