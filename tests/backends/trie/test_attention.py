"""Attention over two sets of keys is attention over both; kernels and plain products agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from capeval.backends.trie.attention import CAUSAL, Rules, attention, join, read
from tests.backends.trie.models import make

RULES = Rules(scale=0.3)
PLAIN = Rules(scale=0.3, fused=False)


def some(*shape: int, dtype: Any = torch.float32, size: float = 1.0) -> Any:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * size).to(dtype)


def softmax(q: Any, k: Any, v: Any, hidden: Any = None) -> Any:
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    scores = q @ k.transpose(2, 3) * RULES.scale
    scores = scores if hidden is None else scores.masked_fill(hidden, -torch.inf)
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


@pytest.mark.parametrize("rules", [RULES, PLAIN], ids=["kernel", "products"])
@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("kind", ["all", "causal", "mask"])
def test_reading_is_a_softmax_and_says_how_much_there_was(rules: Rules, heads: int, kind: str) -> None:
    q, k, v = some(3, 4, 5, 8), some(3, heads, 5, 8), some(3, heads, 5, 8, size=2)
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    if kind == "mask":
        hidden[3, 1] = hidden[4, 0] = True
    mask = {"all": None, "causal": CAUSAL, "mask": torch.zeros(1, 1, 5, 5).masked_fill(hidden, -torch.inf)}[kind]
    found, lse = read(q, k, v, rules, mask)
    wanted, sums = softmax(q, k, v, None if kind == "all" else hidden)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(lse, sums)


@pytest.mark.parametrize("rules", [RULES, PLAIN], ids=["kernel", "products"])
def test_two_parts_joined_are_the_whole(rules: Rules) -> None:
    q, k, v = some(1, 4, 6, 8), some(1, 2, 30, 8, size=3), some(1, 2, 30, 8)
    whole = read(q, k, v, rules)
    for border in (1, 13, 29):
        first, second = (read(q, k[:, :, part], v[:, :, part], rules) for part in (slice(border), slice(border, None)))
        for one, other in ((first, second), (second, first)):
            for got, wanted in zip(join(one, other), whole, strict=True):
                torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_who_sees_nothing_of_a_part_reads_the_other_alone(dtype: Any) -> None:
    q, k, v = some(1, 4, 3, 8, dtype=dtype), some(1, 2, 9, 8, dtype=dtype), some(1, 2, 9, 8, dtype=dtype)
    mask = torch.zeros(1, 1, 3, 9)
    mask[..., 1, :] = -torch.inf
    far = read(q, k, v, RULES, mask, blind=True)
    near = read(q, k[:, :, :3], v[:, :, :3], RULES, CAUSAL)
    found, sums = join(far, near)
    assert bool(torch.isfinite(found).all()) and bool((far[1][..., 1] == -torch.inf).all())
    torch.testing.assert_close(found[:, :, 1], near[0][:, :, 1])
    torch.testing.assert_close(sums[..., 1], near[1][..., 1])


def test_sums_over_many_keys_stay_within_half_precision() -> None:
    q, k = torch.zeros(1, 2, 1, 8, dtype=torch.float16), torch.zeros(1, 2, 4_000, 8, dtype=torch.float16)
    v = torch.full((1, 2, 4_000, 8), 40.0, dtype=torch.float16)
    found, lse = read(q, k, v, PLAIN)
    torch.testing.assert_close(found, torch.full_like(found, 40.0), rtol=1e-2, atol=0)
    assert lse.dtype == torch.float32 and float(lse[0, 0, 0]) == pytest.approx(8.294, abs=1e-3)


def test_outside_of_a_pass_it_is_no_attention() -> None:
    model = make("llama")
    x = some(1, 4, 3, 8)
    with pytest.raises(RuntimeError, match="outside of a pass"):
        attention(model.model.layers[0].self_attn, x, x, x, None)
