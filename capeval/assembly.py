"""Records → trace: every table that attribution makes of what the nodes of a tree answered.

python -c "import capeval; print(capeval.trace('instructgpt').origin['sentence'].iloc[0])"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from capeval import rereading
from capeval.attribution.abstention import abstention_table
from capeval.attribution.anatomy import anatomy_table
from capeval.attribution.calibration import calibration_table
from capeval.attribution.claims.items import Evidence
from capeval.attribution.claims.table import claims_table
from capeval.attribution.effects import ALPHA, ledger
from capeval.attribution.factorial import factorial_table
from capeval.attribution.flips import flip_table
from capeval.attribution.grades import graded
from capeval.attribution.origin import origin_table
from capeval.attribution.pairing import cells
from capeval.attribution.published import load_published, published_effects
from capeval.attribution.reasoning import reasoning_table
from capeval.attribution.scaling import scaling_table
from capeval.attribution.scores import rung_table, score_table
from capeval.attribution.seeds import replica_table, with_seeds
from capeval.attribution.summaries import with_summaries
from capeval.attribution.unlock import unlock_table
from capeval.core import Claims, Tree
from capeval.errors import UsageError
from capeval.literature import load_claims
from capeval.store.traces import Trace

SEED = 0
ALPHAS = (1e-6, 0.5)
"""Outside of it no p-value and no interval means anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elicited:
    """What was asked beyond the suite, where an edge needed it."""

    answers: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Parents' records in other settings (`columns.RECORD_COLUMNS` with `node` in front)."""
    reads: pd.DataFrame = field(default_factory=rereading.nothing_read)
    """What parents make of their children's chains of thought (`columns.READ_COLUMNS`)."""


def assemble(  # noqa: PLR0913  whatever a trace can be made of meets here
    tree: Tree,
    records: pd.DataFrame,
    *,
    alpha: float = ALPHA,
    seed: int = SEED,
    replicas: Sequence[pd.DataFrame] = (),
    elicited: Elicited | None = None,
    claims: Claims | None = None,
    provenance: Mapping[str, Any],
) -> Trace:
    """The trace of a tree whose records are at hand (columns of `columns.RECORD_COLUMNS` with `node` in front).

    `replicas` are such records of the same tree trained again with other seeds.
    """
    if not ALPHAS[0] <= alpha <= ALPHAS[1]:
        raise UsageError(f"alpha must lie between {ALPHAS[0]:g} and {ALPHAS[1]:g}; it is {alpha}")
    collapsed = with_summaries(tree, cells(records))
    seeds = [collapsed, *(with_summaries(tree, cells(replica)) for replica in replicas)]
    edges = tree.edges()
    contrasts = (*edges, *tree.contrasts)
    by_seed = replica_table(tree, contrasts, seeds, alpha=alpha)
    effects = with_seeds(ledger(tree, collapsed, contrasts, alpha=alpha, seed=seed), by_seed)
    published = load_published({s.name: s.published for s in tree.stages if s.published})
    flips = flip_table(records, (*edges, *tree.contrasts), tree.tasks)
    beyond = elicited or Elicited()
    scaling = scaling_table(tree, collapsed, alpha=alpha, seed=seed)
    unlock = unlock_table(tree, collapsed, records, beyond.answers, alpha=alpha)
    claims = claims or load_claims()
    evidence = Evidence(
        tree=tree, runs=tuple(seeds), measures=claims.measures, scaling=scaling, unlock=unlock, alpha=alpha, seed=seed
    )
    return Trace(
        tree=tree,
        effects=graded(effects, tree, by_seed, alpha=alpha),
        replicas=by_seed,
        scores=score_table(tree, collapsed),
        rungs=rung_table(collapsed),
        calibration=calibration_table(records, tree.tasks),
        abstention=abstention_table(records, tree.tasks),
        published=published,
        published_effects=published_effects(tree, published),
        flips=flips[flips["kind"] == "edge"].reset_index(drop=True),
        anatomy=anatomy_table(tree, collapsed, flips, alpha=alpha, seed=seed),
        origin=origin_table(tree, seeds, alpha=alpha, seed=seed),
        factorial=factorial_table(tree, seeds, alpha=alpha, seed=seed),
        scaling=scaling,
        unlock=unlock,
        elicited=beyond.answers,
        reads=beyond.reads,
        reasoning=reasoning_table(tree.tasks, beyond.reads, alpha=alpha),
        claims=claims_table(claims, evidence),
        provenance={"alpha": alpha, "level": 0.95, "seed": seed, **provenance},
    )
