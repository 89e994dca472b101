"""What a user may say about outputs that already exist. Every importer reads the same options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from capeval.core import ClusterRole, Orientation


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """Options of `capeval import`; everything has a default that suits files made for this purpose."""

    format: str = "auto"
    """A key of `recordings.FORMATS`, or `auto`: told from what the path holds."""
    node: str = ""
    """Name of the node that the run belongs to; empty: the model's name in the file."""
    model: str = ""
    """Which model to take when the file holds several."""
    task: str = ""
    """lm-eval: which task (or group) to take, empty for all. Else: the task's name, empty for the file's."""
    capability: str = "imported"
    """What the task measures."""
    setting: str = ""
    """Which setting to take where the file names settings; else the name of the only one."""
    scorer: str = ""
    """A scorer that judges the responses anew (`recordings.scorers.SCORERS`); empty: the benchmark's own rule
    (`recordings.benchmarks.BENCHMARKS`), else the recorded score."""
    gold: str = "gold"
    """Column with the right answer, for the scorer."""
    score: str = ""
    """Column with the recorded score, which then goes before the benchmark's own rule; empty: the first of `score`,
    `correct`, `passed_recorded` that is there."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Fields → columns (item=id, score=correct); for lm-eval, its task → task or task:setting."""
    items: Path | None = None
    """File with the documents, for JSONL; None: the file beside it that the naming rule gives."""
    filter: str = ""
    """lm-eval filter whose result counts; empty: the task's first."""
    metric: str = ""
    """lm-eval metric that counts, empty for the first per-item one; else the score's name."""
    orientation: Orientation | None = None
    """Which way the metric is better; None: as the file says, else higher."""
    cluster_role: ClusterRole = "sampled"
    """What mapped clusters are: `sampled` (articles) or `strata` (the fixed subtasks of a benchmark)."""
    margin: float = 0.02
    """Differences inside ±margin count as equivalent; in the score's unit (0.02 = 2 points)."""
    unit: str = "points"
    """`points`: scores lie between 0 and 1. Anything else names the metric's own unit and lifts that bound."""
    licence: str = ""
    """Licence of the outputs, kept in the manifest."""
    source: str = ""
    """Where the outputs come from, kept in the manifest."""
    keep_text: bool = True
    """False keeps numbers only, for outputs that must not be copied."""
