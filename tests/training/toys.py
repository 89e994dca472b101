"""A tokenizer of a few words, a root of a few thousand weights, and a way to run one stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capeval.training.nodes import Job, Outcome, save
from capeval.training.recipe import Init, Recipe
from capeval.training.stages import run_stage

WORDS = ("red", "blue", "green", "one", "two", "three", "say", "count")
SPECIAL = ("<pad>", "<begin>", "<end>", "<user>", "<assistant>")
TEMPLATE = (
    "{% for m in messages %}{{ '<assistant>' if m['role'] == 'assistant' else '<user>' }} {{ m['content'] }} <end> "
    "{% endfor %}{% if add_generation_prompt %}<assistant> {% endif %}"
)


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<begin>",
        eos_token="<end>",
        additional_special_tokens=["<user>", "<assistant>"],
        model_max_length=64,
    )
    made.chat_template = TEMPLATE
    return made


def root(tmp_path: Path, name: str = "root", seed: int = 0) -> Path:
    """A root's folder. Its head is zero, so every token is as likely as any other; its layers, which begin at zero too,
    are filled, so that a token's state tells of the tokens before it and few steps suffice."""
    import torch

    words = tmp_path / "words"
    tokenizer().save_pretrained(words)
    model = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = run(tmp_path / name, Init(tokenizer=str(words), model=model, seed=seed), None)
    numbers = torch.Generator().manual_seed(seed)
    for layer in made.model.model.layers:
        for weights in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            torch.nn.init.normal_(weights, 0.0, 0.3, generator=numbers)
    save(made, tmp_path / name, {})
    return tmp_path / name


def job(folder: Path, parent: Path | None, **more: Any) -> Job:
    work = folder.with_name(folder.name + ".partial")
    work.mkdir(parents=True, exist_ok=True)
    return Job(node=folder.name, parent=parent, folder=work, home=folder.parent, **more)


def run(folder: Path, recipe: Recipe, parent: Path | None, **more: Any) -> Outcome:
    return run_stage(recipe, job(folder, parent, **more))


def make(folder: Path, recipe: Recipe, parent: Path | None, **more: Any) -> Path:
    save(run(folder, recipe, parent, **more), folder, {})
    return folder


def lines(path: Path, documents: Sequence[Mapping[str, Any]]) -> str:
    """Write a JSONL file; returns its name, as a recipe beside it gives it."""
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return path.name


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def answered(text: str, answer: str) -> list[dict[str, str]]:
    return [*asked(text), {"role": "assistant", "content": answer}]


def weights(outcome_or_folder: Outcome | Path) -> dict[str, Any]:
    if isinstance(outcome_or_folder, Path):
        from safetensors.torch import load_file

        return load_file(outcome_or_folder / "model.safetensors")
    return dict(outcome_or_folder.model.state_dict())


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
