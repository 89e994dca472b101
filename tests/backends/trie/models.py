"""Tiny models of many architectures with weights so large that attention matters, and what they say by themselves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

VOCABULARY = 96
_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
_GQA = _SMALL | {"num_key_value_heads": 2}
_WINDOWED = _GQA | {"sliding_window": 6}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _GQA | {"tie_word_embeddings": False}),
    "llama-tied": ("LlamaConfig", _GQA | {"tie_word_embeddings": True}),
    "gpt2": ("GPT2Config", {
        "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "bos_token_id": 0,
        "eos_token_id": 1, "pad_token_id": 2,
    }),
    "gemma2": ("Gemma2Config", _WINDOWED | {"head_dim": 8, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0,
                                            "final_logit_softcapping": 8.0}),
    "mistral": ("MistralConfig", _WINDOWED),
    "qwen3": ("Qwen3Config", _GQA | {"head_dim": 8}),
    "phi": ("PhiConfig", _SMALL | {"partial_rotary_factor": 0.5}),
    "opt": ("OPTConfig", {
        "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48,
        "max_position_embeddings": 256, "word_embed_proj_dim": 32, "bos_token_id": 0, "eos_token_id": 1,
        "pad_token_id": 2,
    }),
    "mixtral": ("MixtralConfig", _GQA | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "gpt-oss": ("GptOssConfig", _WINDOWED | {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "cohere2": ("Cohere2Config", _WINDOWED | {
        "logit_scale": 1.0, "layer_types": ["sliding_attention", "full_attention"],
    }),
}  # fmt: skip
_OWN_ATTENTION = {"gemma2": "eager", "gpt-oss": "eager"}
"""What computes these as they are defined; torch's own kernel leaves Gemma's cap on the scores out."""


def make(name: str, dtype: str = "float32") -> Any:
    """A model with weights of standard deviation 0.3, so that what is read decides what comes next."""
    import torch
    import transformers

    kind, values = CONFIGS[name]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**values)
    own = _OWN_ATTENTION.get(name, "sdpa")
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=own)
    model.own_attention = own
    return large(model).to(getattr(torch, dtype)).eval()


def large(model: Any) -> Any:
    import torch

    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1 or name.endswith("sinks"):
                weights.normal_(0, 0.3)
    return model


def tokens(draw: random.Random, n: int) -> list[int]:
    return [draw.randrange(3, VOCABULARY) for _ in range(n)]


def own_logprobs(model: Any, ids: Sequence[int]) -> Any:
    """(tokens, vocabulary) by the model's own forward."""
    import torch

    model.set_attn_implementation(model.own_attention)
    with torch.inference_mode():
        return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float().log_softmax(-1)


def own_scores(model: Any, inputs: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[Any]:
    """(log-probability, greedy) one prompt at a time."""
    found = []
    for ids, target in zip(inputs, targets, strict=True):
        rows = own_logprobs(model, ids)[-len(target) :]
        logprob = sum(float(row[token]) for row, token in zip(rows, target, strict=True))
        found.append((logprob, rows.argmax(-1).tolist() == list(target)))
    return found


def work(seed: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    """Questions behind two shared heads, one behind none, equal ones, and prefixes of each other: (inputs, targets)."""
    draw = random.Random(seed)
    inputs, targets = [], []

    def ask(context: list[int], target: list[int]) -> None:
        inputs.append((context + target)[:-1])
        targets.append(target)

    heads = [tokens(draw, 30), tokens(draw, 17)]
    for head in heads:
        for length in (3, 8, 5):
            context = head + tokens(draw, length)
            for n in (1, 1, 3):
                ask(context, tokens(draw, n))
    ask(tokens(draw, 9), tokens(draw, 4))
    ask([5], [7])
    ask(heads[0], tokens(draw, 6))
    ask(inputs[0][:12], [9])
    ask(inputs[3][:-1], inputs[3][-1:])
    inputs.append(inputs[2])
    targets.append(targets[2])
    return inputs, targets
