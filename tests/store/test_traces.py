"""Traces: what was trained goes in and comes out, covered by the head's digests."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capeval.assembly import assemble
from capeval.digest import digest, digest_file
from capeval.errors import BadFileError
from capeval.store.traces import Trace, load_trace, save_trace
from tests.records import chain, records

ENTRY: dict[str, Any] = {
    "stage": "ppo", "parent": "sft", "recipe": {"lr": 2e-4, "model": {"layers": 2}}, "seed": 0, "digest": "0" * 16,
    "data": [{"source": "lab/prompts", "digest": "1" * 16}], "steps": 100, "tokens": 4096, "seconds": 1.5,
    "curves": {"step": [50, 100], "score": [0.25, None]}, "samples": [{"prompt": "<|user|> </script>", "answer": ""}],
    "versions": {"torch": "2.13.0"},
}  # fmt: skip


@pytest.fixture
def trace() -> Trace:
    return assemble(chain("base", "sft"), records("base", [1.0, 0.0]), provenance={})


def test_training_survives_the_disk(trace: Trace, tmp_path: Path) -> None:
    training = {"ppo": ENTRY, 'a/b "</script>" é': {"stage": "init", "parent": None}}
    folder = save_trace(replace(trace, training=training), tmp_path / "out")
    assert load_trace(folder).training == training


def test_without_training_there_is_no_file(trace: Trace, tmp_path: Path) -> None:
    folder = save_trace(replace(trace, training={"ppo": ENTRY}), tmp_path / "out")
    save_trace(trace, folder)  # over a trace that had one
    assert not (folder / "training.json").exists()
    assert load_trace(folder).training == {}
    assert "training" not in json.loads((folder / "trace.json").read_text())["tables"]


@pytest.mark.parametrize("damage", ["edited", "gone"])
def test_damaged_training_is_named(trace: Trace, tmp_path: Path, damage: str) -> None:
    file = save_trace(replace(trace, training={"ppo": ENTRY}), tmp_path / "out") / "training.json"
    if damage == "gone":
        file.unlink()
    else:
        file.write_text(file.read_text().replace("4096", "8192"))
    with pytest.raises(BadFileError, match="training.json is not as it was written"):
        load_trace(file.parent)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (5, "must hold a mapping for each node"),
        ({"recipe": [1]}, "'recipe' must be a mapping"),
        ({"samples": ["text"]}, "'samples' must be a list of mappings"),
        ({"curves": {"loss": [1.0]}}, "'step' among them"),
        ({"curves": {"step": [1, 2], "loss": [1.0]}}, "lists of one length"),
        ({"curves": {"step": [1], "loss": 1.0}}, "lists of one length"),
    ],
)
def test_training_of_another_shape_is_refused(trace: Trace, tmp_path: Path, entry: Any, message: str) -> None:
    folder = save_trace(replace(trace, training={"ppo": ENTRY}), tmp_path / "out")
    (folder / "training.json").write_text(json.dumps({"ppo": entry}))
    head = json.loads((folder / "trace.json").read_text())  # forged, with digests that fit
    del head["digest"]
    tables = head.pop("tables") | {"training": digest_file(folder / "training.json")}
    (folder / "trace.json").write_text(json.dumps(head | {"tables": tables, "digest": digest(head, tables)}))
    with pytest.raises(BadFileError, match=message):
        load_trace(folder)


def test_a_trace_from_before_noise_was_measured_is_read(trace: Trace, tmp_path: Path) -> None:
    whole = trace.effects.assign(noise="", noise_share=float("nan"), noise_high=float("nan"))
    old = whole.drop(columns=["noise", "noise_share", "noise_high"])
    folder = save_trace(replace(trace, effects=old), tmp_path / "out")
    found = load_trace(folder).effects
    assert sorted(found.columns) == sorted(whole.columns)
    assert found["noise_share"].isna().all() and (found["noise"] == "").all()
