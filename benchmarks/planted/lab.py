"""Facts planted in the lab's corpora: each of eight groups is told by the data of one stage alone, or by nobody.

The lab trains its models, so this needs traces that are there already (`capeval trace lab --replica 1` makes one in
minutes); their stored answers are attributed anew. reports/lab-nano.md shows the groups one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.lab_table import planted
from benchmarks.planted.shares import Share, share
from capeval.errors import UsageError
from capeval.store.runs import load_run
from capeval.store.traces import Trace
from capeval.tracer import TraceOptions, trace_runs
from capeval.zoo import load_tree

LAB = "Facts planted in the lab's corpora"


def planted_facts(folders: Sequence[Path]) -> Iterator[Share]:
    """Whether the stage that told of a group is named, and gains that are seen where nobody told."""
    groups = list(planted([_attributed(folder) for folder in folders]))
    seeds = f"{len(folders)} training seed{'s' * (len(folders) > 1)}"
    right = [k < group.right for group in groups for k in range(len(group.origins))]
    alarms = [k < group.alarms for group in groups for k in range(group.tests)]
    yield share(LAB, f"{len(groups)} groups, {seeds}", "the stage that told of it is named", right, at_least=0.95)
    yield share(LAB, f"stages that did not tell, {seeds}", "gained", alarms, at_most=0.05)


def _attributed(folder: Path) -> Trace:
    """The trace of the runs that a trace's folder holds; which data told what, the tree's recipes say."""
    lab = load_tree("lab")
    runs = {place.name: load_run(place) for place in sorted((folder / "runs").iterdir())}
    if lacking := [stage.name for stage in lab.stages if stage.kind != "reward" and stage.name not in runs]:
        raise UsageError(f"{folder} is no whole trace of the lab: it lacks runs of {', '.join(lacking)}")
    corpora = {
        stage.name: {"data": [{"source": stage.recipe[key]} for key in ("data", "ptx_data") if key in stage.recipe]}
        for stage in lab.stages
    }
    return replace(trace_runs(lab, runs, TraceOptions()), training=corpora)
