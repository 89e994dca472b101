"""McNemar and Tango against statsmodels, published examples and the score test itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from capeval.stats.discordant import mcnemar_exact, tango
from capeval.stats.rates import constant_interval


@pytest.mark.parametrize(("b", "c"), [(0, 1), (3, 12), (12, 3), (7, 7), (1, 0), (40, 20), (600, 519)])
def test_mcnemar_equals_statsmodels(b, c):
    assert mcnemar_exact(b, c) == pytest.approx(min(1.0, mcnemar([[0, b], [c, 0]], exact=True).pvalue))


def test_mcnemar_with_nothing_discordant():
    assert mcnemar_exact(0, 0) == 1.0


def test_mcnemar_published():
    # Fagerland, Lydersen & Laake 2013 (BMC Med Res Methodol 13:91), airway hyper-responsiveness: 1 against 7
    assert mcnemar_exact(1, 7) == pytest.approx(0.0703, abs=5e-5)


@pytest.mark.parametrize(
    ("b", "c", "n", "published"),
    [
        # Fagerland, Lydersen & Laake 2014 (Stat Med 33:2850), airway hyper-responsiveness
        (1, 7, 21, (-0.517, -0.026)),
        # Fagerland, Lydersen & Laake 2017 (Statistical Analysis of Contingency Tables, ch. 8), complete response
        (6, 16, 161, (-0.1240, -0.0054)),
        # Agresti & Min 2005 (Stat Med 24:729), table 1
        (16, 8, 86, (-0.020, 0.207)),
    ],
)
def test_tango_published(b, c, n, published):
    interval = tango(b, c, n)
    digits = 5e-5 if len(str(published[0])) > 6 else 5e-4
    assert (interval.low, interval.high) == pytest.approx(published, abs=digits)


def _score(delta, b, c, n):
    """Tango's statistic with the restricted estimate found by maximising the likelihood numerically."""

    def loss(q):
        p, rest = q + delta, 1 - 2 * q - delta
        return -sum(k * math.log(x) for k, x in ((b, p), (c, q), (n - b - c, rest)) if k)

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = optimize.minimize_scalar(loss, bounds=(low + 1e-12, high - 1e-12), method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(("b", "c", "n", "level"), [(5, 2, 40, 0.95), (3, 9, 50, 0.9), (30, 25, 200, 0.99)])
def test_tango_limits_solve_the_score_equation(b, c, n, level):
    interval, z = tango(b, c, n, level), stats.norm.ppf((1 + level) / 2)
    assert _score(interval.low, b, c, n) == pytest.approx(z, abs=1e-4)
    assert _score(interval.high, b, c, n) == pytest.approx(-z, abs=1e-4)


@pytest.mark.parametrize("n", [1, 5, 100])
@pytest.mark.parametrize("value", [-1, 0, 1])
def test_constant_interval_is_tangos_where_all_items_agree(n, value):
    expected = tango(n if value == 1 else 0, n if value == -1 else 0, n)
    got = constant_interval(float(value), n, 0.95, (-1.0, 1.0))
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 300), st.data())
def test_tango_mirrors_holds_the_estimate_and_nests(n, data):
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    interval, mirrored, narrower = tango(b, c, n), tango(c, b, n), tango(b, c, n, 0.9)
    assert (-mirrored.high, -mirrored.low) == (interval.low, interval.high)
    assert -1 <= interval.low <= (b - c) / n <= interval.high <= 1
    assert interval.low < interval.high
    assert interval.low <= narrower.low
    assert narrower.high <= interval.high


def test_tango_edges():
    assert math.isnan(tango(0, 0, 0).low)
    with pytest.raises(ValueError, match="discordant items among 3"):
        tango(2, 2, 3)
