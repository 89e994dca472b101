"""What a run has sent and received: for the manifest, in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from capeval.backends.api.settings import ApiSettings

_FINGERPRINTS = 8


@dataclass(slots=True)
class Tally:
    """Counters of one backend."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    fingerprints: list[str] = field(default_factory=list)
    """What answers called the system that gave them, each once."""

    def add(self, reply: dict[str, Any]) -> int:
        """Count one answer; returns its tokens, 0 where the server does not say."""
        self.requests += 1
        usage = reply.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        prompt, answer = count(usage.get("prompt_tokens")) or 0, count(usage.get("completion_tokens")) or 0
        self.prompt_tokens += prompt
        self.answer_tokens += answer
        name = reply.get("system_fingerprint")
        if isinstance(name, str) and name[:80] not in self.fingerprints and len(self.fingerprints) < _FINGERPRINTS:
            self.fingerprints.append(name[:80])
        return prompt + answer

    def words(self, settings: ApiSettings) -> dict[str, str]:
        """For `Backend.chosen`."""
        if not self.requests:
            return {}
        told = {"sent": f"{self.requests:,} requests, {self.retries:,} retries",
                "tokens": f"{self.prompt_tokens:,} of prompts, {self.answer_tokens:,} of answers"}  # fmt: skip
        if settings.price_in or settings.price_out:
            cost = (self.prompt_tokens * settings.price_in + self.answer_tokens * settings.price_out) / 1e6
            told["cost"] = f"{cost:,.4f} at {settings.price_in:g} and {settings.price_out:g} a million tokens"
        if self.fingerprints:
            changed = " (it changed during the run)" if len(self.fingerprints) > 1 else ""
            told["system"] = ", ".join(self.fingerprints) + changed
        return told


def count(value: object) -> int | None:
    """A number of tokens that a server said; None where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None
