"""What one engine alone understands (`--model-args`), read into its own typed settings.

>>> @dataclass(frozen=True)
... class Settings:
...     max_model_len: int = 0
>>> read_options(Settings, {"max_model_len": "2048"}, "vllm")
Settings(max_model_len=2048)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_type_hints

from capeval.errors import UsageError, not_among

_Settings = TypeVar("_Settings")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Of an engine that has none of its own."""


def read_options(settings: type[_Settings], given: Mapping[str, str], backend: str) -> _Settings:
    """Options as a user writes them, as a dataclass of an engine's settings.

    Args:
        settings: A dataclass whose fields are str, int, float or bool, all with defaults.
        given: Name → text.
        backend: Its name, for messages.

    Raises:
        UsageError: an option that the engine does not have, or a text that is no value of its type.
    """
    kinds = get_type_hints(settings)
    names = [field.name for field in fields(settings)]  # type: ignore[arg-type]
    read: dict[str, Any] = {}
    for name, text in given.items():
        if not names:
            raise UsageError(f"backend '{backend}' has no options of its own: leave --model-args {name}=… out")
        if name not in names:
            raise UsageError(f"--model-args of backend '{backend}': {not_among('option', name, names)}")
        try:
            read[name] = _BOOLEANS[text.lower()] if kinds[name] is bool else kinds[name](text)
        except (ValueError, KeyError) as error:
            kind = {bool: "true or false", int: "a whole number", float: "a number"}[kinds[name]]
            raise UsageError(f"--model-args {name}={text}: it must be {kind}") from error
    return settings(**read)
