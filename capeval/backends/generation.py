"""Answers: stop strings that can't fire inside the prompt, end-of-text, a length limit.

They grow side by side in the prefix tree (`trie/`); where a model's keys can't be shared, or settings ask for what only
transformers' own `generate` does, batch by batch there (`_plainly`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from capeval.backends import Batch, Known
from capeval.backends.architectures import padded
from capeval.backends.loading import Engine
from capeval.backends.tokens import pack
from capeval.backends.trie.budget import Budget, in_halves
from capeval.backends.trie.errors import not_finite
from capeval.backends.trie.pick import Style, style_of
from capeval.backends.trie.stops import Stops
from capeval.backends.trie.write import Ask, Manner, write
from capeval.backends.writing import Prompt, Writing, seed_of, writings
from capeval.core import Request
from capeval.errors import UsageError, not_among

_SETTINGS = (
    "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "num_beams",
    "repetition_penalty", "no_repeat_ngram_size", "encoder_repetition_penalty", "encoder_no_repeat_ngram_size",
    "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "forced_bos_token_id", "min_length",
    "min_new_tokens", "stop_strings", "max_time", "guidance_scale", "renormalize_logits", "remove_invalid_values",
    "exponential_decay_length_penalty", "use_cache",
)  # fmt: skip


@dataclass(slots=True)
class _Ends:
    """Ends a row as soon as a stop string is in what it generated; transformers calls it after every token."""

    stops: Stops
    begin: int
    """Column where answers begin: what stands before is never looked at."""
    ended: dict[int, int] = field(default_factory=dict)
    """Row → tokens generated when its stop string was complete."""

    def __call__(self, input_ids: Any, scores: Any, **more: Any) -> Any:
        import torch

        new = input_ids[:, self.begin :].tolist()
        for row, tokens in enumerate(new):
            if row not in self.ended and self.stops.complete(tokens):
                self.ended[row] = len(tokens)
        done = [row in self.ended for row in range(len(new))]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def generate_batches(
    engine: Engine, requests: Sequence[Request], asked: int, known: Known = frozenset()
) -> Iterator[Batch]:
    """Reply to requests of any generation settings, as soon as their answers have ended.

    Args:
        engine: A loaded model.
        requests: What to continue.
        asked: Tokens that one batch may hold; 0: what was measured.
        known: Positions that are not asked.

    Raises:
        UsageError: settings that transformers does not know, or an answer longer than the window.
        EngineError: NaN logits, or not enough memory.
    """
    for writing, prompts in writings(engine, requests):
        writing = replace(writing, settings=_sampling(writing.settings))
        job = _Job(engine, writing)
        style = None if isinstance(engine.forward, str) else style_of(engine.model, writing.settings)
        if style is None:
            if not isinstance(engine.forward, str):
                engine.notes["plain"] = (
                    f"some answers are asked for with settings that only `generate` knows: {_told(writing)}"
                )
            yield from _plainly(
                job, prompts, requests, Budget(tokens=1) if writing.sampled else engine.plain(asked), known
            )
        else:
            yield from _together(job, style, [p for p in prompts if p.position not in known], requests, asked)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a group of requests asks of an engine."""

    engine: Engine
    writing: Writing
    """Its settings are transformers'."""


def _told(writing: Writing) -> str:
    return json.dumps(dict(writing.settings), sort_keys=True)


