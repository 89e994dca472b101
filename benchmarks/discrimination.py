"""Does every suite tell two nodes apart that were made to differ in it? And two seeds of one node?

    capeval trace lab --limit 200 && capeval trace lab --replica 1 --limit 200
    python -m benchmarks.discrimination traces/lab traces/lab-replica1 --out reports/discrimination.md

A pair is told apart when one of the suite's headline tasks has p < .001, adjusted by Holm over all of them, and the
difference is not inside the task's margin. "Made to differ" is what the recipes say: the stage between the two nodes
was given that ability, or none of it yet. Two seeds of one recipe are different models, too: where training is noisy
they truly differ, and then they are told apart; the second table says where.
"""

from __future__ import annotations

import argparse
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
    "ood": ("untrained", "code-sft", "nothing read, problems read and asked in two of four forms"),
    "refusal": ("code-sft", "ppo-ptx", "no reward for refusing, reward"),
    "chat": ("code-sft", "chat-sft", "single turns, dialogues"),
    "truthfulness": ("base", "base-sft", "no questions, questions"),
    "style": ("code-sft", "ppo-ptx", "short answers, a reward that likes long ones"),
    "limits": ("untrained", "base", "nothing read, the web with its corrections and sums read"),
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
    planted = {suite: _told(suite, *_runs(first, low, high)) for suite, (low, high, _) in PLANTED.items()}
    head = (
        f"# What the suites tell apart\n\n`python -m benchmarks.discrimination {first} {second}` makes this page; "
        "its docstring says what counts. p is Holm's over the suite's headline tasks; Δ is in points, for lengths in "
        "words, for text in bits per byte.\n"
    )
    rows = [
        "| suite | pair | made to differ by | most telling task | n | Δ | p | apart |",
        "|---|---|---|---|--:|--:|--:|---|",
    ]
    for suite, (low, high, why) in PLANTED.items():
        rows.append(f"| lab/{suite} | {low} → {high} | {why} | {' | '.join(_cells(planted[suite]))} |")
    told = sum(row["apart"] for row in planted.values())
    made = [f"## Nodes that were made to differ\n\nTold apart: {told} of {len(planted)}.\n", *rows]
    return "\n".join([head, *made, "", *_seeds(first, second)]) + "\n"


def _seeds(first: Path, second: Path) -> list[str]:
    """The table of nodes that both replicas have."""
    nodes = sorted(folder.name for folder in (second / "runs").iterdir() if (first / "runs" / folder.name).is_dir())
    pairs = {node: (*_runs(first, node), *_runs(second, node)) for node in nodes}
    told = {(suite, node): _told(suite, *pair) for suite in PLANTED for node, pair in pairs.items()}
    never = [f"lab/{suite}" for suite in PLANTED if not any(told[suite, node]["apart"] for node in nodes)]
    text = (
        f"## Two training seeds of one node\n\nTold apart: {sum(row['apart'] for row in told.values())} of {len(told)} "
        f"pairs of a suite and a node; never by {', '.join(never) or 'none'}. Where a cell says yes, the two models "
        "differ by that much on that task: it is the recipe that is noisy, which one run a node can't show.\n"
    )
    rows = [f"| suite | {' | '.join(nodes)} |", f"|---|{'---|' * len(nodes)}"]
    rows += [f"| lab/{suite} | {' | '.join(_seed_cell(told[suite, node]) for node in nodes)} |" for suite in PLANTED]
    return [text, *rows]


def _runs(trace: Path, *nodes: str) -> list[Run]:
    return [load_run(trace / "runs" / node) for node in nodes]


def _seed_cell(row: dict[str, Any]) -> str:
    task, _, delta, _, _ = _cells(row)
    return f"yes: {task} {delta}" if row["apart"] else "no"


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
