"""Intervals and tests: agreement with scipy, properties, and coverage where clusters matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats as reference

from harness import stats
from harness.metrics import METRICS

NUMBERS = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))
SAMPLES = st.lists(NUMBERS, min_size=2, max_size=40)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def ratio(totals):
    return totals[..., 0] / totals[..., 1]


# ------------------------------------------------------------------------------------- example-level metrics


@given(SAMPLES, st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_without_clusters_it_is_the_paired_t_interval_of_scipy(values, seed):
    other = np.random.default_rng(seed).normal(size=len(values))
    ours = stats.paired_difference(values, other)
    if np.ptp(np.asarray(values) - other) > 1e-6:
        theirs = reference.ttest_rel(values, other)
        low, high = theirs.confidence_interval(0.95)
        assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
        assert ours.value == pytest.approx(np.mean(values) - other.mean())
        assert (ours.n, ours.clusters) == (len(values), len(values))


@given(SAMPLES, st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_examples_repeated_within_a_cluster_add_nothing(values, copies):
    alone = stats.estimate(values)
    clusters = [i for i in range(len(values)) for _ in range(copies)]
    repeated = stats.estimate(np.repeat(values, copies), clusters)
    assert repeated.value == pytest.approx(alone.value, abs=1e-9)
    if alone.low is not None:
        assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high), rel=1e-6, abs=1e-6)
    assert repeated.clusters == len(values)


@given(SAMPLES)
@settings(max_examples=50, deadline=None)
def test_a_difference_turns_its_sign_with_its_sides(values):
    forth = stats.paired_difference(values, values[::-1])
    back = stats.paired_difference(values[::-1], values)
    assert forth.value == pytest.approx(-back.value)
    if forth.low is not None and back.high is not None:
        assert forth.low == pytest.approx(-back.high)


def test_unequal_clusters_follow_the_matrix_formula():
    generator = rng()
    sizes = [1, 2, 9, 4, 4]
    codes = np.repeat(np.arange(5), sizes)
    values = generator.normal(size=len(codes)) + generator.normal(size=5)[codes]
    n, ones = len(values), np.ones((len(values), 1))
    hat = ones @ ones.T / n
    residual = values - values.mean()
    scores, columns = [], []
    for cluster in range(5):
        rows = np.flatnonzero(codes == cluster)
        block = np.eye(len(rows)) - hat[np.ix_(rows, rows)]
        roots, vectors = np.linalg.eigh(block)
        adjust = vectors @ np.diag(roots**-0.5) @ vectors.T
        scores.append(float(np.ones(len(rows)) @ adjust @ residual[rows]) / n)
        columns.append((np.eye(n) - hat)[:, rows] @ adjust @ np.ones(len(rows)) / n)
    gram = np.array(columns) @ np.array(columns).T
    eigen = np.linalg.eigvalsh(gram)
    freedom = eigen.sum() ** 2 / (eigen**2).sum()
    half = reference.t.ppf(0.975, freedom) * math.sqrt(sum(score**2 for score in scores))
    ours = stats.estimate(values, codes.tolist())
    assert ours.high - ours.value == pytest.approx(half, rel=1e-9)
    assert f"{freedom:.1f} degrees of freedom" in ours.method


def test_one_example_or_one_cluster_has_a_value_and_no_interval():
    for result in (stats.estimate([0.3]), stats.estimate([0.1, 0.5], ["p", "p"])):
        assert result.value == pytest.approx(0.3)
        assert (result.low, result.high, result.clusters) == (None, None, 1)
        assert "single cluster" in result.method


def test_equal_values_get_the_exact_limit_where_bounds_are_known():
    perfect = stats.estimate([1.0] * 50, bounds=(0.0, 1.0))
    exact = reference.binomtest(50, 50).proportion_ci(0.95, method="exact")
    assert (perfect.low, perfect.high) == pytest.approx((exact.low, 1.0))
    unknown = stats.estimate([0.0] * 50)
    assert (unknown.value, unknown.low, unknown.high) == (0.0, None, None)
    same = stats.paired_difference([1.0] * 50, [1.0] * 50, bounds=(0.0, 1.0))
    assert same.value == 0.0
    assert -0.1 < same.low < 0.0 < same.high < 0.1


def test_limits_stay_within_bounds():
    result = stats.estimate([0.0] * 30 + [0.9], bounds=(0.0, 1.0))
    assert result.low == 0.0
    assert 0.03 < result.high < 0.2


def test_seeds_are_averaged_and_said():
    averaged = stats.average_seeds([[0.0, 1.0], [1.0, 1.0]])
    assert averaged.tolist() == [0.5, 1.0]
    assert "these checkpoints, averaged over 2 seeds" in stats.estimate(averaged, seeds=2).method
    assert "these checkpoints, 1 seed" in stats.estimate([0.5, 1.0]).method


@pytest.mark.parametrize("values", [[], [float("nan"), 1.0], [float("inf")]])
def test_missing_values_are_refused(values):
    with pytest.raises(ValueError, match=r"values|finite"):
        stats.estimate(values)


def test_pairs_of_different_length_are_refused():
    with pytest.raises(ValueError, match="differ in number: 2 and 3"):
        stats.paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="2 values but 1 clusters"):
        stats.estimate([1, 2], ["a"])


def clustered_sample(generator: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    sizes = generator.integers(1, 9, size=25)
    codes = np.repeat(np.arange(25), sizes)
    return generator.normal(size=25)[codes] + generator.normal(size=len(codes)), codes.tolist()


def test_the_interval_covers_with_clusters_and_the_naive_one_does_not():
    generator = rng()
    covered = naive = 0
    for _ in range(1000):
        values, clusters = clustered_sample(generator)
        robust, plain = stats.estimate(values, clusters), stats.estimate(values)
        covered += robust.low <= 0.0 <= robust.high
        naive += plain.low <= 0.0 <= plain.high
    assert 0.93 <= covered / 1000 <= 0.97
    assert naive / 1000 < 0.85


# --------------------------------------------------------------------------------------------- corpus metrics


def lengths_and_sums(generator: np.random.Generator, n: int) -> np.ndarray:
    lengths = generator.integers(1, 60, size=n)
    return np.stack([lengths * (1.5 + 0.4 * generator.normal(size=n)), lengths.astype(float)], axis=1)


def test_a_corpus_interval_agrees_with_scipys_bca():
    sample = lengths_and_sums(rng(), 60)
    ours = stats.corpus_estimate(sample, ratio, None, rng())
    theirs = reference.bootstrap(
        (sample[:, 0], sample[:, 1]),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        method="BCa",
        n_resamples=20_000,
        rng=rng(),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.01)
    assert ours.value == pytest.approx(sample[:, 0].sum() / sample[:, 1].sum())


def test_skewed_values_get_a_lopsided_interval_as_in_scipy():
    sample = np.stack([rng().lognormal(sigma=2.0, size=400), np.ones(400)], axis=1)
    ours = stats.corpus_estimate(sample, ratio, None, rng())
    theirs = reference.bootstrap(
        (sample[:, 0],), np.mean, method="BCa", n_resamples=20_000, rng=rng()
    ).confidence_interval
    lopsided = (theirs.high - ours.value) / (ours.value - theirs.low)
    assert lopsided > 1.3
    assert (ours.high - ours.value) / (ours.value - ours.low) == pytest.approx(lopsided, rel=0.1)


def test_a_corpus_difference_covers_under_clusters():
    generator, hits, rounds = rng(), 0, 300
    for _ in range(rounds):
        a, b = (lengths_and_sums(generator, 120) for _ in range(2))
        shift = generator.normal(size=30).repeat(4) * 0.3
        a[:, 0] += shift * a[:, 1]
        result = stats.corpus_paired_difference(a, b, ratio, (np.arange(120) // 4).tolist(), generator)
        hits += result.low <= 0.0 <= result.high
    assert 0.90 <= hits / rounds <= 0.98


@pytest.mark.parametrize("name", ["bleu", "perplexity"])
def test_values_are_the_metrics_own_and_pairing_narrows_the_interval(name):
    generator = rng()
    shape = {"bleu": 10, "perplexity": 2}[name]
    base = np.sort(generator.integers(1, 30, size=(80, shape)).astype(float), axis=1)
    if name == "perplexity":
        base = base * np.array([-1.0, 1.0])
    better = base.copy()
    better[::7, 0] *= 0.9
    combine = METRICS[name].combine
    single = stats.corpus_estimate(base, combine, None, rng())
    assert single.value == pytest.approx(float(combine(base.sum(axis=0))))
    assert single.low < single.value < single.high
    paired = stats.corpus_paired_difference(better, base, combine, None, rng())
    assert paired.high - paired.low < single.high - single.low


def test_seeds_of_a_corpus_metric_are_averaged_as_values():
    generator = rng()
    seeds = np.stack([lengths_and_sums(generator, 20) for _ in range(3)])
    expected = np.mean([ratio(one.sum(axis=0)) for one in seeds])
    assert stats.corpus_estimate(seeds, ratio, None, rng()).value == pytest.approx(expected)
    against_one = stats.corpus_paired_difference(seeds, seeds[0], ratio, None, rng())
    assert against_one.value == pytest.approx(expected - ratio(seeds[0].sum(axis=0)))
    assert against_one.seeds == 3


def test_the_same_generator_gives_the_same_interval():
    sample = lengths_and_sums(rng(), 40)
    assert stats.corpus_estimate(sample, ratio, None, rng()) == stats.corpus_estimate(sample, ratio, None, rng())


def test_many_clusters_are_worked_through_in_parts():
    sample = lengths_and_sums(rng(), 3000)
    result = stats.corpus_estimate(sample, ratio, None, rng())
    error = np.std(sample[:, 0] - result.value * sample[:, 1]) / sample[:, 1].mean() / math.sqrt(3000)
    assert (result.high - result.low) / 2 == pytest.approx(1.96 * error, rel=0.08)


def test_corpus_values_without_spread_have_no_interval():
    same = np.tile([3.0, 2.0], (20, 1))
    result = stats.corpus_estimate(same, ratio, None, rng())
    assert (result.value, result.low, result.high) == (1.5, None, None)
    assert stats.corpus_estimate(same[:1], ratio, None, rng()).low is None
    identical = stats.corpus_paired_difference(same, same, ratio, None, rng())
    assert (identical.value, identical.low) == (0.0, None)


def test_a_value_beyond_a_float_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        stats.corpus_estimate([[-9e5, 1.0]] * 3, METRICS["perplexity"].combine, None, rng())


# ------------------------------------------------------------------------------------------------------- tests


def test_few_clusters_are_tested_exactly():
    assert stats.sign_flip_p_value([1.0, 2.0, 3.0], None, rng()) == pytest.approx(2 / 8)
    assert stats.sign_flip_p_value([1.0, 2.0, 3.0, -1.0], None, rng()) == pytest.approx(
        reference.permutation_test(
            ([1.0, 2.0, 3.0, -1.0], [0.0] * 4), lambda a, b: np.mean(a - b), permutation_type="samples"
        ).pvalue
    )
    assert stats.sign_flip_p_value([1.0, 1.0, 1.0, 1.0], ["a", "a", "b", "b"], rng()) == pytest.approx(2 / 4)


@given(st.lists(NUMBERS, min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_p_values_are_probabilities_and_ignore_the_sign(differences):
    p = stats.sign_flip_p_value(differences, None, rng(), flips=499)
    assert 0.0 < p <= 1.0
    assert p == stats.sign_flip_p_value([-value for value in differences], None, rng(), flips=499)


def test_a_random_permutation_test_never_claims_impossibility():
    assert stats.sign_flip_p_value([1.0] * 40, None, rng(), flips=199) == pytest.approx(1 / 200)


def test_no_difference_has_p_one():
    assert stats.sign_flip_p_value([0.0] * 30, None, rng()) == 1.0
    sample = lengths_and_sums(rng(), 30)
    assert stats.swap_p_value(sample, sample, ratio, None, rng()) == 1.0


def test_p_values_are_uniform_under_the_null():
    generator = rng()
    p_values = [stats.sign_flip_p_value(generator.normal(size=20), None, generator, flips=199) for _ in range(400)]
    assert reference.kstest(p_values, "uniform").pvalue > 0.01


def test_swapping_means_equals_flipping_signs():
    generator = rng()
    a, b = generator.normal(0.4, 1, size=10), generator.normal(size=10)
    ones = np.ones(10)
    swapped = stats.swap_p_value(np.stack([a, ones], 1), np.stack([b, ones], 1), ratio, None, rng())
    assert swapped == pytest.approx(stats.sign_flip_p_value(a - b, None, rng()))


def test_a_swap_test_repeats_a_single_seed_and_refuses_other_mixtures():
    generator = rng()
    one, three, two = (np.stack([lengths_and_sums(generator, 15) for _ in range(n)]) for n in (1, 3, 2))
    repeated = np.repeat(one, 3, axis=0)
    assert stats.swap_p_value(three, one, ratio, None, rng()) == stats.swap_p_value(three, repeated, ratio, None, rng())
    with pytest.raises(ValueError, match="same examples and seeds"):
        stats.swap_p_value(three, two, ratio, None, rng())
