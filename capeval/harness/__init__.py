"""lm-eval's tasks as requests and records. The only place that knows lm-eval; it never knows an engine.

>>> asked = prepare(load_suite("smoke"), Form(), limit=2)     # doctest: +SKIP
>>> requests = requests_of(asked)                             # → any backend, which gives a Reply to each
>>> records(asked, replies)                                   # one row per document, `columns.RECORD_COLUMNS`

lm-eval builds the prompts, filters the answers and scores them, so any YAML task of its own or of a user runs unchanged
and scores as `lm_eval` itself scores it.
"""

from capeval.harness.elicited import elicited
from capeval.harness.forms import Form, ShotsAs, question_answer
from capeval.harness.prepare import Asked, Items, fit, prepare, requests_of
from capeval.harness.rescore import names, rescore
from capeval.harness.score import records, scoring_rules
from capeval.harness.taskfile import SHOT_SEED

__all__ = [
    "SHOT_SEED", "Asked", "Form", "Items", "ShotsAs", "elicited", "fit", "names", "prepare", "question_answer",
    "records", "requests_of", "rescore", "scoring_rules",
]  # fmt: skip
