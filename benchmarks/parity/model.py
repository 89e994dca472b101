"""A checkpoint of a few hundred thousand weights that knows about half of the answers, trained in minutes on a CPU.

It learns from the ends of prompts first, which is quick, then a few times from whole prompts, so that its answers
survive the examples that stand before the question.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.engine.checkpoints import train_tokenizer
from benchmarks.parity.tasks import ParityTask, write_suite
from capeval.digest import digest
from capeval.harness import Asked, Form, prepare
from capeval.harness.prepare import Document
from capeval.suites import load_suite

WINDOW = 2560
_TAIL = 64
"""Tokens of a prompt's end."""
_WHOLE = 4
"""How often whole prompts are seen."""
_PARTS = ("right", "wrong", "right", "loose", "wrong")
"""What is taught about the items in turn."""
_BATCH = 16
_BOS, _END, _PAD = 0, 1, 2
_PIECE = 100
"""Tokens of a text that one lesson has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What follows what."""

    prompt: str
    answer: str
    ends: bool = False
    """Whether the end of text follows."""


def lessons(task: ParityTask, asked: Asked) -> Iterator[Lesson]:
    """What the model is taught about one task file's documents: some right answers, some wrong ones."""
    golds = [_answers(task, asked, document) for document in asked.documents]
    for number, document in enumerate(asked.documents):
        part = _PARTS[number % len(_PARTS)]
        first = document.requests[0][0]
        if first.kind == "perplexity":
            if part != "wrong":
                yield Lesson(prompt="", answer=first.text)
            continue
        right, wrong = golds[number]
        other = next((r for r, _ in golds[number:] + golds if r != right), wrong)
        answer = right if part != "wrong" else wrong or other
        if first.kind == "generate":
            form = task.loose if part == "loose" and task.loose else task.strict
            stop = "" if number % 2 else f"\n\n{asked.task.config.generation_kwargs['until'][0]}"
            yield Lesson(prompt=first.text, answer=form.format(answer=answer) + stop, ends=True)
        else:
            yield Lesson(prompt=first.text, answer=answer)


def _answers(task: ParityTask, asked: Asked, document: Document) -> tuple[str, str]:
    """(right, wrong) answers as they are given; a wrong one may be left to another document."""
    requests = [samples[0] for samples in document.requests]
    if task.answers:
        return task.answers(document.doc)
    if requests[0].kind == "generate":
        return str(asked.task.doc_to_target(document.doc)).split("####")[-1].strip(), ""
    if len(requests) == 1:
        return requests[0].continuation, ""
    target = asked.task.doc_to_target(document.doc)
    if isinstance(target, str):
        target = [r.continuation.strip() for r in requests].index(target.strip())
    return requests[target].continuation, requests[target - 1].continuation


def _make(folder: Path, taught: Sequence[Lesson], epochs: int) -> Path:
    """Train tokenizer and model on the lessons and write them in HF format."""
    import torch

    tokenizer = train_tokenizer([lesson.prompt[-600:] + lesson.answer for lesson in taught], 3000, WINDOW)
    torch.manual_seed(0)
    model = _model(len(tokenizer))
    rows = [_row(tokenizer, lesson) for lesson in taught]
    ends = [(ids[max(0, start - _TAIL) :], min(start, _TAIL)) for ids, start in rows]
    _train(model, ends, epochs, 4e-3)
    _train(model, rows, _WHOLE, 1e-3)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def _model(vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=128, intermediate_size=384, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=WINDOW,
        bos_token_id=_BOS, eos_token_id=_END, pad_token_id=_PAD, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _row(tokenizer: Any, lesson: Lesson) -> tuple[list[int], int]:
    """(tokens, how many of the first are only read)."""
    before = tokenizer.encode(lesson.prompt) or [_BOS]
    after = tokenizer.encode(lesson.answer)[:_PIECE] + [_END] * lesson.ends
    return before + after, len(before)


def _train(model: Any, rows: list[tuple[list[int], int]], epochs: int, rate: float) -> None:
    """Adam, the learning rate rising for 30 steps to `rate` and falling as a cosine."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    steps = epochs * math.ceil(len(rows) / _BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda n: min(1.0, (n + 1) / 30) * (0.02 + 0.98 * (1 + math.cos(math.pi * n / steps)) / 2)
    )
    order = torch.Generator().manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model is no faster with more, and far slower where the cores are taken
    model.train()
    for _ in range(epochs):
        for batch in _batches(rows, order):
            _loss(model, batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
    model.eval()
    torch.set_num_threads(threads)


def _batches(rows: list[tuple[list[int], int]], order: Any) -> list[list[tuple[list[int], int]]]:
    """In another order every time; rows of about the same length go together, which saves padding."""
    import torch

    shuffled = [rows[i] for i in torch.randperm(len(rows), generator=order).tolist()]
    shuffled.sort(key=lambda row: len(row[0]) // _TAIL // 3)
    batches = [shuffled[start : start + _BATCH] for start in range(0, len(shuffled), _BATCH)]
    return [batches[i] for i in torch.randperm(len(batches), generator=order).tolist()]


def _loss(model: Any, batch: Sequence[tuple[list[int], int]]) -> Any:
    """Cross-entropy of the answers' tokens; logits are made of these only."""
    import torch

    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [_PAD] * (width - len(row)) for row, _ in batch])
    scored = torch.tensor([[start <= n < len(row) for n in range(1, width)] for row, start in batch])
    hidden = model.model(ids).last_hidden_state[:, :-1][scored]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden), ids[:, 1:][scored])


def cached_checkpoint(tasks: tuple[ParityTask, ...], items: int, epochs: int) -> Path:
    """The checkpoint for the first items of these tasks, trained once and kept in the user's cache.

    Args:
        tasks: What it is taught about.
        items: Of every task file.
        epochs: How often it sees every lesson.
    """
    taught = _taught(tasks, items)
    key = digest([asdict(lesson) for lesson in taught], epochs, Path(__file__).read_text(encoding="utf-8"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capeval" / "parity"
    if not (cache / key).is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as unfinished:
            (_make(Path(unfinished) / key, taught, epochs)).rename(cache / key)
    return cache / key


def _taught(tasks: tuple[ParityTask, ...], items: int) -> list[Lesson]:
    with tempfile.TemporaryDirectory() as place:
        one_each = tuple(replace(task, filters=task.filters[:1]) for task in tasks)
        suite = load_suite(str(write_suite(one_each, Path(place) / "suite.yaml")))
        asked = {one.source.path: one for one in reversed(prepare(suite, Form(), limit=items))}
    return [lesson for task in tasks for lesson in lessons(task, asked[f"lm_eval:{task.path}"])]
