"""Tiny encoder-decoders that know some of the smoke suite's answers: built offline, trained in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capeval.suites import load_suite
from tests.conftest import lessons

_STEPS = 240


@pytest.fixture(scope="session")
def t5_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T5: gated, no BOS, a tied head; its tokenizer turns line ends into spaces and adds </s>."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    pairs = _pairs()
    tokenizer = _t5_tokenizer([part for pair in pairs for part in pair])
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        n_positions=512,
        dropout_rate=0.0,
    )
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(config)
    return _checkpoint(tmp_path_factory.mktemp("checkpoints") / "t5", model, tokenizer)


@pytest.fixture(scope="session")
def bart_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BART: learned positions, a decoder that begins from </s> and must say <s> first, four beams by default."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=400,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        decoder_start_token_id=1,
        dropout=0.0,
    )
    tokenizer = _bart_tokenizer([part for pair in _pairs() for part in pair])
    folder = tmp_path_factory.mktemp("checkpoints") / "bart"
    torch.manual_seed(0)
    model = BartForConditionalGeneration(config)
    model.generation_config.update(forced_bos_token_id=0, forced_eos_token_id=1, num_beams=4)
    return _checkpoint(folder, model, tokenizer)


@pytest.fixture(scope="session")
def served_checkpoint(tiny_checkpoint: Path) -> Iterator[dict[str, str]]:
    """Options of backend 'api' for a server, over HTTP, of the tiny checkpoint."""
    from transformers import AutoTokenizer

    from capeval.backends import BackendSettings, open_backend
    from tests.backends.api.servers import from_checkpoint, serving

    model = open_backend("hf", str(tiny_checkpoint), BackendSettings())
    with serving(from_checkpoint(model, AutoTokenizer.from_pretrained(tiny_checkpoint))) as server:
        yield {"base_url": server.url, "tokenizer": str(tiny_checkpoint), "max_model_len": "4096"}


def _pairs() -> list[tuple[str, str]]:
    return [(prompt, answer) for prompt, answer in lessons(load_suite("smoke")) if answer]


def _t5_tokenizer(texts: list[str]):
    """SentencePiece's Unigram, as T5 has it."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False,
        initial_alphabet=[chr(c) for c in range(33, 127)],
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def _bart_tokenizer(texts: list[str]):
    from tokenizers.processors import TemplateProcessing

    from tests.conftest import make_tokenizer

    tokenizer = make_tokenizer(texts)
    special = [("<s>", tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=special)
    return tokenizer


def _checkpoint(folder: Path, model, tokenizer) -> Path:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for models this small, threads cost more than they bring
    _train(model, tokenizer, _pairs())
    torch.set_num_threads(threads)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _train(model, tokenizer, pairs: list[tuple[str, str]]) -> None:
    import torch

    rows = [(tokenizer.encode(prompt), tokenizer.encode(answer.rstrip())) for prompt, answer in pairs]
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    order = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        chosen = [rows[i] for i in torch.randint(len(rows), (12,), generator=order).tolist()]
        ids, labels = (_padded([row[side] for row in chosen], fill) for side, fill in ((0, -1), (1, -100)))
        mask = (ids >= 0).long()
        loss = model(input_ids=ids.clamp(min=0), attention_mask=mask, labels=labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def _padded(rows: list[list[int]], fill: int):
    import torch

    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])
