"""How the nodes that capeval trained itself were made, in words: facts, recipe, data, curves, samples.

`python -c "from capeval.report.training import nodes; print(nodes({'sft': {'stage': 'sft', 'steps': 300}}))"`
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from capeval.report.words import clean

SAMPLES = 30
SAMPLE_CHARACTERS = 1000
"""What a page carries of a node's samples; training.json holds all."""
CURVE_POINTS = 400
"""From here on a page carries every second point of a curve, or every third, and so on, and always the last."""


def nodes(training: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every trained node in the trace's order, as texts.

    Returns:
        name (as in the tables), facts (label → text, the same labels for every node), recipe, versions and data (pairs
        of texts), samples (prompt, answer), and how many samples are left out.
    """
    return [
        {
            "name": name,
            "facts": {
                "Stage": _text(entry.get("stage")),
                "Parent": _text(entry.get("parent") or "none"),
                "Seed": _text(entry.get("seed")),
                "Steps": _count(entry.get("steps")),
                "Tokens": _count(entry.get("tokens")),
                "Processor seconds": _count(entry.get("seconds"), decimals=1),
                "Digest": _text(entry.get("digest")),
            },
            "recipe": list(_flat(entry.get("recipe") or {})),
            "versions": list(_flat(entry.get("versions") or {})),
            "data": [(_text(d.get("source")), _text(d.get("digest"))) for d in entry.get("data") or ()],
            "samples": [(_cut(s.get("prompt")), _cut(s.get("answer"))) for s in _samples(entry)[:SAMPLES]],
            "left": max(0, len(_samples(entry)) - SAMPLES),
        }
        for name, entry in training.items()
    ]


def curves(entry: Mapping[str, Any]) -> pd.DataFrame:
    """A node's series against `step`, one column each, as numbers; what is no number is missing."""
    series = {str(name): list(values) for name, values in (entry.get("curves") or {}).items()}
    frame = pd.DataFrame(
        {name: pd.to_numeric(pd.Series(values, dtype=object), errors="coerce") for name, values in series.items()},
        dtype=float,
    )
    stride = -(-len(frame) // CURVE_POINTS) or 1
    return frame.iloc[(len(frame) - 1) % stride :: stride] if len(frame) else frame


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as rows: `model.hidden_size`, `96`."""
    for key, inner in value.items():
        name = prefix + clean(key)
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{name}.")
        else:
            yield name, _text(inner)


def _text(value: Any) -> str:
    """A JSON value in a line: texts as they are, missing and empty ones as –."""
    if value is None or value == "":
        return "–"
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _count(value: Any, decimals: int = 0) -> str:
    return f"{value:,.{decimals}f}" if isinstance(value, int | float) else "–"


def _samples(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(entry.get("samples") or ())


def _cut(text: Any) -> str:
    said = "" if text is None else str(text)
    return said if len(said) <= SAMPLE_CHARACTERS else said[:SAMPLE_CHARACTERS] + " … (cut here)"
