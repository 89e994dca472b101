"""Sampled answers: greedy ones equal transformers' `generate`, random ones follow the model's distribution."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy import stats

from capeval.errors import BadFileError, UsageError
from capeval.training import sampling
from capeval.training.data import Encoder, Lines, step_rng
from capeval.training.nodes import load
from capeval.training.recipe import Fit
from capeval.training.sampling import answer_ends, draw_prompt, sample
from tests.training import toys

TEXTS = ["red blue green one two three <end>", "say one two <end>", "count red red blue <end>", "say three <end>"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("sampling")
    toys.lines(tmp_path / "texts.jsonl", [{"text": text} for text in TEXTS])
    recipe = Fit(data="texts.jsonl", steps=80, batch=4, context=24, lr=5e-3)
    return toys.make(tmp_path / "lm", recipe, toys.root(tmp_path))


def _ids(tokenizer: object, *texts: str) -> list[list[int]]:
    return [[1, *tokenizer.encode(text, add_special_tokens=False)] for text in texts]  # type: ignore[attr-defined]


def test_greedy_answers_are_those_of_generate(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = load(trained)
    prompts = _ids(tokenizer, "red", "say", "count red", "red blue green one", "say", "count")
    monkeypatch.setattr(sampling, "_TOKENS", 40)  # several batches
    found = sample(model, prompts, max_new_tokens=6, temperature=0, ends=answer_ends(model, tokenizer), seed=0)
    for prompt, answer in zip(prompts, found, strict=True):
        with torch.no_grad():
            out = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=6, do_sample=False
            )
        assert answer.tokens == out[0, len(prompt) :].tolist()
        assert answer.end in (None, tokenizer.eos_token_id)


def test_an_answer_depends_on_the_seed_and_its_place_alone(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = load(trained)
    ends = answer_ends(model, tokenizer)
    prompts = _ids(tokenizer, *["red", "say", "count"] * 20)
    one = sample(model, prompts, max_new_tokens=5, temperature=1.5, ends=ends, seed=3)
    monkeypatch.setattr(sampling, "_TOKENS", 30)
    assert one == sample(model, prompts, max_new_tokens=5, temperature=1.5, ends=ends, seed=3)
    assert one != sample(model, prompts, max_new_tokens=5, temperature=1.5, ends=ends, seed=4)


def test_answers_follow_the_models_distribution(trained: Path) -> None:
    model, tokenizer = load(trained)
    [prompt] = _ids(tokenizer, "say")
    found = sample(model, [prompt] * 4000, max_new_tokens=1, temperature=2.0, ends=[2], seed=0)
    with torch.no_grad():
        wanted = (model(torch.tensor([prompt])).logits[0, -1] / 2.0).softmax(-1)
    counts = torch.bincount(torch.tensor([answer.tokens[0] for answer in found]), minlength=len(wanted)).double()
    expected = wanted.double() / wanted.double().sum() * 4000
    assert expected.min() > 5 and expected.max() > 10 * expected.min(), "the test's own conditions"
    assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-3


def test_the_model_is_left_as_it_was(trained: Path) -> None:
    model, _ = load(trained)
    model.train()
    before = model.config._attn_implementation
    sample(model, [[1, 5]], max_new_tokens=2, temperature=1.0, ends=[2], seed=0)
    assert model.training
    assert model.config._attn_implementation == before


def test_prompts_that_leave_no_room_are_passed_over_or_refused() -> None:
    encoder = Encoder(toys.tokenizer())
    short, long = {"messages": toys.asked("say")}, {"messages": toys.asked("say " * 30)}
    data = Lines(name="prompts", digest="", documents=(short, long))
    drawn = [draw_prompt(data, encoder, step_rng(0, n), 10) for n in range(20)]
    assert {len(prompt.ids) for prompt in drawn} == {len(encoder.prompt(toys.asked("say")))}
    with pytest.raises(BadFileError, match="leave no room"):
        draw_prompt(Lines(name="prompts", digest="", documents=(long,)), encoder, step_rng(0, 0), 10)
    with pytest.raises(UsageError, match="holds no prompts"):
        draw_prompt(Lines(name="texts", digest="", documents=({"text": "say"},)), encoder, step_rng(0, 0), 10)


def test_a_model_without_an_end_is_refused(trained: Path) -> None:
    model, tokenizer = load(trained)
    model.generation_config.eos_token_id = None
    tokenizer.eos_token = None
    with pytest.raises(BadFileError, match="ends an answer"):
        answer_ends(model, tokenizer)
