"""What was shown, read back from lm-eval's log so that it pairs with what capeval's own harness asks.

The log holds whole prompts and the template of the question; the rest of a plain-text prompt is description and shots.
Where the question can't be told apart (a chat template, a template in Python) the number of shots has to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from capeval.digest import digest


def _regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)


# the template comes from a file that anybody may have written: no access to Python's insides
_JINJA = SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
_JINJA.filters["regex_replace"] = _regex_replace


def prompts(row: Mapping[str, Any]) -> list[str]:
    """The text of each of an item's requests."""
    return [str(call.get("arg_0", "")) for call in _calls(row)]


def continuations(row: Mapping[str, Any]) -> list[str] | None:
    """The choices that log-likelihood requests asked about; None for generation and for rolling log-likelihood."""
    found = [call.get("arg_1") for call in _calls(row)]
    return [str(text) for text in found] if found and all(isinstance(text, str) for text in found) else None


def is_generation(row: Mapping[str, Any]) -> bool:
    """Generation passes (prompt, settings); log-likelihoods pass (prompt, continuation) or the text alone."""
    calls = _calls(row)
    return bool(calls) and isinstance(calls[0].get("arg_1"), dict)


def presentation(results: Mapping[str, Any]) -> str:
    """The label that the harness gives to the same form."""
    system = str(results.get("system_instruction") or "")
    if not results.get("chat_template"):
        return f"document with system prompt {digest(system)}" if system else "document"
    # the harness shows shots as turns, and so does lm-eval unless it is told otherwise
    turns = ", shots in one turn" if results.get("fewshot_as_multiturn") is False else ""
    return f"chat {digest(str(results['chat_template']), system)}{turns}"


def shots(row: Mapping[str, Any], task: str, results: Mapping[str, Any]) -> str:
    """Digest of description and shots, as the harness makes it; "5-shot" where they can't be told apart.

    Args:
        row: One logged sample.
        task: lm-eval's name of the task.
        results: The results file.
    """
    number = (results.get("n-shot") or {}).get(task)
    label = "" if number is None else f"{number}-shot"
    question = _question(row["doc"], ((results.get("configs") or {}).get(task) or {}).get("doc_to_text"))
    texts = prompts(row)
    if question is None or not texts or results.get("chat_template") or results.get("system_instruction"):
        return label
    if not question:  # then all of the prompt is shots, but for rolling log-likelihoods, whose text is the document
        return digest(texts[0] if continuations(row) or is_generation(row) else "")
    before, found, _ = texts[0].rpartition(question)
    return digest(before) if found else label


def _question(doc: Mapping[str, Any], template: Any) -> str | None:
    """The document as its task words it; None when only lm-eval could tell."""
    if not isinstance(template, str) or template.startswith(("def ", "functools.partial", "<")):
        return None
    if template in doc:
        return str(doc[template])
    try:
        return str(_JINJA.from_string(template).render(**{str(key): value for key, value in doc.items()}))
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, re.error):
        return None


def _calls(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    arguments = row["arguments"]
    if not isinstance(arguments, dict):
        return []
    return [call for _, call in sorted(arguments.items(), key=_number) if isinstance(call, dict)]


def _number(pair: tuple[str, Any]) -> int:
    """gen_args_10 comes after gen_args_9."""
    digits = re.search(r"\d+$", pair[0])
    return int(digits[0]) if digits else 0
