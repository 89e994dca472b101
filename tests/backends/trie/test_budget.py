"""What one batch may hold: counted bytes, and what happens when the memory is too small all the same."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from capeval.backends.trie.budget import Budget, counting, in_halves, measure
from capeval.backends.trie.forest import Share
from capeval.backends.trie.forward import Forward
from capeval.backends.trie.pick import style_of
from capeval.backends.trie.score import score
from capeval.backends.trie.stops import Stops
from capeval.backends.trie.write import Ask, Manner, write
from capeval.errors import EngineError
from tests.backends.trie.models import VOCABULARY, make, tokens

FULL: list[Callable[[], Exception]] = [
    lambda: torch.cuda.OutOfMemoryError("CUDA out of memory."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError,
]


def llama(hidden: int = 32, **values: Any) -> Forward:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(max_position_embeddings=256, **({"vocab_size": VOCABULARY} | shape | values))
    return Forward(LlamaForCausalLM(config).eval(), "it")


def crowded(model: Any, monkeypatch: pytest.MonkeyPatch, most: int, error: Callable[[], Exception]) -> list[int]:
    """Let the model's forward fail for more than so many tokens; sizes of the passes that were tried."""
    tried: list[int] = []
    real = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        size = kwargs["input_ids"].numel()
        tried.append(size)
        if size > most:
            raise error()
        return real(*args, **kwargs)

    monkeypatch.setattr(model, "forward", forward)
    return tried


def scored(forward: Forward, budget: Budget) -> dict[int, Any]:
    draw = random.Random(0)
    heads = [[x, *tokens(draw, 20)] for x in (90, 91)]
    inputs = [[*head, x, *tokens(draw, n)] for head in heads for x in range(10, 20) for n in (2, 9)]
    targets = [[30 + i] for i in range(len(inputs))]
    found = [pair for batch in score(forward, inputs, targets, budget, range(len(inputs))) for pair in batch]
    assert len(found) == len(inputs)
    return dict(found)


def written(forward: Forward, budget: Budget, prompts: int = 20) -> dict[int, list[int]]:
    draw = random.Random(0)
    heads = [tokens(draw, 20), tokens(draw, 15)]
    asks = [Ask(ids=[*heads[i % 2], *tokens(draw, 1 + 5 * i % 13)]) for i in range(prompts)]
    style = style_of(forward.model, {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.2})
    assert style is not None
    manner = Manner(style=style, stops=Stops(None, []), ends=frozenset(range(40, 60)), room=9)
    found = [pair for batch in write(forward, asks, manner, budget, Share(8, 2)) for pair in batch]
    assert len(found) == prompts
    return dict(found)


def test_bytes_are_counted_as_long_as_tensors_live() -> None:
    with counting() as found:
        a = torch.zeros(1000)
        b = a + 1
        assert found.now == 8000
        view = b[10:]
        assert found.now == 8000, "a view takes nothing"
        del b, view
        assert found.now == 4000
        torch.zeros(500)
        a += 1
    assert found.peak == 8000


def test_twice_the_size_needs_twice_the_bytes_and_every_run_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # so little memory that it decides
    monkeypatch.setattr("capeval.backends.trie.budget._free", lambda device: 4 << 20)
    small, again, large = (measure(llama(hidden), VOCABULARY, 256) for hidden in (64, 64, 128))
    assert small == again
    assert 1.7 < small.tokens / large.tokens < 2.3
    assert small.kept == pytest.approx(2 * large.kept, rel=1e-3)


def test_measuring_is_not_counted_and_asking_for_less_is_heard() -> None:
    forward = llama()
    budget = measure(forward, VOCABULARY, 256, asked=100)
    assert budget.tokens == 100 and forward.counts.forwarded == 0 and forward.counts.distinct == 0
    assert measure(forward, VOCABULARY, 256).tokens > 100


def test_a_row_of_logits_costs_more_where_the_vocabulary_is_large() -> None:
    narrow, wide = (measure(llama(128, vocab_size=VOCABULARY * n), VOCABULARY, 256).logits for n in (1, 20))
    assert wide == pytest.approx(20 * narrow, rel=0.2)


@pytest.mark.parametrize("n", [2, 3, 64])
def test_a_model_with_few_positions_can_be_measured(n: int) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=n,
                                       bos_token_id=0, eos_token_id=1)).eval()  # fmt: skip
    assert measure(Forward(model, "it"), VOCABULARY, n).tokens > 1


