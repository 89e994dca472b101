"""Unlock or inject: does the parent, asked otherwise, solve what the child newly solves?"""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import UNLOCK_COLUMNS
from capeval.core import Tree


def unlock_table(tree: Tree, cells: Cells, elicited: pd.DataFrame, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every edge, task and setting whose parent was asked in other settings."""
    return pd.DataFrame(columns=list(UNLOCK_COLUMNS))
