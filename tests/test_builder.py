"""A tree with recipes becomes checkpoints: reuse by digest, overrides, replicas, and trees that can't be built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from capeval import builder
from capeval.builder import BuildOptions, build_units, plan, train
from capeval.errors import BadFileError, EngineError, MissingError, UsageError
from capeval.store.files import read_json
from capeval.zoo import load_tree
from tests.training import toys

MODEL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
LM = {"stage": "language-model", "data": "texts.jsonl", "steps": 4, "batch": 2, "context": 12}
SFT = {"stage": "sft", "data": "lessons.jsonl", "steps": 4, "batch": 2, "context": 12}


def stage(name: str, kind: str, recipe: dict[str, Any], parent: str = "") -> dict[str, Any]:
    links = {"links": [{"parent": parent, "certainty": "documented", "source": "here"}]} if parent else {}
    return {"name": name, "kind": kind, "title": name, "recipe": recipe} | links


def write(folder: Path, stages: list[dict[str, Any]], **more: Any) -> str:
    """A tree file with its data beside it."""
    toys.tokenizer().save_pretrained(folder / "words")
    toys.lines(folder / "texts.jsonl", [{"text": "red blue green one two three"}])
    toys.lines(folder / "lessons.jsonl", [{"messages": toys.answered("say one", "one")}])
    toys.lines(folder / "prompts.jsonl", [{"messages": toys.asked("say")}])
    toys.lines(folder / "ranked.jsonl", [{"messages": toys.asked("say"), "answers": ["red", "one"], "scores": [1, 0]}])
    (folder / "toy.yaml").write_text(yaml.safe_dump({"name": "toy", "stages": stages, **more}), encoding="utf-8")
    return str(folder / "toy.yaml")


def stages() -> list[dict[str, Any]]:
    return [
        stage("root", "base", {"stage": "init", "tokenizer": "words", "model": MODEL}),
        stage("base", "base", LM, "root"),
        # PPO is written before the reward model that it needs
        stage("ppo", "rlhf", {"stage": "ppo", "data": "prompts.jsonl", "reward": "reward", "steps": 2, "batch": 4,
                              "minibatch": 4, "max_new_tokens": 2}, "sft"),
        stage("sft", "sft", SFT, "base"),
        stage("reward", "reward", {"stage": "reward", "data": "ranked.jsonl", "steps": 2, "batch": 1}, "sft"),
    ]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> str:
    return write(tmp_path, stages(), scales={"wide": {"root.model.hidden_size": 32}})


def planned(tree: str, **options: Any) -> dict[str, builder.Planned]:
    chosen = BuildOptions(models=Path(tree).parent / "models", **options)
    return {one.node: one for one in plan(load_tree(tree), chosen, home=Path(tree).parent)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Path]]:
    """Everything, built once."""
    tree = write(tmp_path_factory.mktemp("built"), stages())
    return tree, train(tree, BuildOptions(models=Path(tree).parent / "models", workers=2))


def test_every_node_is_a_checkpoint_that_says_how_it_was_made(built: tuple[str, dict[str, Path]]) -> None:
    tree, folders = built
    assert list(folders) == ["root", "base", "sft", "reward", "ppo"]
    for node, folder in folders.items():
        about = read_json(folder / "training.json")
        assert (about["node"], folder.name) == (node, f"{node}-{about['digest']}")
        assert {"model.safetensors", "config.json", "tokenizer.json"} <= {file.name for file in folder.iterdir()}
        assert about["recipe"]["stage"] == about["stage"]
        assert not list(folder.glob("resume.pt*"))
    ppo = read_json(folders["ppo"] / "training.json")
    assert set(ppo["needs"]) == {"sft", "reward"}
    assert ppo["curves"]["step"] == [1, 2]
    assert len(read_json(folders["sft"] / "training.json")["samples"]) > 0
    assert sorted(p.name for p in (Path(tree).parent / "models").iterdir()) == sorted(f.name for f in folders.values())


def test_a_checkpoint_of_ones_own_is_tuned_by_the_same_recipes(
    built: tuple[str, dict[str, Path]], tmp_path: Path
) -> None:
    own = {"name": "mine", "kind": "base", "title": "mine", "uri": "checkpoints/mine"}
    tree = write(tmp_path, [own, stage("sft", "sft", SFT, "mine")])
    with pytest.raises(MissingError, match="node 'mine': there is no checkpoint in .*checkpoints/mine"):
        planned(tree)
    shutil.copytree(built[1]["base"], tmp_path / "checkpoints" / "mine")
    (tmp_path / "checkpoints" / "mine" / "training.json").unlink()
    found = train(tree, BuildOptions(models=tmp_path / "models", workers=1))
    assert found["mine"] == tmp_path / "checkpoints" / "mine"
    assert (found["sft"] / "model.safetensors").read_bytes() == (built[1]["sft"] / "model.safetensors").read_bytes()
    before = planned(tree)["sft"].digest
    other = json.loads((found["mine"] / "config.json").read_text("utf-8")) | {"rope_theta": 5.0}
    (found["mine"] / "config.json").write_text(json.dumps(other), encoding="utf-8")
    assert planned(tree)["sft"].digest != before, "another checkpoint makes another child"


def test_what_is_built_is_not_built_again(built: tuple[str, dict[str, Path]], tmp_path: Path) -> None:
    tree, folders = built
    times = {folder: (folder / "training.json").stat().st_mtime_ns for folder in folders.values()}
    told: list[str] = []
    models = Path(tree).parent / "models"
    again = train(tree, BuildOptions(models=models), watch=lambda unit, *_: told.append(unit))
    assert (again, told) == (folders, [])
    assert times == {folder: (folder / "training.json").stat().st_mtime_ns for folder in folders.values()}
    # a part of the same tree, under other names, finds the same folders
    other = stages()[:2]
    other[0]["name"], other[1]["name"], other[1]["links"][0]["parent"] = "seed", "web", "seed"
    found = train(write(tmp_path, other), BuildOptions(models=models), watch=lambda unit, *_: told.append(unit))
    assert (found, told) == ({"seed": folders["root"], "web": folders["base"]}, [])


def test_the_same_tree_elsewhere_gives_the_same_weights(built: tuple[str, dict[str, Path]], tmp_path: Path) -> None:
    _, folders = built
    again = train(write(tmp_path, stages()), BuildOptions(nodes=("sft",), models=tmp_path / "models", workers=1))
    assert list(again) == ["root", "base", "sft"]
    assert again["sft"].name == folders["sft"].name
    for node, folder in again.items():
        assert (folder / "model.safetensors").read_bytes() == (folders[node] / "model.safetensors").read_bytes(), node


def test_a_change_is_a_new_node_for_what_descends_from_it_only(tree: str) -> None:
    before = planned(tree)
    after = planned(tree, overrides={"sft.steps": 9})
    assert {node for node in before if before[node].digest != after[node].digest} == {"sft", "reward", "ppo"}
    assert after["sft"].recipe.steps == 9  # type: ignore[union-attr]
    assert before["root"].digest != planned(tree, seed=1)["root"].digest
    assert planned(tree, seed=2)["base"].recipe.seed == 2
    wide = planned(tree, scale="wide")["root"].recipe
    assert wide.model == MODEL | {"hidden_size": 32}  # type: ignore[union-attr]


def test_a_star_changes_every_recipe_that_has_the_field(tree: str) -> None:
    found = planned(tree, overrides={"*.steps": 7})
    assert {node: getattr(one.recipe, "steps", None) for node, one in found.items()} == {
        "root": None, "base": 7, "sft": 7, "reward": 7, "ppo": 7}  # fmt: skip
    clipped = planned(tree, overrides={"*.clip": 0.5, "*.model.rms_norm_eps": 1e-5})  # no recipe of the tree spells it
    assert {getattr(one.recipe, "clip", 0.5) for one in clipped.values()} == {0.5}
    assert clipped["root"].recipe.model["rms_norm_eps"] == 1e-5  # type: ignore[union-attr]


def test_another_tokenizer_makes_another_root(tree: str) -> None:
    before = planned(tree)
    words = Path(tree).parent / "words" / "tokenizer.json"
    words.write_text(words.read_text(encoding="utf-8").replace("blue", "pink"), encoding="utf-8")
    after = planned(tree)
    assert all(before[node].digest != after[node].digest for node in before)


def test_other_data_makes_another_node(tree: str) -> None:
    before = planned(tree)
    toys.lines(Path(tree).parent / "lessons.jsonl", [{"messages": toys.answered("say two", "two")}])
    after = planned(tree)
    assert {node for node in before if before[node].digest != after[node].digest} == {"sft", "reward", "ppo"}


def test_a_node_brings_what_it_needs_and_no_more(tree: str) -> None:
    assert list(planned(tree, nodes=("base",))) == ["root", "base"]
    assert set(planned(tree, nodes=("ppo",))) == {"root", "base", "sft", "reward", "ppo"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"overrides": {"sfd.steps": 3}}, UsageError, "unknown node 'sfd'; did you mean 'sft'"),
        ({"overrides": {"sft.step": 3}}, BadFileError, "node 'sft': recipe: unknown key 'step'; did you mean 'steps'"),
        ({"overrides": {"steps": 3}}, UsageError, r"'steps' must be NODE\.FIELD=VALUE"),
        ({"overrides": {"*.betta": 3}}, UsageError, "no recipe of the tree has a field 'betta'"),
        ({"overrides": {"sft.data.x": 3}}, UsageError, "'data' of 'sft' holds a value, no fields of its own"),
        ({"overrides": {"sft.steps.x": 3}}, UsageError, "'steps' of 'sft' holds a value"),
        ({"overrides": {"ppo.reward": ["reward"]}}, BadFileError, "reward must be the name of a node, not"),
        ({"overrides": {"ppo.reward": "rewrd"}}, BadFileError, "reward: unknown node 'rewrd'; did you mean 'reward'"),
        ({"overrides": {"sft.reward": "sft"}}, BadFileError, "node 'sft': recipe: unknown key 'reward'"),
        ({"overrides": {"root.tokenizer": ""}}, BadFileError, "'tokenizer' is empty"),
        ({"overrides": {"root.tokenizer": "gone"}}, MissingError, "there is no tokenizer 'gone'"),
        ({"overrides": {"ppo.reward": "sft"}}, BadFileError, "reward must name a node of stage reward; 'sft' is sft"),
        ({"overrides": {"sft.data": "gone.jsonl"}}, MissingError, "gone.jsonl is not there"),
        ({"overrides": {"sft.data": "notes.txt"}}, UsageError, "neither a generator"),
        ({"scale": "hugh"}, UsageError, "unknown scale 'hugh'"),
        ({"nodes": ("pppo",)}, UsageError, "unknown node 'pppo'; did you mean 'ppo'"),
    ],
)
def test_what_can_not_be_planned_says_why(
    tree: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        planned(tree, **options)
    assert not (Path(tree).parent / "models").exists()


def test_trees_that_can_not_be_built(tmp_path: Path) -> None:
    def refused(changed: list[dict[str, Any]], message: str) -> None:
        with pytest.raises((BadFileError, UsageError), match=message):
            train(write(tmp_path, changed), BuildOptions(models=tmp_path / "models"))
        assert not (tmp_path / "models").exists()

    root, base, ppo, sft, reward = stages()
    refused([stage("a", "base", LM, "b"), stage("b", "base", LM, "a")], "the parents of a, b form a cycle")
    refused([root, base | {"links": [{"parent": "rot"}]}], "unknown parent 'rot'; did you mean 'root'")
    refused([root, stage("base", "base", LM)], "every other stage needs a parent")
    refused([root, stage("next", "base", root["recipe"], "root")], "stage init makes a root")
    refused([{"name": "root", "kind": "base"}, base], "'root' has neither recipe nor uri, so 'base' can't be built")
    refused([root, base, sft, ppo], "reward: unknown node 'reward'")
    own = stage("reward", "reward", reward["recipe"], "ppo")
    refused([root, base, sft, ppo, own], "the parents and reward models of ppo, reward form a cycle")
    refused([{"name": "root", "kind": "base"}], "has no recipes, so there is nothing to train")


def test_a_wider_model_is_begun_first(tmp_path: Path) -> None:
    found = plan(load_tree("lab-scale"), BuildOptions(models=tmp_path), home=tmp_path)
    costs = {unit.name: unit.cost for unit in build_units(found)}
    assert costs["base-32"] < costs["base-64"] < costs["base-128"] < costs["base-192"]
    assert costs["sft-192"] > costs["sft-32"]


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    root, base, *_ = stages()
    found = planned(write(tmp_path, [root, base | {"name": "../../base"}]))
    assert found["../../base"].folder.parent == found["root"].folder.parent


def test_what_lies_beside_a_tokenizer_does_not_change_it(tree: str) -> None:
    before = planned(tree)["root"].digest
    (Path(tree).parent / "words" / "training.json").write_text("{}", encoding="utf-8")
    assert planned(tree)["root"].digest == before
    (Path(tree).parent / "words" / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert planned(tree)["root"].digest != before


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    tree = write(tmp_path, stages()[:1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFileError, match="empty holds no tokenizer"):
        train(tree, BuildOptions(models=tmp_path / "models", overrides={"root.tokenizer": "empty"}, workers=1))


def test_a_diverging_node_stops_with_its_name_and_what_was_built_stays(tmp_path: Path) -> None:
    tree = write(tmp_path, stages()[:2])
    overrides = {"base.lr": 1e30, "base.clip": 1e30, "base.steps": 40}
    with pytest.raises(EngineError, match="training 'base' diverged"):
        train(tree, BuildOptions(models=tmp_path / "models", overrides=overrides, workers=1))
    kept = sorted(p.name.partition("-")[0] + p.suffix for p in (tmp_path / "models").iterdir())
    assert kept == ["base.partial", "root"]
    assert train(tree, BuildOptions(models=tmp_path / "models", workers=1))["base"].is_dir()


def test_a_damaged_checkpoint_of_a_parent_is_named(tmp_path: Path) -> None:
    tree = write(tmp_path, stages()[:2])
    models = tmp_path / "models"
    root = train(tree, BuildOptions(models=models, nodes=("root",), workers=1))["root"]
    (root / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadFileError, match=f"{root.name} can't be loaded"):
        train(tree, BuildOptions(models=models, workers=1))


def test_training_is_written_as_json(built: tuple[str, dict[str, Path]]) -> None:
    text = (built[1]["base"] / "training.json").read_text("utf-8")
    assert json.loads(text)["recipe"] | LM == json.loads(text)["recipe"]


def test_trees_of_the_lab_share_what_is_the_same(tmp_path: Path) -> None:
    own, other = ({one.node: one for one in plan(load_tree(name), BuildOptions(models=tmp_path), home=tmp_path)}
                  for name in ("lab", "lab-instructions"))  # fmt: skip
    assert {node: own[node].digest for node in ("untrained", "early", "base")} == {
        node: other[node].digest for node in ("untrained", "early", "base")
    }
