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
series:
  - {name: data, axis: documents, nodes: {code: 30, base: 1, sft: 1e1}}
tasks:
  - {name: sums, capability: cot, metric: exact_match, margin: 0.05, continuous: sums-f1}
  - {name: sums-f1, capability: cot, metric: f1, binary: false, headline: false}
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
    [series] = tree.series
    assert (series.name, series.axis) == ("data", "documents")
    assert list(series.nodes.items()) == [("base", 1.0), ("sft", 10.0), ("code", 30.0)]  # in ascending order


def test_a_childs_digest_covers_its_parent(tmp_path: Path) -> None:
    before = load_tree(write(tmp_path, GOOD))
    after = load_tree(write(tmp_path, GOOD.replace("kind: base,", "kind: base, uri: other/weights,")))
    assert before.stage("sft").digest != after.stage("sft").digest
    assert load_tree(write(tmp_path, GOOD)).stage("sft").digest == before.stage("sft").digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("axis: documents, ", "", "series 'data' needs 'name' and 'axis'"),
        ("axis: documents", "axes: documents", "series 'data': unknown key 'axes'"),
        ("{code: 30,", "{cod: 30,", "series 'data': unknown node 'cod'; did you mean 'code'"),
        ("{code: 30,", "{code: 1,", "every node needs a number above 0 of its own"),
        ("{code: 30,", "{code: 0,", "every node needs a number above 0 of its own"),
        ("{code: 30, ", "{", "a series takes 3 nodes; two are a contrast"),
        (
            "series:\n",
            "series:\n  - {name: data, axis: x, nodes: {code: 3, base: 1, sft: 2}}\n",
            "two series are called data",
        ),
        ("continuous: sums-f1", "continuous: sum-f1", "unknown task 'sum-f1'; did you mean 'sums-f1'"),
        ("binary: false, ", "", "'continuous' names a task of the same items whose scores know degrees"),
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
        ("name: mine", "name: mine\nname: yours", "the key 'name' is written twice"),
        ("name: mine", "name: [mine]", r"'name' must be text, not \['mine'\]"),
        ("name: mine", "name: mine\nrecords: [3]", "'records' must be text"),
        ("name: mine", "name: mine\n1: one", "the key 1 under 'the file' is no text; put it in quotes"),
        ("name: sft, kind", "name: [sft], kind", r"a stage: 'name' must be text, not \['sft'\]"),
        ("name: sft, kind", "name: null, kind", "every stage needs a name"),
        ("kind: code,", "kind: code, recipe: 3,", "stage 'code': 'recipe' must be a mapping"),
        ("kind: code,", "kind: code, recipe: {x: .nan},", r"'stages\[2\].recipe.x' is nan; write a number"),
        ("kind: code,", "kind: code, published: 5,", "stage 'code': 'published' must be a list of texts"),
        ("kind: code,", "kind: code, title: [a],", "stage 'code': 'title' must be text"),
        ("parameters: 1e9", "parameters: nan", "parameters must be a number, not 'nan'"),
        ("parameters: 1e9", "parameters: true", "parameters must be a number, not True"),
        ("{parent: base, certainty: reported}", "{parent: [base]}", "link: 'parent' must be text"),
        ("settings: [cot, direct]", "settings: 5", r"'settings' must be a list of two \(\[cot, direct\]\), not 5"),
        ("settings: [cot, direct]", "settings: ab", "'settings' must be a list of two"),
        ("settings: [cot, direct]", "settings: [[cot], direct]", "'settings' must be text"),
        ("settings: [cot, direct]", "cells: 3", "'cells' must be a list of mappings"),
        ('tasks: ["sum*"]', "tasks: sums", "contrast 'path': 'tasks' must be a list of texts"),
        ('tasks: ["sum*"]', "tasks: [smus]", "contrast 'code → sft': tasks: unknown task 'smus'; did you mean 'sums'"),
        ('tasks: ["sum*"]', "confounds: 3", "contrast 'path': 'confounds' must be a list of texts"),
        ('tasks: ["sum*"]', "allow_different_shots: maybe", "'allow_different_shots' must be true or false"),
        ("{confounds: [tokens], allow_different_shots: true}", "x", "edges: 'base -> sft' must be a mapping"),
        ("confounds: [tokens], allow", "confounds: tokens, allow", "edge 'base -> sft': 'confounds' must be a list"),
        ('  "base -> sft": {confounds: [tokens], allow_different_shots: true}', "  [1]", "'edges' must be a mapping"),
        ("margin: 0.05", "settings: 3", "task 'sums': 'settings' must be a list of texts"),
        ("margin: 0.05", "margin: .nan", r"'tasks\[0\].margin' is nan"),
        ("margin: 0.05", "margin: nan", "margin must be a number, not 'nan'"),
        ("margin: 0.05", "binary: maybe", "task 'sums': 'binary' must be true or false"),
        ("tasks:\n", "tasks:\n  - {name: sums, capability: c, metric: m}\n", "two tasks are called sums"),
    ],
)  # fmt: skip
def test_a_wrong_tree_file_is_named_with_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(BadFileError, match=message) as caught:
        load_tree(write(tmp_path, GOOD.replace(old, new)))
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.yaml is empty; it must hold a mapping"),
        ("# nothing\n", "mine.yaml is empty"),
        ("- a\n", "must hold a mapping .*, not list"),
        ("name: &a [*a]\n", "nested too deeply, or an alias"),
        ("stages: 3\n", "'stages' must be a list of mappings"),
        ("name: !!binary aGk=\n", "'name' holds a bytes; write it as text"),
    ],
)
def test_a_file_that_is_no_tree_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadFileError, match=message):
        load_tree(write(tmp_path, text))


