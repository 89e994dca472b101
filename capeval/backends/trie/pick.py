"""Which token comes next: the most probable one, or one drawn with the row's own random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from capeval.backends.trie.forward import Whole

_SETTINGS = frozenset({
    "num_beams", "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff",
    "repetition_penalty", "suppress_tokens",
})  # fmt: skip
"""What a request may set: it acts through the processors below and nowhere else."""
_ENDINGS = ("min_length", "min_new_tokens", "stop_strings", "max_time")
"""A model's own settings that decide when an answer may end; transformers makes no processor for them here."""
_RESHAPE = frozenset({
    "TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper", "MinPLogitsWarper", "TypicalLogitsWarper",
    "EpsilonLogitsWarper", "EtaLogitsWarper", "SuppressTokensLogitsProcessor",
})  # fmt: skip
"""Processors of transformers that look at one row of logits alone."""
_REMEMBER = frozenset({"RepetitionPenaltyLogitsProcessor"})
"""Those that look at which tokens stand before, in any order and however often."""


@dataclass(frozen=True, slots=True)
class Style:
    """How answers are drawn from logits."""

    processors: Any
    sampled: bool
    remembers: bool
    """Whether the processors need the tokens before."""


def style_of(model: Any, settings: Mapping[str, Any]) -> Style | None:
    """What transformers would do with these settings and the model's own; None when that is beyond this engine."""
    try:
        config, rest = model._prepare_generation_config(None, **settings)
        processors = model._get_logits_processor(config, input_ids_seq_length=1, device=model.device)
        plain = config.get_generation_mode() in ("greedy_search", "sample")
    except Exception:  # what transformers can't read, the plain path reports
        return None
    names = {type(processor).__name__ for processor in processors}
    foreign = rest or not settings.keys() <= _SETTINGS or any(getattr(config, name, None) for name in _ENDINGS)
    if foreign or not plain or not names <= _RESHAPE | _REMEMBER:
        return None
    return Style(processors, bool(config.do_sample), not names.isdisjoint(_REMEMBER))


def pick(logits: Any, style: Style, seen: Whole | None, draws: Any) -> Whole:
    """The next token of each row; -1 where the logits are NaN or infinite.

    Args:
        logits: (rows, vocabulary).
        style: How.
        seen: (rows, tokens) what stands before, where the style remembers it.
        draws: (rows) numbers in [0, 1), where it samples.
    """
    import torch

    with torch.inference_mode():
        broken = ~torch.isfinite(logits.amax(-1))
        if style.processors:
            ids = None if seen is None else torch.from_numpy(seen).to(logits.device)
            logits = style.processors(ids, logits.float())
        chosen = _drawn(logits, draws) if style.sampled else logits.argmax(-1)
        found: Whole = chosen.masked_fill(broken, -1).cpu().numpy()
    return found


def _drawn(logits: Any, draws: Any) -> Any:
    """By inverting the distribution function at each row's own number: no row's draw depends on its company."""
    import torch

    sums = torch.softmax(logits.float(), -1).cumsum(-1)
    # (0, 1] of what the sums end at, which rounding leaves beside 1; so no token of probability 0 is drawn
    at = (1 - torch.from_numpy(np.asarray(draws, dtype=np.float32)).to(logits.device)) * sums[:, -1]
    return torch.searchsorted(sums, at[:, None]).squeeze(1).clamp_(max=logits.shape[-1] - 1)
