"""Whether the token that was said is the most probable one, from the rows that vLLM gives. Needs no vLLM."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from capeval.backends.vllm.ways import _greedy


@pytest.mark.parametrize(
    ("row", "greedy"),
    [
        ({7: (-0.1, 1)}, True),
        ({7: (-3.8, 8), 5: (-0.2, 1)}, False),
        ({7: (-0.7, 2), 5: (-0.7, 1)}, True),  # a tie
        ({7: (-3.79, 8), 0: (-math.inf, 1)}, False),  # what stands there in a step with `logprob_token_ids` requests
        ({7: (-0.1, 1), 0: (-math.inf, 1)}, True),
    ],
)
def test_greedy_by_rank_and_by_value(row: dict[int, tuple[float, int]], greedy: bool) -> None:
    at = {token: SimpleNamespace(logprob=logprob, rank=rank) for token, (logprob, rank) in row.items()}
    assert _greedy(at, 7) == (row[7][0], greedy)
