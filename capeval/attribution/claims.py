"""The claims ledger: what a tree says of the literature's claims: supported, contradicted, undecided or untestable.

    capeval claims instructgpt

A claim names contrasts between sorts of stages on measures (model_zoo/claims.yaml). `claim_cells` finds the nodes and
tasks that a tree has for it, `claim_items` the items, `claim_estimates` one effect for each test, `claim_verdicts` what
the effects say of the claim, `claim_rows` the words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from capeval.attribution.claim_estimates import estimate_test
from capeval.attribution.claim_items import Evidence
from capeval.attribution.claim_rows import claim_rows
from capeval.attribution.claim_verdicts import both_questions, judge
from capeval.attribution.pairing import Cells
from capeval.columns import CLAIM_COLUMNS
from capeval.core import Claims, Tree
from capeval.stats.multiplicity import holm


def claims_table(tree: Tree, runs: Sequence[Cells], claims: Claims, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every claim, and below it every test of it.

    Args:
        tree: Its stages, and the specs of its tasks.
        runs: Of each training run, the trace's own first: as `pairing.cells` and `summaries.with_summaries` make them.
        claims: What is claimed.
        alpha: Level of the verdicts, after Holm over all claims that can be tested.
        seed: Of the cluster sign-flip test.

    Returns:
        Columns of `columns.CLAIM_COLUMNS`, claims in their order.
    """
    evidence = Evidence(tree=tree, runs=tuple(runs), measures=claims.measures, alpha=alpha, seed=seed)
    judged = [
        [judge(effect) for test in claim.tests for effect in estimate_test(evidence, test)] for claim in claims.claims
    ]
    both = [both_questions(tests) for tests in judged]
    raw = [min(1.0, 2 * min(pair)) if not math.isnan(min(pair)) else math.nan for pair in both]
    adjusted = holm(raw)
    rows = [
        row
        for claim, tests, pair, p, p_adjusted in zip(claims.claims, judged, both, raw, adjusted, strict=True)
        for row in claim_rows(claim, tests, pair, p, float(p_adjusted), alpha)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))
