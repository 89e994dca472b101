"""Unlocked or injected: does the parent, asked otherwise, solve more of what its child newly solves than it should?

New items: the child solves them, the parent does not. Control items: neither does. The parent is asked both again in
other ways (with examples, step by step, several samples). Had the stage put something new into the model, the parent
would do no better on the new items than on control items *that are as hard*; had it brought out what was there, the
parent would solve the new ones. Two things would forge such a difference: guessing, and that easy items are solved by
the child and by the elicited parent alike.

- Guessing: a share s of which c comes by chance is worth (s − c) / (1 − c) (Abbott 1925, J Econ Entomol 18:265).
- Difficulty: new and control items are compared at an equal number of solves by all models that are not under test,
  **the child's own included**. Under the Rasch model that number holds all that is known of an item's difficulty, so
  given it, whether the child is among the solvers says nothing of what the elicited parent does: the null hypothesis is
  exact, whatever the difficulties are (local independence given the score that includes one of the two: Kreiner &
  Christensen 2004, Commun Stat Theory Methods 33:1239; the studied item must be in the matching score: Holland & Thayer
  1988, in Wainer & Braun, Test Validity). Matching on the others' solves alone would not do: at the same noisy score,
  what the child solves is easier.

    python -c "from capeval.stats.unlock import unlock_difference as u; \\
               print(u([1] * 18 + [0] * 2, [1] * 20, [0] * 28 + [1] * 2, [2] * 30).answer)"
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from capeval.stats.guessing import CERTAIN, corrected_share
from capeval.stats.independent import Side, sum_interval
from capeval.stats.one_sided import p_above
from capeval.stats.rates import UNKNOWN, Interval, t_quantile, wilson_at
from capeval.stats.standard_errors import Labels, Vector, cluster_codes, finite_vector

MARGIN = 0.2
"""A fifth: fewer than one in five of the new items may owe to what the parent had, and it still counts as injected."""
HALF = 0.5
"""Of what the parent solves at least so much of when elicited, nothing is called injected."""
FEWEST_CONTROLS = 10
"""Below so many matched control items the new ones are held against guessing alone."""

Found = Literal["unlocked", "injected", "cant_tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock:
    """What the elicited parent makes of new items, against control items that are as hard."""

    n_new: int
    """New items that are compared: those with control items as hard, or all where controls are too few."""
    n_control: int
    """Control items as hard as some new one; 0 where the new ones are held against guessing alone."""
    unmatched: int
    """New items left out because no control item is as hard."""
    share_new: float
    """Share of the new items that the parent solves when elicited, corrected for guessing; below 0 by bad luck."""
    share_control: float
    """The same of the control items; NaN without them."""
    delta: float
    """share_new − share_control; NaN without controls."""
    low: float
    """Lower end of the interval of delta at `level`; without controls, of share_new."""
    high: float
    most: float
    """Upper end of the 1 − 2α interval of delta; without controls, of share_new."""
    most_new: float
    """Upper end of the 1 − 2α interval of share_new."""
    p: float
    """Of a delta of at most the margin; doubled, so that p ≤ α just where the 1 − α interval lies above the margin."""
    n_clusters: int
    """Clusters among the items compared; 0 where they are independent."""
    margin: float
    answer: Found
    """By this p alone; `unlock_answer` decides again after an adjustment."""


def unlock_answer(found: Unlock, p_adjusted: float, *, alpha: float = 0.05) -> Found:
    """Unlocked iff delta is certainly above the margin; injected iff certainly below it; else can't tell.

    Injected are also only items of which the parent certainly solves less than half when elicited: what it can do, as
    it can do others that are as hard, nobody put in.

    The margin parts the two ("minimum-effect test", Murphy & Myors 1999, J Appl Psychol 84:234): held against 0, many
    items would make "unlocked" of any small difference, and of what little the matching leaves of difficulty. There is
    no lower bound to "injected": what a stage put in counts in the matching score as if the item were easy, so that its
    controls are easier, and the difference is below 0, the more so the more was injected.

    Without controls the answer can't be `unlocked`, because the new items may be easy; it is `injected` where the
    parent certainly solves less than the margin of them beyond guessing: no control could make the difference larger.
    """
    if found.n_control and found.delta > found.margin and p_adjusted <= alpha:
        return "unlocked"
    return "injected" if found.most < found.margin and found.most_new < HALF else "cant_tell"


def unlock_difference(  # noqa: PLR0913  two groups of items, and how to compare them
    new_solved: ArrayLike,
    new_difficulty: ArrayLike,
    control_solved: ArrayLike,
    control_difficulty: ArrayLike,
    *,
    child_tries: int = 1,
    chance_new: ArrayLike = 0.0,
    chance_control: ArrayLike = 0.0,
    clusters_new: Labels | None = None,
    clusters_control: Labels | None = None,
    margin: float = MARGIN,
    alpha: float = 0.05,
    level: float = 0.95,
) -> Unlock:
    """Compare new and control items that are equally hard.

    Strata are the values of the matching score; their differences are put together with Mantel-Haenszel weights
    n₁n₀/(n₁ + n₀). Each side's weighted share gets Wilson's interval on the items that its weights are worth, and the
    two are put together by their squared ends (stratified Newcombe interval: Yan & Su 2010, Stat Biopharm Res 2:326).
    Nothing is drawn at random, so there is no seed.

    Args:
        new_solved: (n₁,) whether the elicited parent solves a new item in any try: 0 or 1.
        new_difficulty: (n₁,) how many *other* models solve it; the child's own solves are added here.
        control_solved: (n₀,) the same of control items.
        control_difficulty: (n₀,) likewise.
        child_tries: Times that the child was asked each item: all solved on new items, none on control items. A second
            sample or wording confirms that a solve is no luck, and counts in the matching score.
        chance_new: Chance that guessing solves a new item in any try; one number or (n₁,).
        chance_control: The same of control items.
        clusters_new: (n₁,) labels of what items share; an empty label shares nothing.
        clusters_control: (n₀,) labels of the same clusters.
        margin: A smaller difference counts as none.
        alpha: Level of the answer.
        level: Confidence of `low`..`high`.

    Returns:
        The comparison; NaN without new items.

    Raises:
        ValueError: for missing values, or arrays of different lengths.
    """
    new = _Items.of(new_solved, new_difficulty, chance_new, clusters_new, "new", solves=child_tries)
    control = _Items.of(control_solved, control_difficulty, chance_control, clusters_control, "control")
    weights = _mantel_haenszel(new.score, control.score)
    held = np.isin(control.score, list(weights))
    if held.sum() < FEWEST_CONTROLS:
        return _against_guessing(new, margin=margin, alpha=alpha, level=level)
    compared = np.isin(new.score, list(weights))
    sides = (new.side(compared, weights), control.side(held, weights))
    shown = sum_interval(sides, (1.0, -1.0), level)
    delta = sides[0].mean - sides[1].mean
    return _answered(
        Unlock(
            n_new=int(compared.sum()),
            n_control=int(held.sum()),
            unmatched=int((~compared).sum()),
            share_new=sides[0].mean,
            share_control=sides[1].mean,
            delta=delta,
            low=shown.low,
            high=shown.high,
            most=sum_interval(sides, (1.0, -1.0), 1 - 2 * alpha).high,
            most_new=sides[0].interval(1 - 2 * alpha).high,
            p=min(1.0, 2 * p_above(lambda at: sum_interval(sides, (1.0, -1.0), at), delta, margin)),
            n_clusters=_count(new.clusters[compared], control.clusters[held]),
            margin=margin,
            answer="cant_tell",
        ),
        alpha,
    )


def matched_difference(
    new: ArrayLike,
    new_difficulty: ArrayLike,
    control: ArrayLike,
    control_difficulty: ArrayLike,
    *,
    child_tries: int = 1,
) -> float:
    """Mean of any value on new items less that on control items as hard, matched and weighted as `unlock_difference`.

    Args:
        new: (n₁,) values of new items, none missing.
        new_difficulty: (n₁,) how many other models solve each.
        control: (n₀,) values of control items.
        control_difficulty: (n₀,) likewise.
        child_tries: As in `unlock_difference`.

    Returns:
        The difference in the values' unit; NaN where no control item is as hard as a new one.
    """
    first, second = finite_vector(new), finite_vector(control)
    score_new, score_control = _score(new_difficulty, child_tries), _score(control_difficulty, 0)
    weights = _mantel_haenszel(score_new, score_control)
    return sum(
        (
            w * float(first[score_new == score].mean() - second[score_control == score].mean())
            for score, w in weights.items()
        ),
        0.0 if weights else math.nan,
    )


def _score(difficulty: ArrayLike, solves: int) -> Vector:
    """The matching score: solves of all others, to the nearest whole one (samples make parts), and the child's own."""
    score: Vector = np.floor(finite_vector(difficulty) + 0.5) + solves
    return score


