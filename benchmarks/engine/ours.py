"""capeval's `hf` backend on one workload: `python -m benchmarks.engine.ours JOB.json OUT.json`.

Measured is what a run does between having its requests and having their replies: tokenising, batching, the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.side import Clock, Job, by_kind, main, peak_mb, read_requests, wait_for, warm_up_for
from capeval.__main__ import look_less_for_garbage
from capeval.backends import Backend, BackendSettings, open_backend
from capeval.core import Reply, Request


def measure(job: Job) -> dict[str, Any]:
    """Times (seconds), memory (MB), the tokens that the engine says it forwarded, and each reply."""
    look_less_for_garbage()  # as the command does
    requests = read_requests(Path(job.requests))
    loading, working = Clock(), Clock()
    with loading:
        backend = open_backend("hf", job.checkpoint, BackendSettings(device=job.device, dtype=job.dtype))
        answers(backend, warm_up_for(requests))
        wait_for(job.device)
    loaded, before = peak_mb(job.device), counts_of(backend)
    with working:
        replies = answers(backend, requests)
        wait_for(job.device)
    counts = {name: number - before.get(name, 0) for name, number in counts_of(backend).items()}
    return {
        **working.told(), "load_seconds": round(loading.seconds, 3), "loaded_mb": loaded,
        "peak_mb": peak_mb(job.device), "counts": counts,
        "replies": [
            {"text": r.text, "logprob": r.logprob, "greedy": r.greedy, "n_tokens": r.n_tokens, "cut": r.cut,
             "error": r.error}
            for r in replies
        ],
    }  # fmt: skip


def answers(backend: Backend, requests: Sequence[Request]) -> list[Reply]:
    """The replies in the order of the requests."""
    replies: list[Reply | None] = [None] * len(requests)
    for kind, positions in by_kind(requests).items():
        for batch in getattr(backend, kind)([requests[i] for i in positions]):
            for position, reply in batch:
                replies[positions[position]] = reply
    return [reply or Reply(error="no reply") for reply in replies]


def counts_of(backend: Backend) -> dict[str, int]:
    """Tokens so far, as far as the engine counts them: forwarded, distinct."""
    return dict(getattr(backend, "counts", dict)())


if __name__ == "__main__":
    main(measure)
