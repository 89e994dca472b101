"""Origin: which stage of a path gave a capability, which took some back, what is left at the leaf."""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import ORIGIN_COLUMNS
from capeval.core import Tree


def origin_table(tree: Tree, cells: Cells, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every root-to-leaf path, task and setting."""
    return pd.DataFrame(columns=list(ORIGIN_COLUMNS))
