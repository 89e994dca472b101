"""Finds a checkpoint in HF format, refuses one that can't be used, and names it by its content.

>>> folder = find("runs/lab/sft")                  # doctest: +SKIP
>>> check(folder); fingerprint(folder)
'b5c1…'

Everything here reads file names, headers and bytes; no weights are loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from capeval.digest import digest, digest_file
from capeval.errors import BadFileError, MissingError, UsageError
from capeval.hub import hub_answers, hub_offline

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "merges.txt", "tekken.json",
)  # fmt: skip
_SETTINGS_FILES = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


def find(model: str, revision: str = "", weights: bool = True) -> Path:
    """The folder of a checkpoint: a local one, or a snapshot that the hub's client fetches (safetensors only).

    Args:
        model: Folder or hub id.
        revision: Branch, tag or commit of a hub id.
        weights: False fetches the tokenizer and the configuration alone.

    Raises:
        UsageError: no such folder, and no hub id either.
        MissingError: a hub id that is not in the local cache while the hub can't be reached.
    """
    try:
        local = Path(model).expanduser()
    except RuntimeError as error:
        raise UsageError(f"there is no checkpoint folder {model}: {error}") from error
    if local.is_dir():
        return local.resolve()
    if local.exists():
        raise UsageError(f"{model} is a file; a checkpoint is a folder with config.json and *.safetensors")
    beside_a_folder = str(local.parent) != "." and local.parent.is_dir()
    if beside_a_folder or not _HUB_ID.fullmatch(model):
        raise UsageError(f"there is no checkpoint folder {model}")
    return _fetch(model, revision, weights)


def check(folder: Path, name: str) -> dict[str, Any]:
    """Read the configuration and the headers of all weights.

    Args:
        folder: The checkpoint.
        name: What the user called it, for messages.

    Returns:
        The content of config.json.

    Raises:
        UsageError: no configuration, no tokenizer, or weights that are only there as pickles.
        BadFileError: a damaged or incomplete file.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name} is no checkpoint: it lacks config.json")
    config = _json(folder / "config.json")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        _refuse_without_weights(folder, name, is_encoder_decoder(config))
    _check_shards(folder, {w.name for w in weights})
    for file in weights:
        _check_header(file)
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise UsageError(
            f"{name} has no tokenizer ({', '.join(TOKENIZER_FILES[:2])} …); save it beside the weights: "
            f"AutoTokenizer.from_pretrained(BASE).save_pretrained('{name}')"
        )
    return config


def is_encoder_decoder(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of a model that reads its prompt with an encoder and answers with a decoder."""
    return bool(config.get("is_encoder_decoder"))


def fingerprint(folder: Path, weights: bool = True) -> str:
    """Digest of weights, configuration, tokenizer and chat template; what else lies in the folder does not count."""
    names = {*TOKENIZER_FILES, *_SETTINGS_FILES}
    files = sorted(p for p in folder.iterdir() if (weights and p.suffix == ".safetensors") or p.name in names)
    files += sorted((folder / "additional_chat_templates").glob("*.jinja"))
    return digest([[file.name, _content(file)] for file in files])


def _content(file: Path) -> str:
    stat = file.stat()
    return _hashed(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(file: Path, size: int, changed: int) -> str:
    """Size and time of change are in the key: a file that was written again is hashed again."""
    del size, changed
    return digest_file(file)


def _fetch(model: str, revision: str, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = [*(["*.safetensors"] if weights else []), "*.json", "*.jinja", "*.model", "*.txt"]
    online = hub_answers()
    try:
        found = snapshot_download(
            model, revision=revision or None, allow_patterns=patterns, local_files_only=not online
        )
    except LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if hub_offline() else "the hub can't be reached from here"
        raise MissingError(
            f"there is no folder '{model}', and as a hub id it is not in the local cache while {why}. Give the path "
            f"of a checkpoint folder, or fetch it where there is a network: hf download {model}"
        ) from error
    except GatedRepoError as error:
        raise MissingError(f"{model} is gated: accept its terms on the hub, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise UsageError(f"there is no folder '{model}' here and no model of that name on the hub") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise MissingError(f"{model} can't be fetched from the hub: {str(error).splitlines()[0]}") from error
    return Path(found)


def _refuse_without_weights(folder: Path, name: str, encoder_decoder: bool) -> None:
    pickles = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
    if not pickles:
        raise UsageError(f"{name} has no weights: there is no *.safetensors in it")
    door = "AutoModelForSeq2SeqLM" if encoder_decoder else "AutoModelForCausalLM"
    raise UsageError(
        f"{name} has its weights only as pickles ({', '.join(pickles[:3])}), which can run code when they are read, so "
        'capeval does not. If you trust them, convert them once: python -c "from transformers import '
        f"{door} as M; M.from_pretrained('{name}').save_pretrained('{name}-safetensors')\" and copy the "
        "tokenizer files there."
    )


def _check_shards(folder: Path, there: set[str]) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    shards = _json(index).get("weight_map", {})
    if not isinstance(shards, dict):
        raise BadFileError(f"{index} is damaged: its weight_map is no mapping of tensors to files")
    wanted = set(map(str, shards.values()))
    if missing := sorted(wanted - there):
        raise BadFileError(f"{folder} is incomplete: its index names {', '.join(missing[:3])}, which is not there")


def _check_header(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            if not list(tensors.keys()):
                raise BadFileError(f"{file} holds no tensors")
    except (SafetensorError, OSError) as error:
        raise BadFileError(f"{file} is damaged or cut: {error}. Copy or download it again.") from error


def _json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFileError(f"{file} can't be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadFileError(f"{file} must hold a JSON object")
    return data
