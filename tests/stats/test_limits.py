"""One-sided statements about limits: against scipy's one-sample t, published limits, and simulation."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats as scipy_stats

sys.path.append(str(Path(__file__).parents[2] / "bench"))
from gates import planned_examples

from harness import stats
from harness.stats.one_sided import rate_ceiling


@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.floats(-1, 1), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_without_clusters_it_is_the_t_test(seed: int, n: int, limit: float, confidence: float) -> None:
    values = np.random.default_rng(seed).normal(size=n)
    found = stats.side_test(values, limit, confidence=confidence)
    expected = scipy_stats.ttest_1samp(values, limit, alternative="greater")
    assert found.p_above == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.p_above is not None and found.p_below == pytest.approx(1 - found.p_above)
    assert found.estimate.low == pytest.approx(expected.confidence_interval(confidence).low)
    assert (found.estimate.low > limit) == (found.p_above < 1 - confidence)
    assert (found.estimate.high < limit) == (found.p_below < 1 - confidence)
    assert (found.more_examples == 0) == (found.estimate.low > limit or found.estimate.high < limit)


def test_the_examples_it_asks_for_settle_it_four_times_in_five() -> None:
    rng, told = np.random.default_rng(3), []
    for _ in range(300):
        values = rng.normal(0.1, 1.0, size=60)
        found = stats.side_test(values, 0.0)
        if not found.more_examples:
            continue
        # More of the same: the truth is what was seen.
        more = rng.normal(values.mean(), values.std(ddof=1), size=60 + found.more_examples)
        again = stats.side_test(more, 0.0)
        told.append(again.more_examples == 0)
    assert len(told) > 100
    assert np.mean(told) == pytest.approx(0.8, abs=3 * (0.16 / len(told)) ** 0.5)


def test_equal_values_are_judged_by_the_binomial_limit() -> None:
    found = stats.side_test(np.zeros(300), -0.02, bounds=(-1.0, 1.0))
    assert found.estimate.low is not None and found.estimate.low > -0.02 and found.more_examples == 0
    few = stats.side_test(np.zeros(50), -0.02, bounds=(-1.0, 1.0))
    assert few.estimate.low is not None and few.estimate.low < -0.02
    assert few.more_examples is not None
    enough = stats.side_test(np.zeros(50 + few.more_examples), -0.02, bounds=(-1.0, 1.0))
    assert enough.more_examples == 0
    assert stats.side_test(np.zeros(50), 0.0, bounds=(-1.0, 1.0)).more_examples is None, "nothing settles a tie"


def test_one_cluster_says_nothing() -> None:
    found = stats.side_test([0.1, 0.2, 0.3], 0.0, ["a", "a", "a"])
    assert (found.p_above, found.p_below, found.more_examples) == (None, None, None)


@pytest.mark.parametrize("confidence", [0.5, 1.0, 0.2])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"between 0.5 and 1"):
        stats.side_test([1.0, 2.0], 0.0, confidence=confidence)


def test_rates_have_exact_limits() -> None:
    """0 in 50 does not pass a ceiling of 2 %, 0 in 300 does; both ends are scipy's."""
    assert rate_ceiling(0, 50)[1] == pytest.approx(1 - 0.05 ** (1 / 50))
    assert rate_ceiling(0, 50)[1] > 0.02 > rate_ceiling(0, 300)[1]
    for hits, n in ((3, 40), (40, 40), (1, 1), (17, 250)):
        interval = scipy_stats.binomtest(hits, n).proportion_ci(0.9, method="exact")
        assert rate_ceiling(hits, n) == pytest.approx((interval.low, interval.high))
    with pytest.raises(ValueError, match="is no rate"):
        rate_ceiling(3, 2)


