"""A server that misbehaves in every way that servers do: retried, told, or ended with what to do next."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from capeval import shipped
from capeval.backends import BackendSettings, open_backend
from capeval.backends.api import client as wire
from capeval.core import Reply, Request
from capeval.errors import EngineError, MissingError, UsageError
from tests.backends.api.servers import Handler, Server, said, serving, well

KEY = "sk-very-secret-0123456789"
PROMPTS = [f"Question {i}?" for i in range(12)]
SUITE = f"""
name: two
title: two tasks whose answers are generated
tasks:
  - name: arithmetic
    capability: arithmetic
    metric: exact_match
    source: s
    licence: Apache-2.0
    scorer: s
    sources: [{{path: {shipped.folder("tasks") / "smoke/arithmetic.yaml"}, setting: few-shot, filter: first-number}}]
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_FIRST_WAIT", 0.01)
    monkeypatch.setenv("CAPEVAL_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def backend(server: Server, **options: object):
    given = {"base_url": server.url, "concurrency": 4, "retries": 3, "timeout": 5, **options}
    return open_backend("api", "m", BackendSettings(options={k: str(v) for k, v in given.items()}))


def requests(texts: list[str] = PROMPTS, **generation: Any) -> list[Request]:
    settings = {"do_sample": False, "max_gen_toks": 8, **generation}
    return [Request(kind="generate", text=text, generation=settings) for text in texts]


def answered(server: Server, asked: list[Request] | None = None, **options: object) -> dict[int, Reply]:
    one = backend(server, **options)
    return {i: reply for batch in one.generate(asked or requests()) for i, reply in batch}


def first(times: int, fail):
    """Fail so often in all, then answer well."""
    left = [times]

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        with handler.server.lock:
            left[0] -= 1
            bad = left[0] >= 0
        fail(handler) if bad else well(handler, body)

    return answer


def slow(handler: Handler) -> None:
    time.sleep(0.6)
    handler.cut()


def trickle(handler: Handler) -> None:
    """A byte now and then: no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(12):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)
    handler.cut()


def logprobs_of(value: Any) -> dict[str, Any]:
    answer = said("x", "length")
    answer["choices"][0]["logprobs"] = {"tokens": ["a"] * 9, "token_logprobs": [value] * 9,
                                        "top_logprobs": [{"a": -1.0}] * 9}  # fmt: skip
    return answer


FAILURES = {
    "429": lambda h: h.json(429, {"error": {"message": "slow down"}}),
    "500": lambda h: h.json(500, {"error": {"message": "oops"}}),
    "503 in HTML": lambda h: h.raw(503, b"<html>down</html>"),
    "cut": lambda h: h.cut(),
    "half a body": lambda h: (h.raw(200, b'{"choices": [{"te', length=400), h.cut()),
    "no JSON": lambda h: h.raw(200, b"\xff\xfe garbage {"),
    "deep JSON": lambda h: h.raw(200, b"[" * 100_000),
    "a list": lambda h: h.json(200, []),
    "an error with 200": lambda h: h.json(200, {"error": {"message": "overloaded"}}),
    "no choices": lambda h: h.json(200, {"choices": []}),
    "null text": lambda h: h.json(200, said(None)),
    "text that is a number": lambda h: h.json(200, said(7)),
    "no finish": lambda h: h.json(200, said("x", None)),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_what_passes_is_asked_again(fail) -> None:
    with serving(first(3, fail)) as server:
        one = backend(server)
        found = {i: r for batch in one.generate(requests()) for i, r in batch}
    assert {i: r.text for i, r in found.items()} == {i: f" {p[-4:]}" for i, p in enumerate(PROMPTS)}
    assert one.chosen["sent"].endswith("3 retries") and server.most <= 4


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_what_stays_ends_the_run_after_all_that_was_answered(fail) -> None:
    def answer(handler: Handler, body: dict[str, Any]) -> None:
        fail(handler) if body["prompt"] == PROMPTS[5] else well(handler, body)

    found: dict[int, Reply] = {}
    with serving(answer) as server, pytest.raises(EngineError, match="sent 3 times.*the same command goes on") as why:
        for batch in backend(server, retries=2).generate(requests()):
            found |= dict(batch)
    assert set(range(5)) <= found.keys() and 5 not in found
    assert KEY not in str(why.value) and "<html>" not in repr(found)


@pytest.mark.parametrize("fail", [slow, trickle])
def test_a_server_that_is_too_slow(fail) -> None:
    with serving(first(1, fail)) as server:
        assert len(answered(server, timeout=0.3)) == 12
    with serving(lambda h, body: fail(h)) as server, pytest.raises(EngineError, match="not answer in time"):
        answered(server, requests(["x"]), timeout=0.2, retries=0)


def test_retry_after_is_honoured_and_slows_all() -> None:
    def busy(handler: Handler) -> None:
        handler.json(429, {"error": {"message": "slow"}}, Retry_After="0.5")

    with serving(first(1, busy)) as server:
        assert len(answered(server, requests([f"Q{i}" for i in range(30)]), concurrency=2)) == 30
    times = [when for when, *_ in server.asked]
    assert max(b - a for a, b in itertools.pairwise(times)) >= 0.45


@pytest.mark.parametrize("after", ["soon", "-5", "nan", "", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_retry_after_that_means_nothing_is_not_believed(after: str) -> None:
    with serving(first(1, lambda h: h.json(429, {}, Retry_After=after))) as server:
        assert len(answered(server)) == 12


def test_a_server_that_wants_hours_ends_the_run_at_once() -> None:
    busy = serving(lambda h, body: h.json(429, {}, Retry_After="7200"))
    with busy as server, pytest.raises(EngineError, match="asked again in 7,200 seconds"):
        answered(server)


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "does not let us in"), (403, "does not let us in"), (404, "has no model 'm'"), (400, "refuses the request")],
)
def test_what_no_retry_mends_is_told_at_once(status: int, message: str) -> None:
    def answer(handler: Handler, body: dict[str, Any]) -> None:
        handler.json(status, {"error": {"message": f"bad {handler.headers['Authorization']}"}})

    with serving(answer) as server, pytest.raises(UsageError, match=message) as why:
        answered(server)
    assert len(server.asked) <= 4 and KEY not in str(why.value)


def test_a_prompt_that_is_too_long_is_that_requests_error() -> None:
    said_so = {"error": {"message": "This model's maximum context length is 8 tokens.", "code": 400}}

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        handler.json(400, said_so) if body["prompt"] == PROMPTS[3] else well(handler, body)

    with serving(answer) as server:
        found = answered(server)
    assert "does not fit" in found[3].error and found[3].text is None
    assert not any(reply.error for i, reply in found.items() if i != 3)


def test_why_an_answer_ended_is_kept() -> None:
    finishes = {"a": ("length", "x"), "b": ("content_filter", None), "c": ("stop", "y"), "d": ("length", None)}

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        finish, text = finishes[body["prompt"]]
        handler.json(200, said(text, finish))

    with serving(answer) as server:
        found = answered(server, requests(list(finishes)))
    assert [(r.finish, r.text) for _, r in sorted(found.items())] == [
        ("length", "x"), ("content_filter", ""), ("stop", "y"), ("length", "")]  # fmt: skip


def test_hostile_text_is_only_text() -> None:
    text = "\x1b[2J</script>\x00\ud800 {{7*7}} " + KEY
    with serving(lambda h, body: h.json(200, said(text))) as server:
        [reply] = answered(server, requests(["x"])).values()
    assert reply.text == text.replace(KEY, "<key>")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 5.0, "high", True, None])
def test_log_probabilities_that_are_none(value: Any) -> None:
    asked = [Request(kind="loglikelihood", text="aaa", continuation="a")]

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        handler.json(200, logprobs_of(-1.0 if body["prompt"].startswith("One two") else value))

    with serving(answer) as server, pytest.raises((EngineError, UsageError), match="used|BOS"):
        list(backend(server, retries=1).loglikelihood(asked))


def test_a_server_without_log_probabilities_of_the_prompt() -> None:
    asked = [Request(kind="loglikelihood", text="a", continuation=" b")] * 50
    for answer in (lambda h, b: h.json(200, said("x")), lambda h, b: h.json(400, {"error": "echo is not supported"})):
        with serving(answer) as server, pytest.raises(UsageError, match="does not return the log-prob.*vllm serve"):
            list(backend(server).loglikelihood(asked))
        assert len(server.asked) == 1, "it is found out once, before the work"


def test_a_token_across_the_border_is_refused() -> None:
    answer = logprobs_of(-1.0)
    answer["choices"][0]["logprobs"]["tokens"] = ["a", "a", "a", "aa", "aa", "x", "x", "x", "x"]
    asked = [Request(kind="loglikelihood", text="aaaa", continuation="aaa")]
    with serving(lambda h, body: h.json(200, answer)) as server, pytest.raises(UsageError, match="tokenizer=FOLDER"):
        list(backend(server).loglikelihood(asked))


def test_nobody_there() -> None:
    with pytest.raises(MissingError, match="no server answers at"):
        open_backend("api", "m", BackendSettings(options={"base_url": "http://127.0.0.1:9/v1"}))


def test_limits_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    from capeval.backends.api import pace

    monkeypatch.setattr(pace, "_MINUTE", 0.4)
    with serving(well) as server:
        assert len(answered(server, requests_per_minute=5)) == 12
    times = sorted(when for when, *_ in server.asked)
    assert times[5] - times[0] >= 0.35 and times[10] - times[5] >= 0.35


def test_sampled_requests_bring_seeds_of_their_own() -> None:
    asked = [Request(kind="generate", text=t, sample=s, seed=1, generation={"do_sample": True, "temperature": 0.7})
             for t in "ab" for s in range(3)]  # fmt: skip
    with serving(well) as server:
        answered(server, asked)
        bodies = [body for *_, body in server.asked]
        assert len({b["seed"] for b in bodies}) == 6 and all(0 <= b["seed"] < 2**31 for b in bodies)
        assert {b["temperature"] for b in bodies} == {0.7}
        server.asked.clear()
        answered(server, asked, seeds="false")
        assert all("seed" not in body for *_, body in server.asked)


def test_four_stop_strings_are_sent_and_all_cut() -> None:
    with serving(lambda h, body: h.json(200, said("one two six seven", "length"))) as server:
        [reply] = answered(server, requests(["x"], until=["a1", "b1", "c1", "d1", " six"])).values()
        assert server.asked[0][2]["stop"] == ["a1", "b1", "c1", "d1"]
    assert (reply.text, reply.finish) == ("one two", "stop")


def test_costs_and_systems_are_told() -> None:
    with serving(lambda h, body: h.json(200, said("x", system_fingerprint=f"fp{body['prompt'][-2]}"))) as server:
        one = backend(server, price_in=2, price_out=10)
        list(one.generate(requests(PROMPTS[:2])))
    assert one.chosen["tokens"] == "10 of prompts, 4 of answers" and one.chosen["cost"].startswith("0.0001 at 2 and 10")
    assert "it changed during the run" in one.chosen["system"]


def test_leaving_early_cancels_what_is_in_flight() -> None:
    def answer(handler: Handler, body: dict[str, Any]) -> None:
        if body["prompt"] != PROMPTS[0]:
            time.sleep(2)
        well(handler, body)

    with serving(answer) as server:
        began = time.monotonic()
        batches = backend(server, timeout=30).generate(requests())
        next(batches)
        batches.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 1.5


def test_ctrl_c_ends_it_and_the_same_command_goes_on(tmp_path: Path) -> None:
    hold = [True]

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        if hold[0] and len(server.asked) > 4:
            time.sleep(3)
        well(handler, body)

    suite, out = tmp_path / "suite.yaml", tmp_path / "r"
    suite.write_text(SUITE)
    with serving(answer) as server:
        options = f"base_url={server.url},concurrency=2"
        command = [sys.executable, "-m", "capeval", "run", "--backend", "api", "--model", "m", "--suite", str(suite),
                   "--limit", "10", "--model-args", options, "--out", str(out)]  # fmt: skip
        child = subprocess.Popen(
            # a shell's background job hands on that SIGINT is ignored
            command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while len(server.asked) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
        assert child.returncode != 0 and "Traceback" not in errors
        hold[0], before = False, len(server.asked)
        assert subprocess.run(command, capture_output=True).returncode == 0
        assert len(server.asked) - before <= 8, "what was answered is not asked again"
    everything = b"".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
    assert everything and KEY.encode() not in everything
