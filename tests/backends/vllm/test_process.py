"""An engine that dies or hangs: what was answered stays, the rest is asked again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capeval.backends import Backend, BackendSettings, open_backend
from capeval.backends.vllm import warm
from capeval.backends.vllm.child import Child, WrongScoresError
from capeval.backends.vllm.messages import Load, Question
from capeval.backends.vllm.process import Died, Process, Refused
from capeval.backends.vllm.settings import gpu_of
from capeval.errors import EngineError, UsageError
from tests.backends.test_contract import replies
from tests.backends.vllm.test_equal import scores, texts


def backend_of(folder: Path, **options: str) -> Backend:
    return open_backend("vllm", str(folder), BackendSettings(options=options))


def test_a_process_that_can_not_begin_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'a library is missing' >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(Died, match=r"(?s)ended with code 3.*a library is missing"):
        Process(Load({}), {})


@pytest.mark.vllm
@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
def test_what_a_dead_engine_did_not_answer_a_fresh_one_is_asked(
    siblings: dict[str, list[Path]], harm: signal.Signals, cold: None
) -> None:
    backend = backend_of(siblings["tied"][0], patience="4", max_num_seqs="4")
    requests = texts(60, max_gen_toks=100, until=[])
    expected = replies(open_backend("hf", str(siblings["tied"][0]), BackendSettings()), requests)
    backend.load()
    pid = warm._WARM[0].process.pid
    found = {}
    for number, batch in enumerate(backend.generate(requests)):
        found |= dict(batch)
        if number == 2:
            os.kill(pid, harm)
    assert [found[i] for i in range(60)] == expected
    assert warm.HISTORY.starts == 2 and warm.HISTORY.died == 1
    assert any("started again" in note for note in warm.HISTORY.notes)


@pytest.mark.vllm
def test_after_three_deaths_it_gives_up_and_keeps_what_there_is(siblings: dict[str, list[Path]], cold: None) -> None:
    backend = backend_of(siblings["tied"][0], max_num_seqs="2")
    requests = texts(200, max_gen_toks=100, until=[])
    found = {}
    with pytest.raises(EngineError, match="failed 3 times.*the same command goes on"):
        for batch in backend.generate(requests):
            found |= dict(batch)
            os.kill(warm._WARM[0].process.pid, signal.SIGKILL)
    assert 0 < len(found) < 200


@pytest.mark.vllm
def test_nothing_runs_on_when_nobody_listens(siblings: dict[str, list[Path]], cold: None) -> None:
    backend = backend_of(siblings["tied"][0], max_num_seqs="2")
    answers = backend.generate(texts(200, max_gen_toks=100, until=[]))
    next(answers)
    pid = warm._WARM[0].process.pid
    answers.close()
    assert not _alive(pid)
    assert replies(backend, scores(1))


@pytest.mark.vllm
def test_the_engine_ends_with_its_parent(siblings: dict[str, list[Path]]) -> None:
    program = (
        "import sys, time; from capeval.backends import open_backend, BackendSettings; "
        "from capeval.backends.vllm import warm; b = open_backend('vllm', sys.argv[1], BackendSettings()); b.load(); "
        "print(warm._WARM[0].process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(siblings["tied"][0])], stdout=subprocess.PIPE)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _until(lambda: not _alive(pid))


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scoring": "stepps"}, "did you mean 'steps'"),
        ({"gpu_memory_utilization": "90"}, "share of the memory"),
        ({"tensor_parallel_size": "0"}, "must be above 0"),
        ({"kv_cache_memory_bytes": "-5"}, "must not be negative"),
        ({"max_modellen": "5"}, "did you mean 'max_model_len'"),
        ({"max_model_len": "1"}, "can read 2 to 256 tokens"),
        ({"max_model_len": "99999"}, "can read 2 to 256 tokens"),
    ],
)
def test_options_that_can_not_be(siblings: dict[str, list[Path]], options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replies(backend_of(siblings["tied"][0], **options), scores(1))


@pytest.mark.vllm
def test_memory_that_does_not_do(siblings: dict[str, list[Path]], cold: None) -> None:
    with pytest.raises(EngineError, match=r"does not fit.*max_model_len"):
        replies(backend_of(siblings["tied"][0], kv_cache_memory_bytes="4096"), scores(1))


def test_devices_are_those_that_this_process_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert gpu_of("cuda:1") == "5"
    for device, message in (("cuda:2", "shows 2"), ("cuda:x", "is no device"), ("tpu", "is no device")):
        with pytest.raises(UsageError, match=message):
            gpu_of(device)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpu_of("cuda:1") == "1"


@pytest.mark.parametrize(("wrong", "told"), [((-2.0, False), "forced"), ((-1.0, True), "forced")])
def test_a_score_that_differs_from_its_full_evaluation_stops_all(wrong: tuple[float, bool], told: str) -> None:
    """Planted: the way gives the right score while the cache is cold, and another one from it."""
    one = Child(None)  # type: ignore[arg-type]
    one._way, one._dtype, asked = "forced", "float32", []

    def scores_of(questions: list[Question], way: str) -> list[tuple[tuple[float, bool], ...]]:
        asked.append(way)
        return [(wrong if asked.count("forced") == 2 and way == "forced" else (-1.0, False),) for _ in questions]

    one._scores = scores_of  # type: ignore[method-assign, assignment]
    with pytest.raises(WrongScoresError, match=told):
        one._score([Question((1, 2), ((3, 4),))])


def test_a_strangers_modules_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder may be a checkpoint that brings a torch.py."""
    (tmp_path / "pickle.py").write_text("raise SystemExit('a stranger runs here')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises((Died, Refused)) as ended:
        Process(Load({"model": "nothing"}), {})
    assert "stranger" not in str(ended.value)


@pytest.mark.vllm
def test_encoder_decoders_and_gpus_are_refused(t5_checkpoint: Path, siblings: dict[str, list[Path]]) -> None:
    with pytest.raises(UsageError, match="encoder-decoder, which vLLM does not run"):
        backend_of(t5_checkpoint)
    with pytest.raises(UsageError, match="built for CPUs"):
        open_backend("vllm", str(siblings["tied"][0]), BackendSettings(device="cuda"))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def _until(true: Callable[[], bool], seconds: float = 30) -> None:
    ended = threading.Event()
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds
        ended.wait(0.1)
