"""A task's generation settings, and a checkpoint's own, for vLLM: what transformers would do with the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capeval.backends.writing import Writing
from capeval.errors import BadFileError, UsageError, not_among

_SETTINGS = (
    "do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "min_new_tokens", "num_beams",
    "use_cache",
)  # fmt: skip
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "no_repeat_ngram_size": (0,), "encoder_no_repeat_ngram_size": (0,), "encoder_repetition_penalty": (1.0,),
    "typical_p": (1.0,), "epsilon_cutoff": (0.0,), "eta_cutoff": (0.0,), "bad_words_ids": (), "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],), "sequence_bias": (), "forced_bos_token_id": (), "min_length": (0,),
    "guidance_scale": (1.0,), "exponential_decay_length_penalty": (),
}  # fmt: skip
"""What vLLM has no equal of, and the values under which it does nothing."""
_SAMPLED = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}
"""transformers' values where neither task nor checkpoint says anything."""
_TEMPERATURES = (0.01, 2.0)
"""vLLM moves a lower one up and refuses a higher one."""


def sampling(writing: Writing, own: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `vllm.SamplingParams` but the seed.

    Args:
        writing: What is asked for.
        own: The checkpoint's settings (`own_settings`), which count where the task says nothing.

    Raises:
        UsageError: settings that vLLM can't honour.
    """
    for name in writing.settings:
        if name not in _SETTINGS and name not in _NEUTRAL:
            raise UsageError(f"generation_kwargs: {not_among('generation setting', name, _SETTINGS)}")
    # whether to draw, and beams, are the task's alone to say: a chat model's file would draw at random
    both = {**{name: own[name] for name in own if name not in ("do_sample", "num_beams")}, **writing.settings}
    for name, neutral in _NEUTRAL.items():
        if both.get(name) is not None and both[name] not in neutral:
            raise UsageError(f"backend 'vllm' has no {name} ({both[name]}): use --backend hf")
    if both.get("num_beams") not in (None, 1):
        raise UsageError(f"backend 'vllm' does no beam search (num_beams: {both['num_beams']})")
    settings = {
        "max_tokens": writing.room,
        "min_tokens": min(writing.room, int(both.get("min_new_tokens") or 0)),
        "stop": [stop for stop in writing.stops if stop] or None,
        "stop_token_ids": sorted(writing.reading.ends),
        "ignore_eos": True,  # the tokens above are all that ends an answer, as for every other engine
        "repetition_penalty": float(both.get("repetition_penalty") or 1.0),
        "temperature": 0.0,
    }
    if not writing.sampled:
        return settings
    drawn = {name: default if both.get(name) is None else both[name] for name, default in _SAMPLED.items()}
    low, high = _TEMPERATURES
    if not low <= drawn["temperature"] <= high:
        raise UsageError(
            f"backend 'vllm' samples at temperatures from {low} to {high}, not at {drawn['temperature']}; "
            "--backend hf takes any, and do_sample: false is greedy"
        )
    return settings | drawn


def own_settings(folder: Path) -> dict[str, Any]:
    """A checkpoint's generation_config.json; nothing where there is none.

    Raises:
        BadFileError: a damaged one.
    """
    file = folder / "generation_config.json"
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFileError(f"{file} can't be read: {error}") from error
    if not isinstance(found, dict):
        raise BadFileError(f"{file} must hold a JSON object")
    return found
