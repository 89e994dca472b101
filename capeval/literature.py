"""Reads claims: model_zoo/claims.yaml holds those of the literature, any file of the same form a user's own.

>>> [claim.grade for claim in load_claims().claims if claim.id == "tuning-unlocks"]
['H+']

A claim names kinds of stages and measures, no nodes and no tasks of a certain tree, so it can be put to any tree;
model_zoo/README.md shows the form.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from capeval import strict
from capeval.core import (
    CLAIM_FORMS,
    EXPECTATIONS,
    RELATIONS,
    STAGE_KINDS,
    Claim,
    Claims,
    ClaimTest,
    Pick,
    Source,
)
from capeval.digest import digest
from capeval.errors import BadFileError, UsageError, unknown
from capeval.shipped import folder

LISTING = "capeval list claims"
GRADES = ("C", "H", "H+", "G")
_ASKS = {"bend": "more", "unlocked": "more", "injected": "same"}
"""What the forms that rest on another table ask; it is part of them."""
_OF_CONTRASTS = {"minus", "against", "against_measure", "each", "raw"}
_CLAIM_KEYS = {f.name for f in fields(Claim)}
_TEST_KEYS = {f.name for f in fields(ClaimTest)}


def load_claims(path: Path | None = None) -> Claims:
    """The shipped claims, or those of a file.

    Raises:
        UsageError: no such file.
        BadFileError: malformed YAML, unknown keys, measures or words; the message names file, claim and remedy.
    """
    path = path or folder("model_zoo") / "claims.yaml"
    if not path.is_file():
        raise UsageError(f"there is no file of claims {path}; model_zoo/README.md shows the form")
    where, data = str(path), strict.read_yaml(path)
    strict.refuse_unknown(data, {"measures", "claims"}, where, LISTING)
    written = strict.mapping(data, "measures", where)
    measures = {
        name: tuple(_source(one, f"{where}: measure '{name}'") for one in strict.mappings(written, name, where))
        for name in written
    }
    if empty := next((name for name, sources in measures.items() if not sources), ""):
        raise BadFileError(f"{where}: measure '{empty}' needs a list of sources (- capability: [icl])")
    claims = tuple(_claim(one, measures.keys(), where) for one in strict.mappings(data, "claims", where))
    ids = [claim.id for claim in claims]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise BadFileError(f"{where}: two claims are called {', '.join(twice)}; give each its own id")
    if not claims:
        raise BadFileError(f"{where} holds no claims")
    return Claims(measures=measures, claims=claims, digest=digest(data))


def _source(data: dict[str, Any], where: str) -> Source:
    strict.refuse_unknown(data, {f.name for f in fields(Source)}, where, LISTING)
    found = Source(
        capability=strict.texts(data, "capability", where),
        tasks=strict.texts(data, "tasks", where),
        settings=strict.texts(data, "settings", where),
        minus=strict.text(data, "minus", where),
    )
    if not (found.capability or found.tasks):
        raise BadFileError(f"{where}: a source needs 'capability' or 'tasks'")
    if found.minus and not found.settings:
        raise BadFileError(f"{where}: 'minus' subtracts one setting from others, so 'settings' must name those")
    return found


def _claim(data: dict[str, Any], measures: Any, where: str) -> Claim:
    where = f"{where}: claim '{data.get('id') or '?'}'"
    strict.refuse_unknown(data, _CLAIM_KEYS, where, LISTING)
    said = {key: strict.text(data, key, where) for key in ("id", "text", "graded_by", "source", "note")}
    if missing := [key for key in ("id", "text", "graded_by", "source") if not said[key]]:
        raise BadFileError(f"{where} needs '{missing[0]}'")
    tests = tuple(_test(one, measures, where) for one in strict.mappings(data, "tests", where))
    if not tests:
        raise BadFileError(f"{where} needs 'tests': the contrasts that it stands or falls with")
    grade = strict.one_of(strict.text(data, "grade", where), GRADES, f"{where}: grade")
    return Claim(grade=grade, tests=tests, **said)


def _test(data: dict[str, Any], measures: Any, where: str) -> ClaimTest:
    where = f"{where}: test '{data.get('name') or '?'}'"
    strict.refuse_unknown(data, _TEST_KEYS, where, LISTING)
    name, measure = (strict.text(data, key, where) for key in ("name", "measure"))
    minus, other = (strict.text(data, key, where) for key in ("minus", "against_measure"))
    for key, one in (("measure", measure), ("minus", minus), ("against_measure", other)):
        if one not in measures and (one or key == "measure"):
            raise BadFileError(f"{where}: {key}: {unknown('measure', one, measures, LISTING)}")
    if not name:
        raise BadFileError(f"{where} needs 'name'")
    relation, form = data.get("relation"), strict.one_of(data.get("form", "contrast"), CLAIM_FORMS, f"{where}: form")
    margin = strict.number(data.get("margin"), f"{where}: margin")
    if margin is not None and margin <= 0:
        raise BadFileError(f"{where}: 'margin' must be above 0, in the score's own unit (0.05 = 5 points)")
    if name == "claim":
        raise BadFileError(f"{where}: the row that sums a claim up is called so; give the test another name")
    if form != "contrast" and relation is not None:
        raise BadFileError(f"{where}: only a contrast has a 'relation'; a {form} test picks its stages with 'child'")
    expect = strict.one_of(data.get("expect"), EXPECTATIONS, f"{where}: expect")
    if form in _ASKS and (expect != _ASKS[form] or set(data) & _OF_CONTRASTS):
        raise BadFileError(
            f"{where}: a test of the form {form} expects '{_ASKS[form]}' and has no {', '.join(sorted(_OF_CONTRASTS))}"
        )
    return ClaimTest(
        name=name,
        measure=measure,
        minus=minus,
        against_measure=other,
        axis=strict.text(data, "axis", where, "parameters"),
        form=form,
        expect=expect,
        child=_pick(data, "child", where),
        relation=None if relation is None else strict.one_of(relation, RELATIONS, f"{where}: relation"),
        against=_pick(data, "against", where),
        raw=strict.flag(data, "raw", where, default=False),
        each=strict.flag(data, "each", where, default=False),
        margin=margin,
    )


def _pick(data: dict[str, Any], key: str, where: str) -> Pick:
    value, where = strict.mapping(data, key, where), f"{where}: {key}"
    strict.refuse_unknown(value, {f.name for f in fields(Pick)}, where, LISTING)
    kinds, below = (
        tuple(strict.one_of(kind, STAGE_KINDS, f"{where}: {field}") for kind in strict.texts(value, field, where))
        for field in ("kind", "below")
    )
    tags, without = (strict.texts(value, field, where) for field in ("tags", "without"))
    return Pick(kind=kinds, below=below, tags=tags, without=without)
