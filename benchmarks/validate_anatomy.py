"""How well do the rules of `attribution.causes` find why an item flipped? Against 320 labels, as markdown.

    python -m benchmarks.validate_anatomy                          # prints the tables of docs/flips.md
    python -m benchmarks.validate_anatomy --into docs/flips.md     # puts them there

Flips were drawn from the recorded trees with a seed (`drawn` draws them again), one by one in eight sources; their
texts were read and labelled before any rule was run on them, and the labels are in flip_labels.csv: numbers and labels,
never an answer. Items are split into dev and test, all flips of one item on one side; the rules were tuned on dev.
Causes are found from the records that ship, so no text is needed. Intervals are 95 % and clustered by item, because
several models answer the same one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import documents
from capeval.attribution.anatomy import REST, anatomy_table
from capeval.attribution.causes import CAUSES
from capeval.attribution.effects import ALPHA
from capeval.attribution.flips import flip_table
from capeval.attribution.pairing import cells
from capeval.core import Cell, Contrast, Tree
from capeval.report.words import delta, signed
from capeval.stats.rates import mean_interval
from capeval.store.runs import load_node_records
from capeval.zoo import load_tree

MARK = "<!-- benchmarks/validate_anatomy.py -->"
LABELS = Path(__file__).with_name("flip_labels.csv")
SEED = 20221130
TREES = ("instructgpt", "gpt-3.5")
KEYS = ["task", "setting", "parent", "child", "item"]
SHORT = (
    "gsm8k", "multiarith", "svamp", "addsub", "singleeq", "aqua", "commonsenseqa", "coin_flip", "last_letters",
)  # fmt: skip
_CODE, _002, _003 = "code-davinci-002", "text-davinci-002", "text-davinci-003"
# source → (flips drawn, tasks, [(parent, its setting, child, its setting)]); no ends: every edge of InstructGPT's tree
SOURCES: dict[str, tuple[int, tuple[str, ...], tuple[tuple[str, str, str, str], ...]]] = {
    "drop": (70, ("drop",), ()),
    "squadv2": (50, ("squadv2",), ()),
    "truthfulqa": (24, ("truthfulqa",), ()),
    "tatqa": (50, ("tatqa",), tuple((_CODE, how, _002, how) for how in ("cot", "direct"))),
    "zero_shot_cot": (30, SHORT, ((_002, "zero-shot", _002, "zero-shot-cot"),)),
    "plan_and_solve": (30, SHORT, ((_002, "zero-shot-cot", _003, "zero-shot-ps+"),)),
    "bbh": (36, ("bbh",), ((_CODE, "direct", _CODE, "cot"),)),
    "gsm8k_2021": (
        30, ("gsm8k",),
        tuple(("gpt3-6b-gsm8k", how, "gpt3-175b-gsm8k", how) for how in ("finetuned", "finetuned-verifier")),
    ),
}  # fmt: skip


@cache
def records(name: str) -> tuple[Tree, pd.DataFrame]:
    """A recorded tree and what it ships."""
    tree = load_tree(name)
    nodes, tasks = {stage.name for stage in tree.stages}, {task.name for task in tree.tasks}
    return tree, load_node_records(Path(tree.records), nodes=nodes, tasks=tasks, specs=tree.tasks)


@cache
def flips_of(source: str) -> pd.DataFrame:
    """All flips of a source, with the causes that the rules find."""
    _, tasks, ends = SOURCES[source]
    tree, shipped = records("gpt-3.5" if ends else "instructgpt")
    contrasts = list(_contrasts(tasks, ends)) if ends else tree.edges()
    return flip_table(shipped[shipped["task"].isin(tasks)], contrasts, tree.tasks)


def _contrasts(tasks: tuple[str, ...], ends: Iterable[tuple[str, str, str, str]]) -> Iterator[Contrast]:
    for parent, before, child, after in ends:
        cells = (Cell(node=child, setting=after, weight=1.0), Cell(node=parent, setting=before, weight=-1.0))
        # TAT-QA's two ends were shown different shots; the tree allows that pair
        yield Contrast(name=child, kind="edge", cells=cells, tasks=tasks, allow_different_shots=True)


def drawn() -> pd.DataFrame:
    """The flips that were labelled, drawn again."""
    rng = np.random.default_rng(SEED)
    parts = []
    for source, (n, _, _) in SOURCES.items():
        flips = flips_of(source).sort_values(KEYS).reset_index(drop=True)
        parts.append(flips.iloc[np.sort(rng.choice(len(flips), n, replace=False))].assign(source=source))
    return pd.concat(parts, ignore_index=True)


def labelled() -> pd.DataFrame:
    """The labels (`label`), with what the rules say of the same flips (`cause`)."""
    labels = pd.read_csv(LABELS)
    found = pd.concat([flips_of(source).assign(source=source) for source in SOURCES])
    return labels.merge(found[["source", *KEYS, "cause"]], on=["source", *KEYS], how="left", validate="1:1")


def accuracy(part: pd.DataFrame) -> str:
    """Share of flips whose cause is the label, with its interval."""
    right = (part["label"] == part["cause"]).to_numpy(float)
    if not len(right):
        return "–"
    ends = mean_interval(right, clusters=part["item"].to_numpy(dtype=object), binary=True)
    return f"{100 * right.mean():.1f} ({100 * ends.low:.1f}–{100 * ends.high:.1f})"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["", *("| " + " | ".join(map(str, line)) + " |" for line in lines), ""]


def _per_source(labels: pd.DataFrame) -> list[str]:
    """Flips that the annotator could not label are left out."""
    rows = []
    for source in [*SOURCES, "all"]:
        mine = labels[(labels["source"] == source) | (source == "all")]
        known = mine[mine["label"] != "unknown"]
        sides = [known[known["side"] == side] for side in ("dev", "test")]
        most = f"{100 * (sides[1]['label'] == 'answer').mean():.1f}"
        total = len(flips_of(source)) if source in SOURCES else sum(len(flips_of(name)) for name in SOURCES)
        rows.append(
            [source, f"{total:,}", len(mine), *(x for s in sides for x in (len(s), accuracy(s))), most]
        )  # fmt: skip
    return _table(
        ["source", "flips", "labelled", "n dev", "right % dev", "n test", "right % test", "always `answer`, test %"],
        rows,
    )


def _confusion(part: pd.DataFrame) -> list[str]:
    counts = part.groupby(["label", "cause"]).size()
    rows = [[label, *(counts.get((label, cause), 0) for cause in CAUSES)] for label in CAUSES]
    return _table(["label \\ rules", *CAUSES], rows)


def _per_cause(test: pd.DataFrame) -> list[str]:
    rows = []
    for cause in CAUSES[:-1]:
        said, is_one = test[test["cause"] == cause], test[test["label"] == cause]
        if len(said) or len(is_one):
            rows.append([cause, len(said), accuracy(said), len(is_one), accuracy(is_one)])
    return _table(["cause", "n by rules", "precision %", "n by label", "recall %"], rows)


def _unknown() -> list[str]:
    """Of all flips of the trees' edges, not of the sample."""
    rows = []
    for name in TREES:
        tree, shipped = records(name)
        flips = flip_table(shipped, tree.edges(), tree.tasks)
        for task, part in flips.groupby("task", sort=False):
            share = (part["cause"] == "unknown").mean()
            if share:
                rows.append([name, task, len(part), f"{100 * share:.1f}"])
        rows.append([name, "all", len(flips), f"{100 * (flips['cause'] == 'unknown').mean():.1f}"])
    return _table(["tree", "task", "flips on edges", "unknown %"], rows)


