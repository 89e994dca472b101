"""Random Llamas and their tokenizer: `python -m benchmarks.engine.checkpoints FOLDER SIZE TEXTS.json …`.

What a model has learnt does not change how long it takes, but for answers that end early, which random ones do not.
The tokenizer is trained on the work's own texts, so that prompts are about as long in tokens as under a real one.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine.side import read_requests
from capeval.digest import digest

SHAPES = {1: (128, 4, 4), 30: (512, 8, 8), 120: (768, 12, 12), 500: (1024, 24, 16)}
"""Million parameters (about) → hidden size, layers, heads."""
WINDOW = 4096
_VOCABULARY = 4096
_SEED = 0
_CHARACTERS = 3_000_000
"""Of the texts, at most, that the tokenizer learns from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the arithmetic of a decoder-only model depends on."""

    parameters: int
    body: int
    """Parameters without the embedding and the output head: what every token is multiplied with."""
    width: int
    """Of attention: heads times their dimension."""
    layers: int
    hidden: int
    vocabulary: int


def make(folder: Path, size: int, texts: list[str]) -> Path:
    """A Llama in HF format below `folder`, made once: the seed and texts decide its name and content."""
    checkpoint = folder / f"llama-{size}m-{digest(SHAPES[size], _VOCABULARY, WINDOW, _SEED, texts)}"
    if (checkpoint / "shape.json").is_file():
        return checkpoint
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(texts)
    hidden, layers, heads = SHAPES[size]
    torch.manual_seed(_SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=WINDOW, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)
    (checkpoint / "shape.json").write_text(json.dumps(asdict(shape_of(checkpoint))))
    return checkpoint


def train_tokenizer(texts: list[str], vocabulary: int = _VOCABULARY, window: int = WINDOW) -> Any:
    """Byte-level BPE of so many tokens (fewer where the texts have less to say), without a BOS of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=window
    )


def lesson(files: list[Path]) -> list[str]:
    """Distinct texts of some workloads' requests, in their order, up to a limit."""
    texts: dict[str, None] = {}
    for file in files:
        for request in read_requests(file):
            # heads are shared: a prompt's end is what is new in it
            texts[request.text[-2000:] + request.continuation] = None
    kept, characters = [], 0
    for text in texts:
        characters += len(text)
        if characters > _CHARACTERS:
            break
        kept.append(text)
    return kept


def shape_of(checkpoint: Path) -> Shape:
    """Read from the configuration and the headers of the weights.

    Raises:
        SystemExit: for a model that is not decoder-only with the usual names.
    """
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    if config.get("is_encoder_decoder") or "hidden_size" not in config:
        raise SystemExit(f"{checkpoint}: only decoder-only models in Llama's way of naming are measured here")
    from safetensors import safe_open

    counts: dict[str, int] = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as weights:
            for name in weights.keys():  # noqa: SIM118 (no mapping)
                size = 1
                for length in weights.get_slice(name).get_shape():
                    size *= length
                counts[name] = size
    heads = config["num_attention_heads"]
    return Shape(
        parameters=sum(counts.values()),
        body=sum(size for name, size in counts.items() if "embed" not in name and "lm_head" not in name),
        width=heads * (config.get("head_dim") or config["hidden_size"] // heads),
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        vocabulary=config["vocab_size"],
    )


def main() -> None:
    """Make it; print where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("size", type=int, choices=SHAPES)
    parser.add_argument("texts", type=Path, nargs="+", help="files of requests that the tokenizer learns from")
    chosen = parser.parse_args()
    print(make(chosen.folder, chosen.size, lesson(chosen.texts)))


if __name__ == "__main__":
    main()
