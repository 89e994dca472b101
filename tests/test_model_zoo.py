"""The trees that ship: nothing invented, nothing left out, every link with its certainty and source."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from capeval.attribution.published import load_published, published_effects, published_table
from capeval.columns import PUBLISHED_COLUMNS, PUBLISHED_EFFECT_COLUMNS
from capeval.core import CERTAINTIES
from capeval.shipped import folder
from capeval.zoo import load_tree, tree_names

ZOO = folder("model_zoo")
FAMILIES = {
    "bloom", "codex", "deepmind", "galactica", "gpt-1-2-3", "gpt-3.5", "instructgpt", "lamda", "llama", "llama-2",
    "mistral", "olmo-2", "opt", "palm", "qwen2.5", "self-instruct", "smollm2", "t5", "tulu-3", "ul2", "webgpt",
}  # fmt: skip
UNUSED: dict[str, str] = {}
"""Models of the table that no tree holds, with the reason."""


def test_every_family_of_the_literature_has_a_tree() -> None:
    assert set(tree_names()) >= FAMILIES


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_links_are_certain_to_a_degree_and_sourced(name: str) -> None:
    tree = load_tree(name)
    before: set[str] = set()
    for stage in tree.stages:
        assert stage.title, stage.name
        assert stage.source, stage.name
        for link in stage.links:
            assert link.certainty in CERTAINTIES
            assert link.source, f"{link.parent} -> {stage.name}"
        if stage.parent:
            assert stage.parent in before, "parents come before their children"
        before.add(stage.name)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_written_certainty_is_explicit(name: str) -> None:
    data = yaml.safe_load((ZOO / f"{name}.yaml").read_text("utf-8"))
    for stage in data["stages"]:
        assert all("certainty" in link for link in stage.get("links", [])), stage["name"]


def test_published_names_and_the_table_agree() -> None:
    known = set(published_table()["model"])
    used = {model for name in tree_names() for stage in load_tree(name).stages for model in stage.published}
    assert used <= known, f"names that the table lacks: {sorted(used - known)}"
    assert known - used == set(UNUSED), "models that no tree holds must be listed as unused, with the reason"


def test_hub_ids_are_owner_and_name_once_each() -> None:
    uris = [s.uri for name in tree_names() for s in load_tree(name).stages if s.uri]
    assert all(uri.count("/") == 1 and " " not in uri for uri in uris)
    within = [[s.uri for s in load_tree(name).stages if s.uri] for name in tree_names()]
    assert all(len(set(tree)) == len(tree) for tree in within)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_published_scores_of_every_tree_load(name: str) -> None:
    tree = load_tree(name)
    published = load_published({s.name: s.published for s in tree.stages if s.published})
    assert list(published.columns) == list(PUBLISHED_COLUMNS)
    effects = published_effects(tree, published)
    assert list(effects.columns) == list(PUBLISHED_EFFECT_COLUMNS)
    edges = {(e.parent, e.child) for e in tree.edges()}
    assert set(zip(effects["parent"], effects["child"], strict=True)) <= edges
    intervals = effects.dropna(subset=["low"])
    assert ((intervals["low"] <= intervals["delta"]) & (intervals["delta"] <= intervals["high"])).all()


def test_the_table_of_trees_is_up_to_date() -> None:
    text = (ZOO / "README.md").read_text("utf-8")
    for name in tree_names():
        tree = load_tree(name)
        assert f"| `{name}` | {len(tree.stages)} |" in text, f"model_zoo/README.md: row of {name}"


def test_the_example_of_a_tree_is_one(tmp_path: Path) -> None:
    example = (ZOO / "README.md").read_text("utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "mine.yaml").write_text(example, encoding="utf-8")
    assert [s.name for s in load_tree(str(tmp_path / "mine.yaml")).stages] == ["base", "sft"]


def test_the_published_table_is_tidy() -> None:
    table = published_table()
    assert not {"parent", "stage", "family"} & set(table.columns), "whose child a model is, is the trees' business"
    assert not table.duplicated(["model", "benchmark", "setting", "metric", "value", "source"]).any()
    assert table["value"].between(0, 100).where(table["metric"] != "mean output length (characters)", True).all()
    assert (table["n_items"].isna() | (table["n_items"] >= 100)).all()
    assert not table["read_at"].str.contains("stored text").any()
    key = ["model", "benchmark", "setting", "metric"]
    several = table.groupby(key)["value"].transform("nunique") > 1
    pd.testing.assert_series_equal(several, table["conflict"] != "", check_names=False)


def test_shipped_files_name_no_machine() -> None:
    for file in Path(ZOO).glob("*.yaml"):
        text = file.read_text("utf-8")
        assert "/work" not in text and "/home" not in text, file.name
