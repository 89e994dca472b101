"""Answers: stop strings that can't fire inside the prompt, end-of-text, a length limit.

They grow side by side in the prefix tree (`trie/`); where a model's keys can't be shared, or settings ask for what only
transformers' own `generate` does, batch by batch there (`_plainly`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from capeval.backends import Batch, Known
from capeval.backends.architectures import padded
from capeval.backends.loading import Engine
from capeval.backends.tokens import encode_all, pack
from capeval.backends.trie.budget import Budget, in_halves
from capeval.backends.trie.errors import not_finite
from capeval.backends.trie.pick import Style, style_of
from capeval.backends.trie.stops import Stops
from capeval.backends.trie.write import Ask, Manner, write
from capeval.core import Reply, Request
from capeval.digest import digest
from capeval.errors import UsageError, not_among

_SETTINGS = (
    "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "num_beams",
    "repetition_penalty", "no_repeat_ngram_size", "encoder_repetition_penalty", "encoder_no_repeat_ngram_size",
    "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "forced_bos_token_id", "min_length",
    "min_new_tokens", "stop_strings", "max_time", "guidance_scale", "renormalize_logits", "remove_invalid_values",
    "exponential_decay_length_penalty", "use_cache",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Prompt:
    position: int
    ids: list[int]
    cut: int


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
    for settings, group in _groups(requests).items():
        kwargs = json.loads(settings)
        until, room = kwargs.pop("until", []), int(kwargs.pop("max_gen_toks", 256))
        width = engine.architecture.room(engine.window, room)
        if width < 1:
            raise UsageError(
                f"the suite asks for answers of up to {room} tokens, but {engine.name} has positions for "
                f"{engine.architecture.reach}: choose a suite with shorter answers or a checkpoint with a longer window"
            )
        texts = [requests[i].text for i in group]
        prompts = [
            _prompt(engine, i, ids, width) for i, ids in zip(group, encode_all(engine.tokenizer, texts), strict=True)
        ]
        job = _Job(engine, _sampling(kwargs), [*until, *_end_texts(engine)], room)
        style = None if isinstance(engine.forward, str) else style_of(engine.model, job.settings)
        if style is None:
            if not isinstance(engine.forward, str):
                engine.notes["plain"] = (
                    f"some answers are asked for with settings that only `generate` knows: {settings}"
                )
            yield from _plainly(job, prompts, requests, Budget(tokens=1) if job.sampled else engine.plain(asked), known)
        else:
            yield from _together(job, style, [p for p in prompts if p.position not in known], requests, asked)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a group of requests has in common."""

    engine: Engine
    settings: Mapping[str, Any]
    """transformers' names."""
    stops: Sequence[str]
    room: int

    @property
    def sampled(self) -> bool:
        return bool(self.settings.get("do_sample"))


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
    job: _Job, style: Style, prompts: Sequence[_Prompt], requests: Sequence[Request], asked: int
) -> Iterator[Batch]:
    """All at once, through the trie; greedy answers to the same tokens are one answer."""
    askers: dict[Any, list[_Prompt]] = {}
    for prompt in prompts:
        key = (tuple(prompt.ids), _seed(requests[prompt.position]) if job.sampled else 0)
        askers.setdefault(key, []).append(prompt)
    asks = [Ask(ids=list(ids), draws=_draws(seed, job.room) if job.sampled else None) for ids, seed in askers]
    groups = list(askers.values())
    engine = job.engine
    assert not isinstance(engine.forward, str)
    stops = Stops(engine.tokenizer, job.stops)
    manner = Manner(style=style, stops=stops, ends=frozenset(engine.ends), room=job.room)
    for batch in write(engine.forward, asks, manner, engine.budget(asked)):
        yield [
            (prompt.position, _reply(job, tokens, len(tokens), prompt.cut))
            for number, tokens in batch
            for prompt in groups[number]
        ]


