from __future__ import annotations

import socket
import time

import pytest

from capeval import hub


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub._listens.cache_clear()


def test_an_endpoint_that_listens_and_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
        assert hub.hub_answers()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert hub.hub_offline() and not hub.hub_answers()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hub._listens.cache_clear()
    started = time.monotonic()
    assert not hub.hub_answers() and time.monotonic() - started < 5


def test_a_proxy_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert not hub.hub_answers()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert hub.hub_answers()
