"""A noise floor in the terminal: for every variant what flips in all, and the tasks where most does.

capeval noise --model ./my-checkpoint --suite smoke
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console

from capeval.attribution.noise import ALPHA, moved_text
from capeval.attribution.sentences import p_text
from capeval.report.lines import lines, say
from capeval.report.words import clean, task_name
from capeval.store.noise import Noise, NoiseFloor, Variant, size

ROWS = 12
"""Of a variant's table; the stored floor has all."""
_HEAD = ["  task · setting", "n", "flips", "+ / −", "share [95 %]", "mean", "texts", "Δ log p"]
_UNKNOWN = "–"


def print_noise(floor: NoiseFloor, console: Console) -> None:
    """What each variant does to the reference's scores."""
    of = floor.reference
    say(console, (clean(of.node), "bold"), (f" · {clean(floor.suite['name'])} · {_engine(of.numerics)}", ""))
    for variant in floor.variants:
        say(console)
        say(console, (clean(variant.name), "bold"), (f"   {_about(variant)}", "dim"))
        _say_variant([one for one in floor.noise if one.variant == variant.name and one.n], console)
    for skipped in floor.provenance.get("skipped", ()):
        say(console, (f"! skipped {clean(skipped)}", ""))


def _say_variant(noise: Sequence[Noise], console: Console) -> None:
    whole = [one for one in noise if ":" not in one.task]  # a subset's items are its task's
    binary = [one for one in whole if one.binary]
    told = []
    if binary:
        flips, n = sum(one.differ for one in binary), sum(one.n for one in binary)
        told.append(f"{flips:,} of {n:,} scores flip ({100 * flips / n:.2f} %)")
    if texts := sum(one.n_texts for one in whole):
        differ = sum(one.n_texts * one.texts_differ for one in whole if one.n_texts)
        told.append(f"{differ:,.0f} of {texts:,} texts differ")
    if gaps := [one.largest_logprob for one in whole if one.n_logprobs]:
        told.append(f"log-probabilities move by up to {max(gaps):.1e}")
    say(console, (f"  {'; '.join(told)}", ""))
    moved = sorted((one for one in noise if one.differ), key=size, reverse=True)
    if moved:
        lines(console, [_HEAD, *map(_cells, moved[:ROWS])], align="lrrrrrrr", head=True)
    if len(moved) > ROWS:
        say(console, (f"  … and {len(moved) - ROWS} more in which something differs", "dim"))
    for one in moved:
        if one.p_adjusted <= ALPHA:
            say(console, (f"  ! {_name(one)}: flips go one way (Holm {p_text(one.p_adjusted)})", ""))
    if still := [one.high for one in noise if one.binary and not one.differ]:
        ends = list(dict.fromkeys(f"{100 * end:.1f}" for end in (min(still), max(still))))
        say(console, (f"  none flips in the other {len(still)}: at most {' to '.join(ends)} % of their items do "
                       "(exact 95 % interval, by n)", "dim"))  # fmt: skip


def _about(variant: Variant) -> str:
    if variant.kind == "order":
        return f"requests shuffled, {variant.batch_tokens:,} tokens a batch"
    return _engine(variant.numerics)


def _engine(numerics: Mapping[str, str]) -> str:
    return clean(" ".join(numerics[key] for key in ("backend", "dtype", "device") if key in numerics))


def _name(one: Noise) -> str:
    return task_name({"task": one.task, "setting": one.setting})


def _cells(one: Noise) -> list[str]:
    unit = "" if one.unit == "points" else f" {clean(one.unit)}"
    flips = [f"{one.differ}", f"{one.better} / {one.worse}",
             f"{100 * one.share:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"]  # fmt: skip
    texts = _UNKNOWN if math.isnan(one.texts_differ) else f"{100 * one.texts_differ:.1f} %"
    logprob = _UNKNOWN if math.isnan(one.largest_logprob) else f"{one.largest_logprob:.1e}"
    mean = moved_text(one.mean_difference, one.unit, sign="+") + unit
    return [f"  {_name(one)}", f"{one.n:,}", *(flips if one.binary else [_UNKNOWN] * 3), mean, texts, logprob]
