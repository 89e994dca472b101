"""Which function runs which recipe."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from capeval.training.nodes import Job, Outcome
from capeval.training.recipe import Recipe

STAGES = {
    "init": "capeval.training.init:init",
    "language-model": "capeval.training.fit:fit",
    "sft": "capeval.training.fit:fit",
    "reward": "capeval.training.reward:train_reward",
    "ppo": "capeval.training.ppo:ppo",
}
SHARED = ("attention", "data", "loop", "nodes")
"""Modules that decide what every stage's weights become."""


def run_stage(recipe: Recipe, job: Job) -> Outcome:
    """Do to the parent what the recipe says; each stage's own function says what it raises."""
    module, _, name = STAGES[recipe.stage].partition(":")
    stage: Any = getattr(import_module(module), name)
    outcome: Outcome = stage(recipe, job)
    return outcome
