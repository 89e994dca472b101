"""Rebuilds the records that ship with a recorded tree from the public outputs: numbers, digests and labels, no texts.

python -m capeval.recordings.ship instructgpt --data $CAPEVAL_DATA --out model_zoo/records

Every column that differs from its default is kept. A test rebuilds both files where the data is at hand and compares
them with the shipped ones cell by cell.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pandas as pd

from capeval.errors import CapevalError, UsageError, unknown
from capeval.recordings.sources import behaviour, instructgpt, reasoning
from capeval.recordings.sources.rows import Row
from capeval.store.files import make_folder, write_parquet
from capeval.store.runs import as_records
from capeval.zoo import load_tree

Rows = Callable[[Path], Iterator[Row]]

TREES: dict[str, Rows] = {
    "instructgpt": instructgpt.rows,
    "gpt-3.5": lambda data: chain(reasoning.rows(data), behaviour.rows(data)),
}
DIGITS = 4
"""Decimals of a score that was computed here; recorded ones (toxicity) stay as given."""
AS_GIVEN = ("toxicity",)
NEVER = ("response", "extracted", "prompt_digest", "finish", "n_tokens")


def build(tree: str, data: Path) -> pd.DataFrame:
    """The records of a shipped tree, as they are stored.

    Args:
        tree: "instructgpt" or "gpt-3.5".
        data: Folder that holds recorded/ (and gsm8k/, math_ood/, bbh/, bias/ for gpt-3.5).

    Returns:
        `node` and those of `columns.RECORD_COLUMNS` that carry information, one block a node, task and setting.

    Raises:
        UsageError: for a tree that has no recorded outputs.
        MissingError: when a file of the data is not there.
    """
    if tree not in TREES:
        raise unknown("recorded tree", tree, TREES, "capeval list trees")
    loaded = load_tree(tree)
    capability = {task.name: task.capability for task in loaded.tasks}
    rows = pd.DataFrame(TREES[tree](data))
    rows["capability"] = rows["task"].map(capability)
    if strangers := sorted(set(rows.loc[rows["capability"].isna(), "task"])):
        raise UsageError(f"the table `tasks` of tree '{tree}' lacks {', '.join(strangers)}")
    computed = ~rows["task"].isin(AS_GIVEN)
    rows.loc[computed, "score"] = rows.loc[computed, "score"].astype(float).round(DIGITS)
    blocks = [
        as_records(block.drop(columns="node")).assign(node=node) for node, block in rows.groupby("node", sort=False)
    ]
    return _compact(pd.concat(blocks, ignore_index=True), [stage.name for stage in loaded.stages])


def write(tree: str, data: Path, out: Path) -> Path:
    """Build and write `out`/`tree`.parquet; returns its path.

    Raises:
        OutputError: when it can't be written.
    """
    path = make_folder(out) / f"{tree}.parquet"
    write_parquet(path, build(tree, data))
    return path


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tree", help=f"one of {', '.join(TREES)}")
    parser.add_argument("--data", default=os.environ.get("CAPEVAL_DATA"), help="default: the variable CAPEVAL_DATA")
    parser.add_argument("--out", default="model_zoo/records", help="folder for the Parquet file")
    options = parser.parse_args(arguments)
    try:
        if not options.data:
            raise UsageError("say where the recorded outputs are: --data PATH, or set CAPEVAL_DATA")
        path = write(options.tree, Path(options.data), Path(options.out))
    except CapevalError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
    return 0


def _compact(frame: pd.DataFrame, nodes: list[str]) -> pd.DataFrame:
    """Same order of items in every block (it compresses), and no column that says nothing."""
    order = pd.DataFrame(
        {
            "node": frame["node"].map(nodes.index),
            "task": frame["task"].map({name: n for n, name in enumerate(frame["task"].unique())}),
            "setting": frame["setting"],
            "item": frame["item"],
            "sample": frame["sample"],
        }
    )
    frame = frame.loc[order.sort_values(list(order.columns)).index].reset_index(drop=True)
    empty = [c for c in frame if c in NEVER or frame[c].isna().all() or frame[c].isin(("", 0)).all()]
    columns = ["node", *(c for c in frame if c != "node" and c not in empty)]
    return frame[columns].astype({"sample": "int64"} if "sample" in columns else {})


if __name__ == "__main__":
    raise SystemExit(main())