@pytest.mark.parametrize("error", FULL, ids=["cuda", "cpu", "python"])
def test_scores_when_the_memory_is_too_small(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Callable[[], Exception]
) -> None:
    forward = Forward(make("llama"), "it")
    wanted = scored(forward, Budget(tokens=1 << 12))
    tried = crowded(forward.model, monkeypatch, 31, error)
    budget = Budget(tokens=1 << 12)
    with caplog.at_level(logging.WARNING, logger="capeval"):
        found = scored(forward, budget)
    assert {i: s.greedy for i, s in found.items()} == {i: s.greedy for i, s in wanted.items()}
    assert all(abs(found[i].logprob - wanted[i].logprob) < 1e-4 for i in wanted)
    assert max(tried) > 31 and budget.tokens < 1 << 12
    halvings = [record for record in caplog.records if "batches of half the size" in record.message]
    assert len(halvings) == sum(size > 31 for size in tried) > 0


@pytest.mark.parametrize("error", FULL, ids=["cuda", "cpu", "python"])
@pytest.mark.parametrize("most", [20, 24, 60])
def test_answers_when_the_memory_is_too_small(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Callable[[], Exception], most: int
) -> None:
    forward = Forward(make("llama"), "it")
    wanted = written(forward, Budget(tokens=1 << 12))
    tried = crowded(forward.model, monkeypatch, most, error)
    budget = Budget(tokens=1 << 12)
    with caplog.at_level(logging.WARNING, logger="capeval"):
        assert written(forward, budget) == wanted
    assert max(tried) > most and budget.tokens < 1 << 12
    assert any("batches of half the size" in record.message for record in caplog.records)


@pytest.mark.parametrize("call", range(1, 14, 2))
def test_memory_that_runs_out_while_answers_grow(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Whoever was being answered begins again, in whatever order they then stand, and says the same."""
    forward = Forward(make("llama"), "it")
    wanted = written(forward, Budget(tokens=1 << 12))
    real, calls = forward.model.forward, []

    def full_once(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs["input_ids"].numel())
        if len(calls) == call:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return real(*args, **kwargs)

    monkeypatch.setattr(forward.model, "forward", full_once)
    assert written(forward, Budget(tokens=1 << 12)) == wanted


def test_a_subtree_that_is_too_much_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are cut to the budget: what can be read in parts is never one piece that can't be halved."""
    forward = Forward(make("llama"), "it")
    draw = random.Random(0)
    head = tokens(draw, 40)
    inputs = [[*head, x, *tokens(draw, 5)] for x in range(10, 30)]
    how = (inputs, [[9]] * len(inputs))
    [whole] = score(forward, *how, Budget(tokens=1 << 12), range(len(inputs)))
    tried = crowded(forward.model, monkeypatch, 60, FULL[0])
    found = [pair for batch in score(forward, *how, Budget(tokens=60), range(len(inputs))) for pair in batch]
    assert max(tried) <= 60
    assert all(abs(a.logprob - dict(whole)[i].logprob) < 1e-4 for i, a in found) and len(found) == len(inputs)


@pytest.mark.parametrize("ask", [scored, written])
def test_what_can_not_be_halved_any_more_is_said(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[Forward, Budget], Any]
) -> None:
    forward = Forward(make("llama"), "it")
    forward.prepare()
    crowded(forward.model, monkeypatch, 2, FULL[0])
    with pytest.raises(EngineError, match="memory is too small for this model and work: choose .*--dtype bfloat16"):
        ask(forward, Budget(tokens=1 << 12))


@pytest.mark.parametrize("ask", [scored, written])
def test_other_errors_are_raised_as_they_are(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[Forward, Budget], Any]
) -> None:
    forward = Forward(make("llama"), "it")
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    crowded(forward.model, monkeypatch, 2, lambda: error)
    budget = Budget(tokens=1 << 12)
    with pytest.raises(RuntimeError) as caught:
        ask(forward, budget)
    assert caught.value is error and budget.tokens == 1 << 12


def test_halves_on_the_plain_path() -> None:
    tried: list[int] = []

    def work(batch: Sequence[int]) -> list[int]:
        tried.append(len(batch))
        if len(batch) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return [-x for x in batch]

    budget = Budget(tokens=64)
    assert in_halves(range(7), work, budget) == [0, -1, -2, -3, -4, -5, -6] and tried == [7, 3, 1, 2, 4, 2, 2]
    assert budget.tokens == 8, "batches that come after are smaller"

    def never(batch: Sequence[int]) -> list[int]:
        raise MemoryError

    with pytest.raises(EngineError, match="the memory is too small"):
        in_halves(range(5), never, Budget(tokens=64))


def test_rows_fit_into_what_may_be_kept() -> None:
    budget = Budget(tokens=10, rows=64, kept=1_000)
    assert [budget.rows_of(capacity) for capacity in (1, 15, 16, 100, 999, 5_000)] == [64, 64, 62, 10, 1, 1]
