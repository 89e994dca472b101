"""vLLM, for users with GPUs; the same answers as `hf`, from the engine that serves models.

    capeval run --backend vllm --model ./checkpoint --suite cot --model-args max_model_len=4096

Texts become tokens here, by the rules that all engines share; the engine's process sees ids alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from capeval.backends import BackendSettings, Batch, Known, Piece, checkpoint
from capeval.backends.architectures import DecoderOnly
from capeval.backends.devices import dtype_of, without_gpu
from capeval.backends.imports import import_transformers
from capeval.backends.loading import Reading, load_reading
from capeval.backends.options import read_options
from capeval.backends.rows import Part, Row, continuations, reply_to_rows, whole_texts
from capeval.backends.texts import Texts
from capeval.backends.trie.score import Score as Sum
from capeval.backends.vllm.messages import Ask, Done, Ids, Score, Write, packed
from capeval.backends.vllm.process import Died, Refused
from capeval.backends.vllm.sampling import own_settings, sampling
from capeval.backends.vllm.settings import VllmSettings, built_for_cpu, environment, gpu_of, version
from capeval.backends.vllm.warm import HISTORY, Wanted, Warm, engine_for, said
from capeval.backends.writing import Prompt, Writing, seed_of, writings
from capeval.core import Request, RequestKind
from capeval.errors import EngineError, MissingError, UsageError

ENGINE = "cache 2"
"""Changes when sums are done in another order: answers of one engine don't resume another's run."""
_TRIES = 3
"""Engines that one question may need."""


@dataclass(slots=True)
class _Seen:
    """What the engine told of the requests so far."""

    tokens: int = 0
    cached: int = 0
    twice: int = 0
    difference: float = 0.0

    def add(self, done: Done) -> None:
        self.tokens += done.counts.get("tokens", 0)
        self.cached += done.counts.get("cached", 0)
        self.twice += done.twice
        self.difference = max(self.difference, done.difference)


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmBackend:
    """See `capeval.backends.Backend`."""

    uri: str
    digest: str
    numerics: Mapping[str, str]
    folder: Path
    device: str
    settings: VllmSettings
    _seen: _Seen = field(default_factory=_Seen)
    _told: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, model: str, settings: BackendSettings) -> VllmBackend:
        """Find and check the checkpoint; no process is started yet.

        Raises:
            UsageError, BadFileError, MissingError: see `checkpoint.find` and `checkpoint.check`; options that can't be.
        """
        own = read_options(VllmSettings, settings.options, "vllm")
        own.check()
        folder = checkpoint.find(model, settings.revision)
        config = checkpoint.check(folder, model)
        if checkpoint.is_encoder_decoder(config):
            raise UsageError(f"{model} is an encoder-decoder, which vLLM does not run: use --backend hf")
        device = _device(settings.device)
        if device.startswith("cuda:") and own.tensor_parallel_size > 1:
            raise UsageError(
                f"tensor_parallel_size={own.tensor_parallel_size} needs more than '{device}': leave --device out"
            )
        if settings.batch_tokens:
            own = replace(own, max_num_batched_tokens=own.max_num_batched_tokens or settings.batch_tokens)
        return cls(
            uri=str(folder) if Path(model).expanduser().is_dir() else model,
            digest=checkpoint.fingerprint(folder),
            numerics={
                "backend": "vllm",
                "engine": ENGINE,
                "dtype": dtype_of(settings.dtype, device, config),
                "device": device.partition(":")[0],
                "vllm": version(),
                **own.numerics(),
            },
            folder=folder,
            device=device,
            settings=own,
        )

    @property
    def refuses(self) -> Mapping[RequestKind, str]:
        """Nothing."""
        return {}

    def load(self) -> None:
        """See `Backend`."""
        self._engine()

    @property
    def chosen(self) -> Mapping[str, str]:
        """See `Backend`."""
        if not self._told:
            return {}
        seen = self._seen
        share = f"{seen.cached / seen.tokens:.1%} of {seen.tokens:,} prompt tokens" if seen.tokens else ""
        checked = f"{seen.twice} scored twice, {seen.difference:.1e} apart at most" if seen.twice else ""
        notes = "; ".join(HISTORY.notes)
        more = {
            "cache": share,
            "checked": checked,
            "engines": f"{HISTORY.starts} started, weights exchanged {HISTORY.swaps} times",
            "notes": notes,
        }
        return dict(self._told) | {what: found for what, found in more.items() if found}

    def chat_template(self) -> str:
        """See `Backend`."""
        return self._texts().chat_template()

    def chat(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """See `Backend`."""
        return self._texts().chat(messages, add_generation_prompt)

    def overflow(self, request: Request) -> int:
        """See `Backend`."""
        return self._texts().overflow(request)

    def pieces(self, text: str) -> list[Piece]:
        """See `Backend`."""
        return self._texts().pieces(text)

    def generate(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        own, samplings = own_settings(self.folder), list[dict[str, Any]]()
        askers: dict[Ask, list[tuple[Writing, Prompt]]] = {}
        # tasks of different settings are in the engine together: none waits for another's longest answer
        for writing, prompts in writings(self._reading(), requests):
            for prompt in prompts:
                if prompt.position in known:
                    continue
                seed = seed_of(requests[prompt.position]) if writing.sampled else None
                ask = Ask(packed(prompt.ids), len(samplings), seed)  # greedy answers to the same tokens are one answer
                askers.setdefault(ask, []).append((writing, prompt))
            samplings.append(sampling(writing, own))
        asks = sorted(askers, key=lambda ask: (ask.prompt, ask.sampling, ask.seed or 0))

        def message(todo: Sequence[int]) -> Write:
            return Write(tuple(asks[i] for i in todo), tuple(samplings))

        for batch in self._asked(len(asks), message):
            yield [
                (prompt.position, writing.reply(ids, len(ids), prompt.cut))
                for i, ids in batch
                for writing, prompt in askers[asks[i]]
            ]

    def loglikelihood(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        return self._replies(requests, continuations, known)

    def perplexity(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        return self._replies(requests, whole_texts, known)

    def _replies(
        self, requests: Sequence[Request], rows: Callable[[Reading, Sequence[Request]], list[Row]], known: Known
    ) -> Iterator[Batch]:
        reading = self._reading()
        return reply_to_rows(reading, rows(reading, requests), self._scored, known)

    def _scored(self, parts: Sequence[Part], wanted: Sequence[int]) -> Iterator[list[tuple[int, Sum]]]:
        """Prompts sorted, so that equal beginnings are in the engine together; each asked once with all its targets."""
        askers: dict[bytes, dict[Ids, list[int]]] = {}
        for number in wanted:
            part = parts[number]
            context = packed(part.inputs[: len(part.inputs) - len(part.target) + 1])
            askers.setdefault(context, {}).setdefault(tuple(part.target), []).append(number)
        contexts = sorted(askers)

        def message(todo: Sequence[int]) -> Score:
            return Score(tuple((contexts[i], tuple(askers[contexts[i]])) for i in todo))

        for batch in self._asked(len(contexts), message):
            yield [
                (number, Sum(logprob, greedy))
                for i, scores in batch
                for (logprob, greedy), numbers in zip(scores, askers[contexts[i]].values(), strict=True)
                for number in numbers
            ]

    def _asked(self, n: int, message: Callable[[Sequence[int]], Any]) -> Iterator[Sequence[tuple[int, Any]]]:
        """(number, answer) of everything, as it is there; what a dead engine did not answer, a fresh one is asked.

        Raises:
            UsageError, EngineError: see `warm`.
        """
        todo = list(range(n))
        for _ in range(_TRIES):
            if not todo:
                return
            warm, done = self._engine(), set()
            try:
                for answer in warm.process.ask(message(todo), self.settings.patience):
                    if isinstance(answer, Done):
                        self._seen.add(answer)
                    else:
                        done |= {todo[number] for number, _ in answer.found}
                        yield [(todo[number], found) for number, found in answer.found]
            except Refused as error:
                if error.failed.fault:
                    raise said(error, warm.wanted) from error
                HISTORY.note(f"an engine failed and was started again: {error}")
            except Died as error:
                HISTORY.died += 1
                HISTORY.note(f"an engine was started again: {str(error).splitlines()[0]}")
            todo = [number for number in todo if number not in done]
        if todo:
            raise EngineError(
                f"vLLM failed {_TRIES} times on {self.uri} ({HISTORY.notes[-1]}); {len(todo)} answers are missing, the "
                "others are kept: the same command goes on"
            )

    def _engine(self) -> Warm:
        warm = engine_for(self._wanted())
        self._told.update(warm.told)
        return warm

    def _wanted(self) -> Wanted:
        reading = self._reading()
        dtype, device = self.numerics["dtype"], self.numerics["device"]
        return Wanted(
            name=self.uri,
            folder=self.folder,
            digest=self.digest,
            device=device,
            rows=reading.rows,
            scoring=self.settings.scoring,
            patience=self.settings.patience,
            arguments=self.settings.arguments(self.folder, dtype=dtype, window=reading.window, device=device),
            environment=environment(self.device),
            version=self.numerics["vllm"],
        )

    def _reading(self) -> Reading:
        import_transformers()
        found = load_reading(self.folder, self.uri, self.digest)
        window = self.settings.max_model_len
        if not window or window == found.window:
            return found
        if not 2 <= window < found.window:
            raise UsageError(
                f"--model-args max_model_len={window}: {self.uri} can read 2 to {found.window} tokens; leave it out "
                "for all of them"
            )
        return replace(found, window=window, architecture=DecoderOnly(window))

    def _texts(self) -> Texts:
        return Texts(self.folder, self.uri, self.digest, self.settings.max_model_len)


def _device(wanted: str) -> str:
    if built_for_cpu():
        if wanted not in ("", "cpu"):
            raise UsageError(f"this vLLM is built for CPUs, it can't run on '{wanted}': use --backend hf")
        return "cpu"
    if wanted == "cpu":
        raise UsageError("this vLLM is built for GPUs, it can't run on the CPU: use --backend hf")
    if without_gpu():
        raise MissingError("vLLM needs a GPU and there is none here (`capeval doctor`): use --backend hf")
    if wanted not in ("", "cuda"):
        gpu_of(wanted)
    return wanted or "cuda"
