"""Which engine `--backend auto` takes, and why: vLLM on a GPU where it is installed and knows the model, else `hf`."""

from __future__ import annotations

from typing import NamedTuple

from capeval.backends import BackendSettings, checkpoint
from capeval.backends.devices import without_gpu
from capeval.backends.vllm.settings import built_for_cpu, supports, version


class Choice(NamedTuple):
    """An engine and the reason, in words that follow `because`."""

    backend: str
    why: str


def machine_choice(device: str = "") -> Choice:
    """What this machine allows, whichever model it is."""
    if not version():
        return Choice("hf", "vLLM is not installed")
    if built_for_cpu():
        return Choice("hf", "the vLLM that is installed is a CPU build, which serves for tests")
    if device == "cpu":
        return Choice("hf", "the CPU is asked for")
    if without_gpu():
        return Choice("hf", "there is no GPU")
    return Choice("vllm", f"there are a GPU and vLLM {version()}")


def choose(model: str, settings: BackendSettings) -> Choice:
    """What is taken for a model.

    Raises:
        UsageError, BadFileError, MissingError: a checkpoint that can't be used.
    """
    here = machine_choice(settings.device)
    if here.backend == "hf":
        return here
    config = checkpoint.check(checkpoint.find(model, settings.revision), model)
    if checkpoint.is_encoder_decoder(config):
        return Choice("hf", "vLLM does not run encoder-decoders")
    unknown = [name for name in config.get("architectures") or ["(none named)"] if not supports(str(name))]
    if unknown:
        return Choice("hf", f"vLLM {version()} has no {unknown[0]}")
    return here
