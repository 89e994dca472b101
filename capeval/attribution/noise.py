"""What numerics alone do: the same weights and items asked otherwise, and what that says about an effect.

>>> measure(reference.records, again.records, run.tasks, "order 1")          # doctest: +SKIP
>>> with_noise(effects, {"base": asked_a, "sft": asked_b}, floors)           # doctest: +SKIP

A floor is shown beside an effect and changes no answer. Flips of numerics fall on both sides alike: they are among the
discordant items that interval and p come from, so they widen an effect and nothing is to be subtracted. Where
they do go one way (two engines, two dtypes), the mean moves, and that is said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from capeval.attribution.pairing import cells
from capeval.attribution.sentences import amount
from capeval.attribution.summaries import spec_in, with_summaries
from capeval.core import TaskSpec, Tree
from capeval.stats.multiplicity import holm
from capeval.stats.repeats import flips, within_repeats
from capeval.store.noise import AskedAs, Noise, NoiseFloor, engine_of, size

_KEYS = ["task", "setting", "item", "sample"]
ALPHA = 0.05
"""Of `Noise.p_adjusted`: below it flips are said to go one way."""


def measure(reference: pd.DataFrame, variant: pd.DataFrame, tasks: Sequence[TaskSpec], name: str) -> list[Noise]:
    """Pair two runs of the same weights, item by item.

    Args:
        reference: Columns of `columns.RECORD_COLUMNS`.
        variant: Likewise.
        tasks: What both were asked.
        name: The variant's.

    Returns:
        One row per task (and subset of it) and setting (and summary of them) that both have.
    """
    tree = Tree(name="", stages=(), tasks=tuple(tasks))
    a, b = (with_summaries(tree, cells(frame.assign(node=""))) for frame in (reference, variant))
    responses = reference.merge(variant, on=_KEYS, suffixes=("_a", "_b"))
    specs = {task.name: task for task in tasks}
    found = []
    for key in a.keys() & b.keys():
        _, task, setting = key
        whole = task.partition(":")[0]
        same = (responses["task"] == whole) & (responses["setting"] == setting)
        said = responses[same & responses["item"].isin(a[key].index)]
        found.append(_noise(a[key], b[key], spec_in(specs[whole], setting), said, (name, task, setting)))
    place = {key[1:]: number for number, key in enumerate(a)}
    found.sort(key=lambda one: place[one.task, one.setting])
    adjusted = holm([one.p for one in found])
    return [replace(one, p_adjusted=float(p)) for one, p in zip(found, adjusted, strict=True)]


def _noise(
    a: pd.DataFrame, b: pd.DataFrame, spec: TaskSpec, said: pd.DataFrame, names: tuple[str, str, str]
) -> Noise:  # fmt: skip
    variant, task, setting = names
    scores = pd.concat({"a": a["score"], "b": b["score"]}, axis=1, join="inner").dropna().to_numpy(float)
    first, second = scores[:, 0], scores[:, 1]
    d = second - first
    up, down = int((d > 0).sum()), int((d < 0).sum())
    binary = spec.binary and len(d) > 0 and bool(np.isin(scores, (0.0, 1.0)).all())
    flipped = flips(first, second) if binary else None
    logprobs, (n_texts, texts) = _logprob_gaps(said), _texts(said)
    nan = math.nan
    return Noise(
        variant=variant, task=task, setting=setting, metric=spec.metric, unit=spec.unit,
        n=len(d), binary=binary, differ=up + down,
        better=down if spec.orientation == "lower" else up,
        worse=up if spec.orientation == "lower" else down,
        share=flipped.share if flipped else nan, low=flipped.low if flipped else nan,
        high=flipped.high if flipped else nan, p=flipped.p if flipped else nan, p_adjusted=nan,
        mean_difference=float(d.mean()) if len(d) else nan,
        largest_difference=float(np.abs(d).max()) if len(d) else nan,
        n_logprobs=len(logprobs),
        mean_logprob=float(np.mean(logprobs)) if logprobs else nan,
        largest_logprob=max(logprobs, default=nan),
        n_texts=n_texts, texts_differ=texts,
    )  # fmt: skip


def _logprob_gaps(said: pd.DataFrame) -> list[float]:
    """Absolute differences of all continuations that were scored, of all choices of an item."""
    gaps: list[float] = []
    for row in said[said["length_a"].isna()].to_dict("records"):
        a, b = (_logprobs(row[f"response_{end}"], row[f"gold_logprob_{end}"]) for end in ("a", "b"))
        if len(a) == len(b):
            gaps += [abs(x - y) for x, y in zip(a, b, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return gaps


def _logprobs(response: Any, gold: float) -> list[float]:
    """What a record says of its continuations; of a whole text it keeps six digits only, and the score tells more."""
    if not isinstance(response, str):
        return []
    try:
        told = json.loads(response)
    except ValueError:
        return []
    if isinstance(told, list):
        return [float(logprob) for _, logprob in told]
    return [gold] if math.isfinite(gold) else []


def _texts(said: pd.DataFrame) -> tuple[int, float]:
    """Generated answers, and the share of them that differ in any character."""
    written = said[said["length_a"].notna() & said["response_a"].notna() & said["response_b"].notna()]
    if written.empty:
        return 0, math.nan
    return len(written), float((written["response_a"] != written["response_b"]).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicable:
    """A measured floor that fits an effect."""

    noise: Noise
    of: str
    """Node that it was measured on, where it is neither end of the effect; else empty."""


def applicable(
    task: str, setting: str, ends: Sequence[AskedAs], floors: Sequence[NoiseFloor]
) -> Applicable | None:  # fmt: skip
    """The largest noise that fits: one of the ends' own, or else that of a checkpoint of an end's architecture.

    Ends with one engine need noise inside it (another order), ends with two need noise between these two.

    Args:
        task: Task, or task:subset.
        setting: How it was asked.
        ends: Both nodes of the effect.
        floors: All that were measured.
    """
    own: list[Applicable] = []
    others: list[Applicable] = []
    for floor in floors:
        kin = _kin(floor.reference, ends, task.partition(":")[0], setting)
        if kin is None:
            continue
        fitting = [one for one in floor.noise if (one.task, one.setting) == (task, setting) and one.n
                   and _between(floor, one.variant, ends)]  # fmt: skip
        same = kin.digest == floor.reference.digest
        (own if same else others).extend(
            Applicable(noise=one, of="" if same else floor.reference.node) for one in fitting
        )
    return max(own or others, key=lambda one: size(one.noise), default=None)


def _kin(reference: AskedAs, ends: Sequence[AskedAs], task: str, setting: str) -> AskedAs | None:
    """The end that a floor is about: the same checkpoint, else one of its architecture, asked and scored likewise."""
    alike = [end for end in ends
             if end.prompting == reference.prompting and reference.scores_like(end, task, setting)]  # fmt: skip
    same = [end for end in alike if end.digest and end.digest == reference.digest]
    kin = [end for end in alike if end.architecture and end.architecture == reference.architecture]
    return next(iter([*same, *kin]), None)


def _between(floor: NoiseFloor, variant: str, ends: Sequence[AskedAs]) -> bool:
    """Whether the variant stands to its reference as the ends to each other."""
    pair = [engine_of(numerics) for numerics in (floor.reference.numerics, floor.variant(variant).numerics)]
    asked = [engine_of(end.numerics) for end in ends]
    return all(asked) and asked in (pair, pair[::-1])


def with_noise(effects: pd.DataFrame, asked: Mapping[str, AskedAs], floors: Sequence[NoiseFloor]) -> pd.DataFrame:
    """The ledger with what numerics alone do beside every effect of two nodes in one setting.

    Args:
        effects: Columns of `columns.EFFECT_COLUMNS`.
        asked: Node → who was asked and how.
        floors: All that were measured.

    Returns:
        The same rows and answers; `noise`, `noise_share` and `noise_high` are filled in where a floor fits.
    """
    told = effects.copy()
    for index, row in zip(effects.index, effects.to_dict("records"), strict=True) if floors else ():
        ends = [asked[node] for node in (row["parent"], row["child"]) if node in asked]
        if row["kind"] == "within" or len(ends) < 2 or not row["n"]:
            continue
        if fits := applicable(str(row["task"]), str(row["setting"]), ends, floors):
            told.loc[index, "noise"] = noise_words(fits, row)
            told.loc[index, "noise_share"], told.loc[index, "noise_high"] = fits.noise.share, fits.noise.high
    return told


def noise_words(fits: Applicable, row: Mapping[Any, Any]) -> str:
    """The noise of an effect, and whether the effect is more than it."""
    one = fits.noise
    whose = f", measured on {fits.of}" if fits.of else ""
    if not one.binary:
        moved = abs(one.mean_difference)
        text = (
            f"numerics move the mean by {moved_text(moved, one.unit)} {one.unit} ({one.variant}: {one.n} items{whose})"
        )
        return f"{text}: within numerics" if abs(row["delta"]) <= moved else text
    share = f"{100 * one.share:.1f} %" if one.differ else "none"
    text = (
        f"numerics flip {share} ({one.variant}: {one.differ} of {one.n} items, at most {100 * one.high:.1f} %{whose})"
    )
    if one.p_adjusted <= ALPHA:
        text += f", most of them one way: {amount(one.mean_difference, one.unit)}"
    discordant, n = int(row["gained"] + row["lost"]), int(row["n"])
    if not within_repeats(discordant, n, one.high):
        return text
    one_sided = ", but one-sided" if row["answer"] in ("gained", "lost") else ""
    return f"{text}; here {discordant} of {n}: within numerics{one_sided}"


def moved_text(value: float, unit: str, sign: str = "") -> str:
    """How far a mean moves, without its unit: points times 100; three digits, since what numerics do is small."""
    shown = 100 * value if unit == "points" else value
    return "–" if math.isnan(shown) else f"{shown:{sign}.3g}".replace("-", "−")
