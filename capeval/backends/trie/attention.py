"""Attention over [what a trunk said | what this piece says], as two kernels whose results are joined exactly.

Softmax over two sets of keys is a weighted mean of the softmaxes over each: with `lse` the logarithm of the sum of the
exponentials of each set's scores, the second's weight is sigmoid(lse_2 - lse_1) (Milakov & Gimelshein 2018, "Online
normalizer calculation for softmax"; Juravsky et al. 2024, "Hydragen", share a prefix among sequences this way). So all
tokens of a pass read the trunk's keys in one product per head, however many pieces they belong to.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from capeval.backends.trie.errors import NotShareable

NAME = "capeval_trie"
"""Under which transformers finds this attention (`AttentionInterface`)."""

CAUSAL = "causal"

_SCORES = 1 << 26
"""Scores that plain products make at once: 256 MiB in float32."""
_CALM = ("dropout", "is_causal", "position_ids", "cache_position", "use_cache", "output_attentions", "layer_idx")
"""Arguments of an attention module that change nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a layer asks of its attention, beside queries, keys and values."""

    scale: float
    window: int | None = None
    """A token reads this many tokens at most, itself included; None: all before it."""
    cap: float | None = None
    """Scores are squeezed into ±cap by a tanh (Gemma 2)."""
    fused: bool = True
    """Whether torch's fused kernels may be used."""


class Pass(Protocol):
    """One forward pass: knows which tokens read which keys, and keeps keys where somebody will continue them."""

    def attend(self, layer: int, q: Any, k: Any, v: Any, rules: Rules) -> tuple[Any, Any]:
        """Queries, keys, values (heads, tokens, size) of one layer → what each token read.

        Returns:
            ((tokens, heads, size), log-sum-exp of the scores: (tokens, heads)).
        """
        ...


@dataclass(slots=True)
class _Running:
    work: Pass
    fused: bool
    layers: int = 0


_RUNNING: ContextVar[_Running | None] = ContextVar("running", default=None)


def attention(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **asked: Any) -> tuple[Any, None]:
    """What transformers calls in every layer: (1, heads, tokens, size) each → ((1, tokens, heads, size), None)."""
    running = _RUNNING.get()
    if running is None:
        raise RuntimeError("capeval's attention was called outside of a pass")
    known = {name: asked.pop(name, None) for name in ("scaling", "sliding_window", "softcap", "s_aux")}
    odd = [name for name, given in asked.items() if given is not None and given is not False and name not in _CALM]
    if odd or attention_mask is not None or query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        raise NotShareable(f"its attention asks for {', '.join(odd) or 'keys or masks of its own'}")
    scale = known["scaling"] or query.shape[-1] ** -0.5
    rules = Rules(scale=scale, window=known["sliding_window"], cap=known["softcap"], fused=running.fused)
    layer, running.layers = running.layers, running.layers + 1
    out, lse = running.work.attend(layer, query[0], key[0], value[0], rules)
    if (sinks := known["s_aux"]) is not None:
        # a sink is one more score per head that nothing is read for (gpt-oss)
        out = out * (lse - sinks.to(lse.dtype)).sigmoid_().unsqueeze(-1).to(out.dtype)
    return out[None], None


class running:  # noqa: N801 (a context manager)
    """While a model's forward runs: whose tokens these are. `layers` counts the calls."""

    def __init__(self, work: Pass, fused: bool = True) -> None:
        self._running = _Running(work, fused)

    def __enter__(self) -> _Running:
        self._token = _RUNNING.set(self._running)
        return self._running

    def __exit__(self, *error: object) -> None:
        _RUNNING.reset(self._token)


def read(q: Any, k: Any, v: Any, rules: Rules, mask: Any = None, blind: bool = False) -> tuple[Any, Any]:
    """Scaled dot-product attention that also says how much there was to read.

    Args:
        q: (rows, heads, tokens, size).
        k: (rows, key heads, keys, size); heads is a multiple of key heads.
        v: (rows, key heads, keys, value size).
        rules: Of the layer; its window is the mask's business.
        mask: Added to the scores, (rows or 1, 1, tokens, keys); 0 or -inf. `CAUSAL`: token i reads keys 0 … i.
        blind: Some tokens may see no key: what they read weighs nothing (-inf), which the fused kernels don't say.

    Returns:
        (what was read: (rows, heads, tokens, value size); log-sum-exp of the scores: (rows, heads, tokens)).
    """
    # for one token a row the products are vector times matrix, which the fused CPU kernel does not do any faster
    # (`python -m benchmarks.attention`)
    step = q.device.type == "cpu" and q.shape[2] == 1
    if rules.fused and rules.cap is None and q.shape[-1] == v.shape[-1] and not step and not blind:
        return _fused(q, k, v, rules.scale, mask)
    return _plain(q, k, v, rules, mask)


