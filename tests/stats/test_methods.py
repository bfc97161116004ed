"""Intervals that speak about the next training: limiting cases, Welch, loops, properties, coverage, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from method_pairs import corpus_less, corpus_method_estimate, method_difference, method_estimate, method_p_value
from scipy import stats as reference

from harness import stats
from harness.stats.across_seeds import FRACTION_POWER, combined_variance, mean_arm, parts_of

SEED = st.integers(0, 2**32 - 1)
UNEQUAL = np.repeat(np.arange(12), [1, 2, 9, 4, 4, 1, 3, 7, 2, 2, 5, 1])


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def scores(generator: np.random.Generator, seeds: int = 3, codes: np.ndarray = UNEQUAL) -> np.ndarray:
    clusters = codes.max() + 1
    own = generator.normal(size=clusters)[codes] + generator.normal(size=(seeds, len(codes)))
    return own + 0.4 * generator.normal(size=(seeds, 1)) + 0.3 * generator.normal(size=(seeds, clusters))[:, codes]


def ratio(totals):
    return totals[..., 0] / totals[..., 1]


def limits(result):
    return (result.value, result.low, result.high)


def by_loops(a: np.ndarray, b: np.ndarray, codes: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """The paired interval as its definition reads, cluster by cluster."""
    seeds, n = a.shape
    differences = a - b
    seed_means = [float(np.mean(row)) for row in differences]
    value = sum(seed_means) / seeds
    example = left = squares = b_sum = b_squares = 0.0
    for cluster in sorted(set(codes)):
        inside = [index for index in range(n) if codes[index] == cluster]
        share = len(inside) / n
        own = [sum(differences[s, i] - seed_means[s] for i in inside) / n for s in range(seeds)]
        example += (sum(own) / seeds) ** 2 / (1 - share)
        left += sum((one - sum(own) / seeds) ** 2 for one in own) / (1 - share)
        squares, b_sum = squares + share**2, b_sum + share**2 / (1 - share)
        b_squares += (share**2 / (1 - share)) ** 2
    seed = float(np.var(seed_means, ddof=1)) / seeds
    variance = max(0.0, example - left / (seeds * (seeds - 1))) + seed
    weight, freedom = (seed / variance) ** (4 / 3), 1 / (squares + b_sum**2 - b_squares)
    tail = (1 + level) / 2
    quantile = (1 - weight) * reference.t.ppf(tail, freedom) + weight * reference.t.ppf(tail, seeds - 1)
    return value, value - quantile * math.sqrt(variance), value + quantile * math.sqrt(variance)


# -------------------------------------------------------------------------------------------------- agreement


@given(SEED, st.integers(3, 6), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=40, deadline=None)
def test_it_is_its_definition(seed, seeds, level):
    generator = rng(seed)
    a, b = scores(generator, seeds), scores(generator, seeds)
    ours = method_difference(a, b, UNEQUAL.tolist(), level=level)
    assert limits(ours) == pytest.approx(by_loops(a, b, UNEQUAL, level), rel=1e-9, abs=1e-12)
    assert (ours.n, ours.clusters, ours.seeds) == (len(UNEQUAL), 12, seeds)


def test_without_spread_between_examples_it_is_the_seed_level_t_interval():
    means = np.array([0.3, 0.5, 0.1, 0.45])
    ours = method_estimate(np.repeat(means[:, None], 40, axis=1))
    theirs = reference.ttest_1samp(means, 0.0)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)), rel=1e-9)
    against = method_difference(np.repeat(means[:, None], 40, axis=1), np.zeros((4, 40)))
    assert limits(against) == pytest.approx(limits(ours))
    assert method_p_value(np.repeat(means[:, None], 40, axis=1), np.zeros((4, 40))) == pytest.approx(
        theirs.pvalue, rel=1e-6
    )


def test_without_spread_between_seeds_it_is_the_interval_of_these_checkpoints():
    one = scores(rng())[0]
    ours = method_estimate(np.stack([one] * 3), UNEQUAL.tolist())
    theirs = stats.estimate(one, UNEQUAL.tolist())
    assert limits(ours) == pytest.approx(limits(theirs), rel=1e-12)
    assert "this method, 3 seeds" in ours.method
    assert "these checkpoints" in theirs.method


def test_different_numbers_of_seeds_are_welchs_interval_where_only_seeds_spread():
    a, b = np.array([0.3, 0.5, 0.1]), np.array([0.2, 0.25, 0.3, 0.1, 0.22])
    tables = [np.repeat(side[:, None], 30, axis=1) for side in (a, b)]
    theirs = reference.ttest_ind(a, b, equal_var=False)
    ours = method_difference(*tables)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)), rel=1e-9)
    assert method_p_value(*tables) == pytest.approx(theirs.pvalue, rel=1e-6)
    assert ours.seeds == 5


def test_an_arm_without_training_counts_as_fixed():
    generator = rng()
    a, untrained = scores(generator), scores(generator)[:1]
    ours = method_difference(a, untrained, UNEQUAL.tolist(), trained=(True, False))
    assert limits(ours) == pytest.approx(limits(method_estimate(a - untrained, UNEQUAL.tolist())))
    back = method_difference(untrained[0], a, UNEQUAL.tolist(), trained=(False, True))
    assert limits(back) == pytest.approx((-ours.value, -ours.high, -ours.low))
    both = method_difference(a[:1], untrained, UNEQUAL.tolist(), trained=(False, False))
    fixed = stats.paired_difference(a[0], untrained[0], UNEQUAL.tolist())
    assert limits(both) == pytest.approx(limits(fixed))
    assert "no training" in both.method


def test_a_ratio_over_constant_lengths_is_the_mean_for_clusters_of_one_size():
    codes = np.repeat(np.arange(15), 3).tolist()
    a, b = scores(rng(1), codes=np.array(codes)), scores(rng(2), codes=np.array(codes))
    a_pairs, b_pairs = (np.stack([side, np.ones_like(side)], axis=-1) for side in (a, b))
    assert limits(corpus_method_estimate(a_pairs, ratio, codes)) == pytest.approx(limits(method_estimate(a, codes)))
    less, known = corpus_less(a_pairs, b_pairs, ratio, codes)
    assert limits(stats.arm_estimate(less, known, "difference", None)) == pytest.approx(
        limits(method_difference(a, b, codes))
    )
    assert stats.arm_p_value(less, known) == pytest.approx(method_p_value(a, b, codes))


# ------------------------------------------------------------------------------------------------- properties


@given(SEED, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_examples_and_names_of_clusters_change_nothing(seed, shuffle):
    generator = rng(seed)
    a, b = scores(generator), scores(generator)
    order = list(range(len(UNEQUAL)))
    shuffle.shuffle(order)
    named = [f"patient {97 - code}" for code in UNEQUAL[order]]
    for one, two, codes in ((a, b, UNEQUAL.tolist()), (a, b, None)):
        plain = method_difference(one, two, codes)
        moved = method_difference(one[:, order], two[:, order], named if codes else None)
        assert limits(moved) == pytest.approx(limits(plain), rel=1e-9, abs=1e-12)
        seeds = [2, 0, 1]
        assert limits(method_difference(one[seeds], two[seeds], codes)) == pytest.approx(limits(plain))


@given(SEED, st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_scale_shift_and_sign(seed, factor, shift):
    generator = rng(seed)
    a, b = scores(generator), scores(generator)
    codes = UNEQUAL.tolist()
    plain = method_difference(a, b, codes)
    scaled = method_difference(a * factor + shift, b * factor + shift, codes)
    assert limits(scaled) == pytest.approx(tuple(factor * one for one in limits(plain)), rel=1e-6, abs=1e-9 * factor)
    swapped = method_difference(b, a, codes)
    assert limits(swapped) == pytest.approx((-plain.value, -plain.high, -plain.low))
    assert method_p_value(a, b, codes) == pytest.approx(method_p_value(b, a, codes))
    value = method_estimate(a + shift, codes)
    assert value.value == pytest.approx(method_estimate(a, codes).value + shift)


@given(SEED)
@settings(max_examples=20, deadline=None)
def test_identical_arms_differ_by_nothing(seed):
    a = (scores(rng(seed)) > 0).astype(float)
    same = method_difference(a, a, UNEQUAL.tolist(), bounds=(0.0, 1.0))
    assert same.value == 0.0
    assert same.low == pytest.approx(-same.high)
    assert 0 < same.high < 0.4
    assert "exact binomial limit" in same.method
    assert method_p_value(a, a, UNEQUAL.tolist()) == 1.0
    assert method_difference(a, a, UNEQUAL.tolist()).low is None


@given(SEED, st.floats(0, 2), st.floats(0.5, 0.999))
@settings(max_examples=60, deadline=None)
def test_where_a_p_value_is_below_alpha_the_interval_excludes_zero(seed, shift, level):
    generator = rng(seed)
    a, b = scores(generator) + shift, scores(generator)
    p = method_p_value(a, b, UNEQUAL.tolist())
    result = method_difference(a, b, UNEQUAL.tolist(), level=level)
    excludes = result.low > 0 or result.high < 0
    if p < 1 - level - 1e-9:
        assert excludes
    if excludes:
        # The p-value weighs the seeds more, and no more than if they were all that varies.
        table, known = a - b, stats.Clusters.of(UNEQUAL.tolist(), len(UNEQUAL))
        parts = parts_of(mean_arm(table, known, trained=True))
        assert p <= 2 * reference.t.sf(abs(result.value) / parts.error, 2) + 1e-12


@given(SEED, st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_p_value_is_its_definition(seed, shift):
    generator = rng(seed)
    a, b = scores(generator) + shift, scores(generator)
    known = stats.Clusters.of(UNEQUAL.tolist(), len(UNEQUAL))
    parts = parts_of(mean_arm(a - b, known, trained=True))
    p = method_p_value(a, b, known)
    quantiles = [reference.t.isf(p / 2, freedom) for freedom in (parts.example_dof, parts.seed_dof)]
    expected = (1 - parts.fraction) * quantiles[0] + parts.fraction * quantiles[1]
    assert abs(np.mean(a - b)) / parts.error == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_an_enormous_difference_has_a_small_finite_p_value():
    noise = rng().normal(size=(3, 500)) * 1e-6
    assert 0 < method_p_value(1 + noise, noise[::-1]) < 1e-6
    fixed = method_p_value(1 + noise[:1], noise[1:2], trained=(False, False))
    assert fixed == 1e-100
    ones, zeros = np.ones((3, 10)), np.zeros((3, 10))
    assert method_p_value(ones, zeros) == pytest.approx(2 / 2**10)


def test_limits_stay_within_bounds():
    a = np.ones((3, 30))
    a[0, :3] = 0
    result = method_estimate(a, bounds=(0.0, 1.0))
    assert result.high == 1.0
    assert 0.7 < result.low < result.value


# --------------------------------------------------------------------------------------------------- coverage


@pytest.mark.parametrize("examples", [0.0, 0.3, 3.0])
def test_it_covers_where_one_seed_taken_for_the_method_does_not(examples):
    generator, hits, naive, rounds = rng(), 0, 0, 1000
    codes = (np.arange(120) // 4).tolist()
    clusters = stats.Clusters.of(codes, 120)
    for _ in range(rounds):
        shared = examples * generator.normal(size=30)[clusters.codes]
        a = shared + generator.normal(size=(3, 120)) + 0.3 * generator.normal(size=(3, 1))
        result = method_estimate(a, clusters)
        hits += result.low <= 0 <= result.high
        single = stats.estimate(a[0])
        naive += single.low <= 0 <= single.high
    # The truth lies between 0.94 and 0.97; three Monte Carlo errors on top.
    assert 0.92 <= hits / rounds <= 0.985
    assert naive / rounds < 0.8


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("clusters", [30, 1000])
def test_it_covers_whatever_the_proportions_of_the_three_effects(seeds, clusters):
    generator, nodes = rng(), 4000
    # Chi-square quantiles for the seeds, which matter most; draws for the many degrees of freedom of the others.
    seed_part = generator.permutation(reference.chi2.ppf((np.arange(nodes) + 0.5) / nodes, seeds - 1)) / (seeds - 1)
    example_part = generator.chisquare(clusters - 1, nodes) / (clusters - 1)
    rest = (clusters - 1) * (seeds - 1)
    interaction_part = generator.chisquare(rest, nodes) / rest
    quantiles = [reference.t.ppf(0.975, freedom) for freedom in (clusters - 1, seeds - 1)]
    found = {}
    for interaction in (0.0, 0.1, 0.3, 0.6, 1.0):
        for seed in (0.05, 0.3, 1.0, 3.0, 10.0, 100.0):
            variance, share = combined_variance(
                example_part, interaction * interaction_part, (seed + interaction) * seed_part
            )
            weight = share**FRACTION_POWER
            reach = ((1 - weight) * quantiles[0] + weight * quantiles[1]) * np.sqrt(variance / (1 + seed))
            found[interaction, seed] = float(np.mean(2 * reference.norm.cdf(reach) - 1))
    assert min(found.values()) > 0.943, found
    assert max(found.values()) < 0.97, found


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_refused(seeds):
    generator = rng()
    few, enough = scores(generator, seeds), scores(generator)
    words = rf"at least 3 training seeds, got {seeds}: train more seeds"
    with pytest.raises(ValueError, match=words):
        method_estimate(few)
    with pytest.raises(ValueError, match=words):
        method_difference(enough, few)
    with pytest.raises(ValueError, match=words):
        method_p_value(few, enough)
    pairs = np.stack([few, np.ones_like(few)], axis=-1)
    with pytest.raises(ValueError, match=words):
        corpus_method_estimate(pairs, ratio)
    with pytest.raises(ValueError, match=words):
        corpus_less(pairs, pairs, ratio)


def test_other_bad_input_is_refused():
    table = scores(rng())
    with pytest.raises(ValueError, match="without training counts once, got 3 rows"):
        method_estimate(table, trained=False)
    with pytest.raises(ValueError, match="40 values but 41 clusters"):
        method_difference(table, table[:, 1:])
    with pytest.raises(ValueError, match="finite"):
        method_estimate(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="not finite"):
        corpus_method_estimate(np.zeros((3, 4, 2)), lambda totals: np.full(totals.shape[:-1], np.inf))


def test_a_single_cluster_has_a_value_and_no_interval():
    table = scores(rng())
    codes = ["p"] * table.shape[1]
    result = method_difference(table, table[::-1], codes)
    assert (result.low, result.high) == (None, None)
    assert "single cluster" in result.method
    assert method_p_value(table, table[::-1], codes) is None
    pairs = np.stack([table, np.ones_like(table)], axis=-1)
    assert corpus_method_estimate(pairs, ratio, codes).low is None
