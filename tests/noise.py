"""Noise floors that tests write down by hand."""

from __future__ import annotations

import math
from typing import Any

from capeval.stats.repeats import flips
from capeval.store.noise import AskedAs, Noise, NoiseFloor, Variant

FLOAT = {"backend": "hf", "dtype": "float32", "device": "cpu", "torch": "2.9"}
BRAIN = {**FLOAT, "dtype": "bfloat16"}
LLAMA = "LlamaForCausalLM 2 × 64"


def asked(node: str = "base", digest: str = "", numerics: dict[str, str] | None = None, **more: Any) -> AskedAs:
    """Who was asked; its digest is its name's."""
    told = {"architecture": LLAMA, "prompting": "p", "scoring": {"sums direct": "s"}} | more
    return AskedAs(node=node, digest=digest or f"d-{node}", numerics=FLOAT if numerics is None else numerics, **told)


def noise_of(*, n: int = 500, better: int = 0, worse: int = 0, binary: bool = True, **more: Any) -> Noise:
    """So many flips among n items."""
    nan = math.nan
    found = flips([0] * better + [1] * (n - better), [1] * better + [0] * worse + [1] * (n - better - worse))
    told = {"variant": "order 1", "task": "sums", "setting": "direct", "metric": "m", "unit": "points"} | more
    return Noise(
        n=n, binary=binary, differ=better + worse, better=better, worse=worse,
        share=found.share if binary else nan, low=found.low if binary else nan, high=found.high if binary else nan,
        p=found.p if binary else nan, p_adjusted=found.p if binary else nan,
        mean_difference=told.pop("mean_difference", (better - worse) / n), largest_difference=0.0,
        n_logprobs=0, mean_logprob=nan, largest_logprob=nan, n_texts=0, texts_differ=nan, **told,
    )  # fmt: skip


def floor_of(*noise: Noise, reference: AskedAs | None = None) -> NoiseFloor:
    """A floor whose variants are orders, but for one called bfloat16."""
    reference = reference or asked()
    names = dict.fromkeys(one.variant for one in noise)
    variants = [
        Variant(name=name, kind="dtype", numerics=BRAIN) if name == "bfloat16"
        else Variant(name=name, kind="order", numerics=reference.numerics, order=1, batch_tokens=1024)
        for name in names
    ]  # fmt: skip
    return NoiseFloor(
        reference=reference, uri="models/base", revision="", suite={"name": "smoke", "digest": "x"}, limit=None,
        variants=tuple(variants), noise=noise,
    )  # fmt: skip
