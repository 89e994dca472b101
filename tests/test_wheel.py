"""The built wheel works outside the checkout, in an environment of its own, without torch."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CAPEVAL_DATA")}


def call(*args: object, cwd: Path, code: int = 0) -> str:
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, cwd=cwd, env=CLEAN, check=False)
    assert done.returncode == code, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it depends on, nothing else."""
    place = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT, cwd=place)
    (wheel,) = place.glob("*.whl")
    venv.create(place / "env", with_pip=True)
    call(place / "env/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=place)
    return place / "env/bin"


def test_the_main_job_runs_from_the_wheel_without_torch(installed: Path, tmp_path: Path) -> None:
    call(installed / "python", "-c", "import torch", cwd=tmp_path, code=1)
    call(installed / "capeval", "trace", "instructgpt", cwd=tmp_path)
    out = tmp_path / "traces/instructgpt"
    assert "<!doctype html>" in (out / "report.html").read_text()[:200].lower()
    assert len(json.loads((out / "summary.json").read_text())["effects"]) > 100
    call(installed / "capeval", "report", out, cwd=tmp_path)


def test_stored_runs_are_compared_and_gated_without_torch(installed: Path, tmp_path: Path) -> None:
    rows = [f'{{"id": "q{i}", "right": {i % 2}}}' for i in range(50)]
    (tmp_path / "outputs.jsonl").write_text("\n".join(rows))
    imported = ["import", "outputs.jsonl", "--format", "mapped", "--map", "item=id,score=right", "--task", "quiz"]
    for node in "ab":
        call(installed / "capeval", *imported, "--node", node, "--out", f"runs/{node}", cwd=tmp_path)
    assert "quiz" in call(installed / "capeval", "compare", "runs/a", "runs/b", cwd=tmp_path)
    call(
        installed / "capeval", "gate", "--baseline", "runs/a", "--candidate", "runs/b", "--margin", "0.1", cwd=tmp_path
    )


def test_what_needs_torch_says_which_extra_to_install(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "ckpt").mkdir()
    said = call(installed / "capeval", "run", "--model", "ckpt", "--suite", "smoke", cwd=tmp_path, code=3)
    assert "pip install 'capeval[hf]'" in said
