"""Whether one checkpoint's weights may be put into an engine that runs another's, and whether that was ever proved.

vLLM's `reload_weights` reads tensors and nothing else, only warns of those that are missing, and on some builds leaves
packed copies as they were: a wrong swap answers with plausible numbers. So siblings must have the same configuration,
tensors and tokenizer; and the first swap of an architecture is proved: what the swapped engine says of fixed prompts
must be what a fresh engine says. The verdict is remembered in the user's cache folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from capeval.backends.checkpoint import TOKENIZER_FILES
from capeval.digest import digest, digest_file
from capeval.store.files import make_folder, write_json

_NAMES = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
_NEAR = 1e-5
"""Of a log-probability: a swapped engine is expected to be equal to the last bit, and adds in the same order."""


def signature(folder: Path) -> dict[str, str]:
    """Digests of all that must be equal for two checkpoints to share an engine, by what they are of."""
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
            tensors += [[name, list(one.get_shape()), str(one.get_dtype())] for name, one in slices.items()]
    words = [[name, digest_file(folder / name)] for name in TOKENIZER_FILES if (folder / name).is_file()]
    return {
        "configuration": digest({name: value for name, value in config.items() if name not in _NAMES}),
        "tensors": digest(sorted(tensors)),
        "tokenizer": digest(words),
    }


def tied(folder: Path) -> bool:
    """Whether the head is the embeddings."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return bool(config.get("tie_word_embeddings", config.get("text_config", {}).get("tie_word_embeddings", True)))


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """What differs, in words; empty: nothing."""
    return ", ".join(what for what in one if one[what] != other.get(what))


def equal(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two canaries are the same."""
    return len(one) == len(other) and all(
        abs(a - b) <= _NEAR * max(1.0, abs(a)) for a, b in zip(one, other, strict=True)
    )


class Proofs:
    """Verdicts by architecture, version and settings, in a file that all runs of a user share."""

    def __init__(self, file: Path | None = None) -> None:
        """The user's own by default."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self._file = file or Path(cache) / "capeval" / "vllm-swaps.json"

    def find(self, key: str) -> bool | None:
        """Whether swaps are right; None: nobody has looked."""
        found = self._read().get(key)
        return found if isinstance(found, bool) else None

    def remember(self, key: str, right: bool) -> None:
        """Keep a verdict; where the folder can't be written it is found again next time."""
        with suppress(Exception):
            make_folder(self._file.parent)
            write_json(self._file, {**self._read(), key: right})

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
