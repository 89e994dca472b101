"""Scores against log size: how much a tenfold size gives, and at which size a gain begins.

    capeval trace instructgpt

The same items at several sizes are repeated measures, so the slope is estimated within items (`stats.trend`). From five
sizes on a straight line is held against one that begins to rise only at some size (`stats.change_point`); with fewer
that question is refused. A metric that knows only right and wrong can jump where nothing does (Schaeffer, Miranda &
Koyejo 2023, arXiv 2304.15004), so the same is asked of a continuous metric of the same items wherever there is one:
the task that its spec names as `continuous`, or the log-probability of the right answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from capeval.attribution.curves import Companion, Curve, Question, companion, look
from capeval.attribution.pairing import Cells, shares
from capeval.attribution.sentences import amount, interval_text, p_text, size_text
from capeval.attribution.series import series_of
from capeval.attribution.summaries import spec_in
from capeval.columns import SCALING_COLUMNS
from capeval.core import SUMMARIES, Series, Tree
from capeval.errors import PairingError
from capeval.stats.multiplicity import benjamini_hochberg
from capeval.stats.trend import MIN_SIZES

UNREADABLE = 0.10
"""Sizes whose share of missing, cut or unreadable answers differs by more than this differ in more than capability."""
THRESHOLD_ONLY = "the score bends and its continuous companion does not: the threshold may make the jump"
SLOPE_ONLY = "the score's slope is certain and its continuous companion's is not: the threshold may make it"
NO_COMPANION = "no continuous metric beside it: a jump can't be told from the metric's threshold"
CURVED = "bends, but from no single size on (not flat before, or not straight after)"


def scaling_table(tree: Tree, cells: Cells, *, alpha: float, seed: int) -> pd.DataFrame:
    """Every series of a tree on everything that three of its sizes were asked.

    Args:
        tree: Its series, stages and task specs; its within-node contrasts name the pairs of settings (cot − direct).
        cells: As `pairing.cells` and `summaries.with_summaries` make them.
        alpha: Level at which a bend is believed, after Benjamini-Hochberg over all bends.
        seed: Of the sign flips.

    Returns:
        Columns of `columns.SCALING_COLUMNS`.
    """
    rows = [
        _row(question, tree, cells, alpha=alpha, seed=seed)
        for series in series_of(tree)
        for question in _questions(series, tree, cells)
    ]
    table = pd.DataFrame(rows, columns=list(SCALING_COLUMNS))
    for column in ("p", "p_change"):
        table[f"{column}_adjusted"] = benjamini_hochberg(table[column].to_numpy(float))
    judged = [_judged({str(k): v for k, v in row.items()}, alpha) for row in table.to_dict("records")]
    return pd.DataFrame(judged, columns=list(SCALING_COLUMNS))


def _questions(series: Series, tree: Tree, cells: Cells) -> Iterator[Question]:
    specs = {task.name: task for task in tree.tasks}
    asked = dict.fromkeys((task, setting) for node, task, setting in cells if node in series.nodes)
    for task in dict.fromkeys(task for task, _ in asked):
        spec = specs[task.partition(":")[0]]
        single = [(setting,) for other, setting in asked if other == task]
        for settings in dict.fromkeys((*single, *_setting_pairs(tree, series, task))):
            nodes = tuple(n for n in series.nodes if all((n, task, setting) in cells for setting in settings))
            if len(nodes) >= MIN_SIZES:
                found = spec_in(spec, settings[0])
                yield Question(series=series, nodes=nodes, task=task, settings=settings, spec=found)


def _setting_pairs(tree: Tree, series: Series, task: str) -> Iterator[tuple[str, str]]:
    """The differences between settings that the tree (or the suite of its runs) compares within these nodes."""
    for contrast in tree.contrasts:
        named = [cell.setting for cell in contrast.cells]
        of_series = {cell.node for cell in contrast.cells} <= series.nodes.keys()
        about = not contrast.tasks or any(fnmatchcase(task.partition(":")[0], one) for one in contrast.tasks)
        if contrast.kind == "within" and of_series and about and len(named) == 2 and all(named):
            yield str(named[0]), str(named[1])


def _row(question: Question, tree: Tree, cells: Cells, *, alpha: float, seed: int) -> dict[str, Any]:
    spec = question.spec
    row = {
        "series": question.series.name, "axis": question.series.axis, "nodes": ", ".join(question.nodes),
        "sizes": ", ".join(f"{size:.15g}" for size in question.sizes), "task": question.task,
        "setting": question.setting, "capability": spec.capability, "orientation": spec.orientation,
        "unit": spec.unit, "continuous": "", "warning": "", "n": 0, "curve": "[]", "continuous_curve": "[]",
    }  # fmt: skip
    try:
        seen = look(question, question.parts(cells), spec, alpha=alpha, seed=seed)
    except PairingError as error:
        return row | {"warning": error.reason or str(error)}
    if seen is None:
        return row | {"warning": "no shared items"}
    beside = companion(question, tree, cells, alpha=alpha, seed=seed)
    warnings = [seen.refused, *_read_otherwise(question, cells), *_confounds(question, tree)]
    warnings += [NO_COMPANION] * (_thresholded(question) and beside is None)
    found = row | _numbers(seen) | {"warning": "; ".join(filter(None, warnings))}
    return found | _beside(beside, alpha) if beside else found


def _thresholded(question: Question) -> bool:
    """Whether an answer is right or wrong and nothing between; a summary of such scores inherits it."""
    return question.spec.binary or bool(set(question.settings) & set(SUMMARIES))


def _beside(other: Companion, alpha: float) -> dict[str, Any]:
    slope, bend = other.curve.slope, other.curve.bend
    return {
        "continuous": other.name, "continuous_unit": other.unit, "continuous_slope": slope.delta,
        "continuous_low": slope.low, "continuous_high": slope.high, "continuous_curve": other.curve.points,
        "continuous_p_change": bend.p if bend else math.nan,
        "continuous_change": bend.change if bend and bend.p <= alpha else math.nan,
    }  # fmt: skip


def _numbers(seen: Curve) -> dict[str, Any]:
    slope, bend = seen.slope, seen.bend
    found = {
        "n": slope.n, "dropped": seen.dropped, "slope": slope.delta, "low": slope.low, "high": slope.high, "p": slope.p,
        "curve": seen.points,
    }  # fmt: skip
    if bend is None:
        return found
    return found | {
        "change": bend.change, "change_low": bend.low, "change_high": bend.high, "p_change": bend.p,
        "before": bend.before, "after": bend.slope,
    }  # fmt: skip


def _read_otherwise(question: Question, cells: Cells) -> list[str]:
    """Whether some sizes' answers could be read and others' not: that moves a score without any capability."""
    ends = [shares(part) for part in question.parts(cells)]
    found = []
    for share in ends[0]:
        values = [end[share] for end in ends]
        if max(values) - min(values) > UNREADABLE:
            found.append(f"{share} answers: from {min(values):.0%} to {max(values):.0%} over the sizes")
    return found


def _confounds(question: Question, tree: Tree) -> list[str]:
    stages = [tree.stage(node) for node in question.nodes]
    if question.series.axis == "tokens":
        return []
    tokens = sorted({stage.tokens for stage in stages if stage.tokens})
    return [f"tokens differ too: {size_text(tokens[0])} to {size_text(tokens[-1])}"] if len(tokens) > 1 else []


def _judged(row: dict[str, Any], alpha: float) -> dict[str, Any]:
    """The row with its change point only where the bend is certain, its warnings, and its sentence."""
    warnings = [row["warning"]] if row["warning"] else []
    bends = row["p_change_adjusted"] <= alpha
    if not bends:
        row |= dict.fromkeys(("change", "change_low", "change_high", "before", "after"), math.nan)
    elif math.isnan(row["change_low"]):
        row |= dict.fromkeys(("change", "before", "after"), math.nan)
        warnings.insert(0, CURVED)
    if bends and row["continuous"] and not row["continuous_p_change"] <= alpha:
        warnings.insert(0, THRESHOLD_ONLY)
    elif row["continuous"] and row["p_adjusted"] <= alpha and row["continuous_low"] <= 0 <= row["continuous_high"]:
        warnings.insert(0, SLOPE_ONLY)
    row["warning"] = "; ".join(warnings)
    return row | {"sentence": _sentence(row)}


def _sentence(row: dict[str, Any]) -> str:
    count = len(row["sizes"].split(", "))
    who = f"{row['series']} over {count} {'sizes' if row['axis'] == 'parameters' else row['axis']}"
    what = f"{row['task']} ({row['setting']})"
    if not row["n"]:
        return f"{who}: can't tell on {what}: {row['warning']}."
    unit = str(row["unit"])
    text = f"{who}: {what} {_size(row['slope'], row['low'], row['high'], unit)} per tenfold {row['axis']}, "
    text += f"{p_text(row['p_adjusted'])} adjusted, n = {int(row['n']):,}"
    if not math.isnan(row["change"]):
        text += f"; begins to {'rise' if row['after'] > 0 else 'fall'} at {change_text(row)}"
    if row["continuous"]:
        size = _size(*(row[f"continuous_{end}"] for end in ("slope", "low", "high", "unit")))
        text += f"; {row['continuous']} {size}"
    return f"{text}; {row['warning']}." if row["warning"] else f"{text}."


def change_text(row: Any) -> str:
    """`201k [100k, 532k]`: where a score begins to change, with its interval."""
    return f"{size_text(row['change'])} [{size_text(row['change_low'])}, {size_text(row['change_high'])}]"


def _size(value: float, low: float, high: float, unit: str) -> str:
    return f"{amount(value, unit)} {interval_text(low, high, unit)}"
