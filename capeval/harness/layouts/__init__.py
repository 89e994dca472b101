"""The data sets that a mirror may hold in their authors' own formats, brought into the columns that hub and tasks know.

`table` says what there is, `rows` how an item becomes a row, `layout` how both meet the files, `files` reads.
One table: loading, `capeval data`, its errors and docs/data.md all read it.

>>> find("cais/mmlu", "anatomy").name
'mmlu'
"""

from __future__ import annotations

from capeval.harness.layouts.files import Rows, documents
from capeval.harness.layouts.layout import Layout, splits
from capeval.harness.layouts.table import LAYOUTS

__all__ = ["LAYOUTS", "Layout", "Rows", "documents", "find", "splits"]


def find(path: str, name: str) -> Layout | None:
    """The layout that answers to a task's `dataset_path` and `dataset_name`."""
    return next((one for one in LAYOUTS if path in one.ids and one.answers(name)), None)