@dataclass(frozen=True, slots=True)
class _Items:
    """One group of items."""

    solved: Vector
    score: Vector
    """The matching score."""
    chance: Vector
    clusters: np.ndarray
    """Labels; empty ones share nothing."""

    @classmethod
    def of(
        cls, solved: ArrayLike, difficulty: ArrayLike, chance: ArrayLike, clusters: Labels | None, name: str,
        *, solves: int = 0,
    ) -> _Items:  # fmt: skip
        y, score = finite_vector(solved), _score(difficulty, solves)
        if len(y) != len(score):
            raise ValueError(f"{len(y)} {name} items with {len(score)} difficulties")
        if not np.isin(y, (0.0, 1.0)).all():
            raise ValueError(f"whether a {name} item is solved in any try must be 0 or 1")
        labels = np.asarray(clusters if clusters is not None else [""] * len(y), dtype=object)
        if len(labels) != len(y):
            raise ValueError(f"{len(labels)} cluster labels for {len(y)} {name} items")
        c = np.broadcast_to(np.asarray(chance, dtype=float), y.shape)
        return cls(y, score, finite_vector(c), labels)

    def side(self, chosen: np.ndarray, weights: dict[float, float]) -> Side:
        """The weighted share of the chosen items, corrected for guessing, and its interval."""
        y, score, c = self.solved[chosen], self.score[chosen], self.chance[chosen]
        sizes = dict(zip(*np.unique(score, return_counts=True), strict=True))
        w = np.array([weights[s] / sizes[s] for s in score])
        return _share(y, c, w / w.sum(), self.clusters[chosen])


