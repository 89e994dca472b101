"""Texts of one tokenizer line by line: of a few-shot prompt only the lines that are new are tokenised.

>>> encoder = LineEncoder.of(tokenizer.backend_tokenizer)      # doctest: +SKIP
>>> encoder("Q: 1 + 1?\\nA: 2\\n\\nQ: 2 + 2?\\nA:")               # the same ids as the tokenizer's own
[[48, 25, 220, 16, …]]

Why the ids are equal. A byte-level BPE cuts a text with a regular expression, from left to right, and merges inside
the pieces only. In the expressions of `_PATTERNS`

1. every character belongs to a match, so the matches tile the text;
2. no match holds a line feed that one of `_BEGINNERS` follows: what may follow a line feed in a match is white space
   (and "/" in o200k's, which is therefore no beginner). So a match begins at every such place, in any text;
3. nothing looks back, and nothing looks ahead past the first character behind the white space. So the matches before
   such a place depend on the text up to it and on the beginner, those from there on only on what follows.

Hence ids(text) = ids(line 1 + beginner) without the beginner's own, then the same of line 2 …, then ids(last line).
Tokens that were added to the vocabulary are looked for before all that: a text that holds one is tokenised whole, as is
any text of a tokenizer that is built otherwise (`of` gives None: SentencePiece, WordPiece, other expressions).
NFC changes nothing of it: neither a line feed nor a beginner composes with what stands before it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PATTERNS = frozenset({_CL100K.replace("{DIGITS}", "{1,3}"), _CL100K.replace("{DIGITS}", ""), _O200K})
"""Of Llama 3 and GPT-4, of Qwen, of GPT-4o; GPT-2's is built into ByteLevel."""
_END = re.compile(r"\n(?=[!-.0-~])")
"""A line's end: a line feed with a beginner behind it, printable ASCII without the slash."""
_HELD = 4_000_000
"""Characters of lines whose ids are held. Then all are forgotten."""


@dataclass(slots=True)
class LineEncoder:
    """Ids without special tokens, as `encode_batch(texts, add_special_tokens=False)` gives them."""

    tokenizer: Any
    """Of the library `tokenizers`, with neither truncation nor padding."""
    added: re.Pattern[str] | None
    """Finds the added tokens."""
    lines: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    """Line with the beginner of the next → its own ids; None where it holds an added token."""
    lasts: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    """The same for what stands at a text's end."""
    held: int = 0
    """Characters in both."""

    @classmethod
    def of(cls, tokenizer: Any) -> LineEncoder | None:
        """An encoder, or None where the argument above does not hold."""
        contents = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        model, normalizer = tokenizer.model, _state(tokenizer.normalizer)
        if type(model).__name__ != "BPE" or model.dropout or not _tiles(_state(tokenizer.pre_tokenizer)):
            return None
        if normalizer not in (None, {"type": "NFC"}) or any("\n" in content for content in contents):
            return None
        # the longest first is not needed: any hit sends the text to the tokenizer as a whole
        added = re.compile("|".join(map(re.escape, contents))) if contents else None
        return cls(tokenizer=tokenizer, added=added)

    def __call__(self, texts: Sequence[str]) -> list[list[int] | None]:
        """For each text its ids, or None where it must be tokenised whole."""
        if self.held > _HELD:
            self.lines, self.lasts, self.held = {}, {}, 0
        cut = [_cut(text) for text in texts]
        self._learn(chain.from_iterable(lines for lines, _ in cut), (last for _, last in cut))
        found: list[list[int] | None] = []
        for lines, last in cut:
            parts = [*map(self.lines.__getitem__, lines), self.lasts[last]]
            found.append(None if None in parts else list(chain.from_iterable(parts)))  # type: ignore[arg-type]
        return found

    def _learn(self, lines: Iterable[str], lasts: Iterable[str]) -> None:
        fresh = list(dict.fromkeys(line for line in lines if line not in self.lines))
        beginners = dict.fromkeys(line[-1] for line in fresh)
        ends = list(dict.fromkeys(last for last in chain(lasts, beginners) if last not in self.lasts))
        self.lasts.update(self._encoded(ends))
        for line, ids in self._encoded(fresh):
            behind = self.lasts[line[-1]]
            # a beginner may be an added token itself
            known = ids is not None and behind is not None
            self.lines[line] = ids[: len(ids) - len(behind)] if known else None  # type: ignore[index,arg-type]
        self.held += sum(map(len, fresh)) + sum(map(len, ends))

    def _encoded(self, texts: Sequence[str]) -> list[tuple[str, tuple[int, ...] | None]]:
        plain = [text for text in texts if not self._holds_added(text)]
        encodings = self.tokenizer.encode_batch_fast(plain, add_special_tokens=False)
        ids = {text: tuple(encoding.ids) for text, encoding in zip(plain, encodings, strict=True)}
        return [(text, ids.get(text)) for text in texts]

    def _holds_added(self, text: str) -> bool:
        if self.added is None:
            return False
        # some added tokens are looked for in the normalised text
        return bool(
            self.added.search(text) or (not text.isascii() and self.added.search(unicodedata.normalize("NFC", text)))
        )


def _cut(text: str) -> tuple[list[str], str]:
    """(lines, each with the beginner of the next, what is left)."""
    lines, start = [], 0
    for end in _END.finditer(text):
        after = end.end()
        lines.append(text[start : after + 1])
        start = after
    return lines, text[start:]


def _state(part: Any) -> Any:
    return None if part is None else json.loads(part.__getstate__())


def _tiles(state: Any) -> bool:
    """Whether a pre-tokenizer's state is GPT-2's, or one of `_PATTERNS` before a byte-level alphabet."""
    match state:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
            return True
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return pattern in _PATTERNS
    return False
