"""Log-probabilities through the trie are those of a plain forward of one prompt after another."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from capeval.backends.trie.budget import Budget
from capeval.backends.trie.forest import NO_TRUNK, cut, grow
from capeval.backends.trie.forward import Forward
from capeval.backends.trie.score import Score, log_probabilities, score
from capeval.errors import EngineError
from tests.backends.trie.models import CONFIGS, make, own_logprobs, own_scores, tokens, work


@pytest.fixture(scope="module", params=list(CONFIGS))
def named(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, make(request.param)


def scores(
    model: Any, inputs: list[list[int]], targets: list[list[int]], wanted: Any = None, **how: Any
) -> dict[int, Score]:
    forward = model if isinstance(model, Forward) else Forward(model, "it")
    budget = Budget(tokens=how.pop("tokens", 1 << 12))
    wanted = range(len(inputs)) if wanted is None else wanted
    found = [pair for batch in score(forward, inputs, targets, budget, wanted, **how) for pair in batch]
    assert len(dict(found)) == len(found), "everything is said once"
    return dict(found)


def worst(found: dict[int, Score], wanted: list[Any]) -> float:
    return max(abs(found[i].logprob - logprob) for i, (logprob, _) in enumerate(wanted))


def greedy_targets(model: Any, inputs: list[list[int]], targets: list[list[int]]) -> None:
    """Put the most probable continuation in place of some targets, so that `greedy` is not always False."""
    for number in (0, 4, 9, 14):
        target = targets[number]
        context = inputs[number][: len(inputs[number]) - len(target) + 1]
        ids = list(context)
        for _ in target:
            ids.append(int(own_logprobs(model, ids)[-1].argmax()))
        inputs[number], targets[number] = ids[:-1], ids[len(context) :]


@pytest.mark.parametrize(("flat", "budget", "fused"), [(0, 40, True), (8, 1 << 12, False), (256, 1 << 12, True)])
def test_every_architecture_says_what_it_says_by_itself(
    named: tuple[str, Any], flat: int, budget: int, fused: bool
) -> None:
    _, model = named
    inputs, targets = work()
    greedy_targets(model, inputs, targets)
    wanted = own_scores(model, inputs, targets)
    found = scores(Forward(model, "it", fused), inputs, targets, flat=flat, tokens=budget)
    assert worst(found, wanted) < 1e-4
    assert [found[i].greedy for i in range(len(inputs))] == [greedy for _, greedy in wanted]
    assert sum(greedy for _, greedy in wanted) >= 4


def test_the_comparison_can_fail() -> None:
    model = make("llama")
    inputs, targets = work()
    wanted = own_scores(model, inputs, targets)
    assert worst(scores(model, inputs, targets), wanted) < 1e-4
    with torch.no_grad():
        model.model.layers[0].self_attn.k_proj.weight[0] += 0.05
    assert worst(scores(model, inputs, targets), wanted) > 1e-3


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt-oss", "gemma2"])
def test_what_lies_beyond_a_trunk_or_a_window_is_felt(name: str) -> None:
    """A trunk's tokens matter to what continues it, and those that a window has left behind don't."""
    model = make(name)
    head = tokens(random.Random(3), 40)
    rows = [head + [x] * 3 for x in (5, 6, 7)]
    other = [[4 if token != 4 else 3 for token in head[:10]] + row[10:] for row in rows]
    first, second = (scores(model, ids, [[9]] * 3, flat=0) for ids in (rows, other))
    moved = max(abs(first[i].logprob - second[i].logprob) for i in range(3))
    assert moved < 1e-5 if name == "mistral" else moved > 1e-3


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mistral"])
def test_double_precision_agrees_to_many_digits(name: str) -> None:
    model = make(name, "float64")
    inputs, targets = work()
    wanted = own_scores(model, inputs, targets)
    # log-softmax of the oracle is in float32
    assert worst(scores(model, inputs, targets, flat=0), wanted) < 5e-6


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt-oss"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_within_its_own_noise(name: str, dtype: str) -> None:
    """No further from the float32 sums than twice what the plain forward in half precision is."""
    inputs, targets = work()
    exact = make(name)
    half = make(name, dtype)
    with torch.no_grad():
        for fine, coarse in zip(exact.parameters(), half.parameters(), strict=True):
            fine.copy_(coarse)
    true = own_scores(exact, inputs, targets)
    own = dict(enumerate(Score(*pair) for pair in own_scores(half, inputs, targets)))
    assert worst(scores(half, inputs, targets, flat=0), true) < 2 * worst(own, true) + 0.02


def test_only_what_is_wanted_is_said_and_needless_batches_and_trunks_are_not_computed() -> None:
    forward = Forward(make("llama"), "it")
    draw = random.Random(1)
    heads = [[9, *tokens(draw, 49)], [8, *tokens(draw, 59)]]
    inputs = [[*head, x, *tokens(draw, 3)] for head in heads for x in range(20, 32)]
    targets = [tokens(draw, 1) for _ in inputs]
    how = {"tokens": 20, "flat": 0}
    whole = scores(forward, inputs, targets, **how)
    everything = forward.counts.forwarded
    assert everything == forward.counts.distinct == 50 + 60 + 24 * 4
    assert scores(forward, inputs, targets, wanted=[13], **how) == {13: whole[13]}
    assert forward.counts.forwarded - everything == 60 + 4 * 4, "one trunk, one batch"
    before = forward.counts.forwarded
    assert scores(forward, inputs, targets, wanted=[], **how) == {} and forward.counts.forwarded == before


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["llama", "gpt-oss"])
def test_a_resumed_run_says_the_same_to_the_last_bit(name: str, seed: int) -> None:
    forward = Forward(make(name), "it")
    draw = random.Random(seed)
    inputs, targets = work(seed)
    # a few tokens before large branches are repeated in pieces of several batches
    stem = tokens(draw, 3)
    for x in range(5):
        branch = [*stem, 10 + x, *tokens(draw, 120)]
        inputs += [branch[:2], branch, branch[:60] + tokens(draw, 3)]
        targets += [stem[1:2], tokens(draw, 3), tokens(draw, 2)]
    how = {"tokens": 200, "flat": 16}
    whole = scores(forward, inputs, targets, **how)
    for share in (0.1, 0.5, 0.9):
        wanted = [i for i in range(len(inputs)) if draw.random() < share]
        assert scores(forward, inputs, targets, wanted=wanted, **how) == {i: whole[i] for i in wanted}


def test_a_resumed_run_repeats_the_rows_of_logits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head's product is a batch's as well: its rows must not depend on what was skipped before."""
    forward = Forward(make("llama"), "it")
    stem = [5, 6]
    rows = [[*stem, x, *[x] * 150] for x in range(10, 16)]
    inputs, targets = [stem, *rows], [[6, 7], *([[8]] * 6)]
    pieces = cut(grow(inputs, [len(t) for t in targets]))
    assert [piece.continues for piece in pieces] == [NO_TRUNK] * 6, "the stem is repeated in each"
    asked: list[tuple[int, int]] = []
    real = Forward.__call__

    def watch(self: Forward, work: Any, ids: Any, positions: Any, keep: Any) -> Any:
        asked.append((int(ids[-1]), len(keep)))  # the last token tells the batches apart
        return real(self, work, ids, positions, keep)

    monkeypatch.setattr(Forward, "__call__", watch)
    scores(forward, inputs, targets, tokens=160)
    whole = dict(asked)
    asked.clear()
    scores(forward, inputs, targets, tokens=160, wanted=[4])
    assert asked and all(whole[last] == kept for last, kept in asked)


