"""Recorded answers through a suite's tasks: their filters, ladder and metric, as if a model had just said them.

>>> asked = prepare(load_suite("ood"), Form())                                    # doctest: +SKIP
>>> rescore(asked[:1], {"How many … ?": "3 + 4 = 7. The answer is 7."}, known_by="{{question}}")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from capeval.core import Reply
from capeval.harness.prepare import Asked
from capeval.harness.score import records
from capeval.store.runs import number_repeats

UNMATCHED = "no recorded text"
"""Error of a document that nothing was recorded for."""


def names(known_by: Sequence[str]) -> list[str]:
    """What items are known by, for `rescore`: white space counts as one space, repeats get #2, #3 … in order."""
    return list(number_repeats(pd.Series([" ".join(text.split()) for text in known_by], dtype="object")))


def rescore(asked: Sequence[Asked], texts: Mapping[str, str], known_by: str) -> pd.DataFrame:
    """Score recorded texts as answers.

    Args:
        asked: What `prepare` gave; tasks that generate, one text for each document.
        texts: By what a document is known by (see `names`), what was said to it.
        known_by: Template of what a document is known by: "{{question}}".

    Returns:
        The records, with what each is known by in the column `known_by`. A document without a text has no score and
        the error "no recorded text"; texts whose name is not in that column belong to no document.
    """
    from lm_eval.utils import apply_template

    documents = [document for one in asked for document in one.documents]
    known = names([str(apply_template(known_by, document.doc)) for document in documents])
    replies = [Reply(text=texts[name], finish="stop") if name in texts else Reply(error=UNMATCHED) for name in known]
    return records(asked, replies).assign(known_by=known)
