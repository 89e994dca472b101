"""What is asked: `python -m benchmarks.vllm.work PLACE SIZE` writes requests and makes the checkpoints.

letters   MMLU, 5 shots, one head for all: the 200 shortest of 456 questions × 4 choices of one token
three     the same prompts, four choices of three tokens each
answers   512 of such prompts, answers of 4 to 96 tokens
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from benchmarks.engine import checkpoints
from benchmarks.engine.side import write_requests
from benchmarks.engine.workloads import build
from capeval.core import Request

QUESTIONS, ANSWERS = 200, 512
WORKS = ("letters", "three", "answers")
SHAPES = {1: (128, 4, 4), 16: (384, 8, 6)}
"""Million parameters (about) → hidden size, layers, heads of 32 and of 64 dimensions."""
SIBLINGS = 4


def file_of(place: Path, work: str) -> Path:
    """Where a work's requests lie."""
    return place / f"{work}.json"


def checkpoint_of(place: Path, size: int, number: int = 0) -> Path:
    """Where a checkpoint lies; siblings differ in their weights only."""
    return place / f"llama-{size}m-{number}"


def main() -> None:
    """Write all of it, once."""
    place, size, quick = Path(sys.argv[1]), int(sys.argv[2]), "--quick" in sys.argv
    place.mkdir(parents=True, exist_ok=True)
    prompts = _prompts(quick)
    _checkpoints(place, size, prompts)
    tokenizer = _tokenizer(checkpoint_of(place, size))
    write_requests([_scored(p, f" {letter}") for p in prompts for letter in "ABCD"], file_of(place, "letters"))
    draw = random.Random(0)
    three = [_scored(p, _three(tokenizer, p, draw)) for p in prompts for _ in range(4)]
    write_requests(three, file_of(place, "three"))
    answers = []
    for i in range(32 if quick else ANSWERS):
        settings = {"do_sample": False, "until": [], "max_gen_toks": draw.randrange(4, 97)}
        text = f"{prompts[i % len(prompts)]} {i}"
        answers.append(Request(kind="generate", text=text, generation=settings))
    write_requests(answers, file_of(place, "answers"))
    lengths = sorted(len(tokenizer.encode(prompt)) for prompt in prompts)
    head = len(tokenizer.encode(_head(prompts)))
    print(json.dumps({"head": head, "median": lengths[len(lengths) // 2], "longest": lengths[-1]}))


def _prompts(quick: bool) -> list[str]:
    """The shortest questions, in the order of the benchmark: the head is what they share."""
    texts = list(dict.fromkeys(request.text for request in build("mmlu", 1)[0]))
    chosen = set(sorted(texts, key=len)[: 16 if quick else QUESTIONS])
    return [text for text in texts if text in chosen]


def _head(prompts: list[str]) -> str:
    """What all begin with."""
    first, last = min(prompts), max(prompts)
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:n]


def _scored(prompt: str, choice: str) -> Request:
    return Request(kind="loglikelihood", text=prompt, continuation=choice)


def _three(tokenizer: Any, prompt: str, draw: random.Random) -> str:
    """Words of three tokens behind this prompt."""
    n = len(tokenizer.encode(prompt))
    while True:
        text = " " + tokenizer.decode([draw.randrange(259, len(tokenizer)) for _ in range(3)]).strip()
        if text.isascii() and text.isprintable() and len(tokenizer.encode(prompt + text)) == n + 3:
            return text


def _checkpoints(place: Path, size: int, texts: list[str]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if (checkpoint_of(place, size, SIBLINGS - 1) / "tokenizer.json").is_file():
        return
    tokenizer = checkpoints.train_tokenizer(texts)
    hidden, layers, heads = SHAPES[size]
    for number in range(SIBLINGS):
        torch.manual_seed(number)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
            num_attention_heads=heads, max_position_embeddings=checkpoints.WINDOW, bos_token_id=0, eos_token_id=1,
            pad_token_id=2,
        )  # fmt: skip
        folder = checkpoint_of(place, size, number)
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


if __name__ == "__main__":
    main()
