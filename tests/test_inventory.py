"""`capeval data`: what is here, where, how many, or how to get it; whatever the files hold, and without the network."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import capeval as package
from capeval.harness.inventory import data
from capeval.harness.layouts import LAYOUTS
from capeval.harness.mirror import DataSource, load_data
from tests.published import MMLU, lines, write_mirror

ROOT = Path(__file__).parent.parent


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAPEVAL_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return write_mirror(tmp_path / "mirror")


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CAPEVAL_DATA", raising=False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_all_data_sets_are_listed_with_items_licence_and_file(mirror: Path, capeval: Any) -> None:
    code, out, _ = capeval("data")
    assert code == 0 and f"CAPEVAL_DATA: {mirror}" in out
    assert all(line.startswith(one.name) for one, line in zip(LAYOUTS, out.splitlines()[2:], strict=True))
    rows = {line.split()[0]: line.split() for line in out.splitlines()[2:]}
    shots = ["train", "1", "of", "7,473", "MIT", "gsm8k/test.jsonl"]
    assert rows["gsm8k"] == ["gsm8k", "test", "1", "of", "1,319,", *shots]
    assert rows["bbh"][-1] == "bbh/*.json" and rows["asdiv"][-2:] == ["CC-BY-NC-4.0", "math_ood/ASDiv.xml"]
    assert max(map(len, out.splitlines())) <= 100
    assert data() == package.data()


def test_one_data_set_in_detail_by_its_short_name_or_id(mirror: Path, capeval: Any) -> None:
    code, out, _ = capeval("data", "mmlu")
    assert code == 0 and capeval("data", "cais/mmlu")[1] == out
    assert out.startswith("mmlu · mirror\n") and f"{mirror}/mmlu/test_20_per_subject.jsonl" in out
    assert "2 of 14,042" in out and "columns: question, subject, choices, answer" in out
    assert "how to get it" not in out
    [truthful, generation] = data("truthfulqa/truthful_qa")
    assert (truthful.layout.name, generation.layout.name) == ("truthfulqa-mc", "truthfulqa-gen")


def test_json_says_the_same(mirror: Path, capeval: Any) -> None:
    code, out, _ = capeval("data", "gsm8k", "--json")
    [row] = json.loads(out)
    assert code == 0 and row["state"] == "mirror" and row["columns"] == ["question", "answer"]
    assert row["splits"][0] == {
        "split": "test", "items": 1, "whole": 1319, "where": f"{mirror}/gsm8k/test.jsonl",
    }  # fmt: skip
    assert len(json.loads(capeval("data", "--json")[1])) == len(LAYOUTS)


def test_a_corrupt_file_is_shown_in_the_table(mirror: Path, capeval: Any) -> None:
    (mirror / "mmlu" / "dev.jsonl").write_text(lines(MMLU[0] | {"answer": "E"}))
    code, out, _ = capeval("data")
    assert code == 0 and "malformed, see below" in out
    assert f"! mmlu: the data file {mirror}/mmlu/dev.jsonl is malformed: item 1: the answer 'E'" in out
    code, out, _ = capeval("data", "mmlu")
    assert code == 2 and "malformed: the data file" in out and "how to get it: put mmlu/test.jsonl" in out


def test_what_is_missing_says_how_to_get_it(nothing: Path, capeval: Any) -> None:
    code, out, _ = capeval("data")
    assert code == 0 and "CAPEVAL_DATA: not set" in out
    assert f"{len(LAYOUTS)} not here; `capeval data gsm8k` says how to get it" in out
    code, out, _ = capeval("data", "mmlu")
    assert code == 3 and "put mmlu/test.jsonl into the folder CAPEVAL_DATA (https://github.com/hendrycks/test)" in out
    assert "let a run load cais/mmlu from the hub" in out
    code, out, _ = capeval("data", "addsub", "--json")
    assert code == 3 and "from the hub" not in json.loads(out)[0]["remedy"]


def test_wrong_names_and_folders_are_errors(nothing: Path, capeval: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = capeval("data", "mmul")
    assert (code, out) == (2, "") and "unknown data set 'mmul'; did you mean 'mmlu'? `capeval data`" in err
    monkeypatch.setenv("CAPEVAL_DATA", str(nothing / "nowhere"))
    assert capeval("data")[0] == 3


def test_the_hubs_layout_is_found_too(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for subject in ("anatomy", "zoology"):
        folder = nothing / "mirror" / "cais" / "mmlu" / subject
        folder.mkdir(parents=True)
        (folder / "test.jsonl").write_text(lines(*MMLU))
    monkeypatch.setenv("CAPEVAL_DATA", str(nothing / "mirror"))
    [found] = data("mmlu")
    assert found.state == "mirror" and [(s.name, s.items) for s in found.splits] == [("test", 4)]
    assert found.splits[0].where == str(nothing / "mirror" / "cais" / "mmlu")


def test_the_hubs_cache_is_what_a_run_would_load(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is made by `datasets` itself, and lies where `datasets` looks for a set that the hub gave."""
    import datasets

    assert data("multiarith")[0].state == "missing"
    file = nothing / "test.jsonl"
    file.write_text(lines({"question": "1+1?", "final_ans": "2"}, {"question": "1+2?", "final_ans": "3"}))
    datasets.load_dataset("json", data_files={"test": str(file)}, cache_dir=str(nothing / "made"))
    [made] = (nothing / "made").glob("json/default-*")
    (nothing / "cache" / "ChilleD___multi_arith").mkdir(parents=True)
    [table] = made.glob("*/*/json-test.arrow")
    table.rename(table.with_name("multi_arith-test.arrow"))
    made.rename(nothing / "cache" / "ChilleD___multi_arith" / "default")
    [found] = data("multiarith")
    assert found.state == "hub cache" and [(s.name, s.items) for s in found.splits] == [("test", 2)]
    assert found.remedy == ""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", nothing / "cache")
    loaded = load_data(DataSource(path="ChilleD/MultiArith", name="", kwargs={}, home=nothing))
    assert loaded["test"]["final_ans"][:] == ["2", "3"]
    for info in (nothing / "cache").glob("*/*/*/*/dataset_info.json"):
        info.write_text("{")
    assert data("multiarith")[0].state == "missing", "a cache that was left half written holds nothing"


def test_neither_torch_nor_the_network_is_needed(mirror: Path) -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_): sys.exit('asked the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "sys.argv = ['capeval', 'data']\n"
        "from capeval.cli import main\n"
        "try: main()\nexcept SystemExit as ended: assert not ended.code, ended.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_about_data_is_the_tables() -> None:
    spec = importlib.util.spec_from_file_location("build_data", ROOT / "docs" / "build_data.py")
    assert spec and spec.loader
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert builder.PAGE.read_text(encoding="utf-8") == builder.page(), "python docs/build_data.py"
    assert "<owner>/<name>/[<configuration>/]<split>.jsonl" in builder.page()


@pytest.mark.data
def test_the_real_mirror_is_whole_or_says_what_it_lacks(public_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPEVAL_DATA", str(public_data))
    assert {one.layout.name: one.state for one in data()} == {one.name: "mirror" for one in LAYOUTS}
    [mmlu] = data("mmlu")
    assert {s.name for s in mmlu.splits} >= {"test", "dev"} and all(s.items <= s.whole for s in mmlu.splits)
