"""Where a model is computed, and in which numbers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capeval.errors import MissingError, UsageError, unknown

_DTYPES = ("float32", "bfloat16", "float16", "float64")


def device_of(wanted: str) -> str:
    """The device of the `hf` engine: a GPU where there is one and nothing else is wanted.

    Raises:
        UsageError, MissingError: no such device.
    """
    if wanted == "cpu" or (not wanted and without_gpu()):
        return "cpu"
    import torch

    if not wanted:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UsageError(f"'{wanted}' is no device: cpu, cuda, cuda:1 …") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MissingError(f"there is no GPU '{wanted}' on this machine; `capeval doctor` shows what there is")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"backend 'hf' runs on cpu and cuda, not on '{wanted}'")
    return wanted


def without_gpu() -> bool:
    """Whether torch could not find a GPU either: no driver's device file. A run that asks nothing then needs no torch.

    CUDA opens /dev/nvidia* (/dev/nvhost*, /dev/nvmap or /dev/nvgpu on Tegra, /dev/dxg under WSL), ROCm /dev/kfd.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return True
    files = ("nvidia*", "nvhost*", "nvmap", "nvgpu*", "dxg", "kfd")
    return sys.platform == "linux" and not any(any(Path("/dev").glob(file)) for file in files)


def dtype_of(wanted: str, device: str, config: Mapping[str, Any]) -> str:
    """float32 on a CPU, the checkpoint's own on a GPU, unless something else is wanted."""
    own = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    chosen = wanted or ("float32" if device == "cpu" else own)
    if chosen not in _DTYPES:
        raise unknown("dtype", chosen, _DTYPES, "capeval run --help")
    return chosen
