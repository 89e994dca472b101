"""How to ask a server (`--model-args`), and the key, which comes from the environment alone.

CAPEVAL_API_KEY=… capeval run --backend api --model NAME --model-args base_url=https://host/v1,endpoint=chat …
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from capeval.backends.options import read_options
from capeval.errors import UsageError

_KEY_LIKE = re.compile(r"(?i)api_?-?key|secret|password|authorization")
_BEARER = re.compile(r"(?i)(bearer|basic)\s+[^\s\"',}]+")
_KEYS = "keys are read from the environment alone (CAPEVAL_API_KEY, else OPENAI_API_KEY), so that none is written down"
_SHORT = 8
"""A shorter key (EMPTY, none) is no secret, and may well be a word of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """What backend 'api' understands."""

    base_url: str = ""
    """Up to /v1; empty: OPENAI_BASE_URL."""
    endpoint: str = "completions"
    """`completions`: text goes on. `chat`: messages are answered, in the server's own template."""
    concurrency: int = 16
    """Requests in flight at most."""
    timeout: float = 600.0
    """Seconds for one request, from sent to the last byte."""
    retries: int = 6
    """How often one request is asked again before the run stops."""
    tokenizer: str = ""
    """Checkpoint folder or hub id whose tokenizer is the model's: token ids are sent then, not text."""
    max_model_len: int = 0
    """Tokens that the model reads, prompt and answer; 0: what the server says."""
    limit_field: str = "max_tokens"
    """What the server calls the longest answer; `max_completion_tokens` for OpenAI's reasoning models."""
    seeds: bool = True
    """Whether sampled requests bring a seed; false for servers that refuse the field."""
    requests_per_minute: int = 0
    """0: no limit."""
    tokens_per_minute: int = 0
    """Prompt and answer; 0: no limit."""
    price_in: float = 0.0
    """Of a million prompt tokens."""
    price_out: float = 0.0
    """Of a million tokens of answers."""


def settings_of(options: Mapping[str, str]) -> ApiSettings:
    """Read and check them.

    Raises:
        UsageError: a wrong name or value; a key or credentials among them.
    """
    for name in options:
        if _KEY_LIKE.search(name):
            raise UsageError(f"--model-args {name}=…: {_KEYS}")
    settings = read_options(ApiSettings, options, "api")
    url = (settings.base_url or os.environ.get("OPENAI_BASE_URL", "")).rstrip("/")
    _check_url(url)
    if settings.endpoint not in ("completions", "chat"):
        raise UsageError(f"--model-args endpoint={settings.endpoint}: it must be completions or chat")
    if settings.limit_field not in ("max_tokens", "max_completion_tokens"):
        raise UsageError(
            f"--model-args limit_field={settings.limit_field}: it must be max_tokens or max_completion_tokens"
        )
    for name, least in (("concurrency", 1), ("timeout", 0.1), ("retries", 0), ("max_model_len", 0),
                        ("requests_per_minute", 0), ("tokens_per_minute", 0), ("price_in", 0),
                        ("price_out", 0)):  # fmt: skip
        value = getattr(settings, name)
        if not least <= value <= 10**9:
            raise UsageError(f"--model-args {name}={value}: it must be {least} or more, and no more than 1e9")
    return replace(settings, base_url=url)


def _check_url(url: str) -> None:
    if not url:
        raise UsageError(
            "backend 'api' needs a server: --model-args base_url=http://127.0.0.1:8000/v1 (or OPENAI_BASE_URL)"
        )
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises where it is no number
    except ValueError as error:
        raise UsageError("--model-args base_url: it is no URL; write it as http://127.0.0.1:8000/v1") from error
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"--model-args base_url: it holds credentials or a query; {_KEYS}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--model-args base_url={url}: it must begin with http:// or https:// and name a host")


def key() -> str:
    """The key in the environment; empty for none.

    Raises:
        UsageError: it can't be sent in a header.
    """
    found = (os.environ.get("CAPEVAL_API_KEY") or os.environ.get("OPENAI_API_KEY") or "").strip()
    if not (found.isascii() and found.isprintable()):
        raise UsageError(
            "the key in the environment has characters that no key has; was it copied with something else?"
        )
    return found


def without_key(text: str) -> str:
    """What a server said, without the key that it may have repeated."""
    secret = key()
    return text.replace(secret, "<key>") if len(secret) >= _SHORT else text


def redacted(text: str) -> str:
    """The same for messages: without anything that looks like a key, on one line, short."""
    secret = key()
    if secret:
        text = text.replace(secret, "<key>")
    text = " ".join(_BEARER.sub(r"\1 <key>", text).split())
    return text if len(text) <= 300 else text[:300] + "…"
