"""Stop strings, looked for only where a token could have completed one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Stops:
    """Tells whether an answer holds a stop string, as it grows token by token."""

    def __init__(self, tokenizer: Any, strings: Sequence[str]) -> None:
        """Remember what to look for.

        Args:
            tokenizer: A transformers tokenizer.
            strings: Empty ones never stop.
        """
        self._tokenizer = tokenizer
        self._strings = [s for s in strings if s]
        self._last = {s[-1] for s in self._strings}
        # a token says at least one byte, so the last tokens that could hold the longest string are these
        self._tail = max((len(s.encode()) for s in self._strings), default=0) + 2
        # decoding one token may drop its space: then every token has to be looked at
        self._always = any(character.isspace() and character != "\n" for character in self._last)
        self._suspects: dict[int, bool] = {}

    def complete(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these tokens completed a stop string."""
        if not self._strings or not self._suspect(tokens[-1]):
            return False
        text = self._tokenizer.decode(tokens[-self._tail :])
        return any(string in text for string in self._strings)

    def _suspect(self, token: int) -> bool:
        """Whether what a token says has a stop string's last character in it, or is only a part of a character."""
        if token not in self._suspects:
            text = self._tokenizer.decode([token])
            partial = not text or "\ufffd" in text
            self._suspects[token] = self._always or partial or not self._last.isdisjoint(text)
        return self._suspects[token]
