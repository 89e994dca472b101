"""A training step of a tiny Llama: chunked attention against torch's own kernel, `python -m benchmarks.lab_training`.

Same weights, same rows, in turn A B A B, one thread as in the lab; losses and gradients are compared first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from capeval.training.attention import fast_attention
from capeval.training.loop import autocast


def main() -> None:
    """Print the ratio of processor seconds, SDPA ÷ chunks."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=128, intermediate_size=320, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=512,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for context in (128, 256):
        rows = torch.randint(0, 1024, (8, context))
        chunks, own = _step(model, rows, fast_attention), _step(model, rows, lambda _: nullcontext())
        torch.testing.assert_close(chunks(), own(), rtol=0.02, atol=1e-3)
        times: dict[str, list[float]] = {"chunks": [], "sdpa": []}
        for _ in range(options.rounds):
            for name, step in (("chunks", chunks), ("sdpa", own)):
                started = time.process_time()
                for _ in range(options.steps):
                    step()
                times[name].append(time.process_time() - started)
        ratios = [b / a for a, b in zip(times["chunks"], times["sdpa"], strict=True)]
        print(
            f"context {context}, 8 rows: SDPA ÷ chunks, median {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}–{max(ratios):.2f}), {options.rounds} rounds; a step with chunks "
            f"{1e3 * statistics.median(times['chunks']) / options.steps:.0f} ms"
        )


def _step(model: Any, rows: Any, attention: Callable[[Any], Any]) -> Callable[[], Any]:
    def step() -> Any:
        """Forward and backward; returns loss and the gradient of a matrix of the first layer, flat."""
        import torch

        model.zero_grad()
        with attention(model), autocast(model):
            loss = model(input_ids=rows, labels=rows, use_cache=False).loss
        loss.backward()
        first = model.model.layers[0].self_attn.q_proj.weight.grad
        return torch.cat([loss.detach()[None], first.flatten()])

    return step


if __name__ == "__main__":
    main()
