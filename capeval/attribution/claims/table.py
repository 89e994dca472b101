"""The claims ledger: what a tree says of the literature's claims: supported, contradicted, undecided or untestable.

    capeval claims instructgpt

A claim names contrasts between sorts of stages on measures (model_zoo/claims.yaml). `cells` finds the nodes and
tasks that a tree has for it, `items` the items, `estimates` one effect for each test, `verdicts` what
the effects say of the claim, `rows` the words.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from capeval.attribution.claims.beside import estimate_from_table
from capeval.attribution.claims.estimates import Estimated, estimate_test
from capeval.attribution.claims.items import Evidence, forgiven
from capeval.attribution.claims.rows import claim_rows
from capeval.attribution.claims.verdicts import adjusted, both_questions, judge
from capeval.columns import CLAIM_COLUMNS
from capeval.core import Claims, ClaimTest
from capeval.stats.multiplicity import holm


def claims_table(claims: Claims, evidence: Evidence) -> pd.DataFrame:
    """Every claim, and below it every test of it.

    Args:
        claims: What is claimed.
        evidence: What it is put to; its alpha is the level of the verdicts, after Holm over all claims that can be
            tested.

    Returns:
        Columns of `columns.CLAIM_COLUMNS`, claims in their order.
    """
    lenient = tuple(forgiven(run) for run in evidence.runs)
    evidence = replace(evidence, forgiven=lenient if all(lenient) else ())
    judged = [
        [judge(effect, alpha=evidence.alpha) for test in claim.tests for effect in _effects(evidence, test)]
        for claim in claims.claims
    ]
    raw = [adjusted(min(both_questions(tests))) for tests in judged]
    of_family = holm(raw)
    rows = [
        row
        for claim, tests, p, p_adjusted in zip(claims.claims, judged, raw, of_family, strict=True)
        for row in claim_rows(claim, tests, p, float(p_adjusted), evidence.alpha)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def _effects(evidence: Evidence, test: ClaimTest) -> list[Estimated]:
    if test.form in ("contrast", "slope"):
        return estimate_test(evidence, test)
    return [estimate_from_table(evidence, test)]
