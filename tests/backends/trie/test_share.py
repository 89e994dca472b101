"""Models whose keys can't be shared: recognised, answered by themselves, and said so."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from capeval.backends import Backend, BackendSettings, open_backend
from capeval.backends.trie.forward import Forward
from capeval.backends.trie.share import try_sharing
from capeval.core import Reply, Request
from tests.backends.trie.models import CONFIGS, VOCABULARY, large, make, own_scores, tokens

_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, "bos_token_id": 0,
    "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
_ROTARY = {"rope_theta": 10_000.0}
NOT_SHARED: dict[str, tuple[str, dict[str, Any], str]] = {
    "bloom": ("BloomConfig", {"n_layer": 2, "n_head": 4}, "takes no position_ids"),
    "mpt": ("MptConfig", {"d_model": 32, "n_layers": 2, "n_heads": 4}, "takes no position_ids"),
    "gpt-j": ("GPTJConfig", {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}, "an attention of their own"),
    "falcon": ("FalconConfig", {}, "an attention of their own"),
    "falcon, alibi": ("FalconConfig", {"alibi": True}, "an attention of their own"),
    "gpt-neo": ("GPTNeoConfig", {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
                                 "window_size": 5}, "an attention of their own"),
    "mamba": ("MambaConfig", {"state_size": 4}, "takes no position_ids"),
    "dynamic positions": ("LlamaConfig", {
        "rope_parameters": _ROTARY | {"rope_type": "dynamic", "factor": 2.0},
    }, "positions \\(dynamic\\)"),
    "long positions": ("Phi3Config", {
        "rope_parameters": _ROTARY | {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
        "original_max_position_embeddings": 32,
    }, "positions \\(longrope\\)"),
    "llama 4": ("Llama4TextConfig", {
        "head_dim": 8, "attention_chunk_size": 8, "num_local_experts": 2, "intermediate_size_mlp": 48,
    }, "layers of the kind chunked_attention"),
    "qwen3-next": ("Qwen3NextConfig", {
        "head_dim": 8, "layer_types": ["linear_attention", "full_attention"], "num_experts": 2,
        "num_experts_per_tok": 1, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
        "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    }, "layers of the kind linear_attention"),
    "looks both ways": ("BertConfig", {"is_decoder": False}, "other log-probabilities"),
}  # fmt: skip


def unshared(name: str, **values: Any) -> Any:
    import transformers

    kind, own, _ = NOT_SHARED[name]
    config_class = getattr(transformers, kind)
    torch.manual_seed(0)
    config = config_class(**(_SHAPE | own | values))
    return large(transformers.AutoModelForCausalLM.from_config(config)).eval()


@pytest.mark.parametrize("name", list(NOT_SHARED))
def test_what_can_not_share_says_why_and_keeps_its_own_attention(name: str) -> None:
    model = unshared(name)
    ids = torch.tensor([tokens(random.Random(0), 12)])
    with torch.inference_mode():
        before = model(input_ids=ids, use_cache=False).logits
    reason = try_sharing(model, name, VOCABULARY)
    assert isinstance(reason, str)
    assert re.search(NOT_SHARED[name][2], reason), reason
    with torch.inference_mode():
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, before)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_what_can_share_is_not_refused(name: str) -> None:
    found = try_sharing(make(name), name, VOCABULARY)
    assert isinstance(found, Forward) and found.counts.forwarded == 0


def test_a_window_that_is_only_in_the_mask_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of a few tokens can't tell: the window of most models is longer than the check's prompts."""
    from transformers.models.mistral import modeling_mistral

    monkeypatch.setitem(CONFIGS, "mistral", ("MistralConfig", CONFIGS["mistral"][1] | {"sliding_window": 64}))
    assert isinstance(try_sharing(make("mistral"), "it", VOCABULARY), Forward)
    real = modeling_mistral.MistralAttention.__init__

    def silent(self: Any, config: Any, layer_idx: int) -> None:
        real(self, config, layer_idx)
        self.config = type(config)(**(config.to_dict() | {"sliding_window": None}))
        self.config._attn_implementation = "capeval_trie"

    monkeypatch.setattr(modeling_mistral.MistralAttention, "__init__", silent)
    assert try_sharing(make("mistral"), "it", VOCABULARY) == "its attention does not say how far back it reads"


