"""Files of claims: what is wrong with one is said with file, claim and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from capeval.errors import BadFileError, UsageError
from capeval.literature import load_claims

GOOD = """
measures:
  icl: [{capability: [icl], settings: [slope]}]
claims:
  - id: one
    text: examples help
    grade: H
    graded_by: us
    source: here
    tests:
      - {name: "sft − parent", measure: icl, expect: more, child: {kind: [sft]}, relation: parent}
"""


def test_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(GOOD)
    claims = load_claims(tmp_path / "c.yaml")
    assert claims.claims[0].tests[0].child.kind == ("sft",)
    assert claims.digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("grade: H", "grade: X", "must be one of C, H, H+, G"),
        ("expect: more", "expect: mroe", "must be one of more, less, same"),
        ("measure: icl", "measure: ilc", "did you mean 'icl'"),
        ("relation: parent", "relation: mother", "must be one of parent, sibling"),
        ("kind: [sft]", "kind: [stf]", "must be one of base"),
        ("kind: [sft]", "sort: [sft]", "unknown key 'sort'"),
        ("source: here", "note: x", "needs 'source'"),
        ("relation: parent", "relation: parent, margin: -1", "must be above 0"),
        ("relation: parent", "relation: parent, form: slope", "only a contrast has a 'relation'"),
        ("capability: [icl], settings: [slope]", "settings: [slope]", "needs 'capability' or 'tasks'"),
        ("settings: [slope]", "minus: direct", "'settings' must name those"),
        ("id: one", "id: ''", "needs 'id'"),
        ('name: "sft − parent"', 'name: "claim"', "give the test another name"),
        ("more, child: {kind: [sft]}, relation: parent", "less, form: bend", "of the form bend expects 'more'"),
        ("relation: parent", "form: injected, raw: true", "of the form injected expects 'same' and has no against"),
        ("icl: [{capability: [icl], settings: [slope]}]", "icl: []", "needs a list of sources"),
    ],
)  # fmt: skip
def test_a_bad_file(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    (tmp_path / "c.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(BadFileError, match="c.yaml") as error:
        load_claims(tmp_path / "c.yaml")
    assert said in str(error.value)


def test_no_file_and_no_tests(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file of claims"):
        load_claims(tmp_path / "none.yaml")
    (tmp_path / "c.yaml").write_text("measures: {}\nclaims: []\n")
    with pytest.raises(BadFileError, match="holds no claims"):
        load_claims(tmp_path / "c.yaml")
