"""What is asked: `python -m benchmarks.engine.workloads FOLDER 30 mmlu gsm8k` writes the requests of two workloads.

capeval's own harness builds them from `suite.yaml`, so both programs get the very texts of a real run. How many items
there are depends on the model's size: the slower program should take 10 to 30 seconds on two cores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.engine.side import write_requests
from capeval.core import Request, Suite, TaskSource
from capeval.harness import Form, prepare, requests_of
from capeval.harness.mirror import DataSource, load_data
from capeval.suites import load_suite

SUITE = Path(__file__).parent / "suite.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of work."""

    title: str
    files: Mapping[int, int]
    """Size of the model (million parameters) → how many of the task's files, evenly from the sorted list."""
    items: Mapping[int, int]
    """Size → items of each file, its first ones."""
    answer: int = 0
    """Tokens of a generated answer at most; 0: as many as the task says."""
    one_head: bool = False
    """The same examples before every question, instead of each file's own."""
    suite: str = str(SUITE)


WORKLOADS = {
    "mmlu": Workload(
        title="MMLU, 5 shots, one head for all", one_head=True,
        files={1: 57, 30: 57, 120: 19, 500: 57}, items={1: 8, 30: 1, 120: 1, 500: 8},
    ),
    "mmlu-subjects": Workload(
        title="MMLU, 5 shots, a head for each subject",
        files={1: 8, 30: 3, 120: 1, 500: 8}, items={1: 20, 30: 20, 120: 20, 500: 20},
    ),
    "mmlu-words": Workload(
        title="MMLU, 5 shots, choices in words",
        files={1: 6, 30: 2, 120: 1, 500: 8}, items={1: 20, 30: 10, 120: 7, 500: 20},
    ),
    "bbh-choices": Workload(
        title="BBH multiple choice, 3 shots",
        files={1: 3, 30: 3, 120: 2, 500: 6}, items={1: 40, 30: 6, 120: 10, 500: 60},
    ),
    "truthfulqa": Workload(
        title="TruthfulQA MC1, its file's six examples", files={}, items={1: 100, 30: 24, 120: 8, 500: 300},
    ),
    "openbookqa": Workload(
        title="OpenBookQA, 0 shots", files={}, items={1: 500, 30: 250, 120: 80, 500: 500},
    ),
    "gsm8k": Workload(
        title="GSM8K, 8 shots, CoT", files={}, items={1: 96, 30: 24, 120: 12, 500: 96}, answer=96,
    ),
    "bbh-cot": Workload(
        title="BBH, 3 shots, CoT",
        files={1: 3, 30: 3, 120: 3, 500: 6}, items={1: 16, 30: 8, 120: 3, 500: 16}, answer=96,
    ),
    "rolling": Workload(
        title="perplexity of long texts", files={}, items={1: 40, 30: 10, 120: 5, 500: 80},
    ),
    "smoke": Workload(title="the suite that ships, every kind", files={}, items={1: 4}, suite="smoke"),
}  # fmt: skip
REAL = tuple(name for name in WORKLOADS if name != "smoke")
_HEAD = 5


def build(name: str, size: int, quick: bool = False) -> tuple[list[Request], int]:
    """The requests of a workload, and of how many items.

    Args:
        name: Key of `WORKLOADS`.
        size: Million parameters, about; the nearest size that the workload knows counts.
        quick: A quarter of the items, and answers of 16 tokens.

    Raises:
        MissingError: without the real items (CAPEVAL_DATA).
    """
    work = WORKLOADS[name]
    files, items = (_nearest(table, size) for table in (work.files or {size: 0}, work.items))
    suite = load_suite(work.suite)
    if work.suite == str(SUITE):
        suite = _part(suite, name, max(1, files // 4) if quick and files > _HEAD else files)
    if work.one_head:
        head = fixed_head()
        suite = replace(suite, sources=tuple(replace(s, override={**s.override, **head}) for s in suite.sources))
    asked = prepare(suite, Form(), limit=max(2, items // 4) if quick and items > 4 else items)
    longest = 16 if quick else work.answer
    return [_shortened(request, longest) for request in requests_of(asked)], sum(len(one.documents) for one in asked)


def fixed_head() -> dict[str, Any]:
    """One head for all of MMLU: the first dev item of five subjects, evenly from their sorted list."""
    rows = load_data(DataSource(path="cais/mmlu", name="all", kwargs={}, home=SUITE.parent))["dev"]
    firsts = list({row["subject"]: dict(row) for row in reversed(list(rows))}.values())
    firsts = sorted(firsts, key=lambda row: str(row["subject"]))
    return {
        "description": "The following are multiple choice questions (with answers).\n\n",
        "fewshot_split": None,
        "fewshot_config": {"sampler": "first_n", "samples": evenly(firsts, _HEAD)},
    }


def evenly(things: Sequence[Any], n: int) -> list[Any]:
    """The middle one of each of `n` equal parts.

    >>> evenly("abcdef", 3)
    ['b', 'd', 'f']
    """
    return [things[(2 * i + 1) * len(things) // (2 * n)] for i in range(n)]


def _part(suite: Suite, name: str, files: int) -> Suite:
    """Only the task of that name, and so many of its files (0: all)."""
    sources: list[TaskSource] = [source for source in suite.sources if source.task == name]
    return replace(suite, tasks=(suite.task(name),), sources=tuple(evenly(sources, files or len(sources))))


def _nearest(table: Mapping[int, int], size: int) -> int:
    return table[min(table, key=lambda known: abs(known - size))]


def _shortened(request: Request, longest: int) -> Request:
    if request.kind != "generate" or not longest:
        return request
    own = int(request.generation.get("max_gen_toks", 256))
    return replace(request, generation={**request.generation, "max_gen_toks": min(own, longest)})


def file_of(place: Path, name: str, size: int, quick: bool) -> Path:
    """Where the requests of a workload are written."""
    return place / f"{name}-{size}{'-quick' if quick else ''}.json"


def main() -> None:
    """Write the requests; print {workload: items that they are of}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=Path)
    parser.add_argument("size", type=int)
    parser.add_argument("names", nargs="+", choices=WORKLOADS)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    counts = {}
    for name in chosen.names:
        requests, counts[name] = build(name, chosen.size, chosen.quick)
        write_requests(requests, file_of(chosen.place, name, chosen.size, chosen.quick))
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
