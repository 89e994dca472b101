"""lm-eval's `HFLM` on the same workload: `python -m benchmarks.engine.theirs JOB.json OUT.json`.

Its own methods are called with `Instance`s that hold the same texts; nothing of it is changed. A hook counts the tokens
that go into the model, padding included.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.distinct import count
from benchmarks.engine.side import Clock, Job, by_kind, main, peak_mb, read_requests, wait_for, warm_up_for
from capeval.core import Request

_METHODS = {"loglikelihood": "loglikelihood", "perplexity": "loglikelihood_rolling", "generate": "generate_until"}


def measure(job: Job) -> dict[str, Any]:
    """Times (seconds), memory (MB), tokens forwarded and each answer; with several batch sizes the fastest one's.

    `tried` has the seconds of each batch size.
    """
    requests = read_requests(Path(job.requests))
    loading, forwarded = Clock(), [0]
    with loading:
        model = open_model(job, forwarded)
        answers(model, warm_up_for(requests))
        wait_for(job.device)
    loaded = peak_mb(job.device)
    best: dict[str, Any] = {"seconds": float("inf")}
    tried: dict[int, float] = {}
    for batch in job.batches:
        model.batch_size_per_gpu = batch
        before, working = forwarded[0], Clock()
        with working:
            replies = answers(model, requests)
            wait_for(job.device)
        tried[batch] = round(working.seconds, 3)
        if working.seconds < best["seconds"]:
            best = {**working.told(), "forwarded": forwarded[0] - before, "batch": batch, "replies": replies}
        if working.seconds > _HOPELESS * best["seconds"] or batch >= len(requests):
            break
    peak = peak_mb(job.device)
    needed = count(model, requests) if job.count else {}
    return {
        **best, "tried": tried, "load_seconds": round(loading.seconds, 3), "loaded_mb": loaded,
        "peak_mb": peak, "needed": needed,
    }  # fmt: skip


_HOPELESS = 1.3
"""A batch size so many times slower than the best so far ends the search: still larger ones pad still more."""


def open_model(job: Job, forwarded: list[int]) -> Any:
    """lm-eval's model; `forwarded[0]` grows by the tokens of each forward pass."""
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=job.checkpoint, device=job.device, dtype=job.dtype, batch_size=job.batches[0])

    def note(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        forwarded[0] += ids.numel() if ids is not None else 0

    model.model.register_forward_pre_hook(note, with_kwargs=True)
    return model


def answers(model: Any, requests: Sequence[Request]) -> list[Any]:
    """lm-eval's answers in the order of the requests: a text, a log-probability, or both with whether it is greedy."""
    from lm_eval.api.instance import Instance

    found: list[Any] = [None] * len(requests)
    for kind, positions in by_kind(requests).items():
        method = _METHODS[kind]
        instances = [Instance(request_type=method, doc={}, arguments=arguments(requests[i]), idx=i) for i in positions]
        for position, answer in zip(positions, getattr(model, method)(instances, disable_tqdm=True), strict=True):
            found[position] = answer
    return found


def arguments(request: Request) -> tuple[Any, ...]:
    """A request as lm-eval has it."""
    if request.kind == "loglikelihood":
        return request.text, request.continuation
    return (request.text, dict(request.generation)) if request.kind == "generate" else (request.text,)


if __name__ == "__main__":
    main(measure)
