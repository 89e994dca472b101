"""Transformers: checkpoints in HF format, on CPU or one GPU.

    capeval run --backend hf --model ./checkpoint --suite smoke --device cpu --dtype float32

Safetensors only, no remote code. Token rules are in `tokens.py`, what is checked before loading in `checkpoint.py`, how
the two kinds of models differ in `architectures.py`, how prompts are evaluated together in `trie/`.
Greedy answers and log-probabilities equal those of lm-eval's own `hf` model; a prompt that does not fit loses tokens on
its left, as there, but here it is counted (`Reply.cut`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from capeval.backends import BackendSettings, Batch, Known, Piece, checkpoint
from capeval.backends.cores import wait_asleep
from capeval.backends.devices import device_of, dtype_of
from capeval.backends.generation import generate_batches
from capeval.backends.imports import import_transformers
from capeval.backends.loading import Engine, load
from capeval.backends.options import NoOptions, read_options
from capeval.backends.rows import continuations, whole_texts
from capeval.backends.scoring import score_rows
from capeval.backends.texts import Texts
from capeval.core import Request, RequestKind
from capeval.errors import UsageError

ENGINE = "trie 1"
"""Changes when sums are done in another order: answers of one engine don't resume another's run."""
_NO_PERPLEXITY = (
    "is an encoder-decoder: its decoder answers a prompt, so a text by itself (perplexity, bits per byte) has no "
    "probability under it that could be compared with a decoder-only model's"
)
_LOADED: dict[tuple[str, ...], Engine] = {}
"""At most one."""


def forget() -> None:
    """Let go of the loaded weights."""
    _LOADED.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class HfBackend:
    """See `capeval.backends.Backend`."""

    uri: str
    digest: str
    numerics: Mapping[str, str]
    folder: Path
    device: str
    encoder_decoder: bool
    batch_tokens: int

    @classmethod
    def open(cls, model: str, settings: BackendSettings) -> HfBackend:
        """Find and check the checkpoint, choose device and dtype.

        Raises:
            UsageError, BadFileError, MissingError: see `checkpoint.find` and `checkpoint.check`.
        """
        read_options(NoOptions, settings.options, "hf")
        wait_asleep()
        folder = checkpoint.find(model, settings.revision)
        config = checkpoint.check(folder, model)
        device = device_of(settings.device)
        return cls(
            uri=str(folder) if Path(model).expanduser().is_dir() else model,
            digest=checkpoint.fingerprint(folder),
            numerics={
                "backend": "hf",
                "engine": ENGINE,
                "dtype": dtype_of(settings.dtype, device, config),
                "device": device.partition(":")[0],
                "torch": metadata.version("torch"),
                "transformers": metadata.version("transformers"),
            },
            folder=folder,
            device=device,
            encoder_decoder=checkpoint.is_encoder_decoder(config),
            batch_tokens=settings.batch_tokens,
        )

    @property
    def refuses(self) -> Mapping[RequestKind, str]:
        """See `Backend`."""
        return {"perplexity": _NO_PERPLEXITY} if self.encoder_decoder else {}

    def load(self) -> None:
        """See `Backend`."""
        self._engine()

    @property
    def chosen(self) -> Mapping[str, str]:
        """See `Backend`."""
        engine = _LOADED.get(self._key())
        return engine.chosen(self.batch_tokens) if engine else {}

    def counts(self) -> dict[str, int]:
        """Tokens since the weights were loaded: `forwarded` through the model, `distinct` in the tries of prompts."""
        engine = _LOADED.get(self._key())
        return {} if engine is None or isinstance(engine.forward, str) else asdict(engine.forward.counts)

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
        return generate_batches(self._engine(), requests, self.batch_tokens, known)

    def loglikelihood(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        engine = self._engine()
        rows = continuations(engine, requests)
        return score_rows(engine, rows, self.batch_tokens, known)

    def perplexity(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        if why := self.refuses.get("perplexity"):
            raise UsageError(f"{self.uri} {why}")
        engine = self._engine()
        rows = whole_texts(engine, requests)
        return score_rows(engine, rows, self.batch_tokens, known)

    def _engine(self) -> Engine:
        """The loaded model; the last one stays: several suites of one checkpoint load it once."""
        key = self._key()
        if key not in _LOADED:
            _LOADED.clear()
            if self.device != "cpu" and (warm := sys.modules.get("capeval.backends.vllm.warm")):
                warm.end()  # it has most of the GPU's memory
            import_transformers()
            dtype = self.numerics["dtype"]
            _LOADED[key] = load(
                self.folder,
                self.uri,
                self.digest,
                device=self.device,
                dtype=dtype,
                encoder_decoder=self.encoder_decoder,
            )
        return _LOADED[key]

    def _key(self) -> tuple[str, ...]:
        return (str(self.folder), self.uri, self.digest, self.device, self.numerics["dtype"])

    def _texts(self) -> Texts:
        return Texts(self.folder, self.uri, self.digest)
