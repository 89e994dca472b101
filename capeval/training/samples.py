"""A few answers of a new node, so that a person can see what it does."""

from __future__ import annotations

from typing import Any

from capeval.training.data import Encoder, step_rng
from capeval.training.nodes import Outcome
from capeval.training.recipe import Init, Recipe, Reward

COUNT = 6
_WORDS = 24


def samples(outcome: Outcome, recipe: Recipe) -> list[dict[str, str]]:
    """Greedy continuations of what the stage read; none for roots and reward models.

    Args:
        outcome: What the stage left.
        recipe: Its recipe.
    """
    if isinstance(recipe, Init | Reward):
        return []
    encoder, found = Encoder(outcome.tokenizer), []
    for number in range(COUNT):
        document = outcome.data[0].draw(step_rng(recipe.seed, number, "samples"), 1.0)
        prompt = _prompt(encoder, document)
        answer = _continue(outcome, prompt)
        found.append({"prompt": outcome.tokenizer.decode(prompt), "answer": outcome.tokenizer.decode(answer)})
    return found


def _prompt(encoder: Encoder, document: Any) -> list[int]:
    if "messages" in document:
        turns = list(document["messages"])
        while turns and turns[-1]["role"] == "assistant":
            turns.pop()
        return encoder.prompt(turns)
    [(ids, _)] = encoder.documents([document])
    return ids[: max(2, len(ids) // 2)]


def _continue(outcome: Outcome, prompt: list[int]) -> list[int]:
    import torch

    ids = torch.tensor([prompt], device=outcome.model.device)
    outcome.model.eval()
    with torch.no_grad():
        out = outcome.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=_WORDS, do_sample=False
        )
    return [int(token) for token in out[0, len(prompt) :]]
