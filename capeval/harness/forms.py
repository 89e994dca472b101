"""How documents are shown: plain text, questions and answers, or the checkpoint's chat template."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Literal

from capeval.core import TaskSource
from capeval.digest import digest
from capeval.errors import BadFileError, UsageError

ShotsAs = Literal["turns", "text"]
_MARKS = {"user": "Q: ", "assistant": "A: "}


def question_answer(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """Messages as questions and answers in plain text, for models without a chat template; called as a template is.

    >>> question_answer([{"role": "system", "content": "Add."}, {"role": "user", "content": "1+1?"}])
    'Add.\\nQ: 1+1?\\nA:'

    Args:
        messages: Each with a role (system, user or assistant) and a content; its outer white space is not shown.
        add_generation_prompt: End with the mark of an answer; False leaves the last message open to be continued.
    """
    lines = [f"{_MARKS.get(m['role'], '')}{m['content'].strip()}".rstrip() for m in messages]
    return "\n".join([*lines, "A:"] if add_generation_prompt else lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How documents are shown."""

    chat: Callable[..., str] | None = None
    """The checkpoint's chat template, applied, or `question_answer`; None shows plain text."""
    template: str = ""
    """That template's text, for the digest."""
    system: str = ""
    """System prompt; in plain text it comes first."""
    shots_as: ShotsAs = "turns"
    """In a chat: each example a question and an answer of its own, or all of them text in the one question."""

    @property
    def templated(self) -> bool:
        """Whether the checkpoint's chat template shows the messages; else they are plain text."""
        return self.chat is not None and self.chat is not question_answer

    @property
    def presentation(self) -> str:
        """The label that goes into the records: runs that differ in it are compared, but marked."""
        if self.templated:
            text = ", shots as text" if self.shots_as == "text" else ""
            return f"chat {digest(self.template, self.system)}{text}"
        plain = "document" if self.chat is None else "question-answer"
        return f"{plain} with system prompt {digest(self.system)}" if self.system else plain


def form_of(source: TaskSource, form: Form) -> Form:
    """The run's form, unless the source wants its own."""
    if source.presentation == "document":
        return replace(form, chat=None, template="")
    if source.presentation == "dialogue" and form.chat is None:
        return replace(form, chat=question_answer)
    return form


def after_turns(form: Form, doc: Any, source: TaskSource, number: int) -> Form:
    """The form with a document's earlier turns before its question, behind the system prompt."""
    chat, said = form.chat, doc.get(source.turns) if isinstance(doc, dict) else None
    if chat is None:
        raise UsageError(f"{source.path}: turns need the presentation 'dialogue'")
    if not isinstance(said, list) or len(said) % 2 or not all(isinstance(text, str) for text in said):
        raise BadFileError(
            f"{source.path}: the field '{source.turns}' must be an even number of texts (user, assistant, …), because "
            f"it holds the earlier turns; in document {number + 1} it is "
            f"{'missing' if said is None else reprlib.repr(said)}"
        )
    turns = [{"role": role, "content": text} for role, text in zip(cycle(_MARKS), said, strict=False)]

    def shown(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        first = int(messages[0]["role"] == "system")
        return chat([*messages[:first], *turns, *messages[first:]], add_generation_prompt=add_generation_prompt)

    return replace(form, chat=shown)
