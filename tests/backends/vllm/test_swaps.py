"""One engine for siblings: what may be exchanged in place, the proof that it is exact, and when it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capeval.backends import BackendSettings, open_backend
from capeval.backends.vllm import swaps, warm
from capeval.core import Reply
from tests.backends.test_contract import replies
from tests.backends.vllm.conftest import copied
from tests.backends.vllm.test_equal import scores, texts


def ask(folder: Path, backend: str = "vllm") -> tuple[list[Reply], list[Reply]]:
    engine = open_backend(backend, str(folder), BackendSettings())
    return replies(engine, scores(4)), replies(engine, texts(6))


def test_siblings_have_one_signature(siblings: dict[str, list[Path]], tmp_path: Path) -> None:
    first, second, _ = siblings["tied"]
    assert swaps.signature(first) == swaps.signature(second)
    assert swaps.tied(first) and not swaps.tied(siblings["untied"][0])
    config = json.loads((second / "config.json").read_text())
    other = copied(second, tmp_path / "other")
    (other / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert swaps.differing(swaps.signature(first), swaps.signature(other)) == "configuration"
    (other / "config.json").write_text(json.dumps(config | {"transformers_version": "4.0", "_name_or_path": "x"}))
    assert swaps.signature(other) == swaps.signature(first)
    tokenizer = json.loads((second / "tokenizer.json").read_text())
    (other / "tokenizer.json").write_text(json.dumps(tokenizer | {"normalizer": {"type": "Lowercase"}}))
    assert swaps.differing(swaps.signature(first), swaps.signature(other)) == "tokenizer"
    untied = swaps.signature(siblings["untied"][0])
    assert swaps.differing(swaps.signature(first), untied) == "configuration, tensors"


def test_proofs_are_kept_and_a_damaged_file_is_no_proof(tmp_path: Path) -> None:
    proofs = swaps.Proofs(tmp_path / "cache" / "swaps.json")
    assert proofs.find("a") is None
    proofs.remember("a", True)
    proofs.remember("b", False)
    assert [swaps.Proofs(tmp_path / "cache" / "swaps.json").find(key) for key in "abc"] == [True, False, None]
    (tmp_path / "cache" / "swaps.json").write_text("{")
    assert proofs.find("a") is None
    proofs.remember("c", True)
    assert proofs.find("c") is True


def test_canaries_are_equal_or_not() -> None:
    assert swaps.equal((-1.0, -200.0), (-1.0, -200.0 - 1e-4))
    assert not swaps.equal((-1.0, -200.0), (-1.001, -200.0))
    assert not swaps.equal((-1.0,), (-1.0, -2.0))


@pytest.mark.vllm
@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_an_exchange_is_proved_once_and_then_trusted(
    siblings: dict[str, list[Path]], kind: str, cache: Path, cold: None
) -> None:
    folders = siblings[kind]
    fresh = [ask(folder, "hf") for folder in folders]
    said = [ask(folder) for folder in folders]
    # the first, and one more that proves that the exchange is exact
    assert (warm.HISTORY.starts, warm.HISTORY.swaps) == (2, 1)
    assert list(json.loads(cache.read_text()).values()) == [True]
    warm.end()
    said += [ask(folder) for folder in (*folders, folders[0])]
    assert (warm.HISTORY.starts, warm.HISTORY.swaps) == (3, 4), "one engine for a whole tree"
    for (scored, written), (theirs, texts_) in zip(said, [*fresh, *fresh, fresh[0]], strict=True):
        assert [r.logprob for r in scored] == pytest.approx([r.logprob for r in theirs], abs=1e-4)
        assert written == texts_


@pytest.mark.vllm
def test_a_wrong_exchange_is_found_out(
    siblings: dict[str, list[Path]], cache: Path, cold: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without making the packed copy of a tied head again, a CPU engine answers with plausible numbers: planted."""
    monkeypatch.setattr(swaps, "tied", lambda folder: False)
    folders = siblings["tied"]
    said = [ask(folder)[0] for folder in folders]
    assert list(json.loads(cache.read_text()).values()) == [False]
    assert (warm.HISTORY.starts, warm.HISTORY.swaps) == (3, 0)
    assert any("other numbers than when they are loaded" in note for note in warm.HISTORY.notes)
    for found, folder in zip(said, folders, strict=True):
        right = ask(folder, "hf")[0]
        assert [r.logprob for r in found] == pytest.approx([r.logprob for r in right], abs=1e-4)


@pytest.mark.vllm
def test_another_architecture_gets_an_engine_of_its_own(
    siblings: dict[str, list[Path]], cache: Path, cold: None
) -> None:
    ask(siblings["tied"][0])
    ask(siblings["untied"][0])
    assert (warm.HISTORY.starts, warm.HISTORY.swaps) == (2, 0)
    assert any("configuration, tensors differ" in note for note in warm.HISTORY.notes)
