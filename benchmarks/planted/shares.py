"""A measured share, what was asked of it, and whether it is met: never a bare number, never a bare verdict.

Three standard errors are allowed for what repetitions leave unsure (99.7 %), since the tables hold hundreds of shares:
a target counts as missed only where the whole Monte-Carlo interval lies on its wrong side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from capeval.stats.rates import wilson

LEVEL = 0.9973
"""Of the Monte-Carlo interval: three standard errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One line of a table."""

    table: str
    scenario: str
    what: str
    """What the share is of, as the column says it."""
    value: float
    low: float
    high: float
    """Monte-Carlo interval."""
    reps: int
    at_least: float = math.nan
    at_most: float = math.nan
    known: str = ""
    """Why a target is missed and stays so: then the miss is shown and `make validate` goes on."""
    group: str = ""
    """Where it stands in the figure."""

    @property
    def met(self) -> bool:
        """Whether the Monte-Carlo interval reaches the target (always, where none is set)."""
        return not (self.high < self.at_least or self.low > self.at_most)

    @property
    def target(self) -> str:
        """The target in words."""
        low, high = (f"{100 * bound:g} %" for bound in (self.at_least, self.at_most))
        if math.isnan(self.at_least):
            return "" if math.isnan(self.at_most) else f"≤ {high}"
        return f"≥ {low}" if math.isnan(self.at_most) else f"{low.removesuffix(' %')} to {high}"


def share(  # noqa: PLR0913  a line of a table has as many parts
    table: str,
    scenario: str,
    what: str,
    hits: Sequence[bool] | np.ndarray,
    *,
    at_least: float = math.nan,
    at_most: float = math.nan,
    known: tuple[float, str] | None = None,
    group: str = "",
) -> Share:
    """The share of repetitions that hit, with Wilson's interval.

    Args:
        table: Which table it belongs to.
        scenario: What was planted.
        what: What was counted.
        hits: (repetitions,) whether it happened.
        at_least: Target from below.
        at_most: Target from above.
        known: Where the target is missed and stays so: how far down the share may be, and why.
        group: Where it stands in the figure.
    """
    count, reps = int(np.sum(hits)), len(hits)
    ends = wilson(count, reps, LEVEL)
    reason = known[1] if known and ends.high >= known[0] else ""
    return Share(
        table=table, scenario=scenario, what=what, value=count / reps if reps else math.nan, low=ends.low,
        high=ends.high, reps=reps, at_least=at_least, at_most=at_most, known=reason, group=group,
    )  # fmt: skip


def mean_share(table: str, scenario: str, what: str, values: Sequence[float], *, at_most: float) -> Share:
    """The mean of shares (a rate of false finds), with a normal Monte-Carlo interval."""
    drawn = np.asarray(values, dtype=float)
    value, half = float(drawn.mean()), 3 * float(drawn.std(ddof=1)) / math.sqrt(len(drawn))
    return Share(
        table=table, scenario=scenario, what=what, value=value, low=max(0.0, value - half), high=value + half,
        reps=len(drawn), at_most=at_most,
    )  # fmt: skip


def missed(found: Sequence[Share]) -> list[Share]:
    """Targets that are missed for no reason that is known."""
    return [one for one in found if not one.met and not one.known]


def tables(found: Sequence[Share]) -> Iterator[str]:
    """Markdown lines: a table for each name, in order of appearance."""
    for name in dict.fromkeys(one.table for one in found):
        mine = [one for one in found if one.table == name]
        yield f"\n**{name}**\n"
        yield "| planted | counted | share | Monte-Carlo interval | asked | |"
        yield "|---|---|---:|---:|---:|---|"
        yield from map(_line, mine)


def _line(one: Share) -> str:
    verdict = "" if not one.target else "met" if one.met else f"**missed**{f': {one.known}' if one.known else ''}"
    ends = f"{100 * one.low:.1f} to {100 * one.high:.1f}"
    return f"| {one.scenario} | {one.what} | {100 * one.value:.1f} % | {ends} | {one.target} | {verdict} |"