def _share(y: Vector, c: Vector, w: Vector, clusters: np.ndarray) -> Side:
    """A weighted share with its interval: Wilson's on the items that the weights are worth, 1/Σw², fewer in clusters.

    Clustered items: divided by the design effect of the weighted residuals, with Student's t of the clusters (Korn &
    Graubard 1998, Survey Methodology 24:193). Where all items agree, the clusters themselves are what they are worth.
    """
    raw, chance = float(w @ y), float(w @ c)
    codes = cluster_codes(clusters, len(y))
    groups = int(codes.max()) + 1
    worth, grouped = 1.0 / float(w @ w), groups < len(y)
    if grouped:
        residuals = w * (y - raw)
        alone = float(residuals @ residuals)
        together = float((np.bincount(codes, weights=residuals) ** 2).sum()) * groups / max(groups - 1, 1)
        per_cluster = 1.0 / float((np.bincount(codes, weights=w) ** 2).sum())
        worth = per_cluster if alone == 0 else worth / max(1.0, together / alone)

    def interval(level: float) -> Interval:
        if chance >= CERTAIN or (grouped and groups < 2):
            return UNKNOWN
        quantile = t_quantile((1 + level) / 2, groups - 1 if grouped else math.inf)
        ends = wilson_at(raw * worth, worth, quantile)
        return Interval(corrected_share(ends.low, chance), corrected_share(ends.high, chance))

    return Side(mean=corrected_share(raw, chance), n=len(y), interval=interval)


def _mantel_haenszel(new: Vector, control: Vector) -> dict[float, float]:
    """Weight of every matching score that items of both groups have; they add up to 1."""
    weights = {}
    for score in np.intersect1d(new, control):
        a, b = int((new == score).sum()), int((control == score).sum())
        weights[float(score)] = a * b / (a + b)
    total = sum(weights.values())
    return {score: weight / total for score, weight in weights.items()}


def _against_guessing(new: _Items, *, margin: float, alpha: float, level: float) -> Unlock:
    """All new items against 0: without controls, only that the parent solves none of them can be shown."""
    n = len(new.solved)
    side = (
        _share(new.solved, new.chance, np.full(n, 1.0 / n), new.clusters)
        if n
        else Side(mean=math.nan, n=0, interval=lambda level: UNKNOWN)
    )
    shown, most = side.interval(level), side.interval(1 - 2 * alpha).high
    found = Unlock(
        n_new=n, n_control=0, unmatched=0, share_new=side.mean, share_control=math.nan, delta=math.nan,
        low=shown.low, high=shown.high, most=most, most_new=most,
        p=math.nan, n_clusters=_count(new.clusters), margin=margin, answer="cant_tell",
    )  # fmt: skip
    return _answered(found, alpha)


def _answered(found: Unlock, alpha: float) -> Unlock:
    return replace(found, answer=unlock_answer(found, found.p, alpha=alpha))


def _count(*labels: np.ndarray) -> int:
    """Clusters among items; 0 where every item is one of its own."""
    together = np.concatenate(labels) if labels else np.array([])
    if not len(together):
        return 0
    groups = int(cluster_codes(together, len(together)).max()) + 1
    return groups if groups < len(together) else 0
