"""Frames → the page's data: columns with repeated strings stored once, as JSON that is safe inside a script element.

`python -c "from capeval.report.pack import to_json; print(to_json({'a': '</script>'}))"`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from capeval.columns import EFFECT_COLUMNS, FLIP_COLUMNS, PUBLISHED_COLUMNS, PUBLISHED_EFFECT_COLUMNS, SCORE_COLUMNS
from capeval.report import sources, training
from capeval.report.findings import contrasts, kind_words, ranked
from capeval.store.files import finite
from capeval.store.traces import Trace

FLIPS_PER_EFFECT = 200
ANSWER_CHARACTERS = 4000
TEXT_BUDGET = 3_000_000
"""Characters of answers in one page; beyond it flips keep their scores and lose their text, and the page says so."""

_UNSHOWN = ("tree",)
_TASK_FACTS = ("name", "capability", "metric", "orientation", "unit", "margin", "chance", "cluster", "threshold",
               "scorer", "source", "licence", "note")  # fmt: skip


def payload(trace: Trace) -> dict[str, Any]:
    """Everything that the page's script needs, JSON-like.

    Effects come in ledger order with `rank` (0 = most telling) and `place` (index into `contrasts`).
    """
    effects = trace.effects.reset_index(drop=True)
    order = {index: rank for rank, index in enumerate(ranked(effects).index)}
    found = contrasts(effects)
    place = {(c["kind"], c["name"]): i for i, c in enumerate(found)}
    names = zip(effects["kind"], effects["contrast"], strict=True)
    table = effects[[c for c in EFFECT_COLUMNS if c not in _UNSHOWN]].assign(
        rank=[order[i] for i in effects.index], place=[place[(str(k), str(c))] for k, c in names]
    )
    notes = sources.contrast_notes(trace.tree)
    flips, cut = _flips(trace.flips)
    return {
        "tree": trace.tree.name,
        "level": trace.provenance.get("level"),
        "nodes": sources.nodes(trace.tree),
        "tasks": [{k: v for k, v in asdict(t).items() if k in _TASK_FACTS} for t in trace.tree.tasks],
        "contrasts": [
            {**c, "kindWords": kind_words(c["kind"]), "note": notes.get((c["kind"], c["name"]), "")} for c in found
        ],
        "effects": pack(table),
        "scores": pack(trace.scores[list(SCORE_COLUMNS)]),
        "published": pack(trace.published[list(PUBLISHED_COLUMNS)]),
        "publishedEffects": pack(trace.published_effects[list(PUBLISHED_EFFECT_COLUMNS)]),
        "training": [
            {**node, "curves": pack(training.curves(trace.training[node["name"]]))}
            for node in training.nodes(trace.training)
        ],
        "flips": pack(flips),
        "flipsCut": cut,
        "flipLimit": FLIPS_PER_EFFECT,
    }


def pack(frame: pd.DataFrame) -> dict[str, Any]:
    """A frame column by column: numbers to six digits (`v`), strings as codes (`c`) into a list of distinct ones (`d`).

    Missing is null in either.
    """
    columns: dict[str, Any] = {}
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[str(name)] = {"v": [_short(float(value)) for value in values]}
            continue
        codes, distinct = pd.factorize(values.astype(object), use_na_sentinel=True)
        columns[str(name)] = {"c": [int(code) for code in codes], "d": [_plain(value) for value in distinct]}
    return {"n": len(frame), "columns": columns}


def to_json(value: Mapping[str, Any]) -> str:
    """JSON in which no character can end a script element or a line of JavaScript."""
    text = json.dumps(finite(dict(value)), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _short(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    value = float(f"{value:.6g}")
    return int(value) if value.is_integer() else value


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _flips(flips: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The flips that the page carries, and what it leaves to flips.parquet: rows and texts."""
    frame = flips[list(FLIP_COLUMNS)].reset_index(drop=True)
    if frame.empty:
        return frame, {"rows": 0, "texts": 0}
    keys = ["kind", "parent", "child", "task", "setting"]
    kept = frame[frame.groupby(keys, observed=True, sort=False).cumcount() < FLIPS_PER_EFFECT].copy()
    texts = ["parent_response", "child_response"]
    for column in texts:
        kept[column] = [_shorten(text) for text in kept[column]]
    size = kept[texts].apply(lambda column: column.str.len().fillna(0)).sum(axis=1)
    beyond = (size.cumsum() > TEXT_BUDGET) & (size > 0)
    kept.loc[beyond, texts] = None
    return kept, {"rows": len(frame) - len(kept), "texts": int(beyond.sum())}


def _shorten(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    return text if len(text) <= ANSWER_CHARACTERS else text[:ANSWER_CHARACTERS] + " … (cut here)"
