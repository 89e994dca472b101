"""The stored numbers as Markdown: `python -m benchmarks.engine --table FILE.json`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN = "<!-- make bench: begin -->"
END = "<!-- make bench: end -->"

_CELLS = (
    "work", "model", "items (requests)", "batch", "**wall**", "CPU", "memory MB, ours / theirs", "agreement",
    "tokens, theirs / ours", "limit",
)  # fmt: skip
_WHOLE = (
    "model", "tasks", "items", "batch", "**wall**", "CPU", "memory MB, ours / theirs", "second run ÷ first, wall",
    "CPU",
)  # fmt: skip
_READING = """
Ratios are lm-eval's seconds over capeval's, round by round: median (least to most). *CPU* is processor seconds of all
threads, *memory* the peak of the whole process, model and libraries included. *Batch* is lm-eval's fastest of those
tried. *Agreement*: the largest difference of two log-probabilities, or how many texts are equal; ties are texts that
part where two logits differ by less than 1e-4 in float64. *Tokens*: what lm-eval forwarded (padding included) and what
capeval did, over the distinct tokens of the trie; — where the engine does not count. *Limit*: the share of this
machine's speed that capeval reaches, counting only what the trie needs (`limits.py`)."""


def page(found: Mapping[str, Any]) -> str:
    """Everything between the markers."""
    machine = found["machine"]
    commands = ", ".join(f"`{command}`" for command in found["commands"])
    lines = [
        f"{commands}, {found['date']}, {found['rounds']} rounds A B A B; {machine['processor']}, {machine['cores']} "
        f"cores, {found['threads']} threads, {found['device']}, {found['dtype']}; Python {machine['python']}, torch "
        f"{machine['torch']}, transformers {machine['transformers']}, lm-eval {machine['lm-eval']}."
    ]
    if speed := found.get("speed"):
        gpu = f" ({speed['gpu']})" if speed.get("gpu") else ""
        lines[0] += (
            f" A matrix product runs at {speed['gflops']:,} GFLOP/s, a copy at {speed['gb_per_second']} GB/s{gpu}."
        )
    lines += ["", "\n".join(cells(found["cells"])), _READING]
    if found.get("whole"):
        lines += ["", "\n".join(whole_runs(found["whole"]))]
    return "\n".join(lines) + "\n"


def cells(measured: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A row for each workload and model."""
    yield _row(*_CELLS)
    yield f"|{'---|' * len(_CELLS)}"
    for cell in measured:
        rounds, tokens = cell["rounds"], cell["tokens"]
        peak = {side: max(one[side]["peak_mb"] for one in rounds) for side in ("ours", "theirs")}
        over = [f"{tokens[side] / tokens['tokens']:.2f}×" if side in tokens else "—" for side in ("theirs", "ours")]
        answers = f", answers of {tokens['longest']}" if tokens.get("longest") else ""
        yield _row(
            cell["title"] + answers, cell["model"], f"{cell['items']} ({cell['requests']})", cell["batch"],
            f"**{spread(ratios(rounds, 'theirs', 'ours', 'seconds'))}**",
            spread(ratios(rounds, "theirs", "ours", "cpu_seconds")),
            f"{peak['ours']:,.0f} / {peak['theirs']:,.0f}", _agreement(cell["agreement"], cell["requests"]),
            " / ".join(over), f"{_share(cell):.1%}",
        )  # fmt: skip


def whole_runs(measured: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A row for each model's small CI run."""
    yield "Whole processes, cold start to results written: `capeval run`, `lm_eval run`, the same `capeval run` again."
    yield ""
    yield _row(*_WHOLE)
    yield f"|{'---|' * len(_WHOLE)}"
    for one in measured:
        rounds = one["rounds"]
        peak = {side: max(turn[side]["peak_mb"] for turn in rounds) for side in ("ours", "theirs")}
        again = (ratios(rounds, "again", "ours", what) for what in ("seconds", "cpu_seconds"))
        yield _row(
            one["model"], len(one["tasks"]), one["items"], one["batch"],
            f"**{spread(ratios(rounds, 'theirs', 'ours', 'seconds'))}**",
            spread(ratios(rounds, "theirs", "ours", "cpu_seconds")), f"{peak['ours']:,.0f} / {peak['theirs']:,.0f}",
            *(spread(values, "{:.0%}".format) for values in again),
        )  # fmt: skip


def ratios(rounds: Sequence[Mapping[str, Any]], over: str, under: str, what: str) -> list[float]:
    """One side's number over the other's, round by round: neighbours in time are compared, not means of all."""
    return [one[over][what] / one[under][what] for one in rounds]


def spread(values: Sequence[float], form: Callable[[float], str] = "{:.2f}".format) -> str:
    """Median (least–most).

    >>> spread([2.0, 4.0, 3.0])
    '3.00 (2.00–4.00)'
    """
    low, middle, high = (form(value) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


def update(readme: Path, text: str) -> None:
    """Put the text between the two markers.

    Raises:
        SystemExit: when they are not there.
    """
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{readme} has no '{BEGIN}' … '{END}' to write between")
    readme.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def _share(cell: Mapping[str, Any]) -> float:
    """Of the time that capeval took, the part that the machine needs at least."""
    return float(cell["least_seconds"] / statistics.median(one["ours"]["seconds"] for one in cell["rounds"]))


def _agreement(found: Mapping[str, Any], requests: int) -> str:
    texts = found["texts"]
    parts = [f"{found['largest']:.0e}"] if texts < requests else []
    if texts:
        parts.append(f"{texts - found['different']} of {texts} texts")
    if found["ties"]:
        parts.append(f"ties: {len(found['ties'])}, at most {max(found['ties']):.0e}")
    return ", ".join(parts)


def _row(*values: object) -> str:
    return f"| {' | '.join(map(str, values))} |"
