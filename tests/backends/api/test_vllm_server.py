"""vLLM's own OpenAI server on a tiny checkpoint, beside backend 'hf': the same texts and log-probabilities."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import pytest

from capeval.backends import Backend, BackendSettings, open_backend
from capeval.core import Reply, Request

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(util.find_spec("vllm") is None, reason="vllm can't be imported in this python"),
]
CPU = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1",
       "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}  # fmt: skip
_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture(scope="module")
def checkpoint(wide_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads of 32, because vLLM's CPU build knows no smaller ones, and a chat template."""
    folder = tmp_path_factory.mktemp("served") / "wide"
    shutil.copytree(wide_checkpoint, folder)
    (folder / "chat_template.jinja").write_text(_TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def url(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log"
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), "--port", str(port),
        "--served-model-name", "tiny", "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager",
        "--kv-cache-memory-bytes", str(64 * 2**20), "--max-model-len", "512", "--block-size", "32",
    ]  # fmt: skip
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | CPU)
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(20)


def api(url: str, **options: str) -> Backend:
    return open_backend("api", "tiny", BackendSettings(options={"base_url": url, **options}))


def replies(backend: Backend, requests: list[Request]) -> list[Reply]:
    found = dict(pair for batch in getattr(backend, requests[0].kind)(requests) for pair in batch)
    return [found[i] for i in range(len(requests))]


@pytest.fixture(scope="module")
def hf(checkpoint: Path) -> Backend:
    return open_backend("hf", str(checkpoint), BackendSettings(dtype="float32", device="cpu"))


@pytest.mark.parametrize("tokens", [True, False], ids=["token ids", "text"])
def test_texts(url: str, checkpoint: Path, hf: Backend, tokens: bool) -> None:
    generation = {"do_sample": False, "max_gen_toks": 16, "until": ["\n\n"]}
    asked = [Request(kind="generate", text=f"Question: What is {a} plus {b}?\nAnswer:", generation=generation)
             for a in range(5) for b in range(4)]  # fmt: skip
    mine = replies(api(url, **({"tokenizer": str(checkpoint)} if tokens else {})), asked)
    assert [(r.text, r.finish) for r in mine] == [(r.text, r.finish) for r in replies(hf, asked)]


@pytest.mark.parametrize("tokens", [True, False], ids=["token ids", "text"])
def test_choices_of_one_token_and_of_several(url: str, checkpoint: Path, hf: Backend, tokens: bool) -> None:
    prompts = ["The capital of Peru is", "The capital of Italy is ", "Question: What is 1 plus 1?\nAnswer:"]
    choices = [" Lima", " Rome", "R", "x", " 2", "\n"]
    asked = [Request(kind="loglikelihood", text=p, continuation=c) for p in prompts for c in choices]
    one = api(url, **({"tokenizer": str(checkpoint)} if tokens else {}))
    mine, theirs = replies(one, asked), replies(hf, asked)
    assert [r.logprob for r in mine] == pytest.approx([r.logprob for r in theirs], abs=1e-4)
    assert [(r.greedy, r.n_tokens) for r in mine] == [(r.greedy, r.n_tokens) for r in theirs]
    sent = int(one.chosen["sent"].split()[0])
    assert sent < len(asked) if tokens else sent == len(asked) + 1, "choices of one token share a request"


def test_texts_of_several_windows(url: str, checkpoint: Path, hf: Backend) -> None:
    one = api(url, tokenizer=str(checkpoint))
    [short] = [Request(kind="perplexity", text="A week has seven days.")]
    assert replies(one, [short])[0].logprob == pytest.approx(replies(hf, [short])[0].logprob, abs=1e-4)
    [long] = replies(one, [Request(kind="perplexity", text="A week has seven days. " * 80)])
    assert long.n_tokens and long.n_tokens > 512 and long.logprob is not None and long.logprob < 0


def test_what_does_not_fit_is_known_before(url: str, checkpoint: Path) -> None:
    long = Request(kind="generate", text="word " * 600, generation={"max_gen_toks": 100})
    counted = {api(url, **more).overflow(long) for more in ({}, {"tokenizer": str(checkpoint)})}
    assert len(counted) == 1 and min(counted) > 0
    assert api(url, endpoint="chat").overflow(long) > min(counted), "the template's tokens count too"
    [reply] = replies(api(url), [long])
    assert "does not fit" in reply.error


def test_chat_is_what_the_template_makes_of_it(url: str, checkpoint: Path) -> None:
    messages = [{"role": "user", "content": "What is 2 plus 2?"}]
    generation = {"do_sample": False, "max_gen_toks": 8}
    chat, completions = api(url, endpoint="chat"), api(url, tokenizer=str(checkpoint))
    texts = [replies(one, [Request(kind="generate", text=one.chat(messages), generation=generation)])[0].text
             for one in (chat, completions)]  # fmt: skip
    assert texts[0] == texts[1]


def test_a_sampled_answer_is_the_same_again(url: str) -> None:
    generation = {"do_sample": True, "temperature": 1.5, "max_gen_toks": 12}
    asked = [Request(kind="generate", text="Question:", generation=generation, sample=s) for s in range(6)]
    once = [r.text for r in replies(api(url), asked)]
    assert once == [r.text for r in replies(api(url, concurrency="1"), asked)] and len(set(once)) > 3


def test_a_name_that_it_does_not_serve(url: str) -> None:
    from capeval.errors import UsageError

    with pytest.raises(UsageError, match="did you mean 'tiny'"):
        open_backend("api", "tinny", BackendSettings(options={"base_url": url}))
