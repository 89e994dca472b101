"""What the commands print: summaries that fit 80 to 100 columns and survive a pipe, a log and a paste.

Lines are laid out here rather than by rich's tables, which wrap cells when the width is short.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from capeval.attribution.sentences import amount, p_text, round_up
from capeval.core import Tree, Verdict
from capeval.report.findings import contrasts, counts, findings, first_metrics, headline, kind_words, ranked
from capeval.report.words import (
    MARKS,
    STATUS_MARKS,
    answer_text,
    clean,
    count_text,
    difference_text,
    gate_line,
    number,
    scores_text,
    short_p,
    status_text,
    task_name,
)  # fmt: skip
from capeval.store.runs import Run
from capeval.store.traces import Trace

FINDINGS, ROWS = 10, 24
PIPE_WIDTH = 100
_STYLES = {"gained": "bold blue", "lost": "bold dark_orange", "increased": "magenta", "decreased": "magenta",
           "changed": "magenta", "equivalent": "bold", "can't tell": "dim", "pass": "bold blue",
           "fail": "bold dark_orange", "inconclusive": "dim"}  # fmt: skip
_ASCII = str.maketrans({"→": "->", "−": "-", "–": "-", "·": "/", "▲": "+", "▼": "-", "↑": "^", "↓": "v", "↕": "~",
                        "…": "...", "✔": "+", "✘": "x", "±": "+/-", "α": "alpha", "×": "x", "≤": "<="})  # fmt: skip


def print_trace(trace: Trace, console: Console, *, rows: int = ROWS) -> None:
    """A trace in one screen or two: counts, findings ranked, then every contrast with its certain effects.

    Args:
        trace: What to print.
        console: Where to; colour only if it is a terminal.
        rows: At most so many rows of the ledger; the rest is counted.
    """
    effects = trace.effects
    alpha = f"{trace.provenance.get('alpha', 0.05):g}".replace("0.", ".")
    title = clean(trace.tree.title)
    _say(console, (clean(trace.tree.name), "bold"), (f" · {title}" if title else "", ""))
    if effects.empty:
        _say(console, (_how_to_get_data(trace.tree), ""))
    else:
        _say(console, (f"{len(effects):,} effects: ", ""), *_tally(counts(effects)))
    found = findings(effects, trace.tree.second_metrics())
    if len(found):
        _say(console)
        _say(console, ("What was given and what was taken, largest first", "bold"), (f" (adjusted p ≤ {alpha})", "dim"))
        for row in found.head(FINDINGS).to_dict("records"):
            _say(console, *_finding(row))
        if len(found) > FINDINGS:
            _say(console, (f"  … and {len(found) - FINDINGS} more", "dim"))
    shown = _print_contrasts(effects, trace.tree.second_metrics(), console, rows)
    _say(console)
    left = len(effects) - shown
    if left:
        _say(console, (f"{shown} of {len(effects):,} effects shown; all are in report.html, effects.csv and "
                       "effects.parquet.", "dim"))  # fmt: skip
    if len(trace.published):
        _say(console, (f"{len(trace.published):,} published scores are in the report: unpaired, context only.", "dim"))


def _how_to_get_data(tree: Tree) -> str:
    loadable = sum(bool(stage.uri) for stage in tree.stages)
    if not loadable:
        return "no per-item data of these nodes; name checkpoints with --suite SUITE --checkpoint NODE=PATH"
    return f"no per-item data here; `capeval trace {clean(tree.name)} --suite cot` loads and asks {loadable} nodes"


def print_effects(frame: pd.DataFrame, console: Console) -> None:
    """A comparison: every effect, then what is needed where nothing can be told; columns of `core.EFFECT_COLUMNS`."""
    if frame.empty:
        _say(console, ("nothing to compare: the two sides share no task and setting", "dim"))
        return
    for contrast in contrasts(frame):
        mine = _of(frame, contrast)
        _say(console, (clean(contrast["name"]), "bold"), ("   ", ""), *_tally(contrast["counts"]))
        for confound in dict.fromkeys(clean(c) for c in mine["confounds"] if c):
            _say(console, (f"  confounded: {confound}", "dim"))
        _lines(console, [_effect_cells(row) for row in ranked(mine).to_dict("records")])
        for row in ranked(mine).to_dict("records"):
            if row["answer"] == "cant_tell":
                _say(console, (f"  ? {task_name(row)}: {_what_it_takes(row)}", "dim"))


def print_run(run: Run, scores: pd.DataFrame, within: pd.DataFrame, console: Console) -> None:
    """One checkpoint's scores, then its paired differences between settings.

    Args:
        run: For its name.
        scores: Columns of `core.SCORE_COLUMNS`.
        within: Columns of `core.EFFECT_COLUMNS`, contrasts within the node; may be empty.
        console: Where to.
    """
    _say(console, (clean(run.node), "bold"))
    cells: list[list[str]] = [["task · setting", "score", "95 % interval", "n", "metric", "notes"]]
    for row in scores.to_dict("records"):
        unit = str(row["unit"])
        bounds = f"[{number(row['low'], unit)}, {number(row['high'], unit)}]"
        cells.append([task_name(row), number(row["score"], unit), bounds, count_text(row), clean(row["metric"]),
                      _flags(row)])  # fmt: skip
    _lines(console, cells, align="lrrrll", head=True)
    if within.empty:
        return
    _say(console)
    _say(console, ("On the same items", "bold"))
    _lines(console, [_effect_cells(row) for row in within.to_dict("records")])


def print_gate(verdicts: Sequence[Verdict], console: Console) -> None:
    """One line per rule, failures first, and the verdict last, where a log's reader looks."""
    order = list(STATUS_MARKS)
    for verdict in sorted(verdicts, key=lambda v: order.index(v.status)):
        mark = STATUS_MARKS[verdict.status]
        _say(console, (f"{mark} {status_text(verdict.status):<10}  ", _STYLES[verdict.status]),
             (clean(verdict.rule), "bold"))  # fmt: skip
        _say(console, (f"    {clean(verdict.reason)}", ""))
    _say(console, (f"gate: {gate_line(verdicts)}", "bold"))


