"""The claims ledger: what a tree says of the literature's claims: supported, contradicted, undecided or untestable.

    capeval claims instructgpt

A claim names contrasts between sorts of stages on measures (model_zoo/claims.yaml). `claim_cells` finds the nodes and
tasks that a tree has for it, `claim_items` the items, `claim_estimates` one effect for each test, `claim_verdicts` what
the effects say of the claim, `claim_rows` the words.
"""

from __future__ import annotations

import math

import pandas as pd

from capeval.attribution.claim_estimates import Estimated, estimate_test
from capeval.attribution.claim_items import Evidence
from capeval.attribution.claim_rows import claim_rows
from capeval.attribution.claim_tables import estimate_from_table
from capeval.attribution.claim_verdicts import both_questions, judge
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
    judged = [
        [judge(effect, alpha=evidence.alpha) for test in claim.tests for effect in _effects(evidence, test)]
        for claim in claims.claims
    ]
    both = [both_questions(tests) for tests in judged]
    raw = [min(1.0, 2 * min(pair)) if not math.isnan(min(pair)) else math.nan for pair in both]
    adjusted = holm(raw)
    rows = [
        row
        for claim, tests, pair, p, p_adjusted in zip(claims.claims, judged, both, raw, adjusted, strict=True)
        for row in claim_rows(claim, tests, pair, p, float(p_adjusted), evidence.alpha)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def _effects(evidence: Evidence, test: ClaimTest) -> list[Estimated]:
    if test.form in ("contrast", "slope"):
        return estimate_test(evidence, test)
    return [estimate_from_table(evidence, test)]
