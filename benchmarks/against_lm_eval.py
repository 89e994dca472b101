"""capeval run against lm-eval's own HF model: `make bench`, or `python -m benchmarks.against_lm_eval --parameters 30`.

Same checkpoint (randomly initialised), same task files and items, cold start to written results, whole processes in
turn A B A B …; per-item scores are checked to be equal before any time is printed. Ratios are what to quote: absolute
times of different days or machines can't be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SUITE = "smoke"
SHAPES = {1: (128, 4, 4), 30: (512, 8, 8)}
"""Million parameters (about) → hidden size, layers, heads."""


def make_checkpoint(folder: Path, parameters: int) -> None:
    """A Llama of random weights with a byte-level tokenizer, in HF format."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([Path(__file__).read_text()], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    hidden, layers, heads = SHAPES[parameters]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


def spend(command: list[str]) -> float:
    """Processor seconds (user and system) of one whole process and its children."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime


def check_equal(run: Path, peer: Path) -> int:
    """Compare every item's score; the number of items."""
    import pandas as pd

    records = pd.read_parquet(run / "records.parquet")
    theirs: dict[str, list[Any]] = json.loads(peer.read_text())
    for task, scores in theirs.items():
        # bits per byte are logged as (log-probability, bytes)
        wanted = [-s[0] / s[1] / math.log(2) if isinstance(s, list) else float(s) for s in scores]
        got = records.loc[records["task"] == task, "score"].tolist()
        if len(got) != len(wanted) or any(abs(a - b) > 1e-4 for a, b in zip(got, wanted, strict=True)):
            raise SystemExit(f"the scores of '{task}' differ: there is nothing to time")
    return len(records)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, choices=SHAPES, default=1, help="millions")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        checkpoint, peer = Path(place) / "checkpoint", Path(place) / "peer.json"
        make_checkpoint(checkpoint, chosen.parameters)
        theirs = [sys.executable, "-m", "benchmarks.peer", str(checkpoint), SUITE, str(peer)]
        ours_times, their_times, again = [], [], []
        for turn in range(chosen.rounds + 1):
            out = Path(place) / f"run-{turn}"
            ours = [
                sys.executable,
                "-m",
                "capeval",
                "run",
                "--model",
                str(checkpoint),
                "--suite",
                SUITE,
                "--out",
                str(out),
            ]
            ours_times.append(spend(ours))
            their_times.append(spend(theirs))
            again.append(spend(ours))
            items = check_equal(out, peer)
        ratios = [b / a for a, b in zip(ours_times[1:], their_times[1:], strict=True)]
        repeat = [b / a for a, b in zip(ours_times[1:], again[1:], strict=True)]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; suite {SUITE}, {items} items, about {chosen.parameters} M parameters;")
    print(f"processor time of whole processes, {chosen.rounds} rounds after one that does not count")
    for name, values in (("lm-eval / capeval", ratios), ("second capeval run / first", repeat)):
        print(f"{name:<28} median {statistics.median(values):.2f}  min {min(values):.2f}  max {max(values):.2f}")


if __name__ == "__main__":
    main()
