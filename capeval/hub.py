"""Whether the Hugging Face hub can be asked at all, found out in seconds instead of after a minute of retries.

`python -c "from capeval.hub import hub_answers; print(hub_answers())"`
"""

from __future__ import annotations

import os
import socket
import urllib.request
from functools import cache
from urllib.parse import urlsplit

_TRUE = {"1", "true", "yes", "on"}
_WAIT_SECONDS = 3.0


def hub_offline() -> bool:
    """Whether the user forbade the hub (HF_HUB_OFFLINE=1)."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in _TRUE


def hub_answers() -> bool:
    """Whether the hub (HF_ENDPOINT) may be asked and something listens there; a proxy, when one is set, is trusted."""
    if hub_offline():
        return False
    from huggingface_hub.constants import ENDPOINT

    parts = urlsplit(ENDPOINT)
    if parts.scheme in urllib.request.getproxies():
        return True
    return _listens(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


@cache
def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_WAIT_SECONDS):
            return True
    except OSError:
        return False