def _sampling(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A task's generation settings as transformers wants them.

    Only these: others could name code to be run, or models to be loaded.
    """
    for name in kwargs:
        if name not in _SETTINGS:
            raise UsageError(f"generation_kwargs: {not_among('generation setting', name, _SETTINGS)}")
    settings = {"num_beams": 1} | dict(kwargs)
    settings["do_sample"] = bool(settings.get("do_sample"))  # unsaid, a chat model's own settings would draw at random
    if settings["num_beams"] != 1:
        raise UsageError(
            f"backend 'hf' writes greedily or samples; it does no beam search (num_beams: {settings['num_beams']})"
        )
    if not settings["do_sample"]:
        settings.pop("temperature", None)  # 0 means greedy, and transformers wants it left out then
    return settings


def _together(
    job: _Job, style: Style, prompts: Sequence[Prompt], requests: Sequence[Request], asked: int
) -> Iterator[Batch]:
    """All at once, through the trie; greedy answers to the same tokens are one answer."""
    askers: dict[Any, list[Prompt]] = {}
    for prompt in prompts:
        key = (tuple(prompt.ids), seed_of(requests[prompt.position]) if job.writing.sampled else 0)
        askers.setdefault(key, []).append(prompt)
    asks = [
        Ask(ids=list(ids), draws=_draws(seed, job.writing.room) if job.writing.sampled else None)
        for ids, seed in askers
    ]
    groups = list(askers.values())
    engine = job.engine
    assert not isinstance(engine.forward, str)
    stops = Stops(engine.tokenizer, job.writing.stops)
    manner = Manner(style=style, stops=stops, ends=frozenset(engine.ends), room=job.writing.room)
    for batch in write(engine.forward, asks, manner, engine.budget(asked)):
        yield [
            (prompt.position, job.writing.reply(tokens, len(tokens), prompt.cut))
            for number, tokens in batch
            for prompt in groups[number]
        ]


def _draws(seed: int, room: int) -> Any:
    """Numbers in [0, 1) that belong to one request, whoever is asked beside it."""
    import torch

    return torch.rand(room, generator=torch.Generator().manual_seed(seed)).numpy()


def _plainly(
    job: _Job, prompts: Sequence[Prompt], requests: Sequence[Request], budget: Budget, known: Known
) -> Iterator[Batch]:
    """By transformers' own `generate`, the longest prompts first."""
    prompts = sorted(prompts, key=lambda prompt: (-len(prompt.ids), prompt.ids))
    # sampled answers go one by one, each from its own seed: a resumed run then says the same
    for span in pack([len(prompt.ids) + job.writing.room for prompt in prompts], budget):
        batch = [prompts[i] for i in span if prompts[i].position not in known]
        if not batch:
            continue
        if job.writing.sampled:
            _set_seed(seed_of(requests[batch[0].position]))
        yield in_halves(batch, partial(_answer, job), budget)


def _answer(job: _Job, batch: Sequence[Prompt]) -> Batch:
    import torch

    engine = job.engine
    width = max(len(prompt.ids) for prompt in batch)
    device = engine.model.device
    ids, mask = padded([prompt.ids for prompt in batch], engine.pad, device, left=engine.architecture.left)
    begin = engine.architecture.begin(width)
    criteria = _Ends(Stops(engine.tokenizer, job.writing.stops), begin)
    with torch.no_grad():
        out = _generate(job, ids, mask, criteria)
    rows = out[:, begin:].tolist()
    return [
        (prompt.position, job.writing.reply(row, criteria.ended.get(i, len(row)), prompt.cut))
        for i, (prompt, row) in enumerate(zip(batch, rows, strict=True))
    ]


def _generate(job: _Job, ids: Any, mask: Any, stops: _Ends) -> Any:
    from transformers import LogitsProcessorList, StoppingCriteriaList

    engine = job.engine
    model = engine.model if isinstance(engine.forward, str) else engine.forward.plainly()
    try:
        return model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=job.writing.room,
            eos_token_id=list(engine.ends) or None,
            forced_eos_token_id=None,  # BART's: an answer that the limit cut would look finished
            pad_token_id=engine.pad,
            stopping_criteria=StoppingCriteriaList([stops]),
            logits_processor=LogitsProcessorList([_refuse_nan(engine.name)]),
            **job.writing.settings,
        )
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"transformers refuses the generation settings {dict(job.writing.settings)}: {error}"
        ) from error


def _refuse_nan(name: str) -> Any:
    def check(input_ids: Any, scores: Any) -> Any:
        import torch

        if not bool(torch.isfinite(scores.amax(dim=-1)).all()):
            raise not_finite(name)
        return scores

    return check


def _set_seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)
