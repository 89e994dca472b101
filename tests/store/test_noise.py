"""The noise floor as a file: it comes back as it went, and says clearly when it can't."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from capeval.errors import BadFileError, UsageError
from capeval.store.noise import architecture, as_mapping, asked_as, find_floors, from_mapping, load_floor, save_floor
from tests.noise import floor_of, noise_of


def test_it_comes_back_and_can_lie_inside_another_file(tmp_path: Path) -> None:
    floor = floor_of(noise_of(n=500, better=1, worse=2), noise_of(task="f1", binary=False))
    again = load_floor(save_floor(floor, tmp_path / "there"))
    assert again == load_floor(tmp_path / "there")
    assert math.isnan(again.noise[1].share) and again.noise[0] == floor.noise[0]
    assert as_mapping(again) == as_mapping(floor)
    inside = json.loads(json.dumps({"noise": as_mapping(floor)}, allow_nan=False))
    assert as_mapping(from_mapping(inside["noise"], "a baseline")) == as_mapping(floor)


def test_what_is_damaged_edited_or_of_another_format_is_refused(tmp_path: Path) -> None:
    file = save_floor(floor_of(noise_of()), tmp_path)
    whole = file.read_text()
    for text, said in (
        (whole[: len(whole) // 2], "can't be read as JSON"),
        (whole.replace('"differ": 0', '"differ": 9'), "is not as it was written: damaged or edited"),
        (whole.replace('"format": 1', '"format": 2'), "has noise format 2; this capeval reads 1"),
        ("[]", "is no noise floor"),
        ("{}", "is no noise floor"),
    ):
        file.write_text(text)
        with pytest.raises(BadFileError, match=said):
            load_floor(file)
    data = {**as_mapping(floor_of(noise_of())), "noise": [{"task": "sums"}]}
    data["content"] = as_mapping_digest(data)
    with pytest.raises(BadFileError, match="is no noise floor of format 1"):
        from_mapping(data, "x")
    with pytest.raises(UsageError, match="holds no noise floor"):
        load_floor(tmp_path / "nowhere")


def as_mapping_digest(data: dict[str, object]) -> str:
    from capeval.digest import digest

    return digest({key: value for key, value in data.items() if key != "content"})


def test_floors_are_found_beside_runs(tmp_path: Path) -> None:
    for name in ("b", "a"):
        save_floor(floor_of(noise_of(variant=name)), tmp_path / "runs" / "noise" / name)
    runs = [tmp_path / "runs" / "base", tmp_path / "runs" / "sft"]
    assert [floor.noise[0].variant for floor in find_floors(runs)] == ["a", "b"]
    assert find_floors([tmp_path / "other" / "run"]) == []
    (tmp_path / "runs" / "noise" / "a" / "noise.json").write_text("{")
    with pytest.raises(BadFileError, match="can't be read as JSON"):
        find_floors(runs)


def test_an_imported_run_is_asked_as_nobody_knows(tmp_path: Path) -> None:
    asked = asked_as({"format": 1, "node": "gpt", "tasks": []})
    assert (asked.node, asked.digest, asked.architecture, dict(asked.numerics)) == ("gpt", "", "", {})
    (tmp_path / "config.json").write_text("{}")
    assert architecture(str(tmp_path)) == "" and architecture("org/name") == ""
    (tmp_path / "config.json").write_text(
        '{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2}'
    )
    assert architecture(str(tmp_path)) == "LlamaForCausalLM 2 × 64"
