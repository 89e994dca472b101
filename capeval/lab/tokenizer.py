"""The world's tokenizer: one token a word, one for a line's end, and the marks of a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capeval.digest import digest, digest_file
from capeval.lab.words import ASSISTANT, BEGIN, END, LINE, PAD, SPECIAL, UNKNOWN, USER, VOCABULARY

WINDOW = 2048
"""Tokens that a model of the lab may read; rotary positions have no table that would grow with it."""
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{{% if message['role'] == 'assistant' %}}{ASSISTANT} {{% else %}}{USER} {{% endif %}}"
    f"{{{{ message['content'] }}}} {END} "
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{ASSISTANT} {{% endif %}}"
)
"""`<|user|> what is my name ? <|end|> <|assistant|> `; a system message is shown as a user's."""


def tokenizer() -> Any:
    """A `PreTrainedTokenizerFast` with chat template; texts begin with `<|endoftext|>`, answers end with `<|end|>`."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: number for number, word in enumerate(VOCABULARY)}
    backend = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(" +"), "removed"), pre_tokenizers.Split(LINE, "isolated")]
    )
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, ids[BEGIN])]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BEGIN,
        eos_token=BEGIN,
        unk_token=UNKNOWN,
        pad_token=PAD,
        additional_special_tokens=[mark for mark in SPECIAL if mark not in (BEGIN, UNKNOWN, PAD)],
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def source_digest() -> str:
    """Of the words and of this module: another word is another vocabulary."""
    return digest([digest_file(Path(__file__).with_name(name)) for name in ("words.py", "tokenizer.py")])


def answer_ends() -> list[int]:
    """Tokens that end an answer: of a document, and of an assistant's turn."""
    return [VOCABULARY.index(BEGIN), VOCABULARY.index(END)]
