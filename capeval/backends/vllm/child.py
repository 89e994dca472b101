"""The engine's process: carries out what it is told until the pipe closes. Started by `process.py`.

python -m capeval.backends.vllm.child FILE_DESCRIPTOR
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from capeval.backends.vllm.engine import Stepper, Want
from capeval.backends.vllm.messages import (
    Canary,
    Done,
    Failed,
    Load,
    Pair,
    Progress,
    Question,
    Score,
    Scored,
    Swap,
    Write,
    Written,
    unpacked,
)
from capeval.backends.vllm.ways import LONG, WAYS, Planned, broken, plan

_SAMPLE, _MOST = 200, 64
"""One question in so many is scored a second time, without the cache; at most so many."""
TOLERANCE = {"float32": 2e-4}
"""Nats a token: what the order of sums may change."""
_HALF = 0.1
"""The same in half precision; a score from the wrong keys is off by whole nats."""
_CANARIES, _LENGTH = 4, 24


class WrongScoresError(Exception):
    """The prefix cache and a full evaluation don't agree."""


class NotFiniteError(Exception):
    """NaN where a log-probability should be."""


class Child:
    """One engine and the pipe to the process that uses it."""

    def __init__(self, pipe: Connection) -> None:
        """Wait for a `Load`."""
        self._pipe = pipe
        self._step: Stepper
        self._way = "whole"
        self._dtype = ""
        self._rows = 0

    def serve(self) -> None:
        """Until the pipe closes or the engine fails."""
        while True:
            try:
                message = self._pipe.recv()
            except EOFError:
                return
            try:
                done = self._carry_out(message)
            except BrokenPipeError:
                return
            except BaseException as error:
                self._pipe.send(Failed(_words(error), _fault(error, message)))
                raise
            self._pipe.send(done)

    def _carry_out(self, message: Any) -> Done:
        match message:
            case Load():
                return self._load(message)
            case Swap():
                return self._swap(message)
            case Score():
                return self._score([Question(unpacked(context), targets) for context, targets in message.questions])
            case Write():
                return self._write(message)
        raise TypeError(f"no message: {message!r}")

    def _load(self, message: Load) -> Done:
        llm = _start(dict(message.engine))
        self._step = Stepper(llm, lambda: self._pipe.send(Progress()))
        self._dtype = str(llm.llm_engine.vllm_config.model_config.dtype).removeprefix("torch.")
        self._rows = message.rows
        self._way = message.scoring or self._probe()
        scheduler, cache = llm.llm_engine.vllm_config.scheduler_config, llm.llm_engine.vllm_config.cache_config
        told = {
            "scoring": f"{self._way}: "
            + ("no prefix is shared" if self._way == "whole" else "prefixes are read from the cache"),
            "batch": f"{scheduler.max_num_batched_tokens:,} tokens, {scheduler.max_num_seqs:,} side by side",
            "keys": f"of {(cache.num_gpu_blocks or 0) * cache.block_size:,} tokens, in blocks of {cache.block_size}",
        }
        return Done(canary=self._canary(), told=told)

    @property
    def _longest(self) -> int:
        """Tokens of a prompt and what is scored behind it, at most."""
        return int(self._step.llm.llm_engine.vllm_config.model_config.max_model_len)

    def _probe(self) -> str:
        """The first way whose scores are those of a full evaluation."""
        words = tuple((7 * i) % self._rows for i in range(min(66, self._longest)))
        question = Question(words[:-3], (words[-3:], words[:2], (words[0], words[3])))
        [true] = self._scores([question], "whole")
        for name in WAYS:
            try:
                [found] = self._scores([question], name)
                [again] = self._scores([question], name)
            except Exception as error:  # this version, or runner, does not know the way
                print(f"capeval: {name} can't be used: {error}", file=sys.stderr)
                self._recover()
                continue
            if self._agree(found, true, question) and self._agree(again, true, question):
                return name
        return "whole"

    def _recover(self) -> None:
        """Requests that an error left in the engine would never end."""
        engine = self._step.llm.llm_engine
        engine.abort_request(list(engine.output_processor.request_states), internal=True)
        self._step.llm.reset_prefix_cache()

    def _swap(self, message: Swap) -> Done:
        llm = self._step.llm
        llm.collective_rpc("reload_weights", kwargs={"weights_path": message.folder})
        if message.repack:
            llm.apply_model(_repack)
        if not llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache can't be emptied: requests are in flight")
        return Done(canary=self._canary())

    def _canary(self) -> Canary:
        """Fixed prompts over the whole vocabulary, scored without the cache."""
        length = min(_LENGTH, self._longest)
        spans = [tuple((11 * (i + length * n) + 5) % self._rows for i in range(length)) for n in range(_CANARIES)]
        questions = [Question(span[:2], (span[2:],)) for span in spans]
        found = [pair for [pair] in self._scores(questions, "whole")]
        if broken(found):
            raise NotFiniteError
        return tuple(logprob for logprob, _ in found)

    def _scores(self, questions: Sequence[Question], way: str) -> list[tuple[Pair, ...]]:
        found = dict(one for batch in self._batches(dict(enumerate(questions)), way) for one in batch)
        return [found[i] for i in range(len(questions))]

    def _score(self, questions: Sequence[Question]) -> Done:
        """The sample that is scored twice goes first: nothing is told before it agrees, and heads are warm then."""
        every = max(_SAMPLE, math.ceil(len(questions) / _MOST))
        twice = []
        for question in questions[::every] if self._way != "whole" else ():
            # what is read whole in any case would be compared with itself
            if shared := [target for target in question.targets if len(target) <= LONG]:
                twice.append(Question(question.context, (max(shared, key=len),)))
        self._scores(twice, self._way)
        # now that their prompts are in the cache
        first, second = (self._scores(twice, way) for way in (self._way, "whole"))
        apart = 0.0
        for question, found, true in zip(twice, first, second, strict=True):
            if broken(true):
                raise NotFiniteError
            apart = max(apart, abs(found[0][0] - true[0][0]))
            if not self._agree(found, true, question):
                raise WrongScoresError(f"{found[0]} by {self._way}, {true[0]} by a full evaluation")
        before = self._counts()
        for batch in self._batches(dict(enumerate(questions)), self._way):
            if any(broken(found) for _, found in batch):
                raise NotFiniteError
            self._pipe.send(Scored(tuple(batch)))
        return Done(counts=self._since(before), difference=apart, twice=len(twice))

    def _batches(self, questions: dict[int, Question], way: str) -> Iterator[list[tuple[int, tuple[Pair, ...]]]]:
        planned: dict[int, Planned] = {}

        def wants() -> Iterator[tuple[tuple[int, int], Want]]:
            for number, question in questions.items():
                one = planned[number] = plan(question, way)
                yield from (((number, place), want) for place, want in enumerate(one.wants))

        for finished in self._step(wants()):
            ended = [number for (number, place), output in finished if planned[number].put(place, output)]
            if ended:
                yield [(number, planned.pop(number).read()) for number in ended]

    def _write(self, message: Write) -> Done:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        kind = RequestOutputKind.FINAL_ONLY
        shared = [SamplingParams(output_kind=kind, skip_clone=True, **sampling) for sampling in message.samplings]
        before = self._counts()

        def wants() -> Iterator[tuple[int, Want]]:
            for number, ask in enumerate(message.asks):
                params = shared[ask.sampling]
                if ask.seed is not None:
                    params = params.clone()
                    params.seed = ask.seed
                yield number, Want(unpacked(ask.prompt), params)

        for finished in self._step(wants()):
            found = tuple((number, tuple(output.outputs[0].token_ids)) for number, output in finished)
            self._pipe.send(Written(found))
        return Done(counts=self._since(before))

    def _agree(self, found: Sequence[Pair], true: Sequence[Pair], question: Question) -> bool:
        near = TOLERANCE.get(self._dtype, _HALF)
        return all(
            # in half precision two tokens may be equally probable, and either is the greedy one
            abs(one - other) <= near * len(target) and (said == truth or self._dtype not in TOLERANCE)
            for (one, said), (other, truth), target in zip(found, true, question.targets, strict=True)
        )

    def _counts(self) -> tuple[int, int, int]:
        counts = self._step.counts
        return counts.requests, counts.tokens, counts.cached

    def _since(self, before: tuple[int, int, int]) -> dict[str, int]:
        names = ("requests", "tokens", "cached")
        return {name: now - then for name, now, then in zip(names, self._counts(), before, strict=True)}


