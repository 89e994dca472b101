"""The next token: greedy or drawn, in the distribution that transformers draws from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from capeval.backends.trie.pick import Style, pick, style_of
from tests.backends.trie.models import VOCABULARY, make


@pytest.fixture(scope="module")
def model() -> Any:
    return make("llama")


def style(model: Any, **settings: Any) -> Style | None:
    return style_of(model, {"num_beams": 1, "do_sample": False} | settings)


def sampled(model: Any, **settings: Any) -> Style:
    found = style(model, do_sample=True, **settings)
    assert found is not None and found.sampled
    return found


SETTINGS = [
    {"top_k": 0},
    {"temperature": 0.5, "top_k": 3},
    {"temperature": 2.0, "top_k": 0, "top_p": 0.7},
    {"top_k": 5, "min_p": 0.15},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_draws_have_the_distribution_that_transformers_draws_from(model: Any, settings: dict[str, Any]) -> None:
    from scipy import stats

    logits = torch.tensor([[2.0, 1.0, 0.5, 0.0, -1.0, 1.5, -torch.inf, -3.0]])
    how = sampled(model, **settings)
    wanted = torch.softmax(how.processors(torch.zeros(1, 1, dtype=torch.long), logits.clone()), -1)[0].double().numpy()
    n = 20_000
    draws = np.random.default_rng(0).random(n).astype(np.float32)
    found = np.bincount(pick(logits.expand(n, -1).clone(), how, None, draws), minlength=8)
    possible = wanted > 0
    assert not found[~possible].any()
    if possible.sum() > 1:
        assert stats.chisquare(found[possible], n * wanted[possible] / wanted[possible].sum()).pvalue > 1e-3
    other = np.roll(wanted[possible], 1)
    assert possible.sum() == 1 or stats.chisquare(found[possible], n * other / other.sum()).pvalue < 1e-6


def test_a_row_is_drawn_by_its_own_number_whatever_its_company(model: Any) -> None:
    how = sampled(model, temperature=1.3, top_k=0, top_p=0.9)
    logits = torch.randn(40, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 3
    draws = np.random.default_rng(1).random(40).astype(np.float32)
    together = pick(logits, how, None, draws).tolist()
    alone = [int(pick(logits[i : i + 1], how, None, draws[i : i + 1])[0]) for i in range(40)]
    order = np.random.default_rng(2).permutation(40)
    assert alone == together and pick(logits[order], how, None, draws[order]).tolist() == [together[i] for i in order]


@pytest.mark.parametrize("draw", [0.0, 0.5, 1 - 2**-24])
@pytest.mark.parametrize("possible", [0, 3, 7])
def test_a_token_of_probability_zero_is_never_drawn(model: Any, draw: float, possible: int) -> None:
    logits = torch.full((1, 8), -torch.inf)
    logits[0, possible] = 1.0
    assert pick(logits, sampled(model, top_k=0), None, [draw]).tolist() == [possible]
    wide = torch.full((1, 200_000), -200.0)
    wide[0, 1_000:1_010] = torch.arange(10.0)
    assert 1_000 <= pick(wide, sampled(model, top_k=0), None, [draw])[0] < 1_010


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_rows_that_are_no_numbers(model: Any, value: float) -> None:
    logits = torch.zeros(3, 8)
    logits[1, 2] = value
    logits[2, 2] = 1.0
    greedy = style(model)
    assert greedy is not None
    assert pick(logits, greedy, None, None).tolist() == [0, -1, 2]
    drawn = pick(logits, sampled(model, top_k=4), None, [0.5] * 3)
    assert drawn[1] == -1 and drawn[0] >= 0 and drawn[2] >= 0
    dead = torch.full((1, 8), -torch.inf)
    assert pick(dead, greedy, None, None).tolist() == [-1]


@pytest.mark.parametrize(
    "settings",
    [
        {"no_repeat_ngram_size": 2},
        {"bad_words_ids": [[5]]},
        {"num_beams": 3},
        {"min_new_tokens": 5},
        {"min_length": 40},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"guidance_scale": 2.0},
        {"exponential_decay_length_penalty": (2, 1.5)},
        {"sequence_bias": [[[5], 3.0]]},
        {"stop_strings": ["x"]},
        {"max_time": 1.0},
        {"num_return_sequences": 2, "do_sample": True},
        {"max_new_tokens": 3},
        {"eos_token_id": 5},
        {"tempratur": 1.0},
    ],
    ids=str,
)
def test_settings_that_this_engine_does_not_know_are_left_to_transformers(model: Any, settings: dict[str, Any]) -> None:
    assert style(model, **settings) is None


@pytest.mark.parametrize("settings", [{"min_new_tokens": 5}, {"no_repeat_ngram_size": 2}, {"stop_strings": ["x"]}])
def test_and_so_are_those_of_the_model_itself(settings: dict[str, Any]) -> None:
    model = make("llama")
    model.generation_config.update(**settings)
    assert style(model) is None


def test_a_model_that_samples_by_its_own_settings_still_answers_greedily_when_asked_to() -> None:
    model = make("llama")
    model.generation_config.update(do_sample=True, temperature=0.7, top_p=0.8, repetition_penalty=1.3)
    greedy = style(model)
    assert greedy is not None and not greedy.sampled and greedy.remembers
    drawn = style(model, do_sample=True)
    assert drawn is not None
    kinds = {type(p).__name__ for p in drawn.processors}
    assert kinds >= {"TemperatureLogitsWarper", "TopPLogitsWarper", "RepetitionPenaltyLogitsProcessor"}
