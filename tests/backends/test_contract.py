"""What every backend promises, whatever is behind it."""

from __future__ import annotations

import pytest

from capeval.backends import BACKENDS, Backend, BackendSettings, open_backend
from capeval.core import Reply, Request
from capeval.errors import UsageError

ENGINES = {
    "api": ["served_checkpoint"],
    "scripted": ["parrot"],
    "hf": ["tiny_checkpoint", "t5_checkpoint", "bart_checkpoint"],
    "vllm": ["wide_checkpoint"],
}


def _params() -> list[object]:
    marks = {"vllm": (pytest.mark.vllm,)}
    return [
        pytest.param((name, model), marks=marks.get(name, ()), id=f"{name} {model}")
        for name in sorted(BACKENDS)
        for model in ENGINES[name]
    ]


@pytest.fixture(params=_params())
def backend(request: pytest.FixtureRequest) -> Backend:
    name, model = request.param
    if model == "served_checkpoint":
        return open_backend(name, "m", BackendSettings(options=request.getfixturevalue(model)))
    model = str(request.getfixturevalue(model)) if model.endswith("_checkpoint") else model
    return open_backend(name, model, BackendSettings(batch_tokens=400))


def replies(backend: Backend, requests: list[Request]) -> list[Reply]:
    found = dict(pair for batch in getattr(backend, requests[0].kind)(requests) for pair in batch)
    assert sorted(found) == list(range(len(requests))), "every request is answered exactly once"
    return [found[i] for i in range(len(requests))]


def generate(text: str, **generation) -> Request:
    return Request(kind="generate", text=text, generation={"do_sample": False, "max_gen_toks": 6, **generation})


def test_generation(backend: Backend) -> None:
    prompts = [f"Question: What is {a} plus 1?\nAnswer:" for a in range(12)]
    for reply in replies(backend, [generate(p) for p in prompts]):
        assert reply.text is not None and reply.logprob is None and not reply.error
        assert reply.finish in ("stop", "length") and reply.n_tokens is not None and reply.n_tokens <= 6


def test_answers_end_before_the_first_stop_string(backend: Backend) -> None:
    free = replies(backend, [generate("The capital of Peru is", max_gen_toks=12)])[0].text
    assert free
    stop = free[len(free) // 2]
    [reply] = replies(backend, [generate("The capital of Peru is", max_gen_toks=12, until=[stop])])
    assert reply.text == free.split(stop)[0] and reply.finish == "stop"


def test_stop_strings_do_not_fire_inside_the_prompt(backend: Backend) -> None:
    prompt = "Word: hot\nOpposite: cold\n\nWord: big\nOpposite:"
    plain, stopped = replies(backend, [generate(prompt), generate(prompt, until=["Word: hot", "Opposite: cold"])])
    assert plain.text == stopped.text


def test_scores(backend: Backend) -> None:
    choices = [" Lima", " Oslo", " Rome"]
    pairs = [Request(kind="loglikelihood", text="The capital of Peru is", continuation=c) for c in choices]
    for reply in replies(backend, pairs):
        assert reply.logprob is not None and reply.logprob <= 0 and reply.greedy is not None and reply.text is None


def test_perplexity_or_the_reason_why_not(backend: Backend) -> None:
    request = Request(kind="perplexity", text="A week has seven days.")
    if why := backend.refuses.get("perplexity"):
        with pytest.raises(UsageError, match=why[:30]):
            list(backend.perplexity([request]))
        return
    [text] = replies(backend, [request])
    assert text.logprob is not None and text.logprob < 0


def test_what_is_known_is_not_asked_and_changes_nothing(backend: Backend) -> None:
    requests = [generate(f"Question: What is {a} plus {b}?\nAnswer:") for a in range(4) for b in range(4)]
    batches = [dict(batch) for batch in backend.generate(requests)]
    known = frozenset(batches[0]) if len(batches) > 1 else frozenset({0, 5})
    rest = {position: reply for batch in backend.generate(requests, known) for position, reply in batch}
    everything = {position: reply for batch in batches for position, reply in batch.items()}
    assert rest == {position: reply for position, reply in everything.items() if position not in known}
    assert [list(batch) for batch in backend.generate(requests, frozenset(range(16)))] == []


def test_order_and_company_do_not_matter(backend: Backend) -> None:
    texts = ["A week has seven days.", "Rain.", "Every evening the fishermen come back to the harbour." * 3]
    if "perplexity" in backend.refuses:
        requests = [Request(kind="loglikelihood", text=t, continuation=" Rain.") for t in texts]
    else:
        requests = [Request(kind="perplexity", text=t) for t in texts]
    alone = [replies(backend, [r])[0].logprob for r in requests]
    together = [r.logprob for r in replies(backend, requests[::-1])][::-1]
    assert together == pytest.approx(alone, rel=1e-5)


def test_nothing_asked_nothing_said(backend: Backend) -> None:
    assert [*backend.generate([]), *backend.loglikelihood([])] == []
    assert "perplexity" in backend.refuses or list(backend.perplexity([])) == []


def test_names_what_decides_its_answers(backend: Backend) -> None:
    assert len(backend.digest) == 16 and backend.uri
    assert backend.numerics["backend"] in BACKENDS and all(isinstance(v, str) for v in backend.numerics.values())
