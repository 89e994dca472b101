"""The reward model: the K-wise loss, ranked files, held-out prompts, and that it learns an order."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import pytest
import torch

from capeval.errors import BadFileError, MissingError
from capeval.training.data import Encoder
from capeval.training.nodes import load
from capeval.training.recipe import Reward
from capeval.training.reward import RANKED, load_reward, pairwise_loss, right_padded
from tests.training import toys

COLOURS = {"red": 2.0, "blue": 1.0, "green": 0.0}


def ranked(tmp_path: Path) -> str:
    return toys.lines(
        tmp_path / "ranked.jsonl",
        [
            {"messages": toys.asked(f"say {a} {b}"), "answers": list(COLOURS), "scores": list(COLOURS.values())}
            for a in toys.WORDS
            for b in toys.WORDS
        ],
    )


def test_the_loss_is_the_mean_over_all_pairs_computed_the_slow_way() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 6, generator=generator)
    ranks = torch.randint(0, 4, (5, 6), generator=generator).float()
    ranks[3] = 1.0  # all ties: no pair, no part in the mean
    ranks[4, 2:] = float("nan")  # two answers only
    ranks[4, :2] = torch.tensor([0.0, 3.0])
    losses, right, pairs = [], 0, 0
    for own, labels in zip(scores.tolist(), ranks.tolist(), strict=True):
        found = []
        for a, b in combinations(range(6), 2):
            if labels[a] == labels[b] or math.isnan(labels[a]) or math.isnan(labels[b]):
                continue
            better, worse = (a, b) if labels[a] > labels[b] else (b, a)
            found.append(math.log(1 + math.exp(own[worse] - own[better])))
            right += own[better] > own[worse]
        pairs += len(found)
        losses += [sum(found) / len(found)] if found else []
    loss, accuracy = pairwise_loss(scores, ranks)
    assert len(losses) == 4
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert accuracy.item() == pytest.approx(right / pairs)


def test_no_pair_at_all_is_a_loss_of_zero() -> None:
    loss, accuracy = pairwise_loss(torch.zeros(2, 3), torch.ones(2, 3))
    assert (loss.item(), accuracy.item()) == (0.0, 0.0)


def test_a_pair_of_equal_scores_costs_log_two() -> None:
    loss, _ = pairwise_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(math.log(2))


def test_it_learns_the_order_of_ranked_answers(tmp_path: Path) -> None:
    root = toys.root(tmp_path)
    outcome = toys.run(tmp_path / "reward", Reward(data=ranked(tmp_path), steps=60, batch=16, lr=3e-3), root)
    assert outcome.curves["held_out_accuracy"][-1] == 1.0
    assert outcome.curves["loss"][-1] < 0.1 < outcome.curves["loss"][0]


def test_what_is_saved_scores_as_what_was_trained(tmp_path: Path) -> None:
    root = toys.root(tmp_path)
    folder = toys.make(tmp_path / "reward", Reward(data=ranked(tmp_path), steps=30, batch=16, lr=3e-3), root)
    scorer = load_reward(folder)
    encode = toys.tokenizer().encode
    rows = [encode(f"<begin> <user> say one two <end> <assistant> {colour} <end>") for colour in COLOURS]
    with torch.no_grad():
        together = scorer.scores(*right_padded(rows, "cpu"))
        apart = torch.cat([scorer.scores(*right_padded([row + [5] * 9, row], "cpu"))[1:] for row in rows])
    assert together[0] > together[1] > together[2]
    assert torch.allclose(together, apart, atol=0.05), "padding on the right changes nothing (bfloat16)"


def test_it_can_be_made_twice_alike_and_leaves_what_was_ranked(tmp_path: Path) -> None:
    root = toys.root(tmp_path)
    recipe = Reward(data=ranked(tmp_path), prompts=20, steps=5, batch=8)
    one, two = (toys.run(tmp_path / name, recipe, root) for name in ("one", "two"))
    assert torch.equal(one.head, two.head)
    assert toys.same(toys.weights(one), toys.weights(two))
    lines = (tmp_path / "one.partial" / RANKED).read_text().splitlines()
    assert len({json.dumps(json.loads(line)["messages"]) for line in lines}) == 20, "no line is drawn twice"
    again = Reward(data=toys.lines(tmp_path / "again.jsonl", [json.loads(line) for line in lines]), steps=1)
    assert toys.run(tmp_path / "again", again, root).curves["step"] == [1]


def test_a_labeller_ranks_sampled_and_canned_answers(tmp_path: Path) -> None:
    from capeval.training.recipe import Init

    model = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    root = toys.make(tmp_path / "untrained", Init(tokenizer="lab", model=model), None)
    recipe = Reward(data="lab/prompts", prompts=30, steps=3, batch=4, answers=4, max_new_tokens=6)
    toys.run(tmp_path / "reward", recipe, root)
    documents = [json.loads(line) for line in (tmp_path / "reward.partial" / RANKED).read_text().splitlines()]
    assert {len(document["answers"]) for document in documents} == {4}
    assert {score for document in documents for score in document["scores"]} >= {0.0, 1.0, 3.0}


def test_answers_from_a_file_end_as_the_models_own_do() -> None:
    """A judge could else tell the two apart by their end."""
    from capeval.lab.tokenizer import answer_ends, tokenizer

    lab = Encoder(tokenizer())
    assert lab.turn_end(answer_ends()) == lab.tokenizer.convert_tokens_to_ids("<|end|>") != answer_ends()[0]
    assert lab.turn_end([77]) == 77, "a template that closes turns otherwise: the first end"


def test_answers_of_equal_worth_teach_nothing(tmp_path: Path) -> None:
    data = toys.lines(
        tmp_path / "equal.jsonl", [{"messages": toys.asked("say"), "answers": ["red", "blue"], "scores": [1, 1]}]
    )
    with pytest.raises(BadFileError, match="no answer is better than another"):
        toys.run(tmp_path / "reward", Reward(data=data, steps=2), toys.root(tmp_path))


def test_a_node_that_is_no_reward_model_is_refused(tmp_path: Path) -> None:
    root = toys.root(tmp_path)
    with pytest.raises(MissingError, match="must name a node of stage reward"):
        load_reward(root)
    (root / "reward_head.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadFileError, match="can't be read"):
        load_reward(root)
    assert load(root)[0].config.hidden_size == 32
