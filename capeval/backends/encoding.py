"""Many texts at once: each is tokenised once in a process, however many choices or sibling checkpoints hold it.

>>> encoder = encoder_of(tokenizer)                             # doctest: +SKIP
>>> encoder([("Q: 1 + 1?\\nA:", True), ("Q: 1 + 1?\\nA: 2", True)])
[array('i', [0, 48, …]), array('i', [0, 48, …])]

Which texts are tokenised, and whether with special tokens, is decided in `tokens.py`; here is only how.
`python -m benchmarks.tokenising` measures it.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from capeval.backends.lines import LineEncoder

Text = tuple[str, bool]
"""A text, and whether the tokenizer adds its special tokens."""

LIMIT = 256 * 2**20
"""Bytes of token ids that one process holds, 4 a token and about `_ENTRY` a text: the prompts of several benchmarks."""
_ENTRY = 200


@dataclass(slots=True)
class TokenCache:
    """Token ids by the tokenizer's identity and the text's digest. What does not fit any more empties it.

    Emptying is enough: the same prompts come again from the next sibling of a tree, or never.
    """

    limit: int
    held: int = 0
    ids: dict[bytes, array[int]] = field(default_factory=dict)

    def keep(self, key: bytes, ids: array[int]) -> None:
        """Hold the ids of one text."""
        size = _ENTRY + ids.itemsize * len(ids)
        if self.held + size > self.limit:
            self.ids.clear()
            self.held = 0
        self.ids[key] = ids
        self.held += size


CACHE = TokenCache(LIMIT)


@dataclass(slots=True)
class Encoder:
    """One tokenizer."""

    tokenizer: Any
    """Of transformers."""
    identity: bytes
    """What decides its ids: tokenizers of equal identity share what they know. 15 bytes."""
    fast: bool
    """Whether the library `tokenizers` may be asked directly."""
    lines: LineEncoder | None
    around: tuple[tuple[int, ...], tuple[int, ...]]
    """Special tokens before and after every text; only with `lines`."""
    tokenised: int = 0
    """Texts that had to be tokenised, for those who count."""

    def __call__(self, texts: Sequence[Text]) -> list[array[int]]:
        """The ids of each text; equal texts get the same object."""
        keys = {text: self.key(text[0], bytes([text[1]])) for text in texts}
        fresh = [text for text, key in keys.items() if key not in CACHE.ids]
        return self._told(texts, keys, dict(zip(fresh, self._encoded(fresh), strict=True)))

    def tails(self, pairs: Sequence[tuple[Text, Text]], lengths: Sequence[int]) -> list[array[int]]:
        """The ids of longer texts behind those of a text that they begin with, and which is held once for them all.

        Args:
            pairs: (beginning, whole), distinct.
            lengths: Ids of each beginning.
        """
        begins = {begin: self.key(begin[0], bytes([begin[1]])) for begin, _ in pairs}
        keys = {
            (begin, whole): self.key(whole[0][len(begin[0]) :], begins[begin] + bytes([whole[1]]))
            for begin, whole in pairs
        }
        fresh = [(pair, n) for pair, n in zip(pairs, lengths, strict=True) if keys[pair] not in CACHE.ids]
        encoded = self._encoded([whole for (_, whole), _ in fresh])
        return self._told(pairs, keys, {pair: ids[n:] for (pair, n), ids in zip(fresh, encoded, strict=True)})

    def key(self, said: str, behind: bytes) -> bytes:
        """The name of what is known of a text, 16 bytes: a digest under this tokenizer's identity."""
        # what stands behind a length can't be mistaken for the text
        data = len(behind).to_bytes(1, "big") + behind + said.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=16, key=self.identity).digest()

    def _told(
        self, asked: Sequence[Any], keys: Mapping[Any, bytes], fresh: Mapping[Any, Sequence[int]]
    ) -> list[array[int]]:
        """What was just encoded, which is held from now on, and what was held before."""
        found = {one: CACHE.ids[key] for one, key in keys.items() if one not in fresh}
        for one, ids in fresh.items():
            found[one] = array("i", ids)
            CACHE.keep(keys[one], found[one])
        return [found[one] for one in asked]

    def _encoded(self, texts: Sequence[Text]) -> list[Sequence[int]]:
        self.tokenised += len(texts)
        if not self.fast:
            return [self.tokenizer.encode(said, add_special_tokens=special, verbose=False) for said, special in texts]
        _undo_padding(self.tokenizer)
        by_lines = self.lines([said for said, _ in texts]) if self.lines else [None] * len(texts)
        whole = iter(self._whole([text for text, ids in zip(texts, by_lines, strict=True) if ids is None]))
        before, after = self.around
        return [
            next(whole) if ids is None else [*before, *ids, *after] if special else ids
            for (_, special), ids in zip(texts, by_lines, strict=True)
        ]

    def _whole(self, texts: Sequence[Text]) -> list[Sequence[int]]:
        """One batch with special tokens, one without."""
        found: dict[Text, Sequence[int]] = {}
        for special in (True, False):
            batch = [text for text in texts if text[1] is special]
            encodings = self.tokenizer.backend_tokenizer.encode_batch_fast(
                [said for said, _ in batch], add_special_tokens=special
            )
            found |= {text: encoding.ids for text, encoding in zip(batch, encodings, strict=True)}
        return [found[text] for text in texts]


@lru_cache(maxsize=2)
def encoder_of(tokenizer: Any) -> Encoder:
    """The encoder of a tokenizer that nobody changes any more."""
    if not _is_plain(tokenizer):
        return Encoder(tokenizer=tokenizer, identity=os.urandom(15), fast=False, lines=None, around=((), ()))
    _undo_padding(tokenizer)
    backend = tokenizer.backend_tokenizer
    # the files say less: a class may change what it reads from them
    state = f"{getattr(tokenizer, 'split_special_tokens', False)} {backend.to_str()}"
    identity = hashlib.blake2b(state.encode("utf-8", "surrogatepass"), digest_size=15).digest()
    around = _around(backend)
    lines = LineEncoder.of(backend) if around else None
    return Encoder(tokenizer=tokenizer, identity=identity, fast=True, lines=lines, around=around or ((), ()))


def _is_plain(tokenizer: Any) -> bool:
    """Whether `encode` is the one that asks `tokenizers` and changes nothing of the text or the ids."""
    from transformers import PreTrainedTokenizerFast

    doors = ("encode", "_encode_plus", "_batch_encode_plus", "set_truncation_and_padding")
    return isinstance(tokenizer, PreTrainedTokenizerFast) and all(
        getattr(type(tokenizer), door, None) is getattr(PreTrainedTokenizerFast, door, None) for door in doors
    )


def _undo_padding(tokenizer: Any) -> None:
    """What transformers' own `encode` does before it asks: no truncation, no padding, special tokens as chosen."""
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    backend.encode_special_tokens = bool(getattr(tokenizer, "split_special_tokens", False))


def _around(backend: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(ids before, ids after) that a tokenizer adds to a text; None where it does anything else."""
    probe = "a"
    ids, plain = backend.encode(probe).ids, backend.encode(probe, add_special_tokens=False).ids
    mask = backend.encode(probe).special_tokens_mask
    before = next((i for i, special in enumerate(mask) if not special), 0)
    if not plain or ids[before : before + len(plain)] != plain or sum(mask) != len(ids) - len(plain):
        return None
    return tuple(ids[:before]), tuple(ids[before + len(plain) :])
