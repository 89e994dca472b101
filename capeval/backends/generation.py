"""Answers in batches: stop strings that can't fire inside the prompt, end-of-text, a length limit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capeval.backends import Batch, Known
from capeval.backends.architectures import padded
from capeval.backends.loading import Engine
from capeval.backends.tokens import encode, pack
from capeval.core import Reply, Request
from capeval.digest import digest
from capeval.errors import EngineError, UsageError


@dataclass(frozen=True, slots=True)
class _Prompt:
    position: int
    ids: list[int]
    cut: int


@dataclass(slots=True)
class _Stops:
    """Ends a row as soon as a stop string is in what it generated; transformers calls it after every token."""

    tokenizer: Any
    strings: Sequence[str]
    begin: int
    """Column where answers begin: what stands before is never looked at."""
    ended: dict[int, int] = field(default_factory=dict)
    """Row → tokens generated when its stop string was complete."""

    def __call__(self, input_ids: Any, scores: Any, **more: Any) -> Any:
        import torch

        new = input_ids[:, self.begin :]
        # a token says at least one byte, so the last tokens that could hold the longest string are these
        tail = max((len(s.encode()) for s in self.strings), default=0) + 2
        for row, text in enumerate(self.tokenizer.batch_decode(new[:, -tail:])):
            if row not in self.ended and any(s in text for s in self.strings):
                self.ended[row] = new.shape[1]
        done = [row in self.ended for row in range(new.shape[0])]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def generate_batches(
    engine: Engine, requests: Sequence[Request], budget: int, known: Known = frozenset()
) -> Iterator[Batch]:
    """Reply to requests of any generation settings, batch by batch, the longest prompts first.

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
        prompts = [_prompt(engine, i, requests[i].text, width) for i in group]
        prompts.sort(key=lambda prompt: (-len(prompt.ids), prompt.ids))
        # sampled answers go one by one, each from its own seed: a resumed run then says the same
        limit = 1 if kwargs.get("do_sample") else budget
        for span in pack([len(prompt.ids) + room for prompt in prompts], limit):
            batch = [prompts[i] for i in span if prompts[i].position not in known]
            if not batch:
                continue
            if kwargs.get("do_sample"):
                _seed(requests[batch[0].position])
            yield _answer(engine, batch, [*until, *_end_texts(engine)], room, kwargs)


def _groups(requests: Sequence[Request]) -> dict[str, list[int]]:
    """Positions of the requests that can share a batch, by their settings."""
    found: dict[str, list[int]] = {}
    for position, request in enumerate(requests):
        found.setdefault(json.dumps(dict(request.generation), sort_keys=True), []).append(position)
    return found


def _prompt(engine: Engine, position: int, text: str, room: int) -> _Prompt:
    # an empty prompt still needs a token to start from
    ids = encode(engine.tokenizer, text) or [engine.prefix]
    engine.check_ids(ids)
    return _Prompt(position, ids[-room:], max(0, len(ids) - room))


def _answer(
    engine: Engine, batch: Sequence[_Prompt], stops: Sequence[str], room: int, kwargs: Mapping[str, Any]
) -> Batch:
    import torch

    width = max(len(prompt.ids) for prompt in batch)
    device = engine.model.device
    ids, mask = padded([prompt.ids for prompt in batch], engine.pad, device, left=engine.architecture.left)
    begin = engine.architecture.begin(width)
    criteria = _Stops(engine.tokenizer, stops, begin)
    try:
        with torch.no_grad():
            out = _generate(engine, ids, mask, criteria, room, kwargs)
    except torch.cuda.OutOfMemoryError as error:
        raise EngineError(f"the GPU's memory is too small for a batch of {ids.numel()} tokens") from error
    rows = out[:, begin:].tolist()
    return [
        (prompt.position, _reply(engine, row, stops, criteria.ended.get(i, len(row)), room, prompt.cut))
        for i, (prompt, row) in enumerate(zip(batch, rows, strict=True))
    ]


def _generate(engine: Engine, ids: Any, mask: Any, stops: _Stops, room: int, kwargs: Mapping[str, Any]) -> Any:
    from transformers import LogitsProcessorList, StoppingCriteriaList

    sampling = {"num_beams": 1} | dict(kwargs)
    if sampling["num_beams"] != 1:
        raise UsageError(
            f"backend 'hf' writes greedily or samples; it does no beam search (num_beams: {sampling['num_beams']})"
        )
    if not sampling.get("do_sample"):
        sampling.pop("temperature", None)  # 0 means greedy, and transformers wants it left out then
    try:
        return engine.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=room,
            eos_token_id=list(engine.ends) or None,
            forced_eos_token_id=None,  # BART's: an answer that the limit cut would look finished
            pad_token_id=engine.pad,
            stopping_criteria=StoppingCriteriaList([stops]),
            logits_processor=LogitsProcessorList([_refuse_nan(engine.name)]),
            **sampling,
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"transformers refuses the generation settings {sampling}: {error}") from error


def _refuse_nan(name: str) -> Any:
    def check(input_ids: Any, scores: Any) -> Any:
        import torch

        if not bool(torch.isfinite(scores.amax(dim=-1)).all()):
            raise EngineError(
                f"{name} gives NaN or infinite logits: its weights are damaged, or overflow in this dtype"
            )
        return scores

    return check


def _reply(engine: Engine, row: list[int], stops: Sequence[str], length: int, room: int, cut: int) -> Reply:
    """One row's tokens (padded after its end) → text before the first stop string, and why it ended."""
    ended = length < len(row) or length < room
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


def _seed(request: Request) -> None:
    import torch

    torch.manual_seed(int(digest(request.seed, request.sample, request.text), 16) % 2**63)
