"""Tokenising together gives what tokenising one by one gives, for every kind of tokenizer and every awkward border."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from capeval.backends import encoding, lines
from capeval.backends.tokens import encode, encode_all, encode_pair, encode_pairs

_CORPUS = [
    Path(lines.__file__).read_text(),
    "don't WE'LL 12345 été naïve\n\n  Answer: A\nAnswer: B\r\n\tQ:\n/x\n\n(A) ...",
]
_EXAMPLES = int(os.environ.get("CAPEVAL_EXAMPLES", "40"))
_SPECIAL = ["<s>", "</s>", "<pad>", "<unk>"]
_PIECES = [
    "\n", "\n\n", " ", "  ", "\t", "\r\n", "Q: ", "Answer:", " A", "A", "(B)", "/", "...", "'", "'ll", "don", "12",
    "345", "é", "e\u0301", "\u0301", "\u212a", "…", "日本", "😀", "<s>", "</s>", "<", "s>", "<m>", "\u2028",
    "\u00a0", "zzz", "_", "▁", "-", "naïve", "x\n", "\x0b", "\x85",
]  # fmt: skip
_TEXT = st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=12).map("".join)


def _bpe(before: Any, normalizer: Any = None) -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer, made.decoder = before, decoders.ByteLevel()
    if normalizer:
        made.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=_SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(_CORPUS, trainer)
    return made


def _split(pattern: str) -> Any:
    cut = pre_tokenizers.Split(Regex(pattern), "isolated", False)
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _gpt2() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _pieces() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(_CORPUS, trainer)
    return made


def _with(made: Tokenizer, template: str = "", added: Any = None) -> PreTrainedTokenizerFast:
    if template:
        special = [(token, made.token_to_id(token)) for token in ("<s>", "</s>")]
        made.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    if added:
        made.add_tokens([added])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


class _Odd(PreTrainedTokenizerFast):
    """A class that changes texts before it encodes them, as CodeLlama's does."""

    def _encode_plus(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._encode_plus(text.upper(), *args, **kwargs)


_MAKERS = {
    "gpt2": lambda: _with(_bpe(_gpt2())),
    "gpt2, bos": lambda: _with(_bpe(_gpt2()), "<s> $A"),
    "gpt2, eos": lambda: _with(_bpe(_gpt2()), "$A </s>"),
    "gpt2, bos and eos": lambda: _with(_bpe(_gpt2()), "<s> $A </s>"),
    "gpt2, nfc": lambda: _with(_bpe(_gpt2(), normalizers.NFC()), "<s> $A", AddedToken("K", normalized=True)),
    "gpt2, greedy added token": lambda: _with(_bpe(_gpt2()), "", AddedToken("<m>", lstrip=True, rstrip=True)),
    "gpt2, added beginner": lambda: _with(_bpe(_gpt2()), "", AddedToken("A", single_word=True)),
    **{
        f"pattern {i}": lambda pattern=pattern: _with(_bpe(_split(pattern)), "<s> $A")
        for i, pattern in enumerate(sorted(lines._PATTERNS))
    },
    "gpt2, prefix space": lambda: _with(_bpe(pre_tokenizers.ByteLevel(add_prefix_space=True))),
    "gpt2, added line feed": lambda: _with(_bpe(_gpt2()), "", AddedToken("\n\n")),
    "metaspace unigram": lambda: _with(_pieces(), "$A </s>"),
    "class of its own": lambda: _Odd(tokenizer_object=_bpe(_gpt2()), bos_token="<s>", eos_token="</s>"),
}
_BY_LINES = [
    n for n in _MAKERS if n.startswith(("gpt2", "pattern")) and n not in ("gpt2, prefix space", "gpt2, added line feed")
]


@pytest.fixture(scope="module", params=_MAKERS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    made = _MAKERS[request.param]()
    assert (encoding.encoder_of(made).lines is not None) == (request.param in _BY_LINES)
    return made


@settings(max_examples=_EXAMPLES, deadline=None)
@given(texts=st.lists(_TEXT, max_size=6))
@example(texts=["", "<s>A", "<s>", "a\nA\n\nB", "a\n<m>\nb", "a \n\n\u212a\nK", "ab...\n/c", "Answer:\n\n A"])
def test_texts_together_are_texts_one_by_one(tokenizer: Any, texts: list[str]) -> None:
    expected = [encode(tokenizer, text) for text in texts]
    assert encode_all(tokenizer, texts) == expected
    assert encode_all(tokenizer, texts) == expected, "also from the cache"


@settings(max_examples=_EXAMPLES, deadline=None)
@given(pairs=st.lists(st.tuples(_TEXT, _TEXT), max_size=5), joined=st.booleans())
@example(pairs=[("", "A"), ("", "<s>A"), ("", ""), ("  ", "A"), ("Q: \n", "A"), ("<", "s>x")], joined=True)
@example(pairs=[("Answer:", c) for c in (" A", " B", "A", "", "\nA")] * 2, joined=True)
def test_pairs_together_are_pairs_one_by_one(tokenizer: Any, pairs: list[tuple[str, str]], joined: bool) -> None:
    expected = [encode_pair(tokenizer, *pair, 7, joined) for pair in pairs]
    assert encode_pairs(tokenizer, pairs, 7, joined) == expected
    assert encode_pairs(tokenizer, pairs, 7, joined) == expected, "also from the cache"


def test_padding_that_others_chose_does_not_reach_the_ids() -> None:
    made = _MAKERS["gpt2, bos"]()
    made(["a", "a b c"], padding=True, truncation=True, max_length=2)
    assert encode_all(made, ["a", "a b c d"]) == [encode(made, "a"), encode(made, "a b c d")]


def test_equal_tokenizers_share_what_they_know_and_others_do_not() -> None:
    one, two, other = (_MAKERS[name]() for name in ("gpt2, bos", "gpt2, bos", "gpt2, eos"))
    texts = ["Q: 4 + 5?\nA: 9\n\nQ: 1 + 1?\nA:", "shared by siblings"]
    counts = []
    for made in (one, two, other):
        assert encode_all(made, texts) == [encode(made, text) for text in texts]
        encode_pairs(made, [(texts[0], " 2"), (texts[0], " 3")] * 2, 0)
        counts.append(encoding.encoder_of(made).tokenised)
    assert counts == [4, 0, 4]


def test_the_cache_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = encoding.TokenCache(limit=2000)
    monkeypatch.setattr(encoding, "CACHE", cache)
    monkeypatch.setattr(lines, "_HELD", 50)
    made = _MAKERS["gpt2"]()
    texts = [f"line {i}\nof a text {i}" for i in range(40)]
    for _ in range(2):
        assert encode_all(made, texts) == [encode(made, text) for text in texts]
        assert 0 < cache.held <= cache.limit and cache.held == sum(200 + 4 * len(ids) for ids in cache.ids.values())
