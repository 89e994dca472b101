from __future__ import annotations

from dataclasses import dataclass

import pytest

from capeval.backends import BackendSettings, open_backend
from capeval.backends.options import read_options
from capeval.errors import UsageError


@dataclass(frozen=True)
class Settings:
    max_model_len: int = 0
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False
    quantization: str = ""


def test_texts_become_values_of_their_fields_types() -> None:
    given = {"max_model_len": "512", "gpu_memory_utilization": "0.5", "enforce_eager": "True", "quantization": "fp8"}
    assert read_options(Settings, given, "vllm") == Settings(512, 0.5, True, "fp8")
    assert read_options(Settings, {}, "vllm") == Settings()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_modellen": "5"}, "did you mean 'max_model_len'"),
        ({"max_model_len": "5.5"}, "must be a whole number"),
        ({"gpu_memory_utilization": "half"}, "must be a number"),
        ({"enforce_eager": "perhaps"}, "must be true or false"),
    ],
)
def test_what_is_no_option_or_no_value_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_options(Settings, given, "vllm")


@pytest.mark.parametrize("backend", ["hf", "scripted"])
def test_backends_without_options_say_so(backend: str) -> None:
    with pytest.raises(UsageError, match=f"'{backend}' has no options of its own"):
        open_backend(backend, "parrot", BackendSettings(options={"max_model_len": "5"}))
