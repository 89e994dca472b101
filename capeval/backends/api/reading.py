"""The tokenizer of the model behind a server, where a user gives it: the same token rules as backend 'hf'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.backends import Piece, checkpoint
from capeval.backends.imports import import_transformers
from capeval.backends.tokens import Pair, encode_all, encode_pairs, pieces_of, prefix_of, rolling_windows
from capeval.errors import BadFileError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A loaded tokenizer."""

    name: str
    digest: str
    """Of its files."""
    tokenizer: Any
    prefix: int
    """Token that stands for an empty prompt: BOS, else end of text."""

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each prompt, with one BOS where the tokenizer adds one; of an empty one the prefix."""
        return [ids or [self.prefix] for ids in encode_all(self.tokenizer, texts)]

    def pairs(self, texts: Sequence[tuple[str, str]]) -> list[Pair]:
        """See `tokens.encode_pairs`."""
        return encode_pairs(self.tokenizer, texts, self.prefix)

    def windows(self, text: str, window: int) -> list[Pair]:
        """See `tokens.rolling_windows`."""
        return rolling_windows(self.tokenizer, text, self.prefix, window)

    def template(self) -> str:
        """Its chat template; raises UsageError when it has none."""
        template = self.tokenizer.chat_template
        if not template:
            raise UsageError(f"the tokenizer of {self.name} has no chat template, so nothing can be asked through one")
        return template if isinstance(template, str) else str(template.get("default", sorted(template.items())))

    def chat(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        """The messages in that template."""
        from jinja2 import TemplateError

        self.template()
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    continue_final_message=not add_generation_prompt,
                )
            )
        except (TemplateError, TypeError, ValueError, AttributeError) as error:
            raise BadFileError(f"the chat template of {self.name} can't be rendered: {error}") from error

    def pieces(self, text: str) -> list[Piece]:
        """See `Backend.pieces`."""
        return pieces_of(self.tokenizer, text)


def open_reader(name: str, revision: str) -> Reader:
    """Find and load a tokenizer; no weights are looked at.

    Raises:
        UsageError, MissingError: no such folder or hub id.
        BadFileError: it can't be loaded, or names neither a BOS nor an end-of-text token.
    """
    from capeval.backends.loading import load_tokenizer

    folder: Path = checkpoint.find(name, revision, weights=False)
    files = checkpoint.fingerprint(folder, weights=False)
    import_transformers()
    tokenizer = load_tokenizer(folder, name, files)
    return Reader(name=name, digest=files, tokenizer=tokenizer, prefix=prefix_of(tokenizer, name))
