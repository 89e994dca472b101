"""A root of a tree: random weights, drawn from a seed."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

from capeval.digest import digest, digest_file
from capeval.errors import BadFileError, MissingError
from capeval.training.nodes import Job, Outcome
from capeval.training.recipe import Init

TOKENIZERS = {"lab": "capeval.lab.tokenizer"}
"""Generator of a tokenizer → module with `tokenizer()`, `answer_ends()` and `source_digest()`."""
_FILES = (
    "tokenizer*", "vocab*", "merges*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "*.model",
    "config.json", "additional_chat_templates/*",
)  # fmt: skip
"""What of a folder is its tokenizer."""


def init(recipe: Init, job: Job) -> Outcome:
    """A `LlamaForCausalLM` with wide embeddings, and head and output projections at zero.

    So nothing is predicted at first, and every layer begins as the identity: what small models learn fastest from
    (measured for the lab; the zeros are those of Yang et al. 2022, arXiv 2203.03466, §D.2).

    Raises:
        BadFileError: fields that LlamaConfig does not know, or that do not fit together.
        MissingError: no such tokenizer.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer, ends = _tokenizer(recipe.tokenizer, job.home)
    given = dict(recipe.model)
    if unknown := sorted(key for key in given if not hasattr(LlamaConfig(), key)):
        raise BadFileError(f"node '{job.node}': LlamaConfig has no field '{unknown[0]}'")
    fixed = {
        "vocab_size": -(-len(tokenizer) // 16) * 16, "tie_word_embeddings": False,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": ends, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    torch.manual_seed(recipe.seed)
    try:
        config = LlamaConfig(**{"max_position_embeddings": tokenizer.model_max_length} | given | fixed)
        model = LlamaForCausalLM(config)
    except Exception as error:  # transformers checks its configuration in many ways
        raise BadFileError(f"node '{job.node}': transformers refuses the model {given}: {error}") from error
    _fill(model, recipe)
    return Outcome(model=model, tokenizer=tokenizer, curves={"step": []}, tokens=0, data=())


def _fill(model: Any, recipe: Init) -> None:
    import torch

    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim < 2:
                weights.fill_(1.0)
            elif "embed_tokens" in name:
                weights.normal_(0.0, recipe.embedding_std, generator=generator)
            elif "lm_head" in name or "o_proj" in name or "down_proj" in name:
                weights.zero_()
            else:
                weights.normal_(0.0, 1 / math.sqrt(weights.shape[1]), generator=generator)


def tokenizer_digest(name: str, home: Path | None) -> str:
    """Of all that decides a root's tokens.

    Raises:
        MissingError: no such tokenizer.
    """
    if name in TOKENIZERS:
        module: Any = import_module(TOKENIZERS[name])
        return str(module.source_digest())
    folder = _folder(name, home)
    files = sorted({file for pattern in _FILES for file in folder.glob(pattern) if file.is_file()})
    return digest([[file.name, digest_file(file)] for file in files])


def _folder(name: str, home: Path | None) -> Path:
    folder = (home or Path()) / name
    if not folder.is_dir():
        raise MissingError(f"there is no tokenizer '{name}': {', '.join(TOKENIZERS)}, or a folder that holds one")
    return folder


def _tokenizer(name: str, home: Path | None) -> tuple[Any, list[int]]:
    if name in TOKENIZERS:
        module: Any = import_module(TOKENIZERS[name])
        return module.tokenizer(), module.answer_ends()
    from transformers import AutoTokenizer

    folder = _folder(name, home)
    try:
        made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds
        raise BadFileError(f"{folder} holds no tokenizer: {(str(error).splitlines() or ['?'])[0]}") from error
    return made, [made.eos_token_id]
