"""Rounds, comparison, table. See `benchmarks.vllm`."""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.engine import agree
from benchmarks.engine.machine import busy, described
from benchmarks.engine.rounds import ROOT, environment
from benchmarks.engine.side import read_requests
from benchmarks.vllm.side import ENGINE
from benchmarks.vllm.work import SHAPES, WORKS, file_of
from capeval.backends.vllm.settings import version
from capeval.core import Request

README = ROOT / "benchmarks" / "README.md"
RESULTS = Path(__file__).parent / "results.json"
BEGIN, END = "<!-- make bench: vllm begins -->", "<!-- make bench: vllm ends -->"
_TITLES = {
    "letters": "200 questions × 4 choices of one token",
    "three": "200 questions × 4 choices of three tokens",
    "answers": "512 answers of 4 to 96 tokens",
}


def main() -> None:
    """Measure cell by cell; write after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vllm", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--only", nargs="+", choices=[*WORKS, "starts"], default=[*WORKS, "starts"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", type=Path, default=Path(tempfile.gettempdir()) / "capeval-bench-vllm")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--keep", action="store_true", help="keep what else is in the file that is written")
    parser.add_argument("--quick", action="store_true", help="a few items, one round; nothing is written here")
    parser.add_argument("--table", action="store_true", help="only rebuild the table from the file")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.sizes, chosen.rounds, chosen.out = [min(SHAPES)], 1, chosen.place / "quick.json"
    if chosen.out == RESULTS:
        _around()
    if not chosen.table:
        _measure(chosen)
    found = json.loads(chosen.out.read_text(encoding="utf-8"))
    text = table(found)
    if chosen.out == RESULTS:
        _update(text)
    print(text)


def _measure(chosen: argparse.Namespace) -> None:
    kept = json.loads(chosen.out.read_text()) if chosen.keep and chosen.out.is_file() else {"cells": [], "commands": []}
    command = shlex.join(["python", "-m", "benchmarks.vllm", *sys.argv[1:]])
    found = {
        **kept,
        "machine": described() | {"vllm": version()},
        "engine": ENGINE,
        "commands": [*kept["commands"], command],
    }
    for size in chosen.sizes:
        place = chosen.place / f"{size}{'-quick' if chosen.quick else ''}"
        prompts = json.loads(_python("work", place, size, *(["--quick"] if chosen.quick else [])))
        for work in chosen.only:
            print(f"{datetime.now(UTC):%H:%M} {work}, {size} M", file=sys.stderr, flush=True)
            cell = {"work": work, "size": size, "prompts": prompts, "busy": busy()}
            cell |= _side("starts", place, size) if work == "starts" else _rounds(place, size, work, chosen.rounds)
            found["cells"] = [c for c in found["cells"] if (c["work"], c["size"]) != (work, size)] + [cell]
            chosen.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _rounds(place: Path, size: int, work: str, rounds: int) -> dict[str, Any]:
    requests = read_requests(file_of(place, work))
    other = "bare" if work == "answers" else "theirs"
    done, largest, chosen = [], 0.0, {}
    for _ in range(rounds):
        both = {side: _side(side, place, size, work) for side in ("ours", other)}
        largest = max(largest, agreement(requests, both["ours"]["replies"], both[other]["replies"]))
        chosen = both["ours"]["chosen"]
        done.append({
            name: {key: both[side][key] for key in ("seconds", "cpu_seconds")}
            for name, side in (("ours", "ours"), ("theirs", other))
        })  # fmt: skip
    return {"requests": len(requests), "rounds": done, "largest": largest, "chosen": chosen}


def agreement(requests: Sequence[Request], ours: Sequence[Mapping[str, Any]], theirs: Sequence[Any]) -> float:
    """The largest difference of two log-probabilities.

    Raises:
        DisagreementError: one above 1e-4, another greediness or text, a missing answer.
    """
    found = agree.compare(requests, ours, theirs)
    if found.different:
        raise agree.DisagreementError(f"{len(found.different)} of {found.texts} texts differ")
    return found.largest


def _side(side: str, place: Path, size: int, work: str = "") -> dict[str, Any]:
    out = place / f"{side}-out.json"
    _python("side", side, place, size, work or "-", out)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def _python(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", f"benchmarks.vllm.{module}", *map(str, arguments)]
    # vLLM divides by the time that its bar shows, and lm-eval leaves it on
    own = {name: value for name, value in environment(1).items() if name != "TQDM_DISABLE"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return ([line for line in done.stdout.strip().splitlines() if line.startswith("{")] or [""])[-1]


def table(found: Mapping[str, Any]) -> str:
    """Markdown: what was measured, and what it means."""
    machine = found["machine"]
    lines = [
        ", ".join(f"`{command}`" for command in dict.fromkeys(found["commands"]))
        + f"; {', '.join(f'{key} {value}' for key, value in machine.items())}; one thread, float32,"
        f" {found['engine']['max_num_seqs']} side by side. {_others([cell['busy'] for cell in found['cells']])}", "",
        "| work | model | head, median prompt | beside | **processor time** | wall | agreement | from the cache |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for cell in found["cells"]:
        if cell["work"] == "starts":
            continue
        answers = cell["work"] == "answers"
        beside = "bare `LLM.generate`" if answers else "lm-eval's VLLM"
        agreed = f"{cell['requests']} texts" if answers else f"{cell['largest']:.0e}"
        share = cell["chosen"].get("cache", "").split(" of ")[0] or "—"
        ratios = [_ratio(cell["rounds"], key, inverse=answers) for key in ("cpu_seconds", "seconds")]
        prompts = f"{cell['prompts']['head']}, {cell['prompts']['median']}"
        lines.append(
            f"| {_TITLES[cell['work']]} | {cell['size']} M | {prompts} | {beside} | **{ratios[0]}** | {ratios[1]} "
            f"| {agreed} | {share} |"
        )
    lines += ["", "| a tree of 4 siblings | engines started, first time | afterwards | a start | a swap |",
              "|---|---|---|---|---|"]  # fmt: skip
    for cell in found["cells"]:
        if cell["work"] == "starts":
            fresh, swap = statistics.median(cell["fresh"]), statistics.median(cell["swaps"])
            counts = cell["counts"]
            lines.append(
                f"| {cell['size']} M | {counts[0][0]} | {counts[-1][0]}, {counts[-1][1]} swaps | {fresh:.1f} s "
                f"| {swap:.2f} s, {fresh / swap:.0f}× sooner |"
            )
    return "\n".join(lines) + "\n"


def _others(busy: Sequence[float]) -> str:
    shares = " to ".join(dict.fromkeys(f"{share:.0%}" for share in (min(busy), max(busy))))
    return f"Before a row was measured other programs used {shares} of the machine."


def _ratio(rounds: Sequence[Mapping[str, Any]], key: str, inverse: bool) -> str:
    """The peer's seconds over ours; of answers what ours takes more."""
    if inverse:
        more = [100 * (one["ours"][key] / one["theirs"][key] - 1) for one in rounds]
        return f"{statistics.median(more):+.1f} % ({min(more):+.1f} to {max(more):+.1f})"
    ratios = [one["theirs"][key] / one["ours"][key] for one in rounds]
    return f"{statistics.median(ratios):.1f}× ({min(ratios):.1f}–{max(ratios):.1f})"


def _update(text: str) -> None:
    before, after = _around()
    README.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def _around() -> tuple[str, str]:
    """The page before and after the table; asked for before minutes of measuring, not after them."""
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{README} has no '{BEGIN}' … '{END}' to write between")
    return before, after


if __name__ == "__main__":
    main()
