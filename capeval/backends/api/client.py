"""One request to a server, until it is answered: retries with back-off, `Retry-After`, errors with the next step.

The `openai` client carries the request (key, connections, time-outs); it is told not to retry, because here a garbled
answer is asked again too, and one "too many requests" slows all.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, TypeVar

from capeval.backends.api.pace import Pace
from capeval.backends.api.settings import ApiSettings, key, redacted, without_key
from capeval.backends.api.tally import Tally
from capeval.errors import CapevalError, EngineError, UsageError

_T = TypeVar("_T")
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
_PATIENCE = 600.0
"""Seconds: a server that wants a longer pause ends the run."""
_TOO_LONG = re.compile(r"(?i)context.{0,20}(length|size|window)|maximum.{0,20}(length|context|tokens)|too long"
                       r"|exceed_context|longer than the maximum|max_model_len")  # fmt: skip


class GarbledError(Exception):
    """An answer that is none: no JSON, something missing, a wrong type."""


class TooLongError(Exception):
    """The server says that the prompt does not fit into the model's window."""


def open_client(settings: ApiSettings, *, blocking: bool = False) -> Any:
    """The `openai` client; without a key it sends `none`, which servers that want no key ignore."""
    import openai

    kind = openai.OpenAI if blocking else openai.AsyncOpenAI
    return kind(base_url=settings.base_url, api_key=key() or "none", timeout=settings.timeout, max_retries=0)


@dataclass(slots=True, kw_only=True)
class Wire:
    """A server that is asked by many at once; lives in one event loop."""

    settings: ApiSettings
    model: str
    client: Any
    pace: Pace
    tally: Tally
    stopping: bool = False
    """One request has failed for good: the others are not asked again."""

    async def ask(self, body: Mapping[str, Any], read: Callable[[dict[str, Any]], _T]) -> _T:
        """Send `body` to the endpoint and read the answer.

        Args:
            body: Without the model's name.
            read: What is wanted of the answer; raises `GarbledError`.

        Raises:
            TooLongError: the prompt does not fit.
            UsageError: a wrong key, model, URL or request.
            EngineError: no usable answer after all retries.
        """
        tokens = len(json.dumps(body)) // 4 + int(body.get(self.settings.limit_field, 0))
        attempt = 0
        while True:
            async with self.pace.turn(tokens) as entry:
                try:
                    async with asyncio.timeout(self.settings.timeout):
                        said = await self._send(body)
                    reply = _parsed(said)
                    entry[1] = float(self.tally.add(reply) or tokens)
                    found = read(reply)
                    self.pace.well()
                    return found
                except (TooLongError, CapevalError):
                    raise
                except Exception as error:  # the client's, its transport's, ours: sorted here
                    wait = self._wait(error, attempt)
            attempt += 1
            self.tally.retries += 1
            await asyncio.sleep(wait)

    async def _send(self, body: Mapping[str, Any]) -> str:
        doors = {"chat": self.client.chat.completions, "completions": self.client.completions}
        part = "messages" if self.settings.endpoint == "chat" else "prompt"
        more = {name: value for name, value in body.items() if name != part}
        door = doors[self.settings.endpoint].with_raw_response
        raw = await door.create(model=self.model, **{part: body[part]}, extra_body=more)
        return without_key(raw.content.decode("utf-8", "replace"))

    def _wait(self, error: Exception, attempt: int) -> float:
        """Seconds until it is worth asking again; raises where it is not."""
        status, asked = _status(error), None
        why = what_it_said(error)
        if status is not None:
            if status < 500 and status not in (408, 409, 425, 429):
                raise refusal(error, status, self.settings, self.model) from error
            asked = retry_after(getattr(error, "response", None))
        if getattr(error, "code", None) == "insufficient_quota":
            raise self._gave_up(why, 1) from error
        if asked is not None and asked > _PATIENCE:
            raise self._gave_up(f"{why}, and that it may be asked again in {asked:,.0f} seconds", 1) from error
        if attempt >= self.settings.retries or self.stopping:
            raise self._gave_up(why, attempt + 1) from error
        wait = float(min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**attempt) * random.uniform(0.5, 1.0))
        wait = wait if asked is None else max(wait / 4, asked)
        if status in (429, 503):
            self.pace.slower(wait)
        return wait

    def _gave_up(self, why: str, times: int) -> EngineError:
        self.stopping = True
        return EngineError(
            f"{self.settings.base_url} gave no answer to a request that was sent {times} times; last: {why}. "
            "All answers until then are in the journal: the same command goes on from here"
        )


def _parsed(text: str) -> dict[str, Any]:
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GarbledError(f"it is no JSON: {text[:80]!r}") from error
    if not isinstance(reply, dict):
        raise GarbledError("it is no JSON object")
    if "choices" not in reply and "error" in reply:
        raise GarbledError(f"it is an error: {json.dumps(reply['error'])[:200]}")
    return reply


def _status(error: Exception) -> int | None:
    found = getattr(error, "status_code", None)
    return found if isinstance(found, int) else None


def what_it_said(error: Exception) -> str:
    """An error in words, without keys."""
    status = _status(error)
    if status is not None:
        return f"it said {status}, {redacted(_message(error)) or 'without a reason'}"
    if isinstance(error, GarbledError):
        return f"its answer can't be used: {redacted(str(error))}"
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "it did not answer in time (--model-args timeout=SECONDS)"
    return f"the connection failed: {redacted(str(error.__cause__ or error)) or type(error).__name__}"


def _message(error: Exception) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        said = inner.get("message", inner) if isinstance(inner, dict) else inner
        return str(said)
    return str(error)


def refusal(error: Exception, status: int, settings: ApiSettings, model: str) -> Exception:
    """What a status below 500 that no retry mends means for the user."""
    said = redacted(_message(error))
    if status in (400, 413, 422) and _TOO_LONG.search(said):
        return TooLongError(said)
    url = settings.base_url
    if status in (401, 403):
        how = "set CAPEVAL_API_KEY or OPENAI_API_KEY" if not key() else "look at the key in the environment"
        return UsageError(f"{url} does not let us in ({status}: {said}); {how}")
    if status in (404, 405):
        other = "chat" if settings.endpoint == "completions" else "completions"
        return UsageError(
            f"{url} has no model '{model}' at the endpoint '{settings.endpoint}' ({status}: {said}); "
            f"`curl {url}/models` lists the models, and --model-args endpoint={other} is the other endpoint"
        )
    return UsageError(f"{url} refuses the request ({status}: {said})")


def retry_after(response: Any) -> float | None:
    """Seconds that a `Retry-After` asks for (RFC 9110, 10.2.3: seconds or a date); None without a sensible one."""
    headers = getattr(response, "headers", {})
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, TypeError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
