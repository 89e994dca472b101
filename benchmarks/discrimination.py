"""Does every suite tell two nodes apart that were made to differ in it, and two seeds of one node not?

    capeval trace lab --limit 200 && capeval trace lab --replica 1 --limit 200
    python -m benchmarks.discrimination traces/lab traces/lab-replica1 --out reports/discrimination.md

A pair is told apart when one of the suite's headline tasks has p < .001, adjusted by Holm over all of them, and the
difference is not inside the task's margin. "Made to differ" is what the recipes say: the stage between the two nodes
was given that ability, or none of it yet. Two seeds of one recipe are different models, too: where training is noisy
they do differ, and the table says so; a suite is sound when it tells planted nodes apart and seeds of a node that
learnt its lesson not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from capeval.stats.multiplicity import holm
from capeval.store.runs import Run, load_run
from capeval.suites import load_suite
from capeval.tracer import compare

LEVEL = 0.001
PLANTED = {
    "generation": ("early", "base", "half of pretraining, all of it"),
    "knowledge": ("untrained", "base", "nothing read, the web read"),
    "icl": ("untrained", "base", "nothing read, lists read"),
    "zero_shot": ("base", "base-sft", "no instructions, instructions"),
    "cot": ("continued-sft", "cot-sft", "answers alone, chains of thought"),
    "code": ("continued", "code", "web, programs"),
    "ood": ("code", "code-sft", "problems never asked, asked in two of four forms"),
    "refusal": ("code-sft", "ppo-ptx", "no reward for refusing, reward"),
    "chat": ("code-sft", "chat-sft", "single turns, dialogues"),
    "truthfulness": ("base", "base-sft", "no questions, questions"),
    "style": ("code-sft", "ppo-ptx", "short answers, a reward that likes long ones"),
    "limits": ("untrained", "base", "nothing read, sums read"),
}
"""By suite: a node, another that was made to be better (or longer) in it, and how they differ."""


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs=2, type=Path, help="folders of two replicas of the lab")
    parser.add_argument("--out", type=Path, help="write the page here")
    options = parser.parse_args()
    text = page(*options.traces)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)


def page(first: Path, second: Path) -> str:
    """The page's text."""
    rows = list(table(first, second))
    apart = sum(row["planted"]["apart"] for row in rows)
    seeds = sum(not row["seeds"]["apart"] for row in rows)
    lines = [
        "# What the suites tell apart", "",
        f"`python -m benchmarks.discrimination {first} {second}` makes this page; its docstring says what counts. p is "
        "Holm's over the suite's headline tasks; Δ is in points, for lengths in words, for text in bits per byte.", "",
        f"Planted pairs told apart: {apart} of {len(rows)}. Two seeds of the better node not told apart: {seeds} of "
        f"{len(rows)}.", "",
        "| suite | planted pair | made to differ by | task | n | Δ | p | apart | seeds of | task | n | Δ | p | apart |",
        "|---|---|---|---|--:|--:|--:|---|---|---|--:|--:|--:|---|",
    ]  # fmt: skip
    for row in rows:
        cells = [f"lab/{row['suite']}", f"{row['low']} → {row['high']}", row["why"], *_cells(row["planted"])]
        cells += [row["high"], *_cells(row["seeds"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table(first: Path, second: Path) -> Iterator[dict[str, Any]]:
    """A row for each suite: its planted pair in the first trace, and its better node in both traces."""
    for suite, (low, high, why) in PLANTED.items():
        ends = [load_run(first / "runs" / node) for node in (low, high)]
        seeds = [ends[1], load_run(second / "runs" / high)]
        yield {
            "suite": suite, "low": low, "high": high, "why": why,
            "planted": _told(suite, *ends), "seeds": _told(suite, *seeds),
        }  # fmt: skip


def _told(suite: str, a: Run, b: Run) -> dict[str, Any]:
    """The suite's most telling headline effect between two runs."""
    found = compare(a, b)
    second = found.tree.second_metrics()
    names = {task.name for task in load_suite(f"lab/{suite}").tasks}
    effects = found.effects[(found.effects["kind"] == "edge") & found.effects["task"].isin(list(names - second))]
    told = [f"{task} {setting}" not in second for task, setting in effects[["task", "setting"]].to_numpy()]
    effects = effects[told].reset_index(drop=True)
    effects = effects.assign(p_holm=holm(effects["p"].fillna(1.0).to_numpy(float)))
    beyond = (effects["low_equivalence"] < -effects["margin"]) | (effects["high_equivalence"] > effects["margin"])
    effects = effects.assign(apart=(effects["p_holm"] < LEVEL) & beyond)
    best = effects.sort_values(["apart", "p_holm"], ascending=[False, True]).iloc[0]
    return {str(key): value for key, value in best.items()}


def _cells(row: dict[str, Any]) -> list[str]:
    scale = 100 if row["unit"] == "points" else 1
    p = "< .001" if row["p_holm"] < LEVEL else f"{row['p_holm']:.3f}"
    apart = "yes" if row["apart"] else "no"
    if row["p_holm"] < LEVEL and not row["apart"]:
        apart = "no: inside the margin"
    delta = row["delta"] * scale
    shown = "–" if pd.isna(delta) else f"{delta:+.1f}" if scale == 100 else f"{delta:+.2f}"
    return [f"{row['task'].removeprefix('lab-')} {row['setting']}", f"{int(row['n'])}", shown, p, apart]


if __name__ == "__main__":
    main()
