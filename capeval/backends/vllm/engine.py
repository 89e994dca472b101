"""vLLM's engine, driven step by step: a window of requests in it, each given out as it ends. In its process.

`LLM.generate` in chunks would wait for each chunk's longest answer; this loop costs what one call of `LLM.generate`
costs and loses nothing to a kill but what is in the window (`python -m benchmarks.vllm`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_HEARTBEAT = 0.5
"""Seconds between two signs of life."""
_SLACK = 10_000
"""Steps without any finished request, beyond those that its tokens explain, after which the engine is stuck."""


class Want(NamedTuple):
    """One request."""

    ids: tuple[int, ...]
    params: Any
    """vllm.SamplingParams."""


class Stuck(Exception):  # noqa: N818 (a state of the engine)
    """The engine steps and nothing comes of it."""


@dataclass(slots=True)
class Counts:
    """What went through the engine."""

    requests: int = 0
    tokens: int = 0
    cached: int = 0

    def add(self, output: Any) -> None:
        """One finished request."""
        self.requests += 1
        self.tokens += len(output.prompt_token_ids)
        self.cached += output.num_cached_tokens or 0


@dataclass(slots=True)
class Stepper:
    """Requests in, outputs out."""

    llm: Any
    alive: Callable[[], None]
    """Called now and then while it works."""
    counts: Counts = field(default_factory=Counts)
    _told: float = 0.0
    _number: int = 0

    @property
    def window(self) -> int:
        """Requests that are in the engine at once: twice what it computes side by side, so that it never waits."""
        return 2 * int(self.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs)

    def __call__(self, wants: Iterable[tuple[Any, Want]]) -> Iterator[list[tuple[Any, Any]]]:
        """(key, finished vllm.RequestOutput), step by step.

        Args:
            wants: (key, request); taken when there is room for them.

        Raises:
            Stuck: nothing finishes any more.
        """
        engine, todo = self.llm.llm_engine, iter(wants)
        live: dict[str, tuple[Any, int]] = {}
        idle, more = 0, True
        while True:
            while more and len(live) < self.window:
                if (want := next(todo, None)) is None:
                    more = False
                    break
                live[self._add(engine, want[1])] = (want[0], len(want[1].ids) + want[1].params.max_tokens)
            if not live:
                return
            finished = [output for output in engine.step() if output.finished]
            # every step computes at least one token of something, or of something again after a preemption
            idle = 0 if finished else idle + 1
            if idle > _SLACK and idle > 4 * sum(tokens for _, tokens in live.values()):
                raise Stuck(f"{len(live)} requests, {idle} steps, and none has ended")
            self._sign_of_life()
            if finished:
                for output in finished:
                    self.counts.add(output)
                yield [(live.pop(output.request_id)[0], output) for output in finished]

    def _add(self, engine: Any, want: Want) -> str:
        self._number += 1
        name = str(self._number)
        engine.add_request(name, {"prompt_token_ids": list(want.ids)}, want.params)
        return name

    def _sign_of_life(self) -> None:
        now = time.monotonic()
        if now - self._told > _HEARTBEAT:
            self._told = now
            self.alive()