def _start(arguments: dict[str, Any]) -> Any:
    """An engine with the best of replay and forced decoding that this version has."""
    from vllm import LLM
    from vllm.platforms import current_platform

    forced = {"logits_processors": ["capeval.backends.vllm.force:Force"]}
    # the second model runner replays, and takes no logits processors of the first's kind; a CPU's default is the first
    first = current_platform.is_cpu() and os.environ.get("VLLM_USE_V2_MODEL_RUNNER") != "1"
    extras: list[dict[str, Any]] = [forced] if first else [{"enable_trace_replay": True}, forced]
    for extra in extras:
        try:
            return LLM(**arguments, **extra)
        except (TypeError, ValueError) as error:
            if not any(word in str(error) for word in ("replay", "LogitsProcessor", "logits_processors")):
                raise
            print(f"capeval: this vLLM takes no {', '.join(extra)}: {error}", file=sys.stderr)
    return LLM(**arguments)


def _repack(model: Any) -> None:
    """A CPU engine multiplies by a packed copy of the head, which reloading leaves as it was where the head is tied."""
    head = getattr(model, "lm_head", None)
    method = getattr(head, "quant_method", None)
    if method is not None:
        method.process_weights_after_loading(head)


def _fault(error: BaseException, message: object) -> str:
    text = str(error)
    if isinstance(error, WrongScoresError):
        return "scores"
    if isinstance(error, NotFiniteError):
        return "nan"
    if "out of memory" in text or "No available memory" in text or "KV cache" in text:
        return "memory"
    if isinstance(message, Load):
        return "model"
    return "request" if type(error).__name__ == "VLLMValidationError" else ""


def _words(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join([type(error).__name__ + ":" if lines else type(error).__name__, *lines])[:1500]


def _end_with(parent: int) -> None:
    """An engine that is stuck never looks at the pipe: without its parent it would keep the GPU for ever."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Serve the pipe whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and ends this process
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    Child(Connection(int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