def _slips() -> list[str]:
    """A right answer may hold a slip that did no harm, so this bounds the rate of false ones from above."""
    _, shipped = records("gpt-3.5")
    checked = shipped[shipped["slips"].notna() & shipped["score"].isin((0.0, 1.0))]
    rows = []
    for (task, setting), part in checked.groupby(["task", "setting"], sort=False):
        right, wrong = part[part["score"] == 1], part[part["score"] == 0]
        if len(right) < 100:
            continue
        rows.append(
            [task, setting, *(x for s in (right, wrong) for x in (len(s), f"{100 * (s['slips'] > 0).mean():.1f}"))]
        )
    return _table(["task", "setting", "right answers", "with a slip %", "wrong answers", "with a slip %"], rows)


def _shown(tree_name: str, task: str, kinds: Sequence[str]) -> list[str]:
    """What the split says of one task: the difference, and what causes add to it."""
    tree, shipped = records(tree_name)
    mine = shipped[shipped["task"] == task]
    flips = flip_table(mine, (*tree.edges(), *tree.contrasts), tree.tasks)
    table = anatomy_table(tree, cells(mine), flips, alpha=ALPHA)
    table = table[table["kind"].isin(kinds) & (table["task"] == task)]
    causes = [cause for cause in (*CAUSES, REST) if cause in set(table["cause"])]
    rows = []
    for (contrast, setting), part in table.groupby(["contrast", "setting"], sort=False):
        by_cause = {row["cause"]: row for row in part.to_dict("records")}
        adds = [
            delta(row["net"], row["low"], row["high"], row["unit"]) if (row := by_cause.get(cause)) else "0"
            for cause in causes
        ]
        first = part.iloc[0]
        rows.append([contrast, setting, first["n"], signed(first["delta"], first["unit"]), *adds])
    return _table(["contrast", "setting", "n", "difference", *causes], rows)


def report() -> str:
    """The tables, as markdown."""
    labels = labelled()
    test = labels[labels["side"] == "test"]
    lines = ["### How often the rules agree with the labels", *_per_source(labels)]
    lines += ["### Test side, label against rules", *_confusion(test)]
    lines += ["### Test side, each cause", *_per_cause(test[test["label"] != "unknown"])]
    lines += ["### Dev side, label against rules", *_confusion(labels[labels["side"] == "dev"])]
    lines += ["### Flips whose cause the rules leave unknown", *_unknown()]
    lines += ["### Answers with a calculation that can be checked, and with a wrong one", *_slips()]
    lines += ["### InstructGPT on DROP: the difference and what causes add to it, in points", ""]
    lines += _shown("instructgpt", "drop", ("edge", "path", "sibling"))[1:]
    lines += ["### From code-davinci-002 to text-davinci-002 on TAT-QA, likewise", ""]
    lines += _shown("gpt-3.5", "tatqa", ("edge",))[1:]
    return "\n".join(lines).strip() + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, or put them between a document's marks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validate_anatomy", description=__doc__)
    parser.add_argument("--into", type=Path, help="a document with two marks; default: print")
    given = parser.parse_args(argv)
    documents.put(report(), given.into, MARK)


if __name__ == "__main__":
    main()
