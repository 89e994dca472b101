"""What the commands print: summaries that fit 80 to 100 columns and survive a pipe, a log and a paste.

    capeval trace instructgpt | less

A † stands at every effect that is confounded; above its rows is printed what confounds it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from capeval.attribution.gaps import is_gap
from capeval.attribution.sentences import amount, beyond, detectable, p_text, round_up
from capeval.columns import NO_RUNG, WHY_WRONG
from capeval.core import Tree, Verdict
from capeval.prompting import Prompt
from capeval.report import anatomy, claims, factorial, origin, reasoning, scaling, unlock
from capeval.report.findings import contrasts, counts, findings, first_metrics, headline, kind_words, ranked
from capeval.report.lines import STYLES, lines, room, say, shortened, widths_of
from capeval.report.words import (
    MARKS,
    STATUS_MARKS,
    answer_text,
    bounds,
    clean,
    count_text,
    cut_notes,
    difference_text,
    dropped_notes,
    gate_line,
    number,
    scores_text,
    short_p,
    status_text,
    task_name,
    unfinished_notes,
)  # fmt: skip
from capeval.store.runs import Run
from capeval.store.traces import Trace

FINDINGS, ROWS = 10, 24
_SPENT = ("sent", "tokens", "cost", "system")
"""What an engine that is asked over the network tells of itself (`Backend.chosen`)."""
GRADES = "Grade, before each answer: A seeds and a control, B adjusted p, C unadjusted p, D none of these."


def print_trace(trace: Trace, console: Console, *, rows: int = ROWS) -> None:
    """A trace in one screen or two: counts, findings ranked, then every contrast with its certain effects.

    Args:
        trace: What to print.
        console: Where to; colour only if it is a terminal.
        rows: About so many rows of the ledger (every contrast within a node keeps its first); the rest is counted.
    """
    effects = trace.effects
    alpha = f"{trace.provenance.get('alpha', 0.05):g}".replace("0.", ".")
    title = clean(trace.tree.title)
    say(console, (clean(trace.tree.name), "bold"), (f" · {title}" if title else "", ""))
    if effects.empty:
        say(console, (_how_to_get_data(trace.tree), ""))
    else:
        say(console, (f"{len(effects):,} effects: ", ""), *_tally(counts(effects)))
    found = findings(effects, trace.tree.second_metrics())
    if len(found):
        say(console)
        legend = "; † confounded" if found.head(FINDINGS)["confounds"].any() else ""
        how = f" (adjusted p ≤ {alpha}{legend})"
        say(console, ("What was given and what was taken, largest first", "bold"), (how, "dim"))
        for row in found.head(FINDINGS).to_dict("records"):
            say(console, *_finding(row))
        if len(found) > FINDINGS:
            say(console, (f"  … and {len(found) - FINDINGS} more", "dim"))
    shown = _print_contrasts(effects, trace.tree.second_metrics(), console, rows)
    for part in (claims, origin, unlock, anatomy, factorial, scaling, reasoning):
        part.say_part(trace, console)
    say(console)
    if shown:
        say(console, (GRADES, "dim"))
    left = len(effects) - shown
    if left:
        say(console, (f"{shown} of {len(effects):,} effects shown; all are in report.html, effects.csv and "
                       "effects.parquet.", "dim"))  # fmt: skip
    if len(trace.published):
        say(console, (f"{len(trace.published):,} published scores are in the report: unpaired, context only.", "dim"))


def _how_to_get_data(tree: Tree) -> str:
    loadable = sum(bool(stage.uri) for stage in tree.stages)
    if not loadable:
        return "no per-item data of these nodes; name checkpoints with --suite SUITE --checkpoint NODE=PATH"
    return f"no per-item data here; `capeval trace {clean(tree.name)} --suite cot` loads and asks {loadable} nodes"


def print_effects(frame: pd.DataFrame, console: Console) -> None:
    """A comparison: every effect, then what is needed where nothing can be told (`columns.EFFECT_COLUMNS`)."""
    if frame.empty:
        say(console, ("nothing to compare: the two sides share no task and setting", "dim"))
        return
    for contrast in contrasts(frame):
        mine = _of(frame, contrast)
        say(console, (clean(contrast["name"]), "bold"), ("   ", ""), *_tally(contrast["counts"]))
        for confound in dict.fromkeys(clean(c) for c in mine["confounds"] if c):
            say(console, (f"  † confounded: {confound}", "dim"))
        _effects(console, ranked(mine))
        _say_what_it_takes(console, ranked(mine))


def print_run(run: Run, seen: Trace, console: Console) -> None:
    """One checkpoint's scores, what was cut, how answers were read, then its differences between settings.

    Args:
        run: For its name and its prompts that were cut.
        seen: The run as a trace of one node.
        console: Where to.
    """
    scores, within = seen.scores, seen.effects
    say(console, (clean(run.node), "bold"))
    cells: list[list[str]] = [["task · setting", "score", "95 % interval", "n", "metric", "notes"]]
    for row in scores.to_dict("records"):
        unit = str(row["unit"])
        ends = bounds(row["low"], row["high"], unit)
        cells.append([task_name(row), number(row["score"], unit), ends, count_text(row), clean(row["metric"]),
                      _flags(row)])  # fmt: skip
    lines(console, cells, align="lrrrll", head=True)
    told = run.manifest
    notes = (dropped_notes(told.get("dropped")), cut_notes(told.get("cut")), unfinished_notes(told.get("unfinished")))
    plain = told.get("engine", {}).get("plain")
    slow = [f"prompts were evaluated one by one, not as a tree: {clean(plain)}"] if plain else []
    for note in (*(note for some in notes for note in some), *_failures(run.records), *slow):
        say(console, (f"! {note}", ""))
    if spent := [clean(f"{what} {told['engine'][what]}") for what in _SPENT if what in told.get("engine", {})]:
        say(console, ("; ".join(spent), "dim"))
    _say_rungs(console, seen.rungs)
    _say_calibration(console, seen.calibration)
    _say_abstention(console, seen.abstention)
    shifted = is_gap(within["contrast"])
    for title, part in (("On the same items", within[~shifted]), ("Gaps to other items", within[shifted])):
        if part.empty:
            continue
        say(console)
        say(console, (title, "bold"))
        _say_confounds(console, part)
        _effects(console, part)
        _say_what_it_takes(console, part)


def print_prompts(prompts: Sequence[Prompt], console: Console) -> None:
    """Prompts as the engine reads them, special tokens in ⟦ ⟧, then what is scored or how long the answer may be."""
    for prompt in prompts:
        size = sum(piece.tokens for piece in prompt.pieces)
        length = f"{size:,} tokens" if size else "tokens not counted"
        about = f"   {clean(prompt.path)}, item {prompt.item}: {length}, {prompt.shots} shots, "
        say(console, (clean(prompt.task), "bold"), (about + clean(prompt.presentation), "dim"))
        for place, piece in enumerate(prompt.pieces):
            text = "\n".join(map(clean, piece.text.split("\n")))
            last = place == len(prompt.pieces) - 1
            console.print(
                f"⟦{text}⟧" if piece.special else text, style="reverse" if piece.special else None, markup=False,
                highlight=False, soft_wrap=True, end="\n" if last else "",
            )  # fmt: skip
        say(console, (f"→ {_asked_for(prompt)}", "dim"))
        say(console)


def _asked_for(prompt: Prompt) -> str:
    if prompt.continuations:
        return f"scored after it: {', '.join(repr(clean(text)) for text in prompt.continuations)}"
    if not prompt.generation:
        return "every token of it is scored"
    until = ", ".join(repr(stop) for stop in prompt.generation.get("until", ())) or "the end-of-text token"
    return f"an answer of up to {prompt.generation.get('max_gen_toks', 256)} tokens, until {clean(until)}"


def print_gate(verdicts: Sequence[Verdict], console: Console) -> None:
    """One line per rule, failures first, and the verdict last, where a log's reader looks."""
    order = list(STATUS_MARKS)
    for verdict in sorted(verdicts, key=lambda v: order.index(v.status)):
        mark = STATUS_MARKS[verdict.status]
        say(console, (f"{mark} {status_text(verdict.status):<10}  ", STYLES[verdict.status]),
             (clean(verdict.rule), "bold"))  # fmt: skip
        say(console, (f"    {clean(verdict.reason)}", ""))
    say(console, (f"gate: {gate_line(verdicts)}", "bold"))


