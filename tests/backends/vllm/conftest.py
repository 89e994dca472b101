"""Checkpoints that vLLM's CPU kernels take: random weights, two siblings of each kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import make_model


@pytest.fixture(scope="session")
def siblings(wide_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Three checkpoints with a tied head, three with their own: equal but for the weights."""
    import torch
    from transformers import AutoTokenizer

    place = tmp_path_factory.mktemp("siblings")
    tokenizer = AutoTokenizer.from_pretrained(wide_checkpoint)
    found: dict[str, list[Path]] = {"tied": [], "untied": []}
    for kind, folders in found.items():
        for number in range(3):
            torch.manual_seed(number)
            model = make_model(
                len(tokenizer), heads=2, tie_word_embeddings=kind == "tied", initializer_range=0.3,
                max_position_embeddings=256,
            )  # fmt: skip
            folder = place / f"{kind}-{number}"
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            folders.append(folder)
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder where no swap was ever proved."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "capeval" / "vllm-swaps.json"


@pytest.fixture
def cold() -> Iterator[None]:
    """No engine before, and none after."""
    from capeval.backends.vllm import warm

    warm.end()
    warm.HISTORY.__init__()  # type: ignore[misc]
    yield
    warm.end()


def copied(folder: Path, to: Path) -> Path:
    """A checkpoint to be spoilt."""
    shutil.copytree(folder, to)
    return to
