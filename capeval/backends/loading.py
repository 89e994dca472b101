"""Loads tokenizer and weights, and refuses what would answer with random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from capeval.backends.architectures import Architecture, architecture_of
from capeval.backends.cores import use_own_cores
from capeval.backends.tokens import prefix_of, window_of
from capeval.backends.trie.attention import described
from capeval.backends.trie.budget import Budget, measure
from capeval.backends.trie.forward import Forward
from capeval.backends.trie.share import try_sharing
from capeval.errors import BadFileError, CapevalError, EngineError, UsageError

PLAIN_TOKENS = 16_384
"""Of one batch on the plain path, padding and room for answers included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a checkpoint's texts become tokens and back, whichever engine computes."""

    name: str
    """What the user called the checkpoint, for messages."""
    tokenizer: Any
    architecture: Architecture
    window: int
    """Tokens that the model can read: prompt and answer, or the prompt alone where an encoder reads it."""
    prefix: int
    """Token that stands for an empty prompt: BOS, else end of text."""
    ends: tuple[int, ...]
    """Tokens that end an answer."""
    rows: int
    """Tokens that the model has embeddings for."""

    def check_ids(self, ids: Sequence[int]) -> None:
        """Refuse a token that the weights don't know.

        Raises:
            BadFileError: naming the token and both sizes.
        """
        if ids and max(ids) >= self.rows:
            raise BadFileError(
                f"{self.name}: its tokenizer says token {max(ids)}, but its weights know {self.rows} tokens; this "
                "tokenizer belongs to another checkpoint, or the embeddings were not resized"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine(Reading):
    """A model that transformers has loaded."""

    model: Any
    pad: int
    forward: Forward | str
    """How prompts share what they begin with; or why they can't: the end of a sentence that begins with the name."""
    notes: dict[str, str] = field(default_factory=dict)
    """What `chosen` tells besides, from what was asked."""
    _budgets: dict[int, Budget] = field(default_factory=dict)
    """What was measured, by what was asked for: it goes when the model goes."""
    _plain: dict[int, Budget] = field(default_factory=dict)

    def budget(self, asked: int) -> Budget:
        """What one batch may hold; `asked` tokens at most, when that is not 0."""
        if isinstance(self.forward, str):
            return self.plain(asked)
        if asked not in self._budgets:
            self._budgets[asked] = measure(self.forward, self.rows, self.window, asked)
        return self._budgets[asked]

    def plain(self, asked: int) -> Budget:
        """The same for what transformers computes batch by batch, padding and room for answers included."""
        return self._plain.setdefault(asked, Budget(tokens=asked or PLAIN_TOKENS))

    def chosen(self, asked: int) -> dict[str, str]:
        """What was chosen for this model on this machine, in words; `plain` says why the trie is not used."""
        import torch

        threads = {"threads": str(torch.get_num_threads())}
        if isinstance(self.forward, str):
            return {"plain": f"{self.name} {self.forward}"} | threads
        budget = self.budget(asked)
        return (
            threads
            | self.notes
            | {
                "attention": described(self.model.device.type, self.forward.fused),
                "batch": f"{budget.tokens:,} tokens",
                "answers": f"up to {budget.rows:,} side by side, with keys of {budget.kept:,} tokens",
            }
        )


@lru_cache(maxsize=2)
def load_tokenizer(folder: Path, name: str, digest: str) -> Any:
    """The tokenizer of a checkpoint; `digest` is in the cache's key so that changed files are read again.

    Raises:
        BadFileError: when it can't be loaded.
    """
    del digest
    from transformers import AutoTokenizer

    with _quiet():
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers and tokenizers raise many kinds for a damaged file
            raise BadFileError(f"the tokenizer of {name} can't be loaded: {_first_line(error)}") from error


@lru_cache(maxsize=2)
def load_shape(folder: Path, name: str, digest: str) -> tuple[int, Architecture]:
    """(tokens that a checkpoint can read, how it is asked), from its configuration and tokenizer alone.

    Raises:
        BadFileError, UsageError: as `load`.
    """
    config = _config(folder, name)
    window = window_of(config, load_tokenizer(folder, name, digest))
    return window, architecture_of(config, window, name)


def _config(folder: Path, name: str) -> Any:
    from transformers import AutoConfig

    with _quiet():
        try:
            return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers raises many kinds for an unknown or damaged configuration
            raise _unloadable(name, error) from error


def load(folder: Path, name: str, digest: str, *, device: str, dtype: str, encoder_decoder: bool) -> Engine:
    """Load a checkpoint.

    Raises:
        BadFileError: tensors that are missing or of another shape than the configuration says.
        UsageError: a model that needs code from its repository, or writes no text.
        EngineError: not enough memory.
    """
    import torch

    if device == "cpu":
        use_own_cores()
    tokenizer = load_tokenizer(folder, name, digest)
    model = _model(folder, name, getattr(torch, dtype), encoder_decoder)
    try:
        model = model.to(device).eval()
    except torch.cuda.OutOfMemoryError as error:
        raise EngineError(f"{name} does not fit into the memory of {device}; try --dtype bfloat16") from error
    rows = model.get_input_embeddings().num_embeddings
    reading = _reading(model.config, model.generation_config, tokenizer, name, rows)
    with _quiet():
        forward = "is an encoder-decoder" if encoder_decoder else try_sharing(model, name, rows)
    known = (tokenizer.pad_token_id, tokenizer.unk_token_id, *reading.ends)
    pad = next((token for token in known if token is not None), 0)
    fields = {field: getattr(reading, field) for field in Reading.__slots__}
    return Engine(**fields, model=model, pad=pad, forward=forward)


def load_reading(folder: Path, name: str, digest: str) -> Reading:
    """The same of a checkpoint whose weights another program loads: configuration and tokenizer alone are read.

    Raises:
        BadFileError, UsageError: as `load`.
    """
    from transformers import GenerationConfig

    config = _config(folder, name)
    with _quiet():
        try:
            own = GenerationConfig.from_pretrained(folder, local_files_only=True)
        except OSError:
            own = GenerationConfig.from_model_config(config)
        except (ValueError, TypeError) as error:
            raise BadFileError(f"the generation_config.json of {name} can't be read: {_first_line(error)}") from error
    rows = int(getattr(config.get_text_config(), "vocab_size", 0))
    return _reading(config, own, load_tokenizer(folder, name, digest), name, rows)


def _reading(config: Any, generation: Any, tokenizer: Any, name: str, rows: int) -> Reading:
    ends = generation.eos_token_id if generation else None
    ends = [] if ends is None else list(ends) if isinstance(ends, list) else [ends]
    if not all(isinstance(end, int) for end in ends):
        raise BadFileError(f"{name} is damaged: the eos_token_id of its generation_config.json is {ends}")
    window = window_of(config, tokenizer)
    if window < 2:
        raise BadFileError(f"{name} is damaged: by its config.json it can read {window} tokens")
    if tokenizer.eos_token_id is not None:
        ends.append(tokenizer.eos_token_id)
    return Reading(
        name=name, tokenizer=tokenizer, architecture=architecture_of(config, window, name), window=window,
        prefix=prefix_of(tokenizer, name), ends=tuple(dict.fromkeys(ends)), rows=rows,
    )  # fmt: skip


def _model(folder: Path, name: str, dtype: Any, encoder_decoder: bool) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    door = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM

    with _quiet():
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            # torch's own kernel leaves Gemma 2's cap on attention scores out
            capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
            model, report = door.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False,
                output_loading_info=True, attn_implementation="eager" if capped else None,
            )  # fmt: skip
        except Exception as error:  # transformers raises many kinds for a damaged or unknown checkpoint
            raise _unloadable(name, error) from error
    wrong = sorted(report["missing_keys"]) + [str(key) for key in report.get("mismatched_keys", ())]
    if wrong:
        raise BadFileError(
            f"{name} is incomplete: {len(wrong)} tensors are missing or of another shape than config.json says "
            f"({wrong[0]}, …); its answers would come from random numbers"
        )
    return model


def _unloadable(name: str, error: Exception) -> CapevalError:
    if "trust_remote_code" in str(error) or "does not recognize this architecture" in str(error):
        return UsageError(f"{name} needs code that this transformers lacks: {_first_line(error)}")
    return BadFileError(f"{name} can't be loaded: {_first_line(error)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' log lines and loading bars; what matters becomes an error here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
