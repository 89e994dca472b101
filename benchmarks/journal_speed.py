"""What the journal and its keys cost: `python -m benchmarks.journal_speed [FOLDER]`.

Rows a second (wall clock, the least disturbed of some rounds) for batches of several sizes, each its own transaction
(`keep`) and as the runner writes them (`keeping`), for finding them again, and for naming requests. The folder decides
the disk; a temporary one by default.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from capeval.core import Reply, Request
from capeval.store.journal import Journal, journal_keys

ROWS = 200_000
BATCHES = (1, 16, 256, 4096)
ROUNDS = 3


def rate(rows: int, work: Callable[[int], object]) -> float:
    """Rows a second, in the best of some rounds."""
    best = float("inf")
    for turn in range(ROUNDS):
        began = time.perf_counter()
        work(turn)
        best = min(best, time.perf_counter() - began)
    return rows / best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where to write")
    given = parser.parse_args().folder
    replies = {
        hashlib.sha256(b"%d" % i).hexdigest()[:16]: Reply(logprob=-i / 7, greedy=False, n_tokens=3) for i in range(ROWS)
    }
    keys = list(replies)
    with tempfile.TemporaryDirectory() if given is None else nullcontext(str(given)) as place:
        print(f"{'rows a batch':<14} {'keep':>12} {'keeping':>12}   rows a second")
        for size in BATCHES:
            rows = min(ROWS, 20_000 * size)
            batches = [{key: replies[key] for key in keys[i : i + size]} for i in range(0, rows, size)]

            def each(turn: int, batches: list[dict[str, Reply]] = batches, size: int = size) -> None:
                with Journal.open(Path(place) / f"each-{size}-{turn}.sqlite") as journal:
                    for batch in batches:
                        journal.keep(batch)

            def held(turn: int, batches: list[dict[str, Reply]] = batches, size: int = size) -> None:
                with (
                    Journal.open(Path(place) / f"held-{size}-{turn}.sqlite") as journal,
                    journal.keeping() as keep,
                ):
                    for batch in batches:
                        keep(batch)

            print(f"{size:<14} {rate(rows, each):12,.0f} {rate(rows, held):12,.0f}")
        with Journal.open(Path(place) / f"held-{BATCHES[-1]}-0.sqlite") as journal:
            print(f"found again, {ROWS:,} keys: {rate(ROWS, lambda _: journal.find(keys)):,.0f} a second")
    settings = {"until": ["\n"], "max_gen_toks": 64, "do_sample": False}
    few = [
        [Request(kind="generate", text=f"{i} {'x' * 2500}", generation=settings) for i in range(20_000)]
        for _ in range(ROUNDS)
    ]
    first = rate(len(few[0]), lambda turn: journal_keys("node", few[turn], {"dtype": "float32"}))
    again = rate(len(few[0]), lambda turn: journal_keys(f"sibling {turn}", few[turn], {"dtype": "float32"}))
    print(f"requests of 2,500 bytes named: {first:,.0f} a second, for a sibling node {again:,.0f}")


if __name__ == "__main__":
    main()
