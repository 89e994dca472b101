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
from itertools import groupby
from pathlib import Path
from typing import Any

from capeval.backends import BackendSettings, Batch, Known, Piece, checkpoint
from capeval.backends.cores import wait_asleep
from capeval.backends.generation import generate_batches
from capeval.backends.imports import import_transformers
from capeval.backends.loading import Engine, load, load_shape, load_tokenizer
from capeval.backends.options import NoOptions, read_options
from capeval.backends.scoring import Row, score_rows
from capeval.backends.tokens import encode, encode_all, encode_pairs, rolling_windows
from capeval.core import Request, RequestKind
from capeval.errors import BadFileError, MissingError, UsageError, unknown

ENGINE = "trie 1"
"""Changes when sums are done in another order: answers of one engine don't resume another's run."""
_ADDED = 8
"""Tokens that a tokenizer may add to a text (BOS, EOS, a leading space), at most."""
_NO_PERPLEXITY = (
    "is an encoder-decoder: its decoder answers a prompt, so a text by itself (perplexity, bits per byte) has no "
    "probability under it that could be compared with a decoder-only model's"
)
_LOADED: dict[tuple[str, ...], Engine] = {}
"""At most one."""
_DTYPES = ("float32", "bfloat16", "float16", "float64")


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
        device = _device(settings.device)
        return cls(
            uri=str(folder) if Path(model).expanduser().is_dir() else model,
            digest=checkpoint.fingerprint(folder),
            numerics={
                "backend": "hf",
                "engine": ENGINE,
                "dtype": _dtype(settings.dtype, device, config),
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
        """The tokenizer's chat template.

        Raises:
            UsageError: when it has none.
        """
        template = self._tokenizer().chat_template
        if not template:
            raise UsageError(
                f"{self.uri} has no chat template, so it can't be asked through one; leave --chat out, or save a "
                "chat_template.jinja beside its tokenizer"
            )
        return template if isinstance(template, str) else str(template.get("default", sorted(template.items())))

    def chat(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages in that template. Where it refuses a system message, its text begins the first question.

        lm-eval leaves it out there, and with it the task's description: the model would be asked another thing.
        """
        from jinja2 import TemplateError

        self.chat_template()
        tokenizer = self._tokenizer()
        form = {"tokenize": False, "add_generation_prompt": add_generation_prompt}
        form["continue_final_message"] = not add_generation_prompt
        try:
            return str(tokenizer.apply_chat_template(messages, **form))
        except (TemplateError, TypeError, ValueError, AttributeError):
            pass
        try:
            return str(tokenizer.apply_chat_template(_without_system(messages), **form))
        except (TemplateError, TypeError, ValueError, AttributeError) as error:
            raise BadFileError(f"the chat template of {self.uri} can't be rendered: {error}") from error

    def overflow(self, request: Request) -> int:
        """See `Backend`."""
        if request.kind == "perplexity":
            return 0
        tokenizer = self._tokenizer()
        window, shape = load_shape(self.folder, self.uri, self.digest)
        room = window
        if request.kind == "generate":
            room = shape.room(window, int(request.generation.get("max_gen_toks", 256)))
        # a token says at least one byte, so most prompts need no counting
        said = request.text + request.continuation
        if len(said.encode("utf-8", "surrogatepass")) + _ADDED <= room:
            return 0
        if request.kind == "generate":
            return max(0, len(encode_all(tokenizer, [request.text])[0]) - room)
        [(context, target)] = encode_pairs(tokenizer, [(request.text, request.continuation)], 0, shape.joined)
        return shape.read(context, target, window)[1]

    def pieces(self, text: str) -> list[Piece]:
        """See `Backend`."""
        tokenizer = self._tokenizer()
        special = set(tokenizer.all_special_ids)
        found = []
        for is_special, run in groupby(encode(tokenizer, text), key=special.__contains__):
            for ids in [[token] for token in run] if is_special else [list(run)]:
                said = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
                found.append(Piece(said, is_special, len(ids)))
        return found

    def generate(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        return generate_batches(self._engine(), requests, self.batch_tokens, known)

    def loglikelihood(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        engine = self._engine()
        texts = [(request.text, request.continuation) for request in requests]
        pairs = encode_pairs(engine.tokenizer, texts, engine.prefix, engine.architecture.joined)
        rows = [Row(position=i, pairs=[pair]) for i, pair in enumerate(pairs)]
        return score_rows(engine, rows, self.batch_tokens, known)

    def perplexity(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        if why := self.refuses.get("perplexity"):
            raise UsageError(f"{self.uri} {why}")
        engine = self._engine()
        rows = [
            Row(position=i, pairs=rolling_windows(engine.tokenizer, r.text, engine.prefix, engine.window), whole=True)
            for i, r in enumerate(requests)
        ]
        return score_rows(engine, rows, self.batch_tokens, known)

    def _engine(self) -> Engine:
        """The loaded model; the last one stays: several suites of one checkpoint load it once."""
        key = self._key()
        if key not in _LOADED:
            _LOADED.clear()
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

    def _tokenizer(self) -> Any:
        import_transformers()
        return load_tokenizer(self.folder, self.uri, self.digest)


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same, with what system messages say at the beginning of the first question."""
    system = "\n\n".join(m["content"].strip() for m in messages if m["role"] == "system")
    first, *rest = [m for m in messages if m["role"] != "system"]
    return [{**first, "content": f"{system}\n\n{first['content']}"}, *rest] if system else [first, *rest]


def _device(wanted: str) -> str:
    if wanted == "cpu" or (not wanted and _without_gpu()):
        return "cpu"
    import torch

    if not wanted:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UsageError(f"'{wanted}' is no device: cpu, cuda, cuda:1 …") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MissingError(f"there is no GPU '{wanted}' on this machine; `capeval doctor` shows what there is")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"backend 'hf' runs on cpu and cuda, not on '{wanted}'")
    return wanted


def _without_gpu() -> bool:
    """Whether torch could not find a GPU either: no driver's device file. A run that asks nothing then needs no torch.

    CUDA opens /dev/nvidia* (/dev/nvhost*, /dev/nvmap or /dev/nvgpu on Tegra, /dev/dxg under WSL), ROCm /dev/kfd.
    """
    files = ("nvidia*", "nvhost*", "nvmap", "nvgpu*", "dxg", "kfd")
    return sys.platform == "linux" and not any(any(Path("/dev").glob(file)) for file in files)


def _dtype(wanted: str, device: str, config: Mapping[str, Any]) -> str:
    own = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    chosen = wanted or ("float32" if device == "cpu" else own)
    if chosen not in _DTYPES:
        raise unknown("dtype", chosen, _DTYPES, "capeval run --help")
    return chosen
