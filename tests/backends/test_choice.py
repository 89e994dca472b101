"""Which engine `auto` takes: every reason, on machines that are made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from capeval.backends import BackendSettings, choice, open_backend
from capeval.backends.choice import choose, machine_choice
from capeval.backends.vllm import settings
from capeval.doctor import doctor


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "version", lambda: "0.32.0")
    monkeypatch.setattr(choice, "built_for_cpu", lambda: False)
    monkeypatch.setattr(choice, "without_gpu", lambda: False)
    monkeypatch.setattr(choice, "supports", lambda name: name == "LlamaForCausalLM")


def test_a_gpu_and_vllm(gpu: None, tiny_checkpoint: Path) -> None:
    assert choose(str(tiny_checkpoint), BackendSettings()) == ("vllm", "there are a GPU and vLLM 0.32.0")
    assert choose(str(tiny_checkpoint), BackendSettings(device="cpu")).why == "the CPU is asked for"


def test_models_that_vllm_does_not_know(gpu: None, tiny_checkpoint: Path, t5_checkpoint: Path, tmp_path: Path) -> None:
    assert choose(str(t5_checkpoint), BackendSettings()) == ("hf", "vLLM does not run encoder-decoders")
    folder = tmp_path / "odd"
    shutil.copytree(tiny_checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["OddForCausalLM"]}))
    assert choose(str(folder), BackendSettings()) == ("hf", "vLLM 0.32.0 has no OddForCausalLM")


def test_without_a_gpu_or_without_vllm(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "without_gpu", lambda: True)
    assert machine_choice() == ("hf", "there is no GPU")
    monkeypatch.setattr(choice, "built_for_cpu", lambda: True)
    assert "CPU build" in machine_choice().why
    monkeypatch.setattr(choice, "version", lambda: "")
    assert machine_choice() == ("hf", "vLLM is not installed")


def test_here_it_is_hf_and_doctor_says_why(tiny_checkpoint: Path) -> None:
    assert open_backend("auto", str(tiny_checkpoint), BackendSettings()).numerics["backend"] == "hf"
    [line] = [check for check in doctor() if check.what == "backend"]
    assert line.found.startswith("auto takes hf, because ")


def test_the_table_of_a_vllm_is_read_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout of vLLM 0.32; the real one is asked where it is installed."""
    if settings.version():
        assert settings.supports("LlamaForCausalLM") and settings.supports("Qwen2ForCausalLM")
        assert not settings.supports("OddForCausalLM")
        return
    models = tmp_path / "vllm" / "model_executor" / "models"
    models.mkdir(parents=True)
    (tmp_path / "vllm" / "__init__.py").touch()
    (models / "registry.py").write_text('_MODELS = {\n    "LlamaForCausalLM": ("llama", "LlamaForCausalLM"),\n}\n')
    assert not settings.supports("LlamaForCausalLM") and settings.version() == ""
    monkeypatch.syspath_prepend(str(tmp_path))
    assert settings.supports("LlamaForCausalLM") and not settings.supports("OddForCausalLM")
    assert settings.version() == "unknown"
