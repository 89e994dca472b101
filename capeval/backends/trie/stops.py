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
        self._tail = max((len(s.encode("utf-8", "surrogatepass")) for s in self._strings), default=0) + 2
        # decoding one token may drop its space: then every token has to be looked at
        self._always = any(character.isspace() and character != "\n" for character in self._last)
        self._texts: dict[int, str] = {}

    def complete(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these tokens completed a stop string."""
        if not self._strings or not self._suspect(tokens[-1]):
            return False
        start = max(0, len(tokens) - self._tail)
        # some tokenizers decode neighbouring bytes together or not at all: never begin among those of a character
        while start and _is_partial(self._text(tokens[start])):
            start -= 1
        text = self._tokenizer.decode(tokens[start:])
        return any(string in text for string in self._strings)

    def _suspect(self, token: int) -> bool:
        """Whether what a token says has a stop string's last character in it, or is only a part of a character."""
        text = self._text(token)
        return self._always or _is_partial(text) or not self._last.isdisjoint(text)

    def _text(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = self._tokenizer.decode([token])
        return self._texts[token]


def _is_partial(text: str) -> bool:
    return not text or "\ufffd" in text
