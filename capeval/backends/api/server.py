"""What a server says of itself: its kind and version, the model behind a name, its window; and how it counts tokens."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from capeval.backends.api.client import open_client, what_it_said
from capeval.backends.api.messages import Message, continued
from capeval.backends.api.settings import ApiSettings, key, without_key
from capeval.backends.api.tally import count
from capeval.errors import MissingError, UsageError, not_among

_ASKED_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What was found out at the beginning; empty where a server does not say."""

    kind: str = ""
    """vllm, llamacpp, or what else it calls itself."""
    version: str = ""
    root: str = ""
    """What the model's name stands for: a path, a hub id."""
    window: int = 0

    @property
    def counts(self) -> bool:
        """Whether it counts a text's tokens."""
        return self.kind in ("vllm", "llamacpp")


def look(settings: ApiSettings, model: str) -> Server:
    """Ask a server who it is.

    Raises:
        MissingError: nothing answers there.
        UsageError: it wants another key, or has no such model.
    """
    listed = _get(settings, f"{settings.base_url}/models", needed=True)
    data = listed.get("data")
    entries = [e for e in data if isinstance(e, dict)] if isinstance(data, list) else []
    kinds = {str(e.get("owned_by", "")) for e in entries}
    if "vllm" in kinds:
        names = [str(e.get("id", "")) for e in entries]
        if model not in names:
            raise UsageError(f"{settings.base_url} (vLLM) has {not_among('model', model, names)}")
    entry = next((e for e in entries if e.get("id") == model), {})
    if "llamacpp" in kinds:
        return _llamacpp(settings)
    window = settings.max_model_len or count(entry.get("max_model_len")) or 0
    root = _text(entry.get("root"))
    if "vllm" not in kinds:
        return Server(kind=_text(entry.get("owned_by")), root=root, window=window)
    version = _text(_get(settings, f"{_origin(settings)}/version").get("version"))
    return Server(kind="vllm", version=version, root=root, window=window)


def _llamacpp(settings: ApiSettings) -> Server:
    told = _get(settings, f"{_origin(settings)}/props")
    shape = told.get("default_generation_settings")
    window = count(shape.get("n_ctx")) if isinstance(shape, dict) else None
    return Server(
        kind="llamacpp", version=_text(told.get("build_info")), root=_text(told.get("model_path")),
        window=settings.max_model_len or window or 0,
    )  # fmt: skip


def tokens_of(settings: ApiSettings, server: Server, model: str, said: str | list[Message]) -> int | None:
    """How many tokens the server reads a text or messages as, its template and BOS included; None: it does not say."""
    origin = _origin(settings)
    if server.kind == "vllm":
        form: dict[str, Any] = {"model": model}
        if isinstance(said, str):
            form["prompt"] = said
        else:
            open_end = continued(said)
            form |= {"messages": said, "add_generation_prompt": not open_end, "continue_final_message": open_end}
        return count(_post(settings, f"{origin}/tokenize", form).get("count"))
    if server.kind != "llamacpp":
        return None
    if not isinstance(said, str):
        said = _text(_post(settings, f"{origin}/apply-template", {"messages": said}).get("prompt"))
        if not said:
            return None
    form = {"content": said, "add_special": True, "parse_special": True}
    tokens = _post(settings, f"{origin}/tokenize", form).get("tokens")
    return len(tokens) if isinstance(tokens, list) else None


def _origin(settings: ApiSettings) -> str:
    """Where vLLM and llama.cpp have what is not OpenAI's."""
    return settings.base_url.removesuffix("/v1")


def _get(settings: ApiSettings, url: str, needed: bool = False) -> dict[str, Any]:
    return _asked(settings, "get", url, needed)


def _post(settings: ApiSettings, url: str, body: dict[str, Any]) -> dict[str, Any]:
    return _asked(settings, "post", url, False, body=body)


def _asked(settings: ApiSettings, how: str, url: str, needed: bool, **more: Any) -> dict[str, Any]:
    import openai

    client = _client(settings, key())
    options = {"timeout": min(settings.timeout, _ASKED_SECONDS), "max_retries": 1}
    try:
        found = getattr(client, how)(url, cast_to=object, options=options, **more)
    except openai.APIStatusError as error:
        if needed and error.status_code in (401, 403):
            raise UsageError(
                f"{settings.base_url} does not let us in ({what_it_said(error)}); set CAPEVAL_API_KEY or "
                "OPENAI_API_KEY in the environment"
            ) from error
        return {}
    except openai.APIConnectionError as error:
        if needed:
            host = urlsplit(settings.base_url).netloc
            raise MissingError(
                f"no server answers at {settings.base_url} ({what_it_said(error)}). Start it, or name another: "
                f"--model-args base_url=http://HOST:PORT/v1 (this one: {host})"
            ) from error
        return {}
    except (openai.OpenAIError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=4)
def _client(settings: ApiSettings, secret: str) -> Any:
    """One that stays open: long prompts are counted one by one."""
    del secret  # another key, another client
    client = open_client(settings, blocking=True)
    atexit.register(client.close)
    return client


def _text(value: object) -> str:
    return without_key(value)[:200] if isinstance(value, str) else ""