def print_table(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Rows of plain facts under their names, as `capeval list` shows them; the last column is never cut."""
    if not rows:
        say(console, ("nothing", "dim"))
        return
    names = list(rows[0])
    cells = [[clean(name) for name in names], *([clean(row.get(name)) for name in names] for row in rows)]
    lines(console, cells, align="l" * len(names), head=True, elastic=None)


def _print_contrasts(effects: pd.DataFrame, second: Collection[str], console: Console, limit: int) -> int:
    """Contrasts with their certain effects, stages first; how many rows of the ledger were printed."""
    found = contrasts(effects)
    blocks = _blocks(effects, found, second, limit)
    rest = sum(contrast["kind"] != "edge" for contrast in found)
    told = [(c, rows) for c, rows in blocks if c["kind"] == "edge" or len(rows) or rest <= limit // 2]
    widths = widths_of(_effect_cells(row) for _, rows in told for row in rows.to_dict("records"))
    kind = ""
    for contrast, rows in told:
        if contrast["kind"] != kind:
            kind = contrast["kind"]
            say(console)
            say(console, (kind_words(kind), "bold underline"))
        certainty = contrast["certainty"]
        doubt = f" ({clean(certainty)} link)" if certainty not in ("", "documented") else ""
        say(console, (clean(contrast["name"]), "bold"), (doubt + "   ", "dim"), *_tally(contrast["counts"]))
        _say_confounds(console, rows)
        _effects(console, rows, widths)
    if len(told) < len(blocks):
        say(console, (f"… and {len(blocks) - len(told)} more contrasts", "dim"))
    return sum(len(rows) for _, rows in told)


def _blocks(
    effects: pd.DataFrame, found: Sequence[Mapping[Any, Any]], second: Collection[str], limit: int
) -> list[tuple[Mapping[Any, Any], pd.DataFrame]]:
    """Every contrast with the rows to print: its share of the stages' room, or what ranks high among the others.

    A contrast within a node keeps its first row however small: it asks another question than the stages do, and a
    large effect of a stage must not crowd it out. Gaps to other items only rank.
    """
    main = first_metrics(effects, second)
    certain = ranked(main[main["answer"] != "cant_tell"])
    stages = [c for c in found if c["kind"] == "edge"]
    each = max(2, limit // max(1, len(stages)))  # every stage has its say before any has its third
    others = certain[certain["kind"] != "edge"]
    kept = others.groupby("contrast", sort=False, observed=True).cumcount() == 0
    kept &= (others["kind"] == "within") & ~is_gap(others["contrast"])
    kept |= pd.Series(range(len(others)), index=others.index) < (limit // 2 if stages else limit)
    order = list(dict.fromkeys(c["kind"] for c in found))
    rest = sorted((c for c in found if c["kind"] != "edge"), key=lambda c: order.index(c["kind"]))
    return [(c, _of(certain, c).head(each)) for c in stages] + [(c, _of(others[kept], c)) for c in rest]


def _finding(row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    parts = headline(row)
    label = parts["label"]
    did = f"{parts['contrast']}: {parts['did']} "
    evidence = f", {p_text(row['p_adjusted'])}, n = {count_text(row)}" + (" †" if row["confounds"] else "")
    return [
        (f"  {MARKS[label]} ", STYLES[label]), (did, ""), (parts["size"], "bold"),
        (f" {parts['on']}" if parts["on"] else "", ""), (evidence, "dim"),
    ]  # fmt: skip


def _effects(console: Console, effects: pd.DataFrame, widths: Sequence[int] = ()) -> None:
    """A line for every row, and one more where another interval or what numerics do stands beside."""
    rows = effects.to_dict("records")
    size = widths or widths_of(_effect_cells(row) for row in rows)
    for row in rows:
        lines(console, [_effect_cells(row)], align="lrrlrll", widths=size)
        if other := beyond(row):  # type: ignore[arg-type]
            say(console, (f"      {other}", "dim"))
        if row["noise"]:
            say(console, (f"      {clean(row['noise'])}", "dim"))


def _say_confounds(console: Console, effects: pd.DataFrame) -> None:
    """What confounds these rows, in one line."""
    found = dict.fromkeys(part for text in effects["confounds"] for part in clean(text).split("; ") if part)
    if found:
        say(console, (shortened(f"  † confounded: {'; '.join(found)}", room(console)), "dim"))


def _effect_cells(row: Mapping[Any, Any]) -> list[str]:
    unit = str(row["unit"])
    answer = answer_text(row) + (" (small)" if row["reason"] == "negligible" else "")
    answer += " †" if row["confounds"] else ""
    name = task_name(row) + ("" if unit == "points" else f" ({clean(unit)})")
    return [f"  {name}", count_text(row), scores_text(row),
            difference_text(row), short_p(row["p_adjusted"]),
            clean(row["grade"]), answer]  # fmt: skip


def _say_what_it_takes(console: Console, effects: pd.DataFrame) -> None:
    """Why nothing can be told, or what it would take, one line per undecided effect."""
    for row in effects[effects["answer"] == "cant_tell"].to_dict("records"):
        say(console, (f"  ? {task_name(row)}: {_what_it_takes(row)}", "dim"))


def _what_it_takes(row: Mapping[Any, Any]) -> str:
    if row["reason"]:
        return clean(row["reason"])
    unit = str(row["unit"])
    text = f"{int(row['n']):,} items would have shown {detectable(row['mde'], unit)}"
    if row["n_needed"] is not None and row["n_needed"] == row["n_needed"]:
        text += f"; ±{amount(row['margin'], unit, signed=False)} takes about {round_up(row['n_needed']):,}"
    return text


def _flags(row: Mapping[Any, Any]) -> str:
    shares = [f"{row[name]:.0%} {name}" for name in WHY_WRONG if row[name] > 0]
    return ", ".join(shares + ([f"{int(row['missing'])} missing"] if row["missing"] else []))


def _failures(records: pd.DataFrame) -> list[str]:
    """Why items have no score, by task and setting: the first reason."""
    failed = records[records["error"] != ""]
    return [
        f"{len(part)} of {clean(task)} ({clean(setting)}) have no score, the first: {clean(part['error'].iloc[0])}"
        for (task, setting), part in failed.groupby(["task", "setting"], sort=False)
    ]


def _say_rungs(console: Console, rungs: pd.DataFrame) -> None:
    """Which rung of the ladder found the answers: what the strictest did not read is format, not capability."""
    if rungs.empty:
        return
    say(console)
    say(console, ("How answers were found (share of items, score there)", "bold"))
    cells = []
    for (task, setting), rows in rungs.groupby(["task", "setting"], sort=False):
        told = [_rung(row) for row in rows.sort_values("share", ascending=False).to_dict("records")]
        cells.append([f"  {task_name({'task': task, 'setting': setting})}", " · ".join(told)])
    lines(console, cells, align="ll", elastic=1)


def _rung(row: Mapping[Any, Any]) -> str:
    score = "" if row["rung"] == NO_RUNG else f" ({number(row['score'], 'points')})"
    return f"{clean(row['rung'])} {row['share']:.0%}{score}"


def _say_calibration(console: Console, table: pd.DataFrame) -> None:
    """How sure it is against how right it is; luck alone gives an error too, which stands beside."""
    if table.empty:
        return
    say(console)
    say(console, ("How sure against how right", "bold"))
    cells = [["  task · setting", "right", "sure", "error", "95 % interval", "by luck", "Brier", "AURC", "n"]]
    for row in table.to_dict("records"):
        shown = [number(row[key], "points") for key in ("accuracy", "confidence", "ece")]
        ends = bounds(row["low"], row["high"], "points")
        luck = number(row["ece_if_calibrated"], "points")
        told = [f"{row[key]:.3f}" for key in ("brier", "aurc")]
        cells.append([f"  {task_name(row)}", *shown, ends, luck, *told, count_text(row)])
    lines(console, cells, align="lrrrrrrrr", head=True)


def _say_abstention(console: Console, table: pd.DataFrame) -> None:
    """What is answered, and how often that is wrong."""
    if table.empty:
        return
    say(console)
    say(console, ("What it answers, and how often it is wrong then", "bold"))
    cells = [["  task · setting", "answered", "95 % interval", "wrong then", "95 % interval", "n"]]
    for row in table.to_dict("records"):
        told = [f"  {task_name(row)}"]
        for key in ("coverage", "risk"):
            ends = bounds(row[f"{key}_low"], row[f"{key}_high"], "points")
            told += [number(row[key], "points"), ends]
        cells.append([*told, count_text(row)])
    lines(console, cells, align="lrrrrr", head=True)


def _tally(numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    merged = {**numbers, "changed": numbers["increased"] + numbers["decreased"]}
    shown = (("gained", "▲"), ("lost", "▼"), ("changed", "↕"), ("equivalent", "="), ("can't tell", "?"))
    return [(f"{mark} {merged[label]} {label}  ", STYLES[label]) for label, mark in shown if merged[label]]


def _of(effects: pd.DataFrame, contrast: Mapping[Any, Any]) -> pd.DataFrame:
    mine: pd.DataFrame = effects[(effects["kind"] == contrast["kind"]) & (effects["contrast"] == contrast["name"])]
    return mine