def _draws(seed: int, room: int) -> Any:
    """Numbers in [0, 1) that belong to one request, whoever is asked beside it."""
    import torch

    return torch.rand(room, generator=torch.Generator().manual_seed(seed)).numpy()


def _plainly(
    job: _Job, prompts: Sequence[_Prompt], requests: Sequence[Request], budget: Budget, known: Known
) -> Iterator[Batch]:
    """By transformers' own `generate`, the longest prompts first."""
    prompts = sorted(prompts, key=lambda prompt: (-len(prompt.ids), prompt.ids))
    # sampled answers go one by one, each from its own seed: a resumed run then says the same
    for span in pack([len(prompt.ids) + job.room for prompt in prompts], budget):
        batch = [prompts[i] for i in span if prompts[i].position not in known]
        if not batch:
            continue
        if job.sampled:
            _set_seed(_seed(requests[batch[0].position]))
        yield in_halves(batch, partial(_answer, job), budget)


def _groups(requests: Sequence[Request]) -> dict[str, list[int]]:
    """Positions of the requests that can share a batch, by their settings."""
    found: dict[str, list[int]] = {}
    for position, request in enumerate(requests):
        found.setdefault(json.dumps(dict(request.generation), sort_keys=True), []).append(position)
    return found


def _prompt(engine: Engine, position: int, ids: list[int], room: int) -> _Prompt:
    ids = ids or [engine.prefix]  # an empty prompt still needs a token to start from
    engine.check_ids(ids)
    return _Prompt(position, ids[-room:], max(0, len(ids) - room))


def _answer(job: _Job, batch: Sequence[_Prompt]) -> Batch:
    import torch

    engine = job.engine
    width = max(len(prompt.ids) for prompt in batch)
    device = engine.model.device
    ids, mask = padded([prompt.ids for prompt in batch], engine.pad, device, left=engine.architecture.left)
    begin = engine.architecture.begin(width)
    criteria = _Ends(Stops(engine.tokenizer, job.stops), begin)
    with torch.no_grad():
        out = _generate(job, ids, mask, criteria)
    rows = out[:, begin:].tolist()
    return [
        (prompt.position, _reply(job, row, criteria.ended.get(i, len(row)), prompt.cut))
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
            max_new_tokens=job.room,
            eos_token_id=list(engine.ends) or None,
            forced_eos_token_id=None,  # BART's: an answer that the limit cut would look finished
            pad_token_id=engine.pad,
            stopping_criteria=StoppingCriteriaList([stops]),
            logits_processor=LogitsProcessorList([_refuse_nan(engine.name)]),
            **job.settings,
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"transformers refuses the generation settings {dict(job.settings)}: {error}") from error


def _refuse_nan(name: str) -> Any:
    def check(input_ids: Any, scores: Any) -> Any:
        import torch

        if not bool(torch.isfinite(scores.amax(dim=-1)).all()):
            raise not_finite(name)
        return scores

    return check


def _reply(job: _Job, row: list[int], length: int, cut: int) -> Reply:
    """One row's tokens (padded after its end) → text before the first stop string, and why it ended."""
    engine, stops = job.engine, job.stops
    ended = length < len(row) or length < job.room
    for n, token in enumerate(row[:length], start=1):
        if token in engine.ends:
            ended, length = True, n
            break
    text = engine.tokenizer.decode(row[:length], skip_special_tokens=True)
    for stop in stops:
        # in lm-eval's order, because overlapping stop strings cut differently in another
        kept = text.split(stop)[0] if stop else text
        ended, text = ended or kept != text, kept
    return Reply(text=text, finish="stop" if ended else "length", n_tokens=length, cut=cut)


def _end_texts(engine: Engine) -> list[str]:
    end = engine.tokenizer.eos_token
    return [end] if end else []


def _seed(request: Request) -> int:
    return int(digest(request.seed, request.sample, request.text), 16) % 2**63


def _set_seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)
