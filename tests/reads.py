"""Reads of chains that tests plant: a parent that knows, follows or cannot, and where it parts from its child."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from capeval.columns import READ_COLUMNS

STEPS, TOKENS = 4, 10
"""Of a chain, the sentence that gives the answer among them; tokens of each."""


def planted(
    n: int,
    *,
    found: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ratios: tuple[float, ...] = (0.0, 10.0, 0.0, 1.0),
    noise: float = 0.0,
    group: tuple[float, float] = (1.0, 0.0),
    seed: int = 0,
    **columns: Any,
) -> pd.DataFrame:
    """n chains of four steps, of which the third states the answer.

    Args:
        n: Chains.
        found: Chance that the child's answer is the likeliest: before any step, after two, after three.
        ratios: Nats of each step, child − parent.
        noise: Standard deviation of what is added to each ratio.
        group: The child's score and the parent's.
        seed: Of the noise and the chances.
        columns: Constants that replace the defaults.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        item = {
            "parent": "base", "child": "sft", "task": "sums", "setting": "cot", "item": f"{group}{number}",
            "cluster": f"c{number // 5}", "child_score": group[0], "parent_score": group[1], "answers": n, "chains": n,
            "commonest": False, "restated": False, "greedy": True, "decoys": 3,
        } | columns  # fmt: skip
        for step in range(STEPS + 1):
            place = {0: 0, 2: 1, 3: 2}.get(step)
            hit = place is not None and rng.random() < found[place]
            other = 0.0 if not step else -20.0 - (ratios[step - 1] + noise * rng.normal())
            rows.append(
                item | {
                    "step": step, "last": step == STEPS, "tokens": TOKENS if step else 0,
                    "child_logprob": -20.0 if step else 0.0, "parent_logprob": other, "stated": step >= 3,
                    "said": np.nan if place is None else (-1.0 if hit else -5.0),
                    "own": np.nan if place is None or group == (1.0, 1.0) else -2.0,
                    "decoy": np.nan if place is None else -3.0,
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(READ_COLUMNS))
