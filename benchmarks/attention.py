"""Where the engine's constants come from: kernels by number of keys, speed by tokens of a pass, by rows of a step.

    python -m benchmarks.attention --threads 1

Prints tables; `capeval/backends/trie/{attention,budget}.py` name the figures that they rest on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.engine.checkpoints import SHAPES


def milliseconds(work: Callable[[], Any], rounds: int = 9, least: float = 0.02) -> float:
    """Median time of one call, after one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < least:
            work()
            calls += 1
        times.append((time.perf_counter() - start) / calls * 1e3)
    return statistics.median(times)


def kernels() -> None:
    """Plain products against the fused kernel: rows of their own keys, as in tiles and in steps."""
    import torch

    from capeval.backends.trie.attention import CAUSAL, Rules, _fused, _plain

    print("\nown keys: milliseconds plain / fused")
    for heads, size in ((4, 32), (8, 64)):
        rules = Rules(scale=size**-0.5)
        for rows, tokens, keys in ((32, 32, 32), (16, 64, 64), (8, 128, 128), (4, 256, 256), (2, 512, 512),
                                   (96, 1, 64), (96, 1, 128), (96, 1, 256)):  # fmt: skip
            q, k, v = (torch.randn(rows, heads, n, size) for n in (tokens, keys, keys))
            mask: Any = CAUSAL if tokens > 1 else torch.zeros(rows, 1, 1, keys)
            with torch.inference_mode():
                plain = milliseconds(lambda: _plain(q, k, v, rules, mask))  # noqa: B023
                fused = milliseconds(lambda: _fused(q, k, v, rules.scale, mask))  # noqa: B023
            shape = f"{heads} heads of {size}, {rows:>3} rows, {tokens:>3} tokens, {keys:>3} keys"
            print(f"  {shape}: {plain:.2f} / {fused:.2f}")


def passes() -> None:
    """Linear layers: share of the speed of a large product, by tokens of one pass."""
    import torch

    from capeval.backends.trie.forest import cut, grow
    from capeval.backends.trie.forward import Forward
    from capeval.backends.trie.passes import RowsPass

    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    peak = 2 * 2048**3 / milliseconds(lambda: a @ b) / 1e6
    print(f"\na product of 2048 x 2048: {peak:.0f} GFLOP/s; share of it by tokens of a pass")
    for millions in (1, 30, 120):
        forward = Forward(model(millions), "random")
        weights = sum(p.numel() for n, p in forward.model.named_parameters() if "embed" not in n and "lm_head" not in n)
        shares = []
        for tokens in (64, 256, 1024, 2048, 4096):
            # rows of 64 tokens that share nothing: little attention, no trunk
            pieces = cut(grow([[i, *range(63)] for i in range(tokens // 64)], [1] * (tokens // 64)))
            took = milliseconds(lambda: forward.read(RowsPass(pieces, "cpu"), pieces, [0]), rounds=3)  # noqa: B023
            shares.append(f"{tokens}: {2 * weights * tokens / took / 1e6 / peak:.2f}")
        print(f"  {millions:>3} M  " + "   ".join(shares))


def steps() -> None:
    """Answers behind a trunk of 1,000 tokens: microseconds for each of their tokens, by answers side by side."""
    import torch

    from capeval.backends.trie.budget import Budget
    from capeval.backends.trie.forward import Forward
    from capeval.backends.trie.pick import Style
    from capeval.backends.trie.stops import Stops
    from capeval.backends.trie.write import Ask, Manner, write

    print("\nmicroseconds for each token of answers of 16 tokens, prompts of 32 included; by answers side by side")
    for millions in (1, 30):
        forward = Forward(model(millions), "random")
        manner = Manner(style=Style([], False, False), stops=Stops(None, []), ends=frozenset(), room=16)
        ids = torch.randint(0, 512, (512, 32)).tolist()
        asks = [Ask(ids=[*range(100)] * 10 + own) for own in ids]
        costs = []
        for rows in (16, 64, 256, 512):
            some = asks[: max(rows, 64)]
            start = time.perf_counter()
            for _ in write(forward, some, manner, Budget(tokens=2048, logits=0.1, rows=rows)):
                pass
            costs.append(f"{rows}: {(time.perf_counter() - start) / len(some) / 16 * 1e6:.0f}")
        print(f"  {millions:>3} M  " + "   ".join(costs))


def model(millions: int) -> Any:
    """A random Llama with a small vocabulary."""
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, layers, heads = SHAPES[millions]
    config = LlamaConfig(
        vocab_size=512, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=4096,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32")
    kernels()
    passes()
    steps()


if __name__ == "__main__":
    main()
