"""Recipes are read strictly: every mistake is one sentence that names the node and the field."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from capeval.errors import BadFileError
from capeval.training.recipe import RECIPES, as_mapping, recipe

GOOD: dict[str, dict[str, Any]] = {
    "init": {"stage": "init", "tokenizer": "lab", "model": {"hidden_size": 8}},
    "language-model": {"stage": "language-model", "data": "lab/base", "steps": 3},
    "sft": {"stage": "sft", "data": "lab/sft", "steps": 3},
    "reward": {"stage": "reward", "data": "lab/prompts"},
    "ppo": {"stage": "ppo", "data": "lab/prompts", "reward": "reward", "steps": 3},
}


@pytest.mark.parametrize("stage", RECIPES)
def test_a_recipe_with_its_defaults_reads_back_as_itself(stage: str) -> None:
    made = recipe(GOOD[stage])
    written = as_mapping(made)
    assert recipe(written) == made
    assert set(written) == {"stage", *(f.name for f in fields(made))}


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("sft", {"step": 3}, "unknown key 'step'; did you mean 'steps'"),
        ("sft", {"stage": "sfd"}, "stage.*'sfd'"),
        ("sft", {"steps": None}, "steps must be a whole number, not None"),
        ("sft", {"steps": 2.5}, "steps must be a whole number, not 2.5"),
        ("sft", {"steps": "many"}, "steps"),
        ("sft", {"steps": True}, "steps"),
        ("sft", {"lr": 0}, "lr must be above 0; it is 0"),
        ("sft", {"lr": -1e-3}, "lr must be above 0"),
        ("sft", {"lr": float("nan")}, "lr"),
        ("sft", {"batch": 0}, "batch must be above 0"),
        ("sft", {"warmup": 1.5}, "warmup must lie between 0 and 1"),
        ("sft", {"optimizer": "adam"}, "optimizer.*adamw"),
        ("sft", {"data": ["a"]}, "data"),
        ("sft", {"data": ""}, "'data' is empty"),
        ("init", {"tokenizer": None}, "'tokenizer' is empty"),
        ("ppo", {"gamma": 0.3}, "'gamma' and 'ptx_data' go together"),
        ("ppo", {"ptx_data": "lab/ptx"}, "'gamma' and 'ptx_data' go together"),
        ("ppo", {"temperature": 0}, "temperature must be above 0"),
        ("init", {"model": "big"}, "model must be a mapping"),
    ],
)
def test_a_recipe_that_can_not_be_used_says_why(stage: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadFileError, match=message):
        recipe(GOOD[stage] | change, "node 'x': recipe")


@pytest.mark.parametrize(
    ("stage", "missing"), [("sft", "data"), ("sft", "steps"), ("ppo", "reward"), ("init", "model")]
)
def test_a_field_without_a_default_is_asked_for(stage: str, missing: str) -> None:
    given = {key: value for key, value in GOOD[stage].items() if key != missing}
    with pytest.raises(BadFileError, match=f"node 'x': recipe .* needs '{missing}'"):
        recipe(given, "node 'x': recipe")
