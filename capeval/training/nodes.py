"""A node's folder: what a stage starts from, what it leaves, and how that becomes a checkpoint in HF format.

    models/sft-3f0c9a1b2c4d5e6f/
      model.safetensors config.json generation_config.json tokenizer.json tokenizer_config.json chat_template.jinja
      training.json      recipe, seed, digests of data and parent, curves, samples, versions

The folder appears whole or not at all: work is done in `<folder>.partial`, which a killed training goes on from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.errors import BadFileError, MissingError
from capeval.store.files import read_json, write_json
from capeval.training.data import Source

FILE = "training.json"
REWARD_HEAD = "reward_head.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One node to be made."""

    node: str
    parent: Path | None
    """The parent's folder; None for a root."""
    folder: Path
    """Where work in progress lies."""
    reward: Path | None = None
    """The reward model's folder, for PPO."""
    home: Path | None = None
    """Folder that the recipe's relative paths are meant from."""
    watch: Callable[[int, int], None] = lambda step, steps: None
    """Told (steps done, all steps)."""

    def load(self) -> tuple[Any, Any]:
        """The parent's model (float32) and tokenizer."""
        if self.parent is None:
            raise BadFileError(f"node '{self.node}' has no parent to start from; only stage init makes a root")
        return load(self.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage leaves."""

    model: Any
    tokenizer: Any
    curves: Mapping[str, Sequence[float]]
    tokens: int
    """Tokens that the weights learnt from."""
    data: tuple[Source, ...]
    head: Any = None
    """A reward model's scalar head: weights of one row."""


def load(folder: Path) -> tuple[Any, Any]:
    """A checkpoint's causal language model in float32 on the best device, and its tokenizer.

    Dropout is off (`eval`), also while it is trained: a step is then a function of its number alone, and PPO's old and
    new log-probabilities are of one policy.

    Raises:
        MissingError: no such folder: the node isn't built.
        BadFileError: weights that can't be read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise MissingError(f"there is no checkpoint in {folder}; the parent isn't built")
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds for a damaged checkpoint
        raise BadFileError(f"{folder} can't be loaded: {(str(error).splitlines() or ['?'])[0]}") from error
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def save(outcome: Outcome, folder: Path, about: Mapping[str, Any]) -> None:
    """Write a checkpoint and its training.json (last, so that a folder with one is whole)."""
    model = outcome.model
    model.save_pretrained(folder)
    outcome.tokenizer.save_pretrained(folder)
    if outcome.head is not None:
        from safetensors.torch import save_file

        save_file({"weight": outcome.head.detach().contiguous().cpu()}, folder / REWARD_HEAD)
    write_json(folder / FILE, dict(about))


def about(folder: Path) -> dict[str, Any]:
    """A built node's training.json.

    Raises:
        MissingError: a folder without one.
        BadFileError: a damaged one.
    """
    if not (folder / FILE).is_file():
        raise MissingError(f"{folder} holds no {FILE}: the node isn't built")
    found = read_json(folder / FILE)
    if not isinstance(found, dict):
        raise BadFileError(f"{folder / FILE} must hold a JSON object")
    return found