def print_table(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Rows of plain facts under their names, as `capeval list` shows them; the last column is never cut."""
    if not rows:
        _say(console, ("nothing", "dim"))
        return
    names = list(rows[0])
    cells = [[clean(name) for name in names], *([clean(row.get(name)) for name in names] for row in rows)]
    _lines(console, cells, align="l" * len(names), head=True, elastic=None)


def _print_contrasts(effects: pd.DataFrame, second: Collection[str], console: Console, limit: int) -> int:
    """Contrasts with their certain effects, stages first; how many rows of the ledger were printed."""
    found = contrasts(effects)
    main = first_metrics(effects, second)
    certain = ranked(main[main["answer"] != "cant_tell"])
    stages = [c for c in found if c["kind"] == "edge"]
    each = max(2, limit // max(1, len(stages)))  # every stage has its say before any has its third
    others = certain[certain["kind"] != "edge"].head(limit // 2 if stages else limit)
    blocks = [(c, _of(certain, c).head(each)) for c in stages]
    order = list(dict.fromkeys(c["kind"] for c in found))
    rest = sorted((c for c in found if c["kind"] != "edge"), key=lambda c: order.index(c["kind"]))
    blocks += [(c, _of(others, c)) for c in rest]
    told = [(c, rows) for c, rows in blocks if c["kind"] == "edge" or len(rows) or len(rest) <= limit // 2]
    cells = [[_effect_cells(row) for row in rows.to_dict("records")] for _, rows in told]
    widths = _widths(row for rows in cells for row in rows)
    kind = ""
    for (contrast, _), lines in zip(told, cells, strict=True):
        if contrast["kind"] != kind:
            kind = contrast["kind"]
            _say(console)
            _say(console, (kind_words(kind), "bold underline"))
        certainty = contrast["certainty"]
        doubt = f" ({clean(certainty)} link)" if certainty not in ("", "documented") else ""
        _say(console, (clean(contrast["name"]), "bold"), (doubt + "   ", "dim"), *_tally(contrast["counts"]))
        _lines(console, lines, widths=widths)
    if len(told) < len(blocks):
        _say(console, (f"… and {len(blocks) - len(told)} more contrasts", "dim"))
    return sum(map(len, cells))


def _finding(row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    parts = headline(row)
    label = parts["label"]
    did = f"{parts['contrast']}: {parts['did']} "
    evidence = f", {p_text(row['p_adjusted'])}, n = {count_text(row)}"
    return [
        (f"  {MARKS[label]} ", _STYLES[label]), (did, ""), (parts["size"], "bold"),
        (f" {parts['on']}" if parts["on"] else "", ""), (evidence, "dim"),
    ]  # fmt: skip


def _effect_cells(row: Mapping[Any, Any]) -> list[str]:
    unit = str(row["unit"])
    answer = answer_text(row) + (" (small)" if row["reason"] == "negligible" else "")
    name = task_name(row) + ("" if unit == "points" else f" ({clean(unit)})")
    return [f"  {name}", count_text(row), scores_text(row),
            difference_text(row), short_p(row["p_adjusted"]),
            answer]  # fmt: skip


def _what_it_takes(row: Mapping[Any, Any]) -> str:
    if row["reason"]:
        return clean(row["reason"])
    unit = str(row["unit"])
    text = f"{int(row['n']):,} items would have shown {amount(row['mde'], unit, signed=False)}"
    if row["n_needed"] is not None and row["n_needed"] == row["n_needed"]:
        text += f"; ±{amount(row['margin'], unit, signed=False)} takes about {round_up(row['n_needed']):,}"
    return text


def _flags(row: Mapping[Any, Any]) -> str:
    shares = [f"{row[name]:.0%} {name}" for name in ("truncated", "unextracted", "refused", "empty") if row[name] > 0]
    return ", ".join(shares + ([f"{int(row['missing'])} missing"] if row["missing"] else []))


def _tally(numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    merged = {**numbers, "changed": numbers["increased"] + numbers["decreased"]}
    shown = (("gained", "▲"), ("lost", "▼"), ("changed", "↕"), ("equivalent", "="), ("can't tell", "?"))
    return [(f"{mark} {merged[label]} {label}  ", _STYLES[label]) for label, mark in shown if merged[label]]


def _of(effects: pd.DataFrame, contrast: Mapping[Any, Any]) -> pd.DataFrame:
    mine: pd.DataFrame = effects[(effects["kind"] == contrast["kind"]) & (effects["contrast"] == contrast["name"])]
    return mine


def _widths(rows: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _lines(
    console: Console, rows: Sequence[Sequence[str]], *, align: str = "lrrlrl", widths: Sequence[int] = (),
    head: bool = False, elastic: int | None = 0,
) -> None:  # fmt: skip
    """Print rows in aligned columns; the elastic one gives way when the width is short."""
    if not rows:
        return
    size = list(widths) or _widths(rows)
    room = console.width if console.is_terminal else PIPE_WIDTH
    if elastic is not None:
        others = sum(size) - size[elastic] + 2 * (len(size) - 1)
        size[elastic] = max(12, min(size[elastic], room - others))
    for place, row in enumerate(rows):
        cells = []
        for text, width, side in zip(row, size, align, strict=True):
            if cell_len(text) > width:
                text = set_cell_size(text, width - 1) + "…"
            pad = " " * (width - cell_len(text))
            cells.append(pad + text if side == "r" else text + pad)
        style = "dim" if head and place == 0 else ""
        label = row[-1].partition(" ")[2].partition(" (")[0]
        last = "" if head else _STYLES.get(label, "")
        _say(console, ("  ".join(cells[:-1]), style), ("  " + cells[-1].rstrip(), last or style))


def _say(console: Console, *parts: tuple[str, str]) -> None:
    """One line as it is: no markup, no highlighting, no wrapping; plain ASCII where the stream can't take more."""
    encoding = console.encoding
    text = Text()
    for content, style in parts:
        if not encoding.lower().startswith("utf"):
            content = content.translate(_ASCII).encode(encoding, "replace").decode(encoding)
        text.append(content, style=style)
    text.rstrip()
    console.print(text, soft_wrap=True, highlight=False)
