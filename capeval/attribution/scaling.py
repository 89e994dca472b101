"""Scores against log size, and where a gain begins."""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import SCALING_COLUMNS
from capeval.core import Tree


def scaling_table(tree: Tree, cells: Cells, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every series of sizes in the tree."""
    return pd.DataFrame(columns=list(SCALING_COLUMNS))
