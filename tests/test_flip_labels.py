"""The rules for causes of flips against the labels, on the half that they weren't tuned on; no text is needed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import validate_anatomy as validate
from capeval.attribution.causes import CAUSES

DOC = Path(__file__).parents[1] / "docs" / "flips.md"


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    return validate.labelled()


def test_labels_are_digests_and_words_of_ours(labels: pd.DataFrame) -> None:
    raw = pd.read_csv(validate.LABELS)
    assert list(raw) == ["source", "side", *validate.KEYS[:-1], "direction", "item", "label"]
    assert len(raw) == 320 and raw["item"].str.fullmatch(r"[0-9a-f]{16}(#\d+)?").all()
    assert set(raw["label"]) <= set(CAUSES) and raw["source"].nunique() >= 4
    assert all(raw[column].nunique() < 40 for column in raw if column != "item")
    sides = raw.assign(base=raw["item"].str.partition("#")[0]).groupby("base")["side"].nunique()
    assert (sides == 1).all()
    assert labels["cause"].notna().all()


def test_the_sample_is_the_one_that_the_seed_draws() -> None:
    columns = ["source", *validate.KEYS]
    labelled = pd.read_csv(validate.LABELS)[columns]
    assert validate.drawn()[columns].to_numpy().tolist() == labelled.to_numpy().tolist()


def test_the_rules_agree_with_the_labels(labels: pd.DataFrame) -> None:
    test = labels[(labels["side"] == "test") & (labels["label"] != "unknown")]
    right = test["label"] == test["cause"]
    assert len(test) > 150 and right.mean() > 0.9
    for source, part in right.groupby(test["source"]):
        assert part.mean() > 0.8, source
    form = test[test["cause"] == "format"]
    assert (form["label"] == "format").mean() > 0.95  # what is called a tax of form is one


def test_the_document_holds_the_tables() -> None:
    assert validate.report() in DOC.read_text(encoding="utf-8")


def test_the_command_writes_them(tmp_path: Path) -> None:
    copy = tmp_path / "flips.md"
    copy.write_text(f"before\n{validate.MARK}\n{validate.MARK}\nafter\n", encoding="utf-8")
    validate.main(["--into", str(copy)])
    said = copy.read_text(encoding="utf-8")
    assert said.startswith("before\n") and said.endswith("after\n") and "label \\ rules" in said
