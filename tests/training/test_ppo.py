"""PPO: its losses against values by hand, and a bandit whose optimum is known in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from capeval.errors import EngineError
from capeval.training import loop, ppo
from capeval.training.data import Encoder, source
from capeval.training.nodes import load
from capeval.training.ppo import advantages, clipped_policy_loss, clipped_value_loss, whitened
from capeval.training.recipe import Fit, Ppo, Reward
from capeval.training.reward import load_reward, right_padded
from tests.training import toys

ARMS = {"red": 3.0, "blue": 2.0, "green": 1.0, "one": 0.0}


@pytest.fixture(scope="module")
def bandit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One prompt whose answers have an order, a reward model of it, and texts."""
    tmp_path = tmp_path_factory.mktemp("bandit")
    root = toys.root(tmp_path)
    toys.lines(tmp_path / "prompts.jsonl", [{"messages": toys.asked("say")}])
    toys.lines(tmp_path / "texts.jsonl", [{"text": "one two three one two three"}])
    data = toys.lines(
        tmp_path / "ranked.jsonl",
        [{"messages": toys.asked("say"), "answers": list(ARMS), "scores": list(ARMS.values())}],
    )
    toys.make(tmp_path / "reward", Reward(data=data, steps=20, batch=1, lr=1e-3), root)
    return tmp_path


def play(bandit: Path, name: str = "ppo", **more: Any) -> Any:
    given = {"data": "prompts.jsonl", "reward": "reward", "steps": 60, "batch": 128, "max_new_tokens": 1, "lr": 3e-3}
    return toys.run(bandit / name, Ppo(**given | more), bandit / "root", reward=bandit / "reward")  # type: ignore[arg-type]


def distribution(model: Any) -> Any:
    """Of the answer's only token."""
    prompt = Encoder(toys.tokenizer()).prompt(toys.asked("say"))
    with torch.no_grad():
        return model(torch.tensor([prompt])).logits[0, -1].float().softmax(-1)


def optimum(bandit: Path, beta: float) -> Any:
    """parent(a) · exp(reward(a) / beta), normalised, maximises reward − beta · KL (Rafailov et al. 2023, eq. 4).

    An answer is one token here, so every one but the end itself is cut, and loses 1.
    """
    parent, tokenizer = load(bandit / "root")
    scorer = load_reward(bandit / "reward")
    prompt = Encoder(toys.tokenizer()).prompt(toys.asked("say"))
    likely = distribution(parent)
    with torch.no_grad():
        raw = scorer.scores(*right_padded([[*prompt, token] for token in range(len(likely))], "cpu"))
    mean = (likely * raw).sum()
    spread = ((raw - mean) ** 2 * likely).sum().sqrt()
    cut = torch.arange(len(likely)) != tokenizer.eos_token_id
    return (likely.log() + ((raw - mean) / spread - 1.0 * cut) / beta).softmax(-1)


def test_the_bandits_policy_approaches_the_known_optimum(bandit: Path) -> None:
    found = distribution(play(bandit, beta=1.0).model)
    wanted = optimum(bandit, 1.0)
    before = distribution(load(bandit / "root")[0])
    assert 0.5 * (before - wanted).abs().sum() > 0.25, "there is something to learn"
    assert 0.5 * (found - wanted).abs().sum() < 0.1


def test_with_little_beta_the_best_arm_is_all_that_is_left(bandit: Path) -> None:
    found = distribution(play(bandit, beta=0.01).model)
    assert found.argmax() == optimum(bandit, 0.01).argmax()
    assert found.max() > 0.9


def test_a_large_beta_keeps_the_parent(bandit: Path) -> None:
    held, free = (play(bandit, beta=beta, steps=30, lr=1e-3) for beta in (100.0, 0.01))
    assert free.curves["kl"][-1] > 0.5, "as many steps that are free lead far away"
    assert max(abs(kl) for kl in held.curves["kl"]) < 0.02
    assert 0.5 * (distribution(held.model) - distribution(load(bandit / "root")[0])).abs().sum() < 0.1


def test_a_large_gamma_is_language_model_training(bandit: Path) -> None:
    pages = {"ptx_data": "texts.jsonl", "steps": 20, "batch": 16, "context": 16}
    large, small = (play(bandit, gamma=gamma, **pages) for gamma in (1000.0, 1e-3))
    assert [source.name for source in large.data] == ["prompts.jsonl", "texts.jsonl"]
    # two epochs of one minibatch: an iteration is two updates on the same rows as these
    plain = Fit(data="texts.jsonl", steps=40, batch=4, context=16, lr=3e-3, warmup=0, cooldown=0, weight_decay=0)
    alone = toys.run(bandit / "alone", plain, bandit / "root").curves["loss"]
    wanted = [(one + other) / 2 for one, other in zip(alone[::2], alone[1::2], strict=True)]
    assert wanted[0] > 2.5 and wanted[-1] < 0.3
    assert large.curves["loss_ptx"] == pytest.approx(wanted, abs=0.02)
    assert small.curves["loss_ptx"] != pytest.approx(wanted, abs=0.2)


