"""A tiny checkpoint that knows some of the smoke suite's answers: built offline, trained in seconds."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from capeval import cli
from capeval.core import Suite
from capeval.suites import load_suite

WINDOW = 4096
_STEPS = 160


@pytest.fixture
def capeval(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a command line in this process: (exit code, stdout, stderr)."""

    def command(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["capeval", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The mirror of real benchmarks; tests that need it are skipped, visibly, where there is none."""
    mirror = Path(os.environ.get("CAPEVAL_DATA", ""))
    if (mirror / "gsm8k").is_dir():
        return mirror
    pytest.skip("CAPEVAL_DATA is not set: the real benchmark items are not here")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LlamaForCausalLM of about 100,000 parameters in HF format; its tokenizer adds no BOS by itself."""
    return _taught(tmp_path_factory.mktemp("checkpoints") / "tiny", heads=4)


@pytest.fixture(scope="session")
def wide_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with heads of 32 dimensions, the least that vLLM's CPU kernels take."""
    return _taught(tmp_path_factory.mktemp("checkpoints") / "wide", heads=2)


def _taught(folder: Path, heads: int) -> Path:
    import torch

    texts = [prompt + answer for prompt, answer in lessons(load_suite("smoke"))]
    tokenizer = make_tokenizer(texts)
    torch.manual_seed(0)
    model = make_model(len(tokenizer), heads)
    _train(model, tokenizer, texts)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without vLLM its tests say so."""
    if importlib.util.find_spec("vllm"):
        return
    for item in items:
        if item.get_closest_marker("vllm"):
            item.add_marker(pytest.mark.skip(reason="vllm is not installed here: `make test-vllm` has an environment"))


@pytest.fixture(scope="session")
def bos_checkpoint(tiny_checkpoint: Path) -> Path:
    """The same weights with a tokenizer that puts BOS before every text, as Llama's does."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    folder = tiny_checkpoint.parent / "tiny-bos"
    shutil.copytree(tiny_checkpoint, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = [("<s>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=special)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(texts: list[str]):
    """Byte-level BPE with 400 tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=WINDOW
    )


def make_model(vocabulary: int, heads: int = 4, **more):
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "max_position_embeddings": WINDOW,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "tie_word_embeddings": True,
    } | more
    config = LlamaConfig(vocab_size=vocabulary, num_attention_heads=heads, num_key_value_heads=heads // 2, **settings)
    return LlamaForCausalLM(config)


def lessons(suite: Suite) -> list[tuple[str, str]]:
    """Prompts with their answers, of every second item: some of the suite is learnt, some is not."""
    from capeval.harness import Form, prepare

    found = []
    for asked in prepare(suite, Form()):
        for document in asked.documents[::2]:
            texts = [(r.text, r.continuation) for samples in document.requests for r in samples]
            if len(texts) > 1:
                texts = [texts[document.doc["label"]]]
            answer = asked.task.doc_to_target(document.doc)
            prompt, continuation = texts[0]
            found.append((prompt, continuation or (f" {answer}\n\n" if asked.spec.metric == "exact_match" else "")))
    return found


def _train(model, tokenizer, texts: list[str]) -> None:
    import torch

    rows = [tokenizer.encode(text) for text in texts]
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    order = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        chosen = [rows[i] for i in torch.randint(len(rows), (16,), generator=order).tolist()]
        width = max(map(len, chosen))
        ids = torch.tensor([row + [2] * (width - len(row)) for row in chosen])
        labels = ids.masked_fill(ids == 2, -100)
        loss = model(ids, labels=labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
