"""Next-token training: what it learns, that it repeats itself exactly, and what a kill or a bad rate leaves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from capeval.errors import BadFileError, EngineError, UsageError
from capeval.training import loop
from capeval.training.data import Encoder, Lines, Rows, pack
from capeval.training.fit import language_model_loss
from capeval.training.nodes import load
from capeval.training.recipe import Fit, Tune
from capeval.training.sampling import answer_ends, sample
from tests.training import toys

LESSONS = [("say one", "one"), ("say two", "two"), ("count three", "one two three")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    toys.lines(tmp_path / "lessons.jsonl", [{"messages": toys.answered(*lesson)} for lesson in LESSONS])
    toys.lines(tmp_path / "texts.jsonl", [{"text": "red blue green one two three"}, {"text": "one two three"}])
    return toys.root(tmp_path)


def tune(steps: int = 60, **more: object) -> Tune:
    return Tune(data="lessons.jsonl", steps=steps, batch=4, context=24, lr=1e-2, **more)  # type: ignore[arg-type]


def test_tuning_teaches_answers_and_not_questions(root: Path, tmp_path: Path) -> None:
    folder = toys.make(tmp_path / "sft", tune(), root)
    model, tokenizer = load(folder)
    encoder = Encoder(tokenizer)
    prompts = [encoder.prompt(toys.asked(question)) for question, _ in LESSONS]
    answers = sample(model, prompts, max_new_tokens=8, temperature=0, ends=answer_ends(model, tokenizer), seed=0)
    assert [tokenizer.decode(answer.ids) for answer in answers] == [answer for _, answer in LESSONS]
    # the user's words were never a target: what follows <user> is as uncertain as it was
    [(ids, counts)] = encoder.documents([{"messages": toys.answered("say one", "one")}])
    assert [tokenizer.decode([t]) for t, c in zip(ids, counts, strict=True) if c] == ["one", "<end>"]


def test_a_model_with_dropout_trains_to_the_same_weights_too(root: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=64, n_embd=16, n_layer=1, n_head=2))
    assert model.config.resid_pdrop > 0
    model.save_pretrained(tmp_path / "gpt2")
    toys.tokenizer().save_pretrained(tmp_path / "gpt2")
    recipe = Fit(data="texts.jsonl", steps=4, batch=2, context=16)
    one, two = (toys.weights(toys.run(tmp_path / name, recipe, tmp_path / "gpt2")) for name in ("one", "two"))
    assert toys.same(one, two)


def test_rows_without_an_answer_are_said_so(root: Path, tmp_path: Path) -> None:
    long = [{"role": "user", "content": "say " * 60}, {"role": "assistant", "content": "one"}]
    toys.lines(tmp_path / "long.jsonl", [{"messages": long}])
    with pytest.raises(BadFileError, match=r"long\.jsonl: none of the 2 × 8 tokens of step 1 is the assistant's"):
        toys.run(tmp_path / "sft", Tune(data="long.jsonl", steps=3, batch=2, context=8), root)


def test_processor_seconds_are_counted_over_a_kill(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_KEEP_EVERY", 0.0)
    folder = toys.job(tmp_path / "sft", root).folder
    assert loop.seconds_before(folder) == 0
    spent = []
    for stop in (5, 9):

        def killed(done: int, steps: int, stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            toys.run(tmp_path / "sft", tune(20), root, watch=killed)
        spent.append(loop.seconds_before(folder))
    assert 0 < spent[0] < spent[1]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_same_recipe_makes_the_same_weights_and_another_seed_others(
    root: Path, tmp_path: Path, optimizer: str
) -> None:
    recipe = Fit(data="texts.jsonl", steps=8, batch=2, context=16, optimizer=optimizer)  # type: ignore[arg-type]
    one, two = (toys.weights(toys.run(tmp_path / name, recipe, root)) for name in ("one", "two"))
    assert toys.same(one, two)
    other = Fit(data="texts.jsonl", steps=8, batch=2, context=16, optimizer=optimizer, seed=1)  # type: ignore[arg-type]
    assert not toys.same(one, toys.weights(toys.run(tmp_path / "other", other, root)))


def test_a_killed_training_goes_on_to_the_same_weights_and_curve(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_KEEP_EVERY", 0.0)
    whole = toys.run(tmp_path / "whole", tune(70), root)

    def killed(done: int, steps: int) -> None:
        if done == 33:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toys.run(tmp_path / "cut", tune(70), root, watch=killed)
    seen: list[int] = []
    again = toys.run(tmp_path / "cut", tune(70), root, watch=lambda done, steps: seen.append(done))
    assert seen[0] == 33, "the killed step is done again, those before it are not"
    assert toys.same(toys.weights(whole), toys.weights(again))
    assert whole.curves == again.curves


def test_a_damaged_state_is_named(root: Path, tmp_path: Path) -> None:
    work = toys.job(tmp_path / "sft", root).folder
    (work / loop.STATE).write_bytes(b"no state")
    with pytest.raises(BadFileError, match="damaged.*delete it"):
        toys.run(tmp_path / "sft", tune(3), root)


def test_a_diverging_loss_stops_and_keeps_the_last_good_state(root: Path, tmp_path: Path) -> None:
    wild = Tune(data="lessons.jsonl", steps=50, batch=2, context=24, lr=1e30, clip=1e30)
    with pytest.raises(EngineError, match=r"'sft' diverged.*--set sft\.lr") as raised:
        toys.run(tmp_path / "sft", wild, root)
    state = torch.load(tmp_path / "sft.partial" / loop.STATE, weights_only=True)
    assert f"(after step {state['step']})" in str(raised.value)
    assert all(torch.isfinite(tensor).all() for tensor in state["state"]["model"].values())


def test_a_gradient_without_a_number_leaves_the_weights(root: Path) -> None:
    model, _ = load(root)
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    own = loop.optimisers(model, kind="adamw", lr=1e-3, matrix_lr=1e-3, weight_decay=0.0)
    zero = sum(weights.sum() for weights in model.parameters()) * 0.0
    with pytest.raises(FloatingPointError, match="norm of its gradient is nan"):
        loop.update(model, own, zero.abs().sqrt(), 1.0)  # the slope of a root is infinite at 0
    with pytest.raises(FloatingPointError, match="its loss is inf"):
        loop.update(model, own, zero + math.inf, 1.0)
    assert toys.same(before, model.state_dict())


def test_the_loss_counts_what_the_rows_say(root: Path) -> None:
    model, tokenizer = load(root)
    rows = pack(Encoder(tokenizer).documents([{"text": "red blue green one two three say"}]), 1, 7)
    # the root's head is zero: every token is as likely as any other
    assert language_model_loss(model, rows).item() == pytest.approx(math.log(model.config.vocab_size), rel=1e-3)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    [ids] = rows.ids
    with torch.no_grad():
        likely = model(torch.tensor([ids[:-1]])).logits[0].float().log_softmax(-1)
    one = Rows(rows.ids, [[place == 3 for place in range(len(ids))]])
    assert language_model_loss(model, one).item() == pytest.approx(-likely[2, ids[3]].item(), abs=0.05)  # bfloat16


def test_a_tokenizer_without_a_chat_template_can_not_be_tuned(tmp_path: Path) -> None:
    tokenizer = toys.tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        Encoder(tokenizer).documents([{"messages": toys.answered("say one", "one")}])


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    tokenizer = toys.tokenizer()
    tokenizer.chat_template = "{{ messages | length }} {{ messages[-1]['content'] }}"
    with pytest.raises(BadFileError, match="writes earlier turns differently"):
        Encoder(tokenizer).documents([{"messages": toys.answered("say one", "one")}])


def test_rows_do_not_depend_on_what_was_drawn_before() -> None:
    data = Lines(name="x", digest="x", documents=({"text": "red"}, {"text": "one two three say count"}))
    recipe = Fit(data="x", steps=10, batch=3, context=11)
    fresh, used = Encoder(toys.tokenizer()), Encoder(toys.tokenizer())
    for step in range(5):
        used.rows(data, recipe, step)
    assert used.rows(data, recipe, 7) == fresh.rows(data, recipe, 7)
