"""`make bench` from end to end, small: a random model, four items of each task that ships, both programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.engine import ours, table, theirs, ties
from benchmarks.engine.agree import DisagreementError, compare
from benchmarks.engine.checkpoints import lesson, make, shape_of
from benchmarks.engine.rounds import Bench, measure, run_side
from benchmarks.engine.side import Job, read_requests, write_requests
from benchmarks.engine.workloads import build


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def work(place: Path) -> Path:
    requests, items = build("smoke", 1)
    assert items == 24
    write_requests(requests, place / "smoke.json")
    assert read_requests(place / "smoke.json") == requests
    return place / "smoke.json"


@pytest.fixture(scope="module")
def checkpoint(place: Path, work: Path) -> Path:
    return make(place, 1, lesson([work]))


def test_the_random_model_is_made_once_and_its_shape_is_read_from_its_files(
    place: Path, work: Path, checkpoint: Path
) -> None:
    assert make(place, 1, lesson([work])) == checkpoint
    shape = shape_of(checkpoint)
    assert shape.body == 4 * (4 * 128**2 + 3 * 128 * 512 + 2 * 128) + 128
    assert shape.parameters == shape.body + 2 * 128 * shape.vocabulary


def test_both_sides_answer_alike_and_the_page_shows_it(
    place: Path, work: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real rounds, with each side called here instead of in a process of its own (seconds of imports)."""
    sides = {"ours": ours.measure, "theirs": theirs.measure}
    monkeypatch.setattr("benchmarks.engine.rounds.run_side", lambda side, job, place: sides[side](job))
    found = measure(Bench(place=place, rounds=1, threads=1, batches=(4, 8)), checkpoint, work)
    assert found["agreement"]["largest"] < 1e-4
    assert found["agreement"]["different"] == len(found["agreement"]["ties"])
    assert set(found["tried"]) == {"4", "8"}
    assert found["tokens"]["theirs"] > found["tokens"]["tokens"] > 0
    cell = {**found, "title": "smoke", "model": "1 M", "items": 24, "least_seconds": 1e-3}
    assert json.loads(json.dumps(cell, allow_nan=False)) == cell
    assert "| smoke, answers of" in list(table.cells([cell]))[-1]


def test_a_side_runs_as_a_process(place: Path, work: Path, checkpoint: Path) -> None:
    job = Job(checkpoint=str(checkpoint), requests=str(work), threads=1)
    found = run_side("ours", job, place)
    assert found["seconds"] > 0
    assert found["peak_mb"] >= found["loaded_mb"] > 100
    here = ours.measure(job)
    requests = read_requests(work)
    plain = [r["text"] if r["text"] is not None else [r["logprob"], r["greedy"]] for r in here["replies"]]
    assert compare(requests, found["replies"], plain).different == ()
    first = next(i for i, request in enumerate(requests) if request.kind == "loglikelihood")
    plain[first] = [plain[first][0] + 0.01, plain[first][1]]
    with pytest.raises(DisagreementError, match=f"request {first} "):
        compare(requests, found["replies"], plain)


def test_a_text_that_no_tie_explains_is_told_from_the_models_own(checkpoint: Path) -> None:
    request = next(r for r in build("smoke", 1)[0] if r.kind == "generate")
    request = replace(request, generation={"until": [], "max_gen_toks": 4, "do_sample": False})
    file = checkpoint.parent / "one.json"
    write_requests([request], file)
    text = ours.measure(Job(checkpoint=str(checkpoint), requests=str(file), threads=1))["replies"][0]["text"]
    pair = {"prompt": request.text, "ours": text, "theirs": "not " + text, "longest": 4}
    assert ties.measure(str(checkpoint), [pair]) == [None]