def test_a_long_staircase() -> None:
    """Turns of one conversation, with questions asked after each: trunk upon trunk."""
    model = make("llama")
    draw = random.Random(0)
    spine: list[int] = []
    inputs, targets = [], []
    for turn in range(40):
        spine += [3 + turn, *tokens(draw, 4)]
        for choice in ([60], [70, 71]):
            inputs.append([*spine, 50, *choice[:-1]])
            targets.append(choice)
    forward = Forward(model, "it")
    found = scores(forward, inputs, targets, tokens=24, flat=8)
    assert worst(found, own_scores(model, inputs, targets)) < 1e-4
    assert forward.counts.forwarded <= 1.15 * forward.counts.distinct


@pytest.mark.parametrize("budget", [64, 500, 1 << 14])
def test_few_shot_work_forwards_little_more_than_the_distinct_tokens(budget: int) -> None:
    forward = Forward(make("llama"), "it")
    draw = random.Random(0)
    inputs, targets = [], []
    for head in (tokens(draw, 150), tokens(draw, 80)):
        for _ in range(12):
            question = head + tokens(draw, draw.randrange(5, 40))
            for choice in ([50], [51], tokens(draw, 5)):
                inputs.append((question + choice)[:-1])
                targets.append(choice)
    scores(forward, inputs, targets, tokens=budget)
    assert forward.counts.distinct == len({tuple(ids[:n]) for ids in inputs for n in range(1, len(ids) + 1)})
    assert forward.counts.forwarded <= 1.15 * forward.counts.distinct


def test_of_tied_tokens_the_first_is_the_greedy_one() -> None:
    import numpy as np

    logits = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])
    found = log_probabilities(logits, np.array([0, 0, 1, 1]), [1, 2, 0, 1], "it")
    assert found[1] == [True, False, True, False]
    assert found[0] == pytest.approx(logits.log_softmax(-1)[[0, 0, 1, 1], [1, 2, 0, 1]].tolist())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_stop_everything(value: float) -> None:
    import numpy as np

    logits = torch.zeros(2, 5)
    logits[1, 3] = value
    with pytest.raises(EngineError, match="it gives NaN or infinite logits"):
        log_probabilities(logits, np.array([1]), [0], "it")
    logits[1, 3] = -torch.inf  # a token that the model never says
    assert log_probabilities(logits, np.array([1]), [0], "it")[0] == pytest.approx([-1.386294])