def described(device: str, fused: bool = True) -> str:
    """The kernels of a device, in words."""
    if not fused:
        return "plain products"
    if device == "cpu":
        return "torch's fused CPU kernel, plain products for a row's own keys in steps"
    return "torch's flash kernel in half precision, its memory-efficient one with masks or in float32"


def join(first: tuple[Any, Any], second: tuple[Any, Any]) -> tuple[Any, Any]:
    """What was read from two sets of keys together; each (read: (…, size), log-sum-exp: (…))."""
    weight = (second[1] - first[1]).sigmoid_().unsqueeze(-1).to(first[0].dtype)
    return first[0].lerp(second[0], weight), first[1].logaddexp(second[1])


def _fused(q: Any, k: Any, v: Any, scale: float, mask: Any) -> tuple[Any, Any]:
    """The kernels behind `scaled_dot_product_attention`, asked for the log-sum-exp, which its front keeps to itself."""
    import torch

    causal = isinstance(mask, str)
    mask = None if causal or mask is None else mask.to(q.dtype)
    if q.device.type == "cpu":
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        read, lse = kernel(q, k, v, 0.0, causal, attn_mask=mask, scale=scale)
        return read, lse
    rows, heads, tokens, size = q.shape
    if not causal and (mask is None or tokens == 1):
        # heads that share keys become more queries of the same ones: nothing is copied
        read, lse = _on_gpu(q.reshape(rows, k.shape[1], -1, size), k, v, scale, mask)
        return read.reshape(rows, heads, tokens, -1), lse.reshape(rows, heads, tokens)
    groups = heads // k.shape[1]
    k, v = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (k, v))
    return _on_gpu(q, k, v, scale, CAUSAL if causal else mask)


def _on_gpu(q: Any, k: Any, v: Any, scale: float, mask: Any) -> tuple[Any, Any]:
    """As many heads of queries as of keys."""
    import torch

    causal = isinstance(mask, str)
    mask = None if causal else mask
    if mask is None and q.dtype in (torch.float16, torch.bfloat16):
        found = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, causal, False, scale=scale)
    else:
        if mask is not None:
            # the kernel wants a mask of full shape whose rows are aligned
            wide = torch.zeros(q.shape[0], 1, mask.shape[2], -(-k.shape[2] // 16) * 16, dtype=q.dtype, device=q.device)
            wide[..., : k.shape[2]] = mask
            mask = wide[..., : k.shape[2]].expand(-1, q.shape[1], q.shape[2], -1)
        found = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, mask, True, 0.0, causal, scale=scale)
    return found[0], found[1][..., : q.shape[2]]


def _plain(q: Any, k: Any, v: Any, rules: Rules, mask: Any) -> tuple[Any, Any]:
    """Products and a softmax, in the dtype of the model with sums in float32; so many queries at once as fit."""
    import torch

    tokens = q.shape[2]
    at_once = max(1, _SCORES // (q.shape[0] * q.shape[1] * k.shape[2]))
    if tokens <= at_once:
        return _products(q, k, v, rules, mask, 0)
    parts = []
    for start in range(0, tokens, at_once):
        some = slice(start, start + at_once)
        seen = mask if mask is None or isinstance(mask, str) or mask.shape[2] == 1 else mask[:, :, some]
        parts.append(_products(q[:, :, some], k, v, rules, seen, start))
    return torch.cat([read for read, _ in parts], 2), torch.cat([lse for _, lse in parts], 2)


def _products(q: Any, k: Any, v: Any, rules: Rules, mask: Any, start: int) -> tuple[Any, Any]:
    """`_plain` for queries from place `start` on."""
    import torch

    rows, heads, tokens, size = q.shape
    keys = k.shape[2]
    # the heads that share keys become more queries of the same ones
    grouped = (q * rules.scale).reshape(rows, k.shape[1], heads // k.shape[1] * tokens, size)
    scores = torch.matmul(grouped, k.transpose(2, 3)).view(rows, heads, tokens, keys)
    scores = scores.float() if scores.element_size() < 4 else scores
    if rules.cap is not None:
        scores = torch.tanh(scores / rules.cap) * rules.cap
    if isinstance(mask, str):
        mask = torch.full((tokens, keys), -torch.inf, device=q.device).triu_(1 + start)
    if mask is not None:
        scores += mask
    top = scores.amax(-1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).min)
    weights = scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    # a token that sees no key reads nothing; divided before the product, which half precision could not hold
    weights.div_(total.clamp(min=torch.finfo(total.dtype).tiny))
    read = torch.matmul(weights.to(v.dtype).view(rows, k.shape[1], -1, keys), v).view(rows, heads, tokens, v.shape[-1])
    return read, (top + total.log()).squeeze(-1)
