"""The claims ledger: what a tree says of the literature's claims."""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import CLAIM_COLUMNS
from capeval.core import Tree


def claims_table(tree: Tree, cells: Cells, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every claim, and every test of it."""
    return pd.DataFrame(columns=list(CLAIM_COLUMNS))
