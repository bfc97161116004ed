"""Score intervals of right-or-wrong metrics: published values, exact error rates, clusters, and all pairs at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from harness import stats
from harness.stats import proportions

RATES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


def right(hits: int, n: int) -> np.ndarray:
    return np.r_[np.ones(hits), np.zeros(n - hits)]


def differences(ahead: int, behind: int, n: int) -> np.ndarray:
    return np.r_[np.ones(ahead), -np.ones(behind), np.zeros(n - ahead - behind)]


@pytest.mark.parametrize(("hits", "n"), [(1, 29), (15, 148), (81, 263), (97, 98)])
def test_wilson_equals_statsmodels_but_for_the_t_quantile(hits: int, n: int) -> None:
    counts = proportions.Counts(hits / n, n, 1e9)
    assert proportions.wilson(counts, 0.95) == pytest.approx(proportion_confint(hits, n, 0.05, "wilson"), abs=1e-9)
    exact = proportion_confint(hits, n, 0.10, "beta")
    assert proportions.exact_limits(counts, 0.95) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(
    ("ahead", "behind", "n", "low", "high"),
    # Fagerland, Lydersen & Laake (2014), Recommended tests and confidence intervals for paired binomial proportions:
    # airway hyper-responsiveness before and after a transplant, 1 and 7 of 21 pairs.
    [(1, 7, 21, -0.517, -0.026), (7, 1, 21, 0.026, 0.517)],
)
def test_tango_equals_published_limits(ahead: int, behind: int, n: int, low: float, high: float) -> None:
    pairs = proportions.discordance(ahead / n, behind / n, 1e-9, n)
    ends = proportions.tango(pairs, 1.959964)
    assert [float(end) for end in ends] == pytest.approx([low, high], abs=5e-4)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(41, 400), st.floats(-0.3, 0.3))
def test_tango_is_the_score_test_at_the_likeliest_shares(ahead: int, behind: int, n: int, gap: float) -> None:
    """The shares by maximising the likelihood numerically, in place of the closed form."""
    if ahead + behind == 0 or abs(gap) < 1e-3:
        return

    def loss(share: float) -> float:
        chances = np.array([share + gap, share, 1 - 2 * share - gap])
        counts = np.array([ahead, behind, n - ahead - behind])
        return float(-(counts * np.log(np.maximum(chances, 1e-300))).sum())

    least, most = max(0.0, -gap), (1 - gap) / 2
    share = minimize_scalar(loss, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    expected = (ahead - behind - n * gap) / np.sqrt(n * (2 * share + gap - gap**2))
    pairs = proportions.discordance(ahead / n, behind / n, 1e-12, n)
    assert float(proportions.tango_statistic(pairs, gap)) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_the_ends_are_where_the_test_just_rejects() -> None:
    pairs = proportions.discordance(0.07, 0.02, 1e-9, 150)
    low, high = proportions.tango(pairs, 1.7)
    assert float(proportions.tango_statistic(pairs, low)) == pytest.approx(1.7, abs=1e-9)
    assert float(proportions.tango_statistic(pairs, high)) == pytest.approx(-1.7, abs=1e-9)


@pytest.mark.parametrize("n", [200, 500, 2000])
@pytest.mark.parametrize("rate", RATES)
def test_values_cover_as_they_say(n: int, rate: float) -> None:
    """Exactly: every number of right answers, weighed by its probability."""
    covered = 0.0
    for hits in range(n + 1):
        chance = float(binom.pmf(hits, n, rate))
        if chance > 1e-9:
            found = stats.estimate(right(hits, n), bounds=(0.0, 1.0))
            assert found.low is not None and found.high is not None
            covered += chance * (found.low <= rate <= found.high)
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("n", [50, 100, 200, 500])
@pytest.mark.parametrize("floor", [0.8, 0.9, 0.95, 0.98])
def test_a_floor_is_passed_wrongly_as_seldom_as_promised(n: int, floor: float) -> None:
    passed = 0.0
    for hits in range(n + 1):
        chance = float(binom.pmf(hits, n, floor))
        if chance > 1e-9:
            mean = stats.side_test(right(hits, n), floor, bounds=(0.0, 1.0)).estimate
            passed += chance * (mean.low is not None and mean.low > floor)
    assert passed <= 0.05


@pytest.mark.parametrize("margin", [0.02, 0.05])
@pytest.mark.parametrize("fixed", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("n", [100, 200])
def test_a_margin_is_passed_wrongly_as_seldom_as_promised(n: int, fixed: float, margin: float) -> None:
    """The candidate breaks `margin` more than it fixes: by the t interval up to 12 % of these pass."""
    broken = margin + fixed
    passed = 0.0
    for behind in range(n + 1):
        for ahead in range(n + 1 - behind):
            log = gammaln(n + 1) - gammaln(ahead + 1) - gammaln(behind + 1) - gammaln(n - ahead - behind + 1)
            log += behind * np.log(broken) + (n - ahead - behind) * np.log1p(-fixed - broken)
            log += ahead * np.log(fixed) if fixed else (0.0 if ahead == 0 else -np.inf)
            if log > np.log(1e-7):
                found = stats.side_test(differences(ahead, behind, n), -margin, bounds=(-1.0, 1.0))
                passed += float(np.exp(log)) * (found.estimate.low is not None and found.estimate.low > -margin)
            elif ahead > n * fixed + 5:
                break
    assert passed <= 0.0505


@settings(deadline=None, max_examples=60)
@given(st.integers(20, 200), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5]), st.sampled_from([1, 3]))
def test_all_pairs_are_what_one_pair_is(n: int, seed: int, size: int, seeds: int) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.random((4, seeds, n)) < rng.choice([0.5, 0.9, 0.98], size=(4, 1, 1))).mean(axis=1)
    clusters = stats.Clusters.of([str(index // size) for index in range(n)], n)
    arms = [stats.method_arm(row[None], clusters, trained=False)[0] for row in values]
    table = stats.right_or_wrong(values, (0.0, 1.0), seeds)
    assert table is not None
    pairs = stats.pair_table(arms, clusters, (0.0, 1.0), 0.99, table, seeds)
    for a in range(4):
        for b in range(4):
            if a != b:
                alone = stats.paired_difference(
                    values[a], values[b], clusters, bounds=(0.0, 1.0), level=0.99, seeds=seeds
                )
                assert [alone.value, alone.low, alone.high] == pytest.approx(
                    [pairs.value[a, b], pairs.low[a, b], pairs.high[a, b]], abs=1e-9
                )


def test_examples_in_clusters_count_for_less() -> None:
    alone = np.random.default_rng(1).random(200) < 0.9
    told_apart = stats.estimate(alone.astype(float), bounds=(0.0, 1.0))
    together = stats.estimate(np.repeat(alone[:40], 5).astype(float), np.repeat(np.arange(40), 5), bounds=(0.0, 1.0))
    assert told_apart.low is not None and together.low is not None
    assert told_apart.high is not None and together.high is not None
    assert together.high - together.low > 1.8 * (told_apart.high - told_apart.low)


@given(st.integers(2, 40), st.integers(1, 39), st.floats(0.6, 0.99))
def test_intervals_hold_the_value_and_stay_within_bounds(n: int, hits: int, level: float) -> None:
    found = stats.estimate(right(min(hits, n), n) * 4 - 3, bounds=(-3.0, 1.0), level=level)
    assert found.low is not None and found.high is not None
    assert -3 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("values", [[0.5, 1.0, 0.0, 1.0], [0.0, 1.0, 0.25]])
def test_other_values_keep_the_t_interval(values: list[float]) -> None:
    assert "t interval" in stats.estimate(values, bounds=(0.0, 1.0)).method
    assert "score interval" in stats.estimate(np.rint(values), bounds=(0.0, 1.0)).method
    assert "t interval" in stats.estimate(np.rint(values), bounds=None).method
