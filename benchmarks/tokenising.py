"""What tokenising costs: `CAPEVAL_DATA=/data python -m benchmarks.tokenising`.

Questions of MMLU behind their subject's five examples, four choices each, through a byte-level BPE trained on them:
`encode_pair` for every choice, as lm-eval does it, against `encode_pairs`, in turn A B A B; the ids are checked to be
equal first. "again" is what a sibling checkpoint costs, whose tokenizer is equal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capeval.backends import encoding
from capeval.backends.tokens import encode_pair, encode_pairs

LETTERS = "ABCD"


def shown(row: dict[str, Any], answer: str = "") -> str:
    """A question with its choices, and its answer where it is an example."""
    choices = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, row["choices"], strict=True))
    return f"{row['question'].strip()}\n{choices}\nAnswer:{answer}"


def pairs_of(folder: Path, every: int) -> list[tuple[str, str]]:
    """(prompt, choice) of every so manieth question."""
    heads: dict[str, str] = {}
    for line in (folder / "dev.jsonl").read_text().splitlines():
        row = json.loads(line)
        about = f"The following are multiple choice questions (with answers) about {row['subject']}.\n\n"
        heads[row["subject"]] = heads.get(row["subject"], about) + shown(row, f" {row['answer']}\n\n")
    rows = [json.loads(line) for line in (folder / "test_20_per_subject.jsonl").read_text().splitlines()]
    return [(heads[row["subject"]] + shown(row), f" {letter}") for row in rows[::every] for letter in LETTERS]


def tokenizer_of(texts: list[str]) -> Any:
    """GPT-2's kind of tokenizer with Llama's BOS."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=16_000, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take every so manieth question")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    pairs = pairs_of(Path(os.environ["CAPEVAL_DATA"]) / "mmlu", chosen.every)
    tokenizer = tokenizer_of(list(dict.fromkeys(prompt for prompt, _ in pairs)))
    n = len(pairs) // len(LETTERS)

    def loop() -> Any:
        return [encode_pair(tokenizer, *pair, 0) for pair in pairs]

    def together() -> Any:
        encoding.CACHE.ids.clear()
        encoding.CACHE.held = 0
        encoding.encoder_of.cache_clear()
        return encode_pairs(tokenizer, pairs, 0)

    def again() -> Any:
        return encode_pairs(tokenizer, pairs, 0)

    if not loop() == together() == again():
        raise SystemExit("the ids differ: there is nothing to time")
    ways: dict[str, Callable[[], Any]] = {"one by one": loop, "together": together, "again": again}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            spent[name].append((time.process_time() - began) / n * 1000)
    size = statistics.mean(len(prompt.encode()) for prompt, _ in pairs)
    print(f"{n} questions of {size:.0f} bytes with their examples, 4 choices; {chosen.rounds} rounds in turn;")
    print(f"processor milliseconds a question; {encoding.CACHE.held / 2**20:.1f} MB held")
    for name, values in spent.items():
        ratios = [a / b for a, b in zip(spent["one by one"], values, strict=True)]
        print(
            f"{name:<12} {statistics.median(values):.3f}   {statistics.median(ratios):5.1f} times faster "
            f"(min {min(ratios):.1f}, max {max(ratios):.1f})"
        )


if __name__ == "__main__":
    main()
