"""Answers through the trie are, token by token, those of transformers' own `generate` to one prompt after another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from capeval.backends.trie.budget import Budget
from capeval.backends.trie.forest import Share
from capeval.backends.trie.forward import Forward
from capeval.backends.trie.pick import style_of
from capeval.backends.trie.stops import Stops
from capeval.backends.trie.write import SHARE, Ask, Manner, write
from tests.backends.trie.models import CONFIGS, make, own_logprobs, tokens

ROOM = 7


@pytest.fixture(scope="module", params=list(CONFIGS))
def named(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, make(request.param)


@pytest.fixture(scope="module")
def llama() -> Any:
    return make("llama")


def prompts(seed: int = 0) -> list[list[int]]:
    """Behind two shared heads and behind none, of several lengths, prefixes of each other, one token."""
    draw = random.Random(seed)
    heads = [tokens(draw, 24), tokens(draw, 15)]
    found = [head + tokens(draw, n) for n in (2, 9, 4, 6) for head in heads]
    return [*found, heads[0], found[1][:-2], tokens(draw, 11), [5], found[2] + tokens(draw, 1)]


def asked(
    model: Any, ids: Sequence[list[int]], *, ends: Sequence[int] = (), rows: int = 64, tokens: int = 1 << 12,
    share: Share = SHARE, room: int = ROOM, **settings: Any,
) -> list[list[int]]:  # fmt: skip
    forward = model if isinstance(model, Forward) else Forward(model, "it")
    style = style_of(forward.model, {"num_beams": 1, "do_sample": False} | settings)
    assert style is not None
    manner = Manner(style=style, stops=Stops(None, []), ends=frozenset(ends), room=room)
    budget = Budget(tokens=tokens, rows=rows)
    batches = list(write(forward, [Ask(ids=list(prompt)) for prompt in ids], manner, budget, share))
    found = [pair for batch in batches for pair in batch]
    assert all(batches) and sorted(number for number, _ in found) == list(range(len(ids))), "each is answered once"
    return [out for _, out in sorted(found)]


def own_answers(model: Any, ids: Sequence[list[int]], ends: Sequence[int] = (), **settings: Any) -> list[list[int]]:
    found = []
    model.set_attn_implementation(model.own_attention)
    for prompt in ids:
        whole = torch.tensor([prompt])
        out = model.generate(
            input_ids=whole, attention_mask=torch.ones_like(whole), max_new_tokens=ROOM, do_sample=False,
            eos_token_id=list(ends) or None, pad_token_id=2, **settings,
        )  # fmt: skip
        found.append(out[0, len(prompt) :].tolist())
    return found


def some_ends(answers: Sequence[list[int]]) -> list[int]:
    """Tokens in the middle of some answers."""
    return [answers[0][2], answers[3][4], answers[7][0]]


def test_every_architecture_writes_what_it_writes_by_itself(named: tuple[str, Any]) -> None:
    _, model = named
    free = own_answers(model, prompts())
    ends = some_ends(free)
    wanted = own_answers(model, prompts(), ends)
    assert len({len(answer) for answer in wanted}) > 1 and len({*map(tuple, wanted)}) > 4
    assert asked(model, prompts(), ends=ends, share=Share(8, 2)) == wanted
    assert asked(model, prompts(), ends=ends, share=Share(8, 2), rows=5, tokens=40) == wanted


@pytest.fixture(scope="module")
def answered(llama: Any) -> tuple[list[list[int]], list[int], list[list[int]]]:
    """(prompts, end tokens, answers)."""
    ids = prompts(1) + prompts(2)
    ends = some_ends(own_answers(llama, ids))
    return ids, ends, own_answers(llama, ids, ends)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
@pytest.mark.parametrize("budget", [1, 60, 1 << 12])
@pytest.mark.parametrize("share", [SHARE, Share(4, 2), Share(1 << 20, 2)])
def test_rows_and_budgets_change_nothing(
    llama: Any, answered: Any, rows: int, budget: int, share: tuple[int, int]
) -> None:
    ids, ends, wanted = answered
    assert asked(llama, ids, ends=ends, rows=rows, tokens=budget, share=share) == wanted


def test_the_comparison_can_fail(llama: Any) -> None:
    wanted = own_answers(llama, prompts())
    other = make("llama")
    with torch.no_grad():
        other.model.layers[0].self_attn.v_proj.weight[0] += 0.5
    assert asked(other, prompts()) != wanted


@pytest.mark.parametrize("penalty", [1.3, 0.6])
@pytest.mark.parametrize("rows", [3, 64])
def test_a_repetition_penalty_counts_prompt_and_answer(llama: Any, penalty: float, rows: int) -> None:
    ids = prompts()
    wanted = own_answers(llama, ids, repetition_penalty=penalty)
    assert wanted != own_answers(llama, ids), "it changes something"
    assert asked(llama, ids, rows=rows, share=Share(8, 2), repetition_penalty=penalty) == wanted


def test_settings_of_the_model_itself_are_honoured(llama: Any) -> None:
    model = make("llama")
    model.generation_config.update(repetition_penalty=1.5, suppress_tokens=[11, 12, 13])
    wanted = own_answers(model, prompts())
    assert wanted != own_answers(llama, prompts())
    assert asked(model, prompts()) == wanted


def test_double_and_half_precision() -> None:
    model = make("llama", "float64")
    wanted = own_answers(model, prompts())
    assert asked(model, prompts(), share=Share(8, 2)) == wanted
    half = make("llama", "bfloat16")
    answers = asked(half, prompts(), share=Share(8, 2))
    for prompt, answer in zip(prompts(), answers, strict=True):
        rows = own_logprobs(half, (prompt + answer)[:-1])[-len(answer) :]
        for row, token in zip(rows, answer, strict=True):
            assert float(row.max() - row[token]) < 0.2, "among the most probable ones, within this dtype's noise"


def test_every_token_is_forwarded_once(llama: Any) -> None:
    forward = Forward(llama, "it")
    draw = random.Random(0)
    head = tokens(draw, 60)
    ids = [[*head, x, *tokens(draw, 3)] for x in range(20, 40)]
    answers = asked(forward, ids, rows=6)
    assert forward.counts.distinct == 60 + 20 * 4
    assert forward.counts.forwarded == 60 + 20 * 4 + sum(len(answer) - 1 for answer in answers)


def test_one_token_answers_and_no_prompts(llama: Any) -> None:
    wanted = [answer[:1] for answer in own_answers(llama, prompts())]
    assert asked(llama, prompts(), room=1) == wanted
    assert asked(llama, []) == []


def test_trunks_are_forgotten_when_nobody_continues_them(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from capeval.backends.trie import write as room

    alive: list[int] = []
    real = room._Writer._trunk

    def watch(self: Any, number: int) -> Any:
        found = real(self, number)
        alive.append(len(self.trunks))
        return found

    monkeypatch.setattr(room._Writer, "_trunk", watch)
    draw = random.Random(4)
    ids = [[50 + h, *tokens(random.Random(h), 40), x] for h in range(8) for x in tokens(draw, 6)]
    asked(llama, ids, rows=4)
    assert max(alive) <= 3
