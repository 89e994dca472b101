"""What requests for answers have in common, whichever engine writes: settings, stop strings, and how an answer ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capeval.backends.loading import Reading
from capeval.backends.tokens import encode_all
from capeval.core import Reply, Request
from capeval.digest import digest
from capeval.errors import UsageError


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request, tokenised."""

    position: int
    ids: list[int]
    cut: int
    """Tokens that were dropped on the left."""


@dataclass(frozen=True, slots=True)
class Writing:
    """What a group of requests asks for."""

    reading: Reading
    settings: Mapping[str, Any]
    """A task's generation settings, without `until` and `max_gen_toks`."""
    stops: tuple[str, ...]
    room: int
    """Tokens of an answer at most."""

    @property
    def sampled(self) -> bool:
        """Whether answers are drawn."""
        return bool(self.settings.get("do_sample"))

    def reply(self, row: Sequence[int], length: int, cut: int) -> Reply:
        """One row's tokens (padded after its end) → text before the first stop string, and why it ended.

        Args:
            row: Token ids.
            length: How many of them were written before a stop string was complete, or all.
            cut: Tokens of the prompt that did not fit.
        """
        ended = length < len(row) or length < self.room
        for n, token in enumerate(row[:length], start=1):
            if token in self.reading.ends:
                ended, length = True, n
                break
        text = self.reading.tokenizer.decode(row[:length], skip_special_tokens=True)
        for stop in self.stops:
            # in lm-eval's order, because overlapping stop strings cut differently in another
            kept = text.split(stop)[0] if stop else text
            ended, text = ended or kept != text, kept
        return Reply(text=text, finish="stop" if ended else "length", n_tokens=length, cut=cut)


def writings(reading: Reading, requests: Sequence[Request]) -> Iterator[tuple[Writing, list[Prompt]]]:
    """Requests of equal settings together, tokenised, cut to what the model can read.

    Raises:
        UsageError: an answer longer than the window.
        BadFileError: tokens that the weights don't know.
    """
    groups: dict[str, list[int]] = {}
    for position, request in enumerate(requests):
        groups.setdefault(json.dumps(dict(request.generation), sort_keys=True), []).append(position)
    end = reading.tokenizer.eos_token
    encoded = encode_all(reading.tokenizer, [request.text for request in requests])
    for settings, group in groups.items():
        kwargs = json.loads(settings)
        until, room = kwargs.pop("until", []), int(kwargs.pop("max_gen_toks", 256))
        width = reading.architecture.room(reading.window, room)
        if width < 1:
            raise UsageError(
                f"the suite asks for answers of up to {room} tokens, but {reading.name} has positions for "
                f"{reading.architecture.reach}: choose a suite with shorter answers or a checkpoint with a longer "
                "window"
            )
        prompts = [_prompt(reading, position, encoded[position], width) for position in group]
        yield Writing(reading, kwargs, (*until, *([end] if end else [])), room), prompts


def seed_of(request: Request) -> int:
    """Of one drawn answer: far from those of its neighbours, because some engines count up from it."""
    return int(digest(request.seed, request.sample, request.text), 16) % 2**63


def _prompt(reading: Reading, position: int, ids: list[int], room: int) -> Prompt:
    ids = ids or [reading.prefix]  # an empty prompt still needs a token to start from
    reading.check_ids(ids)
    return Prompt(position, ids[-room:], max(0, len(ids) - room))
