"""Cleans a collection of published scores into model_zoo/published_scores.csv: facts with citation, no opinions.

Parents and stages are not taken over: they are the trees' business. What is mended is listed here, rule by rule.

    python -m capeval.recordings.published --data CAPEVAL_DATA/published_scores.csv --out model_zoo/published_scores.csv
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

from capeval.errors import BadFileError, CapevalError
from capeval.store.files import write_text

COLUMNS = ("model", "benchmark", "setting", "metric", "value", "n_items", "source", "read_at", "conflict", "note")
KEY = ["model", "benchmark", "setting", "metric"]
"""What makes two values the same fact, so that they conflict when they differ."""

_SUITE_METRICS = {
    "AlpacaEval 2": "length-controlled win rate %",
    "DROP": "f1",
    "HumanEval": "pass@10",
    "IFEval": "prompt-level loose accuracy",
    "MMLU": "accuracy",
    "Safety": "mean safety score",
    "Safety (6 tasks)": "mean safety score",
    "TruthfulQA": "mc2",
}
"""What `score` means in the Tülu 3 and OLMo 2 tables (arXiv:2411.15124, its evaluation suite); else exact match."""

_OPT_NOTE = "in percent as the file's 3.05e-05 says: 1 of 32,800 samples passed"


def clean(raw: pd.DataFrame) -> pd.DataFrame:
    """Published scores with one meaning per metric, marked conflicts and readable places.

    Args:
        raw: model, benchmark, setting, metric, value, n_items, source, read_at, note; other columns are left out.

    Returns:
        `COLUMNS`, sorted by model, benchmark, setting, metric and source; texts are '' where nothing is known.

    Raises:
        BadFileError: when a column is missing or a value is no number.
    """
    if missing := [c for c in COLUMNS if c != "conflict" and c not in raw]:
        raise BadFileError(f"the published scores lack the columns {', '.join(missing)}")
    frame = raw[[c for c in COLUMNS if c != "conflict"]].copy()
    for column in ("value", "n_items"):
        numbers = pd.to_numeric(frame[column], errors="coerce")
        bad = numbers.isna() & (frame[column].notna() | (column == "value"))
        if bad.any():
            line = bad.to_numpy().argmax() + 2
            raise BadFileError(f"line {line} of the published scores has no number as {column}")
        frame[column] = numbers
    for column in ("model", "benchmark", "setting", "metric", "source", "read_at", "note"):
        frame[column] = frame[column].fillna("").astype(str).str.strip()
    frame = _sources(_metrics(_validation(frame)))
    frame["read_at"] = frame["read_at"].map(_place)
    opt = (frame["model"] == "OPT 175B") & (frame["benchmark"] == "HumanEval") & (frame["value"] == 0.003)
    frame.loc[opt, "note"] = frame.loc[opt, "note"].map(lambda note: _joined(note, _OPT_NOTE))
    frame["conflict"] = _conflicts(frame)
    frame = frame.drop_duplicates([*KEY, "value", "source"]).sort_values([*KEY, "source", "value"], kind="stable")
    return frame[list(COLUMNS)].reset_index(drop=True)


def _validation(frame: pd.DataFrame) -> pd.DataFrame:
    """Scores on MMLU's validation items are another benchmark than those on its 14,042 test items."""
    on_validation = frame["note"].str.contains("validation set", case=False)
    # the LLaMA paper quotes the Flan models from their own paper, which reports the validation items
    quoted = frame["source"].str.contains("2302.13971") & frame["model"].str.startswith("Flan")
    moved = frame["benchmark"].str.match(r"MMLU(/|$)") & (
        (on_validation & (frame["model"] != "gpt-3.5-turbo")) | quoted
    )
    frame.loc[moved, "benchmark"] = frame.loc[moved, "benchmark"].str.replace("MMLU", "MMLU (validation)", regex=False)
    frame.loc[moved, "n_items"] = float("nan")
    return frame


def _metrics(frame: pd.DataFrame) -> pd.DataFrame:
    """One name for one measure: 'score' and 'accuracy / pass@1' hide several."""
    suite = frame["metric"] == "score"
    frame.loc[suite, "metric"] = frame.loc[suite, "benchmark"].map(lambda name: _SUITE_METRICS.get(name, "exact match"))
    mixed = frame["metric"] == "accuracy / pass@1"
    names = {"HumanEval": "pass@1", "DROP": "exact match"}
    frame.loc[mixed, "metric"] = frame.loc[mixed, "benchmark"].map(lambda name: names.get(name, "accuracy"))
    # the row was copied from the GPT-4 report (arXiv:2303.08774), which gives F1
    report = mixed & (frame["benchmark"] == "DROP") & (frame["model"] == "gpt-3.5-turbo")
    frame.loc[report, "metric"] = "f1"
    return frame


def _sources(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that name two sources at once belong to one: gpt-3.5-turbo's to the CoT Hub, the others to the paper."""
    both = frame["source"].str.contains(", gpt-3.5-turbo: CoT Hub run")
    own = both & (frame["model"] == "gpt-3.5-turbo")
    frame.loc[both, "source"] = frame.loc[both, "source"].str.replace(", gpt-3.5-turbo: CoT Hub run", "", regex=False)
    frame.loc[own, "source"] = "Chain-of-Thought Hub run (Fu et al. 2023, arXiv:2305.17306)"
    return frame


def _place(place: str) -> str:
    """Where it was read, without the reader's own shelf marks."""
    if not place.startswith("stored text"):
        return place
    remark = re.search(r"\(([^)]*)\)", place)
    said = remark[1] if remark else ""
    return f"a copy of the source's text ({said})" if said and said != "excerpt" else "a copy of the source's text"


def _conflicts(frame: pd.DataFrame) -> pd.Series:
    """For rows whose fact has several values: those of the other sources, with who gives them."""
    texts = pd.Series("", index=frame.index)
    for _, rows in frame.groupby(KEY, sort=False):
        for value in rows["value"].unique() if rows["value"].nunique() > 1 else ():
            others = rows[rows["value"] != value].drop_duplicates(["value", "source"])
            said = "; ".join(f"{v:g} in {s}" for v, s in zip(others["value"], others["source"], strict=True))
            texts.loc[rows.index[rows["value"] == value]] = said
    return texts


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def main(arguments: list[str] | None = None) -> int:
    """Command line of the cleaning; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m capeval.recordings.published", description=clean.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the collected scores (CSV)")
    parser.add_argument("--out", type=Path, required=True, help="where the cleaned CSV goes")
    given = parser.parse_args(arguments)
    try:
        try:
            raw = pd.read_csv(given.data)
        except (OSError, ValueError) as error:
            raise BadFileError(f"{given.data} can't be read as CSV: {error}") from error
        frame = clean(raw)
        write_text(given.out, frame.to_csv(index=False, lineterminator="\n"))
    except CapevalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    conflicting = int((frame["conflict"] != "").sum())
    print(f"{given.out}: {len(frame):,} scores of {frame['model'].nunique()} models, {conflicting} rows in conflict")
    return 0


if __name__ == "__main__":
    sys.exit(main())
