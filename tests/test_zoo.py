"""Tree files: what ships loads, and every way to write one wrong has its own message."""

from pathlib import Path

import pytest

from capeval.errors import BadFileError, UsageError
from capeval.zoo import load_tree, tree_names

GOOD = """
name: mine
stages:
  - {name: base, kind: base, parameters: 1e9, date: 2024-05}
  - {name: sft, kind: sft, links: [{parent: base, certainty: documented}, {parent: code, certainty: disputed}]}
  - {name: code, kind: code, links: [{parent: base, certainty: reported}]}
contrasts:
  - {kind: path, child: sft, parent: code, tasks: ["sum*"]}
  - {kind: within, node: sft, settings: [cot, direct]}
edges:
  "base -> sft": {confounds: [tokens], allow_different_shots: true}
tasks:
  - {name: sums, capability: cot, metric: exact_match, margin: 0.05}
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_tree_file_becomes_a_tree(tmp_path: Path) -> None:
    tree = load_tree(write(tmp_path, GOOD))
    assert [s.name for s in tree.stages] == ["base", "sft", "code"]
    assert tree.stage("base").parameters == 1e9
    assert tree.stage("base").date == "2024-05"
    assert [link.certainty for link in tree.stage("sft").links] == ["documented", "disputed"]
    edge = tree.edges()[0]
    assert (edge.parent, edge.child, edge.confounds, edge.allow_different_shots) == ("base", "sft", ("tokens",), True)
    assert [c.name for c in tree.contrasts] == ["code → sft", "sft: cot − direct"]


def test_a_childs_digest_covers_its_parent(tmp_path: Path) -> None:
    before = load_tree(write(tmp_path, GOOD))
    after = load_tree(write(tmp_path, GOOD.replace("kind: base,", "kind: base, uri: other/weights,")))
    assert before.stage("sft").digest != after.stage("sft").digest
    assert load_tree(write(tmp_path, GOOD)).stage("sft").digest == before.stage("sft").digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: code", "knd: code", r"stage 'code': unknown key 'knd'; did you mean 'kind'\?"),
        ("kind: code", "kind: cod", "stage 'code': kind must be one of base"),
        ("parent: code, cert", "parent: cde, cert", "unknown parent 'cde'; did you mean 'code'"),
        ("certainty: reported", "certainty: sure", "certainty must be one of documented, reported, disputed, unknown"),
        ("name: code", "name: sft", "two stages are called sft"),
        ("parameters: 1e9", "parameters: many", "parameters must be a number, not 'many'"),
        ("child: sft", "child: stf", "unknown node 'stf'; did you mean 'sft'"),
        ("node: sft, settings: [cot, direct]", "settings: [cot, direct]", "needs 'node' and two 'settings'"),
        ('"base -> sft"', '"base -> code2"', "unknown edge 'base -> code2'; did you mean 'base -> code'"),
        ("margin: 0.05", "margin: 0", "margin must be above 0"),
        ("metric: exact_match", "metrics: exact_match", "unknown key 'metrics'; did you mean 'metric'"),
        ("kind: base, parameters", "kind: base, links: [{parent: sft}], parameters", "form a cycle"),
        ("stages:", "stages: {", "can't be read as YAML"),
    ],
)  # fmt: skip
def test_a_wrong_tree_file_is_named_with_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(BadFileError, match=message) as caught:
        load_tree(write(tmp_path, GOOD.replace(old, new)))
    assert "mine.yaml" in str(caught.value)


def test_weights_of_a_contrast_must_sum_to_zero(tmp_path: Path) -> None:
    cells = "{kind: difference, cells: [{node: sft, weight: 1}, {node: base, weight: -0.5}]}"
    with pytest.raises(BadFileError, match="must sum to 0"):
        load_tree(write(tmp_path, GOOD.replace("{kind: within, node: sft, settings: [cot, direct]}", cells)))


def test_an_unknown_tree_is_guessed() -> None:
    with pytest.raises(UsageError, match=r"unknown tree 'instructgtp'; did you mean 'instructgpt'\?"):
        load_tree("instructgtp")
    with pytest.raises(UsageError, match="there is no tree file nowhere.yaml"):
        load_tree("nowhere.yaml")


@pytest.mark.parametrize("name", tree_names())
def test_every_shipped_tree_loads_with_parents_first(name: str) -> None:
    tree = load_tree(name)
    assert tree.name == name
    seen: set[str] = set()
    for stage in tree.stages:
        assert stage.parent is None or stage.parent in seen
        seen.add(stage.name)
    assert len(tree.edges()) == sum(stage.parent is not None for stage in tree.stages)
