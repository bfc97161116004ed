"""The median's interval against scipy's, and how often it covers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, strategies as st

from harness.stats import median
from harness.stats.medians import coverage


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=40, unique=True))
def test_it_is_the_interval_of_scipy(values: list[float]) -> None:
    found = median(values)
    test = scipy.stats.quantile_test(values, p=0.5)
    low = test.confidence_interval(0.95).low
    assert found.value == np.median(values)
    # Both take the widest order statistic that keeps the level; scipy gives the two sides separately.
    assert found.low == low
    assert found.high == -scipy.stats.quantile_test([-value for value in values], p=0.5).confidence_interval(0.95).low


@pytest.mark.parametrize(("n", "k", "level"), [(6, 1, 0.96875), (5, 1, 0.9375), (9, 2, 0.9609375), (2, 1, 0.5)])
def test_levels_are_those_of_the_binomial(n: int, k: int, level: float) -> None:
    assert coverage(n, k) == level
    assert median([float(i) for i in range(n)]).level == min(0.95, level)


def test_one_value_has_no_interval_and_none_is_an_error() -> None:
    assert (median([3.0]).value, median([3.0]).low) == (3.0, None)
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_the_interval_covers_the_median_of_a_skewed_distribution() -> None:
    rng = np.random.default_rng(1)
    draws = rng.lognormal(0.0, 1.0, (4000, 6))  # median 1
    found = [median(list(row)) for row in draws]
    covered = np.mean([float(one.low or 0) <= 1.0 <= float(one.high or 0) for one in found])
    assert 0.96 <= covered <= 0.98  # 96.9 %, Monte Carlo error 0.3 points
