"""Sampled answers depend on the request, its sample number and the seed, and on nothing else."""

from __future__ import annotations

import random
from itertools import groupby
from pathlib import Path

import pytest

from capeval.backends import BackendSettings, open_backend
from capeval.core import Request

SETTINGS = {"do_sample": True, "temperature": 1.5, "top_p": 0.95, "max_gen_toks": 12, "until": ["\n\n"]}
PROMPTS = ["2 + 2 =", "The capital of France is", "a much longer prompt that would be padded beside the others: x"]


def asked(seed: int = 0) -> list[Request]:
    return [
        Request(kind="generate", text=text, generation=SETTINGS, sample=sample, seed=seed)
        for text in PROMPTS
        for sample in range(6)
    ]


def answers(checkpoint: Path, requests: list[Request], *, budget: int = 16_384, known: frozenset[int] = frozenset()):
    backend = open_backend("hf", str(checkpoint), BackendSettings(device="cpu", batch_tokens=budget))
    replies = [pair for batch in backend.generate(requests, known) for pair in batch]
    return {(requests[i].text, requests[i].sample): reply.text for i, reply in replies}


@pytest.fixture(scope="module")
def first(tiny_checkpoint: Path):
    return answers(tiny_checkpoint, asked())


@pytest.mark.parametrize("order", ["reversed", "shuffled", "by sample"])
@pytest.mark.parametrize("budget", [64, 100_000])
def test_samples_are_the_same_in_any_order_and_batch(tiny_checkpoint: Path, first, order: str, budget: int) -> None:
    requests = asked()
    if order == "shuffled":
        random.Random(7).shuffle(requests)
    requests.sort(key=lambda r: -r.sample) if order == "by sample" else requests.reverse()
    assert answers(tiny_checkpoint, requests, budget=budget) == first


def test_samples_are_the_same_beside_greedy_answers_and_when_a_run_is_resumed(tiny_checkpoint: Path, first) -> None:
    greedy = [
        Request(kind="generate", text=t, generation={"max_gen_toks": 12, "until": []}, sample=-1) for t in PROMPTS
    ]
    mixed = [request for pair in zip(asked()[:3], greedy, strict=True) for request in pair] + asked()[3:]
    found = answers(tiny_checkpoint, mixed)
    assert {key: text for key, text in found.items() if key[1] >= 0} == first
    known = frozenset(range(0, 18, 2))
    rest = answers(tiny_checkpoint, asked(), known=known)
    assert len(rest) == 9 and rest == {key: first[key] for key in rest}


def test_samples_of_one_prompt_differ_and_so_do_seeds(tiny_checkpoint: Path, first) -> None:
    for _, group in groupby(sorted(first), key=lambda key: key[0]):
        assert len({first[key] for key in group}) > 1
    assert answers(tiny_checkpoint, asked(seed=1)) != first