@given(st.floats(0.05, 2), st.floats(0.02, 1), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_planned_examples_have_the_power_and_not_one_less(deviation: float, margin: float, rules: int) -> None:
    n = planned_examples(deviation, margin, rules=rules)

    def power(count: int, confidence: float) -> float:
        freedom, shift = count - 1, margin / deviation * count**0.5
        return float(1 - scipy_stats.nct.cdf(scipy_stats.t.ppf(confidence, freedom), freedom, shift))

    together = 1 - 0.05 / rules
    assert power(n, 0.95) >= together and power(n, together) >= 0.95
    if n > 3:
        assert power(n - 1, 0.95) < together or power(n - 1, together) < 0.95


def test_a_spread_that_grows_takes_more_examples() -> None:
    assert planned_examples(0.2, 0.05, worse_deviation=0.3) == planned_examples(0.3, 0.05)
    assert planned_examples(0.3, 0.05, worse_deviation=0.2) == planned_examples(0.3, 0.05)
    with pytest.raises(ValueError, match="must be positive"):
        planned_examples(0.0, 0.05)


@given(st.floats(0.001, 1.0), st.floats(0.05, 3.0), st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_clusters_that_bring_the_binomial_limit_close_enough_and_not_one_less(
    gap: float, reach: float, level: float
) -> None:
    from harness.stats.clusters import without_spread

    count = stats.clusters_without_spread(gap, reach, level)
    assert count is not None

    def limit(clusters: int) -> float:
        high = without_spread(0.0, clusters, (-reach, reach), level)[1]
        assert high is not None
        return high

    assert limit(count) <= gap + 1e-9 or gap >= reach
    assert count == 2 or limit(count - 1) > gap - 1e-9
    assert stats.clusters_without_spread(0.0, reach, level) is None


@given(st.integers(0, 80), st.integers(0, 80), st.floats(0.01, 0.99), st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=80, deadline=None)
def test_a_rate_is_tested_as_scipys_binomial_test(hits: int, misses: int, limit: float, confidence: float) -> None:
    n = hits + misses + 1
    found = stats.rate_test(hits, n, limit, confidence)
    above = scipy_stats.binomtest(hits, n, limit, alternative="greater")
    below = scipy_stats.binomtest(hits, n, limit, alternative="less")
    assert (found.p_above, found.p_below) == pytest.approx((above.pvalue, below.pvalue), abs=1e-9)
    assert found.estimate.low == pytest.approx(above.proportion_ci(confidence, "exact").low, abs=1e-9)
    assert found.estimate.high == pytest.approx(below.proportion_ci(confidence, "exact").high, abs=1e-9)
    assert (found.more_examples == 0) == (found.estimate.low > limit or found.estimate.high < limit)


@pytest.mark.parametrize(("hits", "n", "limit"), [(0, 50, 0.02), (1, 40, 0.1), (7, 40, 0.1), (3, 12, 0.3)])
def test_the_trials_that_a_rate_asks_for_are_the_fewest(hits: int, n: int, limit: float) -> None:
    more = stats.rate_test(hits, n, limit).more_examples
    assert more is not None and more > 0
    rate = hits / n

    def settled(count: int) -> bool:
        upper = scipy_stats.beta.ppf(0.95, rate * count + 1, count - rate * count)
        lower = scipy_stats.beta.ppf(0.05, rate * count, count - rate * count + 1) if hits else 0.0
        return bool(upper < limit or lower > limit)

    assert settled(n + more) and not settled(n + more - 1)
    assert stats.rate_test(10, 100, 0.1).more_examples is None, "exactly at the limit no number settles it"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=25), st.integers(-1, 31), st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=80, deadline=None)
def test_a_median_is_tested_by_signs(values: list[int], limit: int, confidence: float) -> None:
    found, n = stats.median_test([float(value) for value in values], limit, confidence), len(values)
    fewest = next(m for m in range(1, 20) if 0.5**m <= 1 - confidence + 1e-12)
    if n < fewest:
        assert found.estimate.low is None and found.more_examples == fewest - n
        return
    for p, hits in ((found.p_above, sum(v > limit for v in values)), (found.p_below, sum(v < limit for v in values))):
        assert p == pytest.approx(scipy_stats.binom.sf(hits - 1, n, 0.5))
    assert found.estimate.low is not None and found.estimate.high is not None
    assert found.p_above is not None and found.p_below is not None
    assert (found.estimate.low > limit) <= (found.p_above <= 1 - confidence + 1e-12)
    assert (found.estimate.high < limit) <= (found.p_below <= 1 - confidence + 1e-12)


def test_an_interval_without_a_test_says_how_many_more() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0.1, 1.0, size=100)
    tested = stats.side_test(values, 0.0)
    assert tested.more_examples
    # Normal quantiles in place of Student's: a little fewer.
    assert stats.more_to_settle(tested.estimate, 0.0) == pytest.approx(tested.more_examples, rel=0.05)
    assert stats.more_to_settle(tested.estimate, -5.0) == 0
    assert stats.more_to_settle(tested.estimate, tested.estimate.value) is None
