"""A noise floor in the terminal: a table for every variant, then what each task's floor is.

capeval noise --model ./my-checkpoint --suite smoke
"""

from __future__ import annotations

import math

from rich.console import Console

from capeval.attribution.noise import moved_text
from capeval.report.lines import lines, say
from capeval.report.words import clean, short_p, task_name
from capeval.store.noise import Noise, NoiseFloor, Variant

_HEAD = ["  task · setting", "n", "flips", "+ / −", "share [95 %]", "mean", "texts", "Δ log p"]
_UNKNOWN = "–"


def print_noise(floor: NoiseFloor, console: Console) -> None:
    """What flips and what moves under each variant; of each task the largest."""
    of = floor.reference
    say(console, (clean(of.node), "bold"), (f" · {clean(floor.suite['name'])} · {_engine(of.numerics)}", ""))
    for variant in floor.variants:
        say(console)
        say(console, (clean(variant.name), "bold"), (f"   {_about(variant)}", "dim"))
        mine = [one for one in floor.noise if one.variant == variant.name]
        lines(console, [_HEAD, *map(_cells, mine)], align="lrrrrrrr", head=True)
    say(console)
    say(console, ("The floor of each task", "bold"), (" (largest of the variants)", "dim"))
    for one in floor.floors():
        name = task_name({"task": one.task, "setting": one.setting})
        say(console, (f"  {name}: {_floor(one)}", ""))
    for skipped in floor.provenance.get("skipped", ()):
        say(console, (f"! skipped {clean(skipped)}", ""))


def _about(variant: Variant) -> str:
    if variant.kind == "order":
        return f"requests shuffled, {variant.batch_tokens:,} tokens a batch"
    return _engine(variant.numerics)


def _engine(numerics: object) -> str:
    told = dict(numerics)  # type: ignore[call-overload]
    return clean(" ".join(str(told[key]) for key in ("backend", "dtype", "device") if key in told))


def _cells(one: Noise) -> list[str]:
    name = "  " + task_name({"task": one.task, "setting": one.setting})
    if not one.binary:
        name += "" if one.unit == "points" else f" ({clean(one.unit)})"
    flips = [f"{one.differ}", f"{one.better} / {one.worse}",
             f"{100 * one.share:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"]  # fmt: skip
    texts = _UNKNOWN if math.isnan(one.texts_differ) else f"{100 * one.texts_differ:.1f} %"
    logprob = _UNKNOWN if math.isnan(one.largest_logprob) else f"{one.largest_logprob:.1e}"
    mean = moved_text(one.mean_difference, one.unit, sign="+")
    return [name, f"{one.n:,}", *(flips if one.binary else [_UNKNOWN] * 3), mean, texts, logprob]


def _floor(one: Noise) -> str:
    if not one.n:
        return "no item has a score in both"
    if not one.binary:
        moved = f"{moved_text(abs(one.mean_difference), one.unit)} {clean(one.unit)}"
        return f"the mean moves by {moved} ({clean(one.variant)}, n = {one.n:,}); such scores don't flip"
    if not one.differ:
        return f"no flip in {one.n:,} items: at most {100 * one.high:.1f} % flip (exact 95 % interval)"
    uneven = f", and not evenly ({short_p(one.p)})" if one.p <= 0.05 else ""
    share = f"{100 * one.share:.1f} % of items flip, at most {100 * one.high:.1f} %"
    return f"{share} ({clean(one.variant)}, n = {one.n:,}){uneven}"
