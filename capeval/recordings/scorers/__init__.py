"""Scorers of recorded outputs: (output, gold) → a score, what was extracted, and why a wrong answer is wrong.

Each rule is the benchmark's own, so that an imported output counts exactly as it would have counted there. Pure text
arithmetic: no model, no data set, no network.

>>> score("squadv2_em", "Not in background.\\n\\nTitle: x", ["Not in background."]).score
1.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from capeval.errors import unknown
from capeval.recordings.scorers.choices import bbq, crows, letter
from capeval.recordings.scorers.matching import bbh_cot, exact, gsm8k_flexible, gsm8k_strict, number
from capeval.recordings.scorers.reading import drop_em, drop_f1, squad_em, squad_f1
from capeval.recordings.scorers.recorded import informative, truthful, truthful_and_informative, verdict
from capeval.recordings.scorers.scored import Scored
from capeval.recordings.scorers.tatqa import tatqa_em, tatqa_f1
from capeval.recordings.scorers.translation import chrf

__all__ = ["SCORERS", "Scored", "Scorer", "score"]

Scorer = Callable[[Any, Any], Scored]
"""(output, gold) → Scored. Output is the model's text unless the scorer's docstring says otherwise."""

SCORERS: dict[str, Scorer] = {
    "squadv2_em": squad_em,
    "squadv2_f1": squad_f1,
    "drop_f1": drop_f1,
    "drop_em": drop_em,
    "chrf": chrf,
    "truthfulqa": truthful_and_informative,
    "truthfulqa_true": truthful,
    "truthfulqa_info": informative,
    "tatqa_em": tatqa_em,
    "tatqa_f1": tatqa_f1,
    "bbh_cot": bbh_cot,
    "bbh_direct": exact,
    "exact": exact,
    "gsm8k_strict": gsm8k_strict,
    "gsm8k_flexible": gsm8k_flexible,
    "number": number,
    "letter": letter,
    "bbq": bbq,
    "crows": crows,
    "verdict": verdict,
}


def score(name: str, output: Any, gold: Any) -> Scored:
    """Score one recorded output.

    Args:
        name: A key of `SCORERS`.
        output: What the model said (str), or what the scorer's docstring asks for. None means that it is absent.
        gold: The reference: str, list of alternatives, or what the scorer's docstring asks for.

    Returns:
        The score (None when there is nothing to judge), the extracted answer and the flag.

    Raises:
        UsageError: for an unknown scorer.
    """
    if name not in SCORERS:
        raise unknown("scorer", name, SCORERS, "capeval list scorers")
    return SCORERS[name](output, gold)