PROMPTS = ["The capital of Peru is", "The capital of Peru", "2 + 2 =", "Rain", "The capital of Peru is"]
CHOICES = [" Lima", " five and more"]


@pytest.fixture(scope="module", params=["bloom", "long positions"])
def checkpoint(request: pytest.FixtureRequest, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("unshared") / str(request.param).replace(" ", "-")
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    unshared(request.param, vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def replies(backend: Backend, requests: Sequence[Request]) -> list[Reply]:
    found = [pair for batch in getattr(backend, requests[0].kind)(requests) for pair in batch]
    return [reply for _, reply in sorted(found, key=lambda pair: pair[0])]


def test_it_still_answers_as_lm_eval_does(checkpoint: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    backend = open_backend("hf", str(checkpoint), BackendSettings(device="cpu"))
    pairs = [(prompt, choice) for prompt in PROMPTS for choice in CHOICES]
    scored = replies(backend, [Request(kind="loglikelihood", text=p, continuation=c) for p, c in pairs])
    generation = {"until": ["\n\n"], "max_gen_toks": 8, "do_sample": False}
    written = replies(backend, [Request(kind="generate", text=p, generation=generation) for p in PROMPTS])
    assert backend.chosen["plain"].startswith(str(checkpoint))
    peer = HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=1)
    asks = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    for reply, (logprob, greedy) in zip(scored, peer.loglikelihood(asks, disable_tqdm=True), strict=True):
        assert reply.logprob == pytest.approx(logprob, abs=1e-4) and reply.greedy == greedy
    asks = [Instance("generate_until", {}, (p, dict(generation)), 0) for p in PROMPTS]
    assert [reply.text for reply in written] == peer.generate_until(asks, disable_tqdm=True)


def test_a_run_says_so_in_its_manifest_and_on_the_terminal(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capeval: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = capeval(
        "run", "--model", checkpoint, "--suite", "smoke", "--limit", 1, "--device", "cpu", "--out", "done"
    )
    assert code == 0, err
    [manifest] = tmp_path.glob("done/**/manifest.json")
    said = json.loads(manifest.read_text())["engine"]["plain"]
    assert re.search(f"{checkpoint.name} its .*{NOT_SHARED[checkpoint.name.replace('-', ' ')][2]}", said)
    flat = "".join(out.split())
    assert "evaluatedonebyone,notasatree" in flat and "".join(said.split())[-20:] in flat


def test_a_models_own_attention_comes_back_for_what_the_engine_leaves_to_transformers() -> None:
    """Answers of settings that are beyond the trie come from the same weights with their own attention, and back."""
    model = make("llama")
    forward = try_sharing(model, "it", VOCABULARY)
    assert isinstance(forward, Forward)
    ids = tokens(random.Random(0), 9)
    first = own_scores(model, [ids], [[5]])
    forward.prepare()
    assert model.config._attn_implementation == "capeval_trie"
    assert own_scores(model, [ids], [[5]]) == first


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("fault", ["trunk", "tree"])
def test_a_fault_is_seen_in_any_precision(monkeypatch: pytest.MonkeyPatch, dtype: str, fault: str) -> None:
    """What must not pass: a trunk that nobody reads, branches that read one another."""
    if fault == "trunk":
        monkeypatch.setattr("capeval.backends.trie.passes.join", lambda first, second: second)
    else:
        monkeypatch.setattr("capeval.backends.trie.passes.Tile.mask", lambda self, window: None)
    assert isinstance(try_sharing(make("llama", dtype), "it", VOCABULARY), str)


def test_where_fused_kernels_fail_plain_products_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no kernel for this shape")

    monkeypatch.setattr("capeval.backends.trie.attention._fused", broken)
    found = try_sharing(make("llama"), "it", VOCABULARY)
    assert isinstance(found, Forward) and not found.fused


def test_a_model_keeps_its_attention_when_it_cannot_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capeval.backends.trie.passes.join", lambda first, second: second)
    model = make("gpt-oss")
    assert isinstance(try_sharing(model, "it", VOCABULARY), str)
    assert model.config._attn_implementation == "eager"
