"""Is the stage named that gave a capability? One path of five nodes, one giver, or nobody.

It can be identified where the giver's gain is larger than every other stage's by what these items can show, as it is
here. The base stands five points above chance, so that it is no origin itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.planted.asked import cluster_names, records, spec, tree
from benchmarks.planted.items import Layout, ability_for, answers
from benchmarks.planted.shares import Share, share
from capeval.attribution.effects import ALPHA
from capeval.attribution.origin import origin_table
from capeval.attribution.pairing import cells

ORIGIN = "The stage that gave a capability"
PATH = ("base", "code", "code-sft", "ppo", "ppo-ptx")
START = 0.05
GIVEN = 0.3
"""Score that the giver adds."""
LAYOUTS = (Layout(n=100), Layout(n=300), Layout(n=300, clusters=32, heavy=True))
OTHERS = {
    "nothing else happens": (0.0, 0.0),
    "the stage after it takes a third back": (0.0, -GIVEN / 3),
    "the stage before it gives a quarter as much": (GIVEN / 4, 0.0),
}


def named(layout: Layout, steps: np.ndarray, rng: np.random.Generator) -> str:
    """The node that `origin_table` names, or nobody.

    Args:
        layout: The items.
        steps: (stages,) what each stage adds to the expected score.
        rng: Source of chance.
    """
    scores = START + np.concatenate([[0.0], np.cumsum(steps)])
    labels = layout.labels(rng)
    drawn = answers(np.array([ability_for(float(score)) for score in scores]), labels, layout, rng)[..., 0]
    task = spec("planted", cluster_role="sampled" if layout.clusters else "none")
    known = cluster_names(labels, layout.n)
    frames = [records(node, task.name, one, cluster=known) for node, one in zip(PATH, drawn, strict=True)]
    planted = tree(dict(zip(PATH, ("", *PATH[:-1]), strict=True)), [task])
    found = origin_table(planted, [cells(pd.concat(frames, ignore_index=True))], alpha=ALPHA, seed=0)
    origin = found[found["role"] == "origin"]
    return str(origin["node"].iloc[0]) if len(origin) else "nobody"


def origins(layout: Layout, reps: int) -> Iterator[Share]:
    """The giver named, over all its places on the path; and nobody where nobody gave."""
    for k, (name, (before, after)) in enumerate(OTHERS.items()):
        rng, right = np.random.default_rng([91, layout.n, layout.clusters, k]), []
        for rep in range(reps):
            giver = 1 + rep % 2  # the second or the third of four stages: there is one before it and one after
            steps = np.zeros(len(PATH) - 1)
            steps[giver - 1], steps[giver], steps[giver + 1] = before, GIVEN, after
            right.append(named(layout, steps, rng) == PATH[giver + 1])
        scenario = f"{layout}: a stage gives {100 * GIVEN:.0f} points, {name}"
        yield share(ORIGIN, scenario, "this stage is named", right, at_least=0.95)
    rng = np.random.default_rng([92, layout.n, layout.clusters])
    somebody = [named(layout, np.zeros(len(PATH) - 1), rng) in PATH[1:] for _ in range(reps)]
    yield share(ORIGIN, f"{layout}: nobody gives anything", "any stage is named", somebody, at_most=0.05)
