"""Engines: what answers requests. One protocol, a table of names, and a fake (`scripted`) that ships.

>>> backend = open_backend("scripted", "parrot", BackendSettings())
>>> [[(0, reply)]] = backend.generate([Request(kind="generate", text="1 + 1 =", generation={"max_gen_toks": 8})])
>>> reply.finish
'stop'

A backend replies in batches, each as soon as it is done, so that the journal can keep it at once. It is told which
requests are known already instead of being given the others only: float sums depend on a batch's shape, so a resumed
run must cut the same batches as an undisturbed one to say the same to the last bit. A new backend is a class with the
members of `Backend` and a line in `BACKENDS`; `tests/backends/test_contract.py` holds every one to the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, util
from typing import Any, NamedTuple, Protocol

from capeval.core import Reply, Request, RequestKind
from capeval.errors import MissingError, unknown

Batch = list[tuple[int, Reply]]
"""Answers with the positions of their requests in the sequence that was asked."""


class Piece(NamedTuple):
    """A special token of a prompt, or a run of others."""

    text: str
    special: bool
    tokens: int


Known = frozenset[int]
"""Positions of the requests that are answered already; they take part in how batches are cut and are not asked."""

BACKENDS = {
    "api": "capeval.backends.api.backend:ApiBackend",
    "hf": "capeval.backends.hf:HfBackend",
    "scripted": "capeval.backends.scripted:ScriptedBackend",
    "vllm": "capeval.backends.vllm.backend:VllmBackend",
}
AUTO = "auto"
ONE_ENGINE = frozenset({"vllm"})
"""Engines that one process keeps warm for all nodes of a tree: two would not fit into a GPU."""
_NEEDS = {"api": ("openai",), "hf": ("torch", "transformers", "safetensors"), "vllm": ("vllm",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """How to open an engine."""

    revision: str = ""
    """Branch, tag or commit of a hub id."""
    device: str = ""
    """cpu, cuda, cuda:1 …; empty: a GPU when there is one."""
    dtype: str = ""
    """float32, bfloat16 …; empty: float32 on CPU, the checkpoint's own on a GPU."""
    batch_tokens: int = 0
    """Tokens that one batch may hold; 0: as many as the engine finds good on this machine."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What this engine alone understands (`--model-args`), as it was written: see `backends.options`."""


class Backend(Protocol):
    """What every engine has. Weights load with the first request: a run that the journal can answer needs none."""

    uri: str
    """Absolute path of the checkpoint, or its hub id."""
    digest: str
    """Of what decides the answers: weights, configuration, tokenizer, chat template."""
    numerics: Mapping[str, str]
    """What else decides them: backend, dtype, kind of device, versions."""

    @property
    def refuses(self) -> Mapping[RequestKind, str]:
        """Kinds of requests that have no meaning for this model, each with a sentence's end that says why."""
        ...

    def load(self) -> None:
        """Load the weights now, not with the first request."""
        ...

    @property
    def chosen(self) -> Mapping[str, str]:
        """What it has chosen for this model on this machine, in words; nothing before weights are loaded.

        `plain`, when it is there, says why prompts are not evaluated together.
        """
        ...

    def chat(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages in the checkpoint's chat template.

        Raises:
            UsageError: when it has none.
        """
        ...

    def chat_template(self) -> str:
        """The template itself; raises as `chat` does."""
        ...

    def overflow(self, request: Request) -> int:
        """Tokens of the prompt that the model's window has no room for (beside what follows); 0 when all fit."""
        ...

    def pieces(self, text: str) -> list[Piece]:
        """The prompt as the model reads it: special tokens (also those that the tokenizer adds) and runs of others."""
        ...

    def generate(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """Continue each prompt until a stop string, the end-of-text token or `max_gen_toks`."""
        ...

    def loglikelihood(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """Log-probability of each continuation after its prompt, and whether it is the greedy one."""
        ...

    def perplexity(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """Log-probability of each text from its first token on.

        Raises:
            UsageError: when the model `refuses` it.
        """
        ...


def open_backend(name: str, model: str, settings: BackendSettings) -> Backend:
    """Check a checkpoint and make an engine for it; nothing heavy is loaded yet.

    Args:
        name: Key of `BACKENDS`, or `auto`: see `backends.choice`.
        model: Folder or hub id; for `scripted` a script file or any word.
        settings: Device, dtype, batch budget.

    Raises:
        UsageError: unknown backend; a path that does not exist; weights that can't be used.
        BadFileError: a damaged checkpoint.
        MissingError: a package, device or hub that is not there.
    """
    if name == AUTO:
        from capeval.backends.choice import choose

        name = choose(model, settings).backend
    if name not in BACKENDS:
        raise unknown("backend", name, [*BACKENDS, AUTO], "capeval list backends")
    for package in _NEEDS.get(name, ()):
        if util.find_spec(package) is None:
            install = f"pip install 'capeval[{name}]'"
            raise MissingError(f"backend '{name}' needs {package}, which is not installed: {install}")
    module, _, door = BACKENDS[name].partition(":")
    opener: Any = getattr(import_module(module), door)
    backend: Backend = opener.open(model, settings)
    return backend
