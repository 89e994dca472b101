"""How fast a server is asked: at most so many at once, fewer after it said "too many", and limits a minute.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989, "Analysis of the increase and decrease
algorithms for congestion avoidance in computer networks"): a 429 halves what may be in flight, a window of answers adds
one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_MINUTE = 60.0


@dataclass(slots=True, kw_only=True)
class Pace:
    """Shared by all requests of one batch of work; lives in one event loop."""

    concurrency: int
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    width: float = 0.0
    """What may be in flight now; at most `concurrency`."""
    in_flight: int = 0
    held_until: float = 0.0
    sent: deque[list[float]] = field(default_factory=deque)
    """[when, tokens] of the last minute."""
    freed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.width = float(self.concurrency)

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[list[float]]:
        """Wait for a place; the yielded entry's second number may be set to the tokens that it was in the end."""
        async with self.freed:
            while (delay := self._delay(tokens)) != 0.0:
                if delay is None:
                    await self.freed.wait()
                else:
                    # others may send meanwhile: looked at again
                    self.freed.release()
                    try:
                        await asyncio.sleep(delay)
                    finally:
                        await self.freed.acquire()
            self.in_flight += 1
            entry = [time.monotonic(), float(tokens)]
            self.sent.append(entry)
        try:
            yield entry
        finally:
            self.in_flight -= 1
            async with self.freed:
                self.freed.notify_all()

    def well(self) -> None:
        """An answer came."""
        self.width = min(float(self.concurrency), self.width + 1 / self.width)

    def slower(self, seconds: float) -> None:
        """The server said that it is too much: nobody asks for so long, and then half as many do."""
        until = time.monotonic() + seconds
        if time.monotonic() >= self.held_until:  # one refusal of many at once counts once
            self.width = max(1.0, self.width / 2)
        self.held_until = max(self.held_until, until)

    def _delay(self, tokens: int) -> float | None:
        """Seconds until it is worth looking again; None: until a place is free; 0: now."""
        now = time.monotonic()
        if self.in_flight >= int(self.width):
            return None
        if now < self.held_until:
            return self.held_until - now
        while self.sent and self.sent[0][0] <= now - _MINUTE:
            self.sent.popleft()
        full = 0 < self.requests_per_minute <= len(self.sent)
        spent = sum(entry[1] for entry in self.sent)
        full = full or bool(self.sent and 0 < self.tokens_per_minute < spent + tokens)
        return max(0.001, self.sent[0][0] + _MINUTE - now) if full else 0.0
