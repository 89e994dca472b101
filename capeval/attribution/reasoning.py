"""The child's chains of thought, read by the parent."""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import REASONING_COLUMNS
from capeval.core import Tree


def reasoning_table(tree: Tree, cells: Cells, reads: pd.DataFrame, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every edge, task and setting whose chains were read."""
    return pd.DataFrame(columns=list(REASONING_COLUMNS))
