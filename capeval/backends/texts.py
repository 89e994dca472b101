"""What a checkpoint's tokenizer says of a prompt, without its weights: chat template, length, special tokens.

>>> Texts(folder, "runs/lab/sft", digest).pieces("Q: 1 + 1?")        # doctest: +SKIP
[Piece(text='<s>', special=True, tokens=1), Piece(text='Q: 1 + 1?', special=False, tokens=7)]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capeval.backends import Piece
from capeval.backends.imports import import_transformers
from capeval.backends.loading import load_shape, load_tokenizer
from capeval.backends.tokens import encode_all, encode_pairs, pieces_of
from capeval.core import Request
from capeval.errors import BadFileError, UsageError

_ADDED = 8
"""Tokens that a tokenizer may add to a text (BOS, EOS, a leading space), at most."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The part of `capeval.backends.Backend` that needs a tokenizer and no weights."""

    folder: Path
    name: str
    """What the user called the checkpoint, for messages."""
    digest: str
    limit: int = 0
    """Tokens that the engine reads at most, where that is less than the model's own window; 0: the window."""

    def chat_template(self) -> str:
        """The tokenizer's chat template.

        Raises:
            UsageError: when it has none.
        """
        template = self._tokenizer().chat_template
        if not template:
            raise UsageError(
                f"{self.name} has no chat template, so it can't be asked through one; leave --chat out, or save a "
                "chat_template.jinja beside its tokenizer"
            )
        return template if isinstance(template, str) else str(template.get("default", sorted(template.items())))

    def chat(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages in that template. Where it refuses a system message, its text begins the first question.

        lm-eval leaves it out there, and with it the task's description: the model would be asked another thing.
        """
        from jinja2 import TemplateError

        self.chat_template()
        tokenizer = self._tokenizer()
        form = {"tokenize": False, "add_generation_prompt": add_generation_prompt}
        form["continue_final_message"] = not add_generation_prompt
        try:
            return str(tokenizer.apply_chat_template(messages, **form))
        except (TemplateError, TypeError, ValueError, AttributeError):
            pass
        try:
            return str(tokenizer.apply_chat_template(_without_system(messages), **form))
        except (TemplateError, TypeError, ValueError, AttributeError) as error:
            raise BadFileError(f"the chat template of {self.name} can't be rendered: {error}") from error

    def overflow(self, request: Request) -> int:
        """See `Backend`."""
        if request.kind == "perplexity":
            return 0
        tokenizer = self._tokenizer()
        window, shape = load_shape(self.folder, self.name, self.digest)
        window = min(window, self.limit or window)
        room = window
        if request.kind == "generate":
            room = shape.room(window, int(request.generation.get("max_gen_toks", 256)))
        # a token says at least one byte, so most prompts need no counting
        said = request.text + request.continuation
        if len(said.encode("utf-8", "surrogatepass")) + _ADDED <= room:
            return 0
        if request.kind == "generate":
            return max(0, len(encode_all(tokenizer, [request.text])[0]) - room)
        [(context, target)] = encode_pairs(tokenizer, [(request.text, request.continuation)], 0, shape.joined)
        return shape.read(context, target, window)[1]

    def pieces(self, text: str) -> list[Piece]:
        """See `Backend`."""
        return pieces_of(self._tokenizer(), text)

    def _tokenizer(self) -> Any:
        import_transformers()
        return load_tokenizer(self.folder, self.name, self.digest)


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same, with what system messages say at the beginning of the first question."""
    system = "\n\n".join(m["content"].strip() for m in messages if m["role"] == "system")
    first, *rest = [m for m in messages if m["role"] != "system"]
    return [{**first, "content": f"{system}\n\n{first['content']}"}, *rest] if system else [first, *rest]