def test_merged_keys_are_not_written_twice(tmp_path: Path) -> None:
    merged = GOOD.replace("{name: base, kind: base", "&b {name: base, kind: base").replace(
        "{name: code, kind: code", "{<<: *b, name: code, kind: code"
    )
    assert load_tree(write(tmp_path, merged)).stage("code").parameters == 1e9


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


def test_a_control_is_the_parent_of_a_sibling_contrast(tmp_path: Path) -> None:
    within = "{kind: within, node: sft, settings: [cot, direct]}"
    good = GOOD.replace(within, "{kind: sibling, child: sft, parent: code, control: true}")
    assert [c.control for c in load_tree(write(tmp_path, good)).contrasts if c.kind == "sibling"] == [True]
    for wrong in (
        "{kind: within, node: sft, settings: [cot, direct], control: true}",
        "{kind: release, child: sft, parent: code, control: true}",
        "{kind: sibling, child: sft, parent: code, settings: [cot, direct], control: true}",
    ):
        with pytest.raises(
            BadFileError, match="control: a token-matched control is the 'parent' of a contrast of kind"
        ):
            load_tree(write(tmp_path, GOOD.replace(within, wrong)))
    with pytest.raises(BadFileError, match="'control' must be"):
        load_tree(write(tmp_path, good.replace("control: true", "control: maybe")))


CROSSED = """
name: crossed
stages:
  - {name: a, kind: base}
  - {name: b, kind: continued, links: [{parent: a, certainty: documented}]}
  - {name: c, kind: sft, links: [{parent: a, certainty: documented}]}
  - {name: d, kind: sft, links: [{parent: b, certainty: documented}]}
factorials:
  - {factors: [more text, tuning], neither: a, first: b, second: c, both: d}
"""


def test_a_tree_may_name_four_nodes_that_cross_two_stages(tmp_path: Path) -> None:
    [design] = load_tree(write(tmp_path, CROSSED)).factorials
    assert (design.name, design.nodes) == ("more text × tuning", ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("both: d", "both: x", "factorial '?': unknown node 'x'"),
        (", both: d", "", "factorial '?' needs 'both': it crosses four nodes (neither, first, second, both)"),
        ("both: d", "both: c", "must be four different nodes"),
        ("[more text, tuning]", "[tuning]", "'factors' names the two stages that are crossed"),
        ("[more text, tuning]", "[tuning, tuning]", "'factors' names the two stages that are crossed"),
        ("both: d", "all: d", "unknown key 'all'"),
        ("both: d}", "both: d}\n  - {factors: [more text, tuning], neither: d, first: b, second: c, both: a}",
         "two factorials are called more text × tuning"),
    ],
)  # fmt: skip
def test_a_wrong_design_is_named_with_its_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadFileError) as raised:
        load_tree(write(tmp_path, CROSSED.replace(old, new)))
    assert message in str(raised.value)
