"""What lm-eval's logged metrics mean per item, and which task spec follows from a results file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capeval.item_metrics import PERPLEXITIES, exponential, pooled

_PERPLEXITIES = PERPLEXITIES | {"perplexity": "perplexity"}


def choose_metric(metrics: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The metric that counts when nobody says: the first between 0 and 1, else bits per byte, else the first per item.

    Args:
        metrics: In the order of the task.
        rows: Its samples.
    """
    values = {metric: [per_item(metric, row.get(metric)) for row in rows] for metric in metrics}
    usable = [metric for metric, found in values.items() if all(value is not None for value in found)]
    # NaN passes, to be refused by file and line
    shares = [m for m in usable if m not in _PERPLEXITIES and not any(v < 0 or v > 1 for v in values[m])]
    # perplexities do not average over items, bits do
    return next(iter([*shares, *(m for m in usable if m == "bits_per_byte"), *usable]), None)


def per_item(metric: str, value: Any) -> Any:
    """The metric of one item as a score (number, bool or None), or None when it has no value of its own.

    lm-eval logs (log-likelihood, length) for the perplexities and (gold, guess) for corpus metrics such as MCC: the
    former has a value per document, the latter none.
    """
    if metric == "perplexity" and isinstance(value, float):
        return exponential(-value)  # lm-eval logs the log-likelihood
    if isinstance(value, bool | int | float):
        return value
    if metric in PERPLEXITIES and isinstance(value, list) and len(value) == 2:
        return pooled(metric, float(value[0]), float(value[1]))
    return None


def spec(
    metric: str, task: str, results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, clustered: bool
) -> dict[str, Any]:
    """Fields of the `TaskSpec` that lm-eval's results say or imply.

    Args:
        metric: The metric that counts.
        task: lm-eval's name of the task.
        results: The results file.
        rows: The task's samples.
        clustered: Whether the task is one of a group's fixed subtasks.
    """
    higher = ((results.get("higher_is_better") or {}).get(task) or {}).get(metric)
    lower = higher is False or metric in _PERPLEXITIES
    found: dict[str, Any] = {
        "metric": metric,
        "orientation": "lower" if lower else "higher",
        "unit": _PERPLEXITIES.get(metric, "points"),
        "chance": _chance(metric, rows),
    }
    if clustered:
        found |= {"cluster_role": "strata", "cluster": "subtask"}
    if metric in _PERPLEXITIES and metric != "bits_per_byte":
        found["note"] = "mean of the documents' perplexities, which is not the corpus's perplexity"
    return found


def _chance(metric: str, rows: Sequence[Mapping[str, Any]]) -> float:
    """Score of a guesser on multiple choice, from the number of choices; 0 elsewhere."""
    if not metric.startswith("acc"):
        return 0.0
    choices = [len(row["filtered_resps"]) for row in rows]
    return sum(1 / n for n in choices) / len(choices) if min(choices) > 1 else 0.0
