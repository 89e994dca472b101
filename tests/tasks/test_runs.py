"""Every suite that a mirror serves runs on a real model, with a score for every item."""

from __future__ import annotations

from pathlib import Path

import pytest

from capeval.attribution.calibration import calibration_table
from capeval.errors import MissingError
from capeval.runner import RunOptions, run
from capeval.suites import load_suite
from tests.tasks.asking import asked


@pytest.mark.data
@pytest.mark.parametrize(
    "suite", ["generation", "closed-book", "truthfulness", "style", "style-instructions", "limits", "chat"]
)
def test_a_real_model_is_asked(
    tiny_checkpoint: Path, public_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: str
):
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    found = run(str(tiny_checkpoint), suite, options=RunOptions(out=tmp_path / "run", limit=1)).records
    whole = load_suite(suite)
    assert set(found["task"]) == {task.name for task in whole.tasks}
    assert set(zip(found["task"], found["setting"], strict=True)) == {(s.task, s.setting) for s in whole.sources}
    assert found["score"].notna().all() and not (found["error"] != "").any()
    if suite == "truthfulness":
        # what has no right and wrong (a stereotype, a share, a lean) is not calibrated
        table = calibration_table(found, whole.tasks)
        assert set(table["task"]) == {"truthfulqa-mc1", "bbq"}
        assert table["confidence"].between(0, 1).all() and (table["n"] == 1).all()


@pytest.mark.data
def test_what_the_mirror_lacks_is_named(public_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match="has ambiguous contexts only; put the whole data set there"):
        asked("truthfulness-hub", "bbq")
    with pytest.raises(MissingError, match="EleutherAI/wikitext_document_level"):
        asked("generation-hub", "generation-wikitext")
    with pytest.raises(MissingError, match="mandarjoshi/trivia_qa"):
        asked("closed-book-hub", "triviaqa")
