"""pass@k against counting all draws, the paper's own program, published values, and simulation of its bias."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from capeval.errors import UsageError
from capeval.stats.pass_at_k import pass_at_k


def counted(n: int, c: int, k: int) -> float:
    draws = list(combinations([True] * c + [False] * (n - c), k))
    return sum(any(draw) for draw in draws) / len(draws)


def of_the_paper(n: int, c: int, k: int) -> float:
    """Figure 3 of Chen et al. 2021."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


@pytest.mark.parametrize("n", range(1, 9))
def test_every_small_case_is_what_counting_all_draws_gives(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            assert pass_at_k(n=n, c=c, k=k) == pytest.approx(counted(n, c, k), abs=1e-15)
            assert pass_at_k(n=n, c=c, k=k) == pytest.approx(of_the_paper(n, c, k), abs=1e-12)


def test_published_values() -> None:
    # openai/human-eval, README: 3 of the 6 example samples are right, pass@1 is printed as 0.4999999999999999
    assert pass_at_k(n=6, c=3, k=1) == pytest.approx(0.4999999999999999)
    # huggingface evaluate, code_eval's card: one of two candidates is right
    assert (pass_at_k(n=2, c=1, k=1), pass_at_k(n=2, c=1, k=2)) == (0.5, 1.0)


def test_edges() -> None:
    assert pass_at_k(n=20, c=0, k=10) == 0.0
    assert pass_at_k(n=20, c=20, k=10) == 1.0
    assert pass_at_k(n=20, c=11, k=10) == 1.0
    assert pass_at_k(n=200, c=1, k=1) == 1 / 200
    large = pass_at_k(n=100_000, c=1, k=50_000)
    assert large == 0.5
    tiny = pass_at_k(n=10**6, c=1, k=1)
    assert tiny == 1e-6


@pytest.mark.parametrize(("n", "c", "k"), [(5, 1, 10), (0, 0, 1), (5, 1, 0), (5, 6, 1), (5, -1, 1)])
def test_what_can_not_be_estimated_is_an_error(n: int, c: int, k: int) -> None:
    with pytest.raises(UsageError):
        pass_at_k(n=n, c=c, k=k)


def test_it_is_unbiased_where_the_plug_in_is_not() -> None:
    """Exact expectation over c ~ Binomial(n, p) is 1 − (1 − p)^k; that of 1 − (1 − c/n)^k is not."""
    n, k, p = 20, 10, 0.1
    weights = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    truth = 1 - (1 - p) ** k
    assert sum(w * pass_at_k(n=n, c=c, k=k) for c, w in enumerate(weights)) == pytest.approx(truth, abs=1e-12)
    assert abs(sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(weights)) - truth) > 0.02
