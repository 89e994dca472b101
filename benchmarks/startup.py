"""What a small run spends around its answers: `python -m benchmarks.startup`.

`capeval run --suite smoke --limit 5` on a Llama of about a million random parameters, whole processes: from nothing to
the page, and the same command again. Prints processor seconds, of them those until the first request leaves beyond what
importing torch and transformers takes, and the second run's share. `--against FOLDER` runs another checkout of capeval
in turn, A B A B, and prints ratios: those are what to quote.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
_IMPORTS = """
import gc, sys, time
from pathlib import Path
gc.set_threshold(100_000, 20, 20)
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
Path(sys.argv[1]).write_text(str(time.process_time()))
"""
_RUN = """
import sys, time
from pathlib import Path
from capeval.backends import hf
told = Path(sys.argv.pop())
def noting(answer):
    def noted(*args, **kwargs):
        if not told.exists():
            told.write_text(str(time.process_time()))
        return answer(*args, **kwargs)
    return noted
for door in ("score_rows", "generate_batches"):
    setattr(hf, door, noting(getattr(hf, door)))
import runpy
runpy.run_module("capeval", run_name="__main__")
"""


def spend(code: str, *arguments: str, tree: Path = HERE) -> float:
    """Processor seconds of one whole process."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stdout=subprocess.DEVNULL, cwd="/"
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit("a run failed")
    return usage.ru_utime + usage.ru_stime


def make_checkpoint(folder: Path) -> None:
    """A Llama of random weights with a byte-level tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from benchmarks.tokenising import tokenizer_of

    tokenizer = tokenizer_of([Path(__file__).read_text()])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def told(name: str, values: list[float], unit: str = "") -> None:
    """One line."""
    print(f"{name:<46} {statistics.median(values):.2f}{unit} ({min(values):.2f}–{max(values):.2f})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    trees = {"": HERE} | ({"the other: ": chosen.against} if chosen.against else {})
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder, out, first = (Path(place) / name for name in ("checkpoint", "run", "first"))
        make_checkpoint(folder)
        asked = ("run", "--model", str(folder), "--suite", "smoke", "--limit", "5", "--out", str(out), str(first))
        for _ in range(chosen.rounds):
            spend(_IMPORTS, str(first))
            imports = float(first.read_text())
            for name, tree in trees.items():
                shutil.rmtree(out, ignore_errors=True)
                first.unlink(missing_ok=True)
                whole = spend(_RUN, *asked, tree=tree)
                before = float(first.read_text())
                again = spend(_RUN, *asked, tree=tree)
                spent.setdefault(f"{name}whole run", []).append(whole)
                spent.setdefault(f"{name}until the first request, beyond imports", []).append(before - imports)
                spent.setdefault(f"{name}the same again", []).append(again)
                spent.setdefault(f"{name}again ÷ whole", []).append(again / whole)
            spent.setdefault("importing torch and transformers", []).append(imports)
    print(f"processor seconds, median (least–most) of {chosen.rounds} rounds in turn")
    for name, values in spent.items():
        told(name, values, "" if "÷" in name else " s")
    for name in ("whole run", "the same again") if chosen.against else ():
        told(
            f"the other ÷ this: {name}", [a / b for a, b in zip(spent[f"the other: {name}"], spent[name], strict=True)]
        )


if __name__ == "__main__":
    main()
