"""Why items flip: format, truncation, refusal, reasoning, arithmetic, or another answer."""

from __future__ import annotations

import pandas as pd

from capeval.attribution.pairing import Cells
from capeval.columns import ANATOMY_COLUMNS
from capeval.core import Tree


def anatomy_table(tree: Tree, cells: Cells, flips: pd.DataFrame) -> pd.DataFrame:
    """The difference of every edge, split by cause."""
    return pd.DataFrame(columns=list(ANATOMY_COLUMNS))
