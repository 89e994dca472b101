"""Train, run both, write the table. See `benchmarks.parity`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.parity.compare import DIGITS, TOLERANCE, Compared, capeval_records, compare, lm_eval_samples, lopsided
from benchmarks.parity.model import cached_checkpoint
from benchmarks.parity.tasks import STAND_IN, TASKS, make_mirror

_HEAD = """<!-- {command} writes this page -->
# Item by item against lm-eval

```console
{command}
```

The same checkpoint and the same task files of lm-eval {lm_eval}, asked by lm-eval's own `simple_evaluate` and by
`capeval run`. An item agrees when the prompt, the raw answer or every log-probability, what the filter extracts and
every metric are the same: texts exactly, numbers within {tolerance:.4f} (or {digits:.5f} of their size).
**Here {agreeing:,} of {items:,} comparisons agree**, in {tasks} task files:
{kinds}.

The model is a Llama of 0.8 million weights. It was taught right answers to some of these items, wrong ones to others,
and some in a form that only the lenient filter reads, so a harness that gives everything the same score would be found
out; what it can do beyond these items is not asked.
Right: a score of at least 0.5; of rolling texts, less than one bit per byte. Extracted: items in which the filter finds
something. Ladder: the first filter that finds something decides (here lm-eval's filters are put in that order).

An asterisk: no mirror holds the data set, so lm-eval's file is asked about GSM8K's questions in that data set's column;
in wikitext one of them is many in a row, longer than the model's window. {overridden} have
`training_split: null` (openbookqa `validation_split: null` too) on both sides, because the mirror has no such split.
All other files are unchanged.

Where a tokenizer puts BOS before every text, lm-eval's rolling texts begin with two of them; capeval's with one, as
lm-eval's do with `add_bos_token=False`. The model here has a tokenizer that adds none.
Gemma 2's cap on attention scores counts here; torch's kernel, which lm-eval gets by default, leaves it out.

| task | output | shots | filter | items | right | wrong | extracted | agreement |
|---|---|---|---|---|---|---|---|---|
"""
_FOOT = """
{versions}
"""


def main() -> None:
    """Write the table; exit with 1 when anything differs or a row is one-sided."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--items", type=int, default=40, help="of every task file (default: 40)")
    parser.add_argument("--epochs", type=int, default=24, help="of training (default: 24)")
    parser.add_argument("--out", type=Path, default=Path("docs/parity.md"))
    chosen = parser.parse_args()
    if not os.environ.get("CAPEVAL_DATA"):
        raise SystemExit("set CAPEVAL_DATA to the folder that holds the data sets; `capeval data` says which are there")
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        os.environ["CAPEVAL_DATA"] = str(make_mirror(home / "mirror", Path(os.environ["CAPEVAL_DATA"])))
        checkpoint = cached_checkpoint(TASKS, chosen.items, chosen.epochs)
        samples, configs = lm_eval_samples(checkpoint, TASKS, chosen.items)
        found = compare(TASKS, capeval_records(checkpoint, TASKS, chosen.items, home), samples, configs)
    command = f"CAPEVAL_DATA=/data python -m benchmarks.parity --items {chosen.items} --epochs {chosen.epochs}"
    chosen.out.write_text(page(found, command), encoding="utf-8")
    for one in found:
        if one.differences:
            print(f"{one.task} {one.setting} differs (item, what): {', '.join(one.differences)}", file=sys.stderr)
        if lopsided(one):
            print(f"{one.task} {one.setting} is one-sided: {one.right:.0%} right", file=sys.stderr)
    bad = sum(bool(one.differences) or lopsided(one) for one in found)
    print(f"{len(found) - bad} of {len(found)} rows of {chosen.out} are as they should be")
    sys.exit(bad > 0)


def page(found: Sequence[Compared], command: str) -> str:
    """The table as Markdown; numbers only, no benchmark's text."""
    marks = {task.path: "*" if task.data == STAND_IN else "" for task in TASKS}
    overridden = [one.task for one in found if any(t.path == one.path and t.override for t in TASKS)]
    kinds = Counter(kind for _, kind in {(one.path, one.output_type) for one in found})
    rows = [_line(one, marks[one.path]) for one in found]
    packages = ("capeval", "lm-eval", "torch", "transformers", "datasets")
    head = _HEAD.format(
        command=command, lm_eval=metadata.version("lm-eval"), tolerance=TOLERANCE, digits=DIGITS,
        agreeing=sum(round(one.agreement * one.items) for one in found), items=sum(one.items for one in found),
        tasks=len({one.path for one in found}), overridden=" and ".join(dict.fromkeys(overridden)),
        kinds=", ".join(f"{n} {kind}" for kind, n in kinds.most_common()),
    )  # fmt: skip
    return head + "".join(rows) + _FOOT.format(versions=", ".join(f"{p} {metadata.version(p)}" for p in packages))


def _line(one: Compared, mark: str) -> str:
    extracted = f"{one.extracted:.0%}" if one.output_type == "generate_until" else "—"
    cells = (
        one.task + mark, one.output_type, one.shots, one.setting, one.items, f"{one.right:.0%}", f"{one.wrong:.0%}",
        extracted, f"{one.agreement:.0%}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    main()