def test_it_can_be_made_twice_alike_and_goes_on_after_a_kill(bandit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = play(bandit, "whole", steps=8, batch=16)
    monkeypatch.setattr(loop, "_KEEP_EVERY", 0.0)

    def killed(done: int, steps: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    recipe = Ppo(data="prompts.jsonl", reward="reward", steps=8, batch=16, max_new_tokens=1, lr=3e-3)
    with pytest.raises(KeyboardInterrupt):
        toys.run(bandit / "cut", recipe, bandit / "root", reward=bandit / "reward", watch=killed)
    again = toys.run(bandit / "cut", recipe, bandit / "root", reward=bandit / "reward")
    assert toys.same(toys.weights(whole), toys.weights(again))
    assert whole.curves == again.curves


def test_a_stop_within_an_iteration_keeps_the_state_before_it(bandit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_KEEP_EVERY", 0.0)
    calls, real = [0], ppo.clipped_value_loss

    def breaks(*given: Any) -> Any:
        calls[0] += 1
        return real(*given) * (float("nan") if calls[0] == 7 else 1.0)  # two epochs an iteration: within the fourth

    monkeypatch.setattr(ppo, "clipped_value_loss", breaks)
    with pytest.raises(EngineError, match=r"its loss is nan at step 4 of 8\. The last good state \(after step 3\)"):
        play(bandit, "broken", steps=8, batch=16)
    monkeypatch.setattr(ppo, "clipped_value_loss", real)
    again, whole = play(bandit, "broken", steps=8, batch=16), play(bandit, "sound", steps=8, batch=16)
    assert toys.same(toys.weights(again), toys.weights(whole))


def test_rewards_are_counted_from_the_parents_and_an_unfinished_answer_loses_one(bandit: Path) -> None:
    parent, tokenizer = load(bandit / "root")
    recipe = Ppo(data="prompts.jsonl", reward="reward", steps=1, max_new_tokens=2)
    data, judge = source("prompts.jsonl", "ppo", bandit), load_reward(bandit / "reward")
    rollout = ppo._Rollout(recipe, data, Encoder(tokenizer), parent, judge)
    rollout.normalise()
    prompts, answers = rollout._answers(parent, -1, 512)
    cut = torch.tensor([float(answer.end is None) for answer in answers])
    assert 0 < cut.sum() < len(answers)
    without = rollout._rewards(prompts, answers) + cut
    assert without.mean().item() == pytest.approx(0, abs=1e-4)
    assert without.std().item() == pytest.approx(1, abs=1e-4)


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[0.0, 1.0, 2.0, 9.0]])
    values = torch.tensor([[0.5, 0.5, 1.0, 7.0]])
    said = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    found, returns = advantages(rewards, values, said, 0.95)
    last = 2.0 - 1.0
    first = 1.0 + 1.0 - 0.5 + 0.95 * last
    assert found[0, 1:3].tolist() == pytest.approx([first, last])
    assert returns[0, 1:3].tolist() == pytest.approx([first + 0.5, last + 1.0])
    assert found[0, [0, 3]].tolist() == [0.0, 0.0]


def test_lambda_one_is_the_sum_of_rewards_minus_the_value() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(3, 5, generator=generator), torch.randn(3, 5, generator=generator)
    said = torch.ones(3, 5)
    to_come = rewards.flip(1).cumsum(1).flip(1)
    assert torch.allclose(advantages(rewards, values, said, 1.0)[0], to_come - values, atol=1e-5)
    ahead = torch.cat([values[:, 1:], torch.zeros(3, 1)], 1)
    assert torch.allclose(advantages(rewards, values, said, 0.0)[0], rewards + ahead - values, atol=1e-5)


def test_whitened_places_have_mean_zero_and_spread_one() -> None:
    said = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    found = whitened(torch.tensor([[1.0, 5.0, 99.0], [77.0, 2.0, 8.0]]), said)[said.bool()]
    assert found.mean().item() == pytest.approx(0, abs=1e-6)
    assert found.std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "moves"),
    [(1.1, 2.0, 2.2, True), (1.5, 2.0, 2.4, False), (1.5, -2.0, -3.0, True), (0.5, 2.0, 1.0, True),
     (0.5, -2.0, -1.6, False)],
)  # fmt: skip
def test_the_policys_loss_is_clipped_on_the_side_that_would_gain(
    ratio: float, advantage: float, gain: float, moves: bool
) -> None:
    new = torch.tensor([[ratio]]).log().requires_grad_()
    loss = clipped_policy_loss(new, torch.zeros(1, 1), torch.tensor([[advantage]]), torch.ones(1, 1), 0.2)
    loss.backward()
    assert loss.item() == pytest.approx(-gain)
    assert bool(new.grad.abs().sum() > 0) == moves


@pytest.mark.parametrize(("value", "error"), [(0.1, 0.81), (0.9, 0.64), (1.5, 0.64), (-1.0, 4.0)])
def test_the_values_loss_takes_the_larger_error(value: float, error: float) -> None:
    one = torch.ones(1, 1)
    loss = clipped_value_loss(torch.full((1, 1), value), torch.zeros(1, 1), one, one, 0.2)
    assert loss.item() == pytest.approx(0.5 * error)


def test_places_that_are_not_the_answers_have_no_part() -> None:
    said = torch.tensor([[1.0, 0.0]])
    new, old, gained = torch.tensor([[0.1, 50.0]]), torch.zeros(1, 2), torch.tensor([[1.0, 1e9]])
    assert clipped_policy_loss(new, old, gained, said, 0.2).item() == pytest.approx(-(2.718281828**0.1))
