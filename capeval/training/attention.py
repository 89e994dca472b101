"""Attention for tiny models on a CPU: plain matrix products in chunks of queries.

At contexts of 128 to 256 tokens in bfloat16, a training step with torch's CPU kernel of scaled-dot-product attention
takes longer, how much is printed by `python -m benchmarks.lab_training`. This one is causal and knows no padding mask:
rows are full, or padded on the right, where padding can't be seen from what stands before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

NAME = "capeval_chunks"
_CHUNK = 128
_LARGEST = 512
"""Hidden size up to which a model counts as tiny."""


def _attend(
    module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float | None = None, **more: Any
) -> tuple[Any, None]:
    """Shapes: query batch × heads × tokens × width; the result is batch × tokens × heads × width."""
    import torch

    del mask, more
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    query = query * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    found = []
    for start in range(0, query.shape[2], _CHUNK):
        end = min(start + _CHUNK, query.shape[2])
        scores = query[:, :, start:end] @ key[:, :, :end].mT
        scores = scores + _causal(start, end, scores.dtype)
        found.append(scores.softmax(-1) @ value[:, :, :end])
    return torch.cat(found, 2).transpose(1, 2).contiguous(), None


@lru_cache(maxsize=64)
def _causal(start: int, end: int, dtype: Any) -> Any:
    import torch

    return torch.full((end - start, end), float("-inf"), dtype=dtype).triu(start + 1)


@contextmanager
def fast_attention(model: Any) -> Iterator[None]:
    """Inside, a tiny model on a CPU attends in chunks; any other model as it did."""
    before = model.config._attn_implementation
    tiny = model.device.type == "cpu" and getattr(model.config, "hidden_size", _LARGEST + 1) <= _LARGEST
    if not tiny or getattr(model.config, "sliding_window", None):
        yield
        return
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
