"""Messages as the text of a request, and back: RS (U+001E, as RFC 7464 begins a JSON text) and canonical JSON.

>>> read_messages(write_messages([{"role": "user", "content": "1+1?"}]))
[{'role': 'user', 'content': '1+1?'}]
>>> read_messages("plain text")
[{'role': 'user', 'content': 'plain text'}]
"""

from __future__ import annotations

import json
from collections.abc import Sequence

Message = dict[str, str]
_MARK = "\x1e"


def write_messages(messages: Sequence[Message]) -> str:
    """One text for them, the same for the same messages."""
    plain = [{"role": str(m["role"]), "content": str(m["content"])} for m in messages]
    return _MARK + json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def read_messages(text: str) -> list[Message]:
    """What `write_messages` wrote; any other text is one user message."""
    if text.startswith(_MARK):
        try:
            found = json.loads(text[len(_MARK) :])
        except ValueError:
            found = None
        if isinstance(found, list) and all(isinstance(m, dict) and m.keys() == {"role", "content"} for m in found):
            return [{"role": m["role"], "content": m["content"]} for m in found]
    return [{"role": "user", "content": text}]


def continued(messages: Sequence[Message]) -> bool:
    """Whether the last message is the beginning of the answer (lm-eval's `gen_prefix`)."""
    return bool(messages) and messages[-1]["role"] == "assistant"
