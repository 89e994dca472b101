from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from capeval.backends import BackendSettings, open_backend
from capeval.backends.api.messages import read_messages, write_messages
from capeval.backends.api.settings import settings_of
from capeval.core import Request
from capeval.errors import UsageError
from tests.backends.api.servers import Handler, said, serving, well
from tests.backends.api.test_failures import KEY, SUITE

URL = {"base_url": "http://127.0.0.1:1/v1"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAPEVAL_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs a server"),
        ({"base_url": "127.0.0.1:8000"}, "must begin with http"),
        ({"base_url": "http://[::1"}, "no URL"),
        ({"base_url": "http://h:port/v1"}, "no URL"),
        ({**URL, "endpoint": "responses"}, "completions or chat"),
        ({**URL, "concurrency": "0"}, "must be 1 or more"),
        ({**URL, "timeout": "nan"}, "must be 0.1 or more"),
        ({**URL, "retries": "-1"}, "must be 0 or more"),
        ({**URL, "limit_field": "n"}, "max_completion_tokens"),
        ({**URL, "concurency": "5"}, "did you mean 'concurrency'"),
    ],
)
def test_wrong_values(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_of(given)


@pytest.mark.parametrize(
    "given",
    [
        {**URL, "api_key": KEY},
        {**URL, "openai_apikey": KEY},
        {"base_url": f"http://user:{KEY}@host/v1"},
        {"base_url": f"http://host/v1?api-key={KEY}"},
    ],
)
def test_keys_come_from_the_environment_alone(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="CAPEVAL_API_KEY, else OPENAI_API_KEY") as why:
        settings_of(given)
    assert KEY not in str(why.value)


def test_the_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1/")
    assert settings_of({}).base_url == "http://elsewhere/v1" and settings_of(URL).base_url == URL["base_url"]


def test_capevals_key_goes_before_openais(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "other-key-0123456789")
    monkeypatch.setenv("CAPEVAL_API_KEY", KEY)
    heard = set()

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        heard.add(handler.headers["Authorization"])
        well(handler, body)

    with serving(answer) as server:
        backend = open_backend("api", "m", BackendSettings(options={"base_url": server.url}))
        list(backend.generate([Request(kind="generate", text="x")]))
    assert heard == {f"Bearer {KEY}"}


@pytest.mark.parametrize("wrong", ["sk-\u00e9t\u00e9-secret", "sk-one\nX-Other: secret"])
def test_a_key_that_is_none(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("CAPEVAL_API_KEY", wrong)
    with pytest.raises(UsageError, match="characters that no key has") as why:
        open_backend("api", "m", BackendSettings(options=URL))
    assert "secret" not in str(why.value)


def test_a_server_that_repeats_the_key_does_not_get_it_written(
    capeval, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPEVAL_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        told = handler.headers["Authorization"]
        bad = "echo" in body
        handler.json(400 if bad else 200, {"error": {"message": told}} if bad else said(told, system_fingerprint=told))

    asking = ("run", "--backend", "api", "--model", "m", "--suite")
    with serving(answer) as server:
        code, out, err = capeval(*asking, "smoke", "--model-args", f"base_url={server.url},max_model_len=9")
        assert code == 2 and KEY not in out + err
        Path("answers.yaml").write_text(SUITE)
        code, out, err = capeval(*asking, "answers.yaml", "--limit", 2, "--model-args", f"base_url={server.url}")
        assert KEY not in out + err and code == 0 and "sent " in out
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "manifest.json" for path in written)
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_messages_travel_as_text() -> None:
    messages = [{"role": "system", "content": "\x1e[]\u2028"}, {"role": "user", "content": 'a "b" \ud800'}]
    assert read_messages(write_messages(messages)) == messages
    for plain in ("hello", "\x1e", '\x1e[{"role": 1}]', '\x1e{"a": [}'):
        assert read_messages(plain) == [{"role": "user", "content": plain}]


def test_chat(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2?"},
    ]
    with serving(well) as server:
        options = {"base_url": server.url, "endpoint": "chat", "limit_field": "max_completion_tokens"}
        backend = open_backend("api", "m", BackendSettings(options=options))
        texts = [backend.chat(turns), "plain"]
        list(backend.generate([Request(kind="generate", text=t, generation={"max_gen_toks": 9}) for t in texts]))
        sent = {json.dumps(body["messages"]) for *_, body in server.asked}
        assert sent == {json.dumps(turns), json.dumps([{"role": "user", "content": "plain"}])}
        assert {body["max_completion_tokens"] for *_, body in server.asked} == {9}
        assert [p.text for p in backend.pieces(texts[0])] == ["user", "1+1?", "assistant", "2", "user", "2?"]
        with pytest.raises(UsageError, match="gen_prefix"):
            backend.chat([turns[0], {"role": "assistant", "content": "The answer is"}], add_generation_prompt=False)
        assert {"loglikelihood", "perplexity"} == backend.refuses.keys()
        completions = open_backend("api", "m", BackendSettings(options={"base_url": server.url}))
        with pytest.raises(UsageError, match="endpoint=chat, or give the model's tokenizer"):
            completions.chat_template()
        with pytest.raises(UsageError, match="did you mean 'temperature'"):
            list(backend.generate([Request(kind="generate", text="x", generation={"temprature": 1})]))


def test_whose_answers_they_are_is_in_the_digest() -> None:
    with serving(well) as one, serving(well) as other:

        def of(url: str, model: str) -> str:
            return open_backend("api", model, BackendSettings(options={"base_url": url})).digest

        assert len({of(one.url, "m"), of(other.url, "m"), of(one.url, "n"), of(one.url, "m")}) == 3
