"""Stop strings found token by token are those that decoding and searching everything after every token finds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from capeval.backends.trie.stops import Stops
from tests.conftest import make_tokenizer

TEXT = "Q: why?\nA: because of the sun.\n\nIt's 3 € — “naïve” 漢字 😀 ### END of it. </s> answer: 42\r\nQ:\tyes"


def byte_level() -> Any:
    return make_tokenizer([TEXT, "the cat sat on the mat, and then it was 12 o'clock"])


def cleaning() -> Any:
    tokenizer = byte_level()
    tokenizer.clean_up_tokenization_spaces = True
    return tokenizer


def sentencepiece() -> Any:
    """As Llama 2 has it: spaces as ▁, one dropped at the beginning, bytes for what it has no token for."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    words = [
        "▁",
        "▁the",
        "▁A",
        "▁Q",
        "Q",
        ":",
        "▁END",
        "E",
        "N",
        "D",
        ".",
        "▁of",
        "▁it",
        "i",
        "t",
        "#",
        "##",
        "s",
        "▁:",
    ]
    vocabulary = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))])}
    vocabulary |= {word: len(vocabulary) + i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def unigram() -> Any:
    from tests.backends.conftest import _t5_tokenizer

    return _t5_tokenizer([TEXT] * 4)


TOKENIZERS = {"byte level": byte_level, "cleaning": cleaning, "sentencepiece": sentencepiece, "unigram": unigram}
STOPS = [
    ["\n"], ["\n\n"], ["Q:"], ["END"], ["###"], ["</s>"], [" "], ["the "], [": "], ["€"], ["😀"], ["字"], ["—", "naïve"],
    [".", "\n\n", "Q:"], ["", "answer"], ["\r\n"], ["Q:\t"], ["of it."], ["n't"], [" ."], ["“naïve” 漢字 😀"],
]  # fmt: skip


@pytest.fixture(scope="module", params=list(TOKENIZERS))
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return TOKENIZERS[request.param]()


def first(tokenizer: Any, tokens: Sequence[int], strings: Sequence[str]) -> int | None:
    """After how many tokens a stop string is complete, looking at everything each time."""
    for n in range(1, len(tokens) + 1):
        if any(string in tokenizer.decode(tokens[:n]) for string in strings if string):
            return n
    return None


def found(tokenizer: Any, tokens: Sequence[int], strings: Sequence[str]) -> int | None:
    stops = Stops(tokenizer, strings)
    return next((n for n in range(1, len(tokens) + 1) if stops.complete(tokens[:n])), None)


def rows(tokenizer: Any) -> list[list[int]]:
    draw = random.Random(0)
    text = tokenizer.encode(TEXT)
    letters = [tokenizer.encode(c, add_special_tokens=False) for c in TEXT]
    noise = [[draw.randrange(len(tokenizer)) for _ in range(60)] for _ in range(6)]
    cuts = [text[draw.randrange(len(text)) :] + draw.choice(noise) for _ in range(3)]
    return [text, [token for ids in letters for token in ids], *noise, *cuts]


@pytest.mark.parametrize("strings", STOPS, ids=str)
def test_they_are_found_where_searching_everything_finds_them(tokenizer: Any, strings: list[str]) -> None:
    for tokens in rows(tokenizer):
        assert found(tokenizer, tokens, strings) == first(tokenizer, tokens, strings)


def test_each_of_them_is_found_at_all() -> None:
    tokenizer = byte_level()
    text = rows(tokenizer)[0]
    assert sum(found(tokenizer, text, strings) is not None for strings in STOPS) >= len(STOPS) - 3


def test_a_character_in_pieces_counts_when_it_is_whole() -> None:
    tokenizer = sentencepiece()
    tokens = [tokenizer.convert_tokens_to_ids(f"<0x{b:02X}>") for b in "x€".encode()]
    assert [Stops(tokenizer, ["€"]).complete(tokens[:n]) for n in range(1, 5)] == [False, False, False, True]
    assert Stops(tokenizer, ["x€"]).complete(tokens)


def test_only_tokens_that_could_complete_one_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_level()
    calls: list[int] = []
    real = type(tokenizer).decode

    def decode(self: Any, ids: Any, **how: Any) -> Any:
        calls.append(len(ids))
        return real(self, ids, **how)

    monkeypatch.setattr(type(tokenizer), "decode", decode)
    stops = Stops(tokenizer, ["\n\n", "END"])
    words = tokenizer.encode("the cat sat on the mat and then it was the cat on the mat")
    tokens: list[int] = []
    for token in words * 200:
        tokens.append(token)
        assert not stops.complete(tokens)
    assert len(calls) == len(set(words)) and set(calls) == {1}, "each token once, never an answer"
    calls.clear()
    newline = tokenizer.encode("\n")
    assert not stops.complete([*tokens, *newline]) and max(calls) <= 5, "and a tail of an answer, not all of it"
    assert stops.complete([*tokens, *newline, *newline])
    calls.clear()
    assert not Stops(tokenizer, []).complete(tokens) and not Stops(tokenizer, [""]).complete(tokens) and not calls
