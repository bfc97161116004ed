"""Power and what it takes: noncentral t, simulated power, least numbers, spreads that are found again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from harness import stats

SPREAD = stats.Spread(cluster=0.8, interaction=0.3, seed=0.004, examples_per_cluster=4.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("freedom", [2, 3.5, 10, 59, 400])
@pytest.mark.parametrize("shift", [0.0, 0.7, 2.0, 3.5])
def test_power_is_that_of_the_noncentral_t(freedom, shift):
    edge = reference.t.ppf(0.975, freedom)
    theirs = reference.nct.sf(edge, freedom, shift) + reference.nct.cdf(-edge, freedom, shift)
    assert stats.power_of(0.1 * shift, 0.1, freedom) == pytest.approx(float(theirs), abs=2e-5)


@given(st.floats(0.001, 10), st.floats(1, 1e7), st.floats(0.2, 0.99), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_the_smallest_difference_has_the_power_asked_for(error, freedom, power, level):
    if power > 1 - level + 0.01:
        found = stats.smallest_difference(error, freedom, power=power, level=level)
        assert stats.power_of(found, error, freedom, level) == pytest.approx(power, abs=1e-6)
        assert stats.smallest_difference(2 * error, freedom, power=power, level=level) == pytest.approx(2 * found)


def test_many_degrees_of_freedom_are_the_normal_rule():
    z = reference.norm.ppf([0.975, 0.8]).sum()
    assert stats.smallest_difference(1.0, 1e9) == pytest.approx(z, abs=1e-3)
    assert stats.smallest_difference(1.0, 2) > stats.smallest_difference(1.0, 10) > z


def test_the_planned_error_of_independent_examples_is_the_textbooks():
    spread = stats.assumed_spread(0.5)
    assert stats.planned_error(spread, stats.Design(100)) == pytest.approx((0.05, 99))
    grouped = stats.assumed_spread(0.5, examples_per_cluster=5, intraclass=0.2)
    error, freedom = stats.planned_error(grouped, stats.Design(100))
    assert (error, freedom) == pytest.approx((0.5 * math.sqrt((1 + 4 * 0.2) / 500), 99))


def test_the_planned_error_of_a_method_adds_the_seeds():
    error, freedom = stats.planned_error(SPREAD, stats.Design(60, 3, "method"))
    assert error == pytest.approx(math.sqrt(0.8 / 60 + 0.3 / 180 + 0.004 / 3))
    assert 2 < freedom < 59
    only_seeds = stats.Spread(cluster=0.0, seed=0.01)
    assert stats.planned_error(only_seeds, stats.Design(60, 3, "method")) == pytest.approx((0.1 / math.sqrt(3), 2))
    fixed, _ = stats.planned_error(SPREAD, stats.Design(60, 3))
    assert fixed == pytest.approx(math.sqrt(0.8 / 60 + 0.3 / 180))


@pytest.mark.parametrize(
    "spread",
    [SPREAD, replace(SPREAD, seed=0.0), replace(SPREAD, cluster=0.0), replace(SPREAD, seed=0.05)],
    ids=["all", "no seed effect", "no lasting example effect", "seeds dominate"],
)
@pytest.mark.parametrize("estimand", ["checkpoints", "method"])
def test_the_planned_difference_is_detected_four_times_in_five(spread, estimand):
    generator, clusters, rounds = rng(), 60, 1500
    design = stats.Design(clusters, 3, estimand)
    difference = stats.detectable_difference(spread, design)
    found = 0
    for _ in range(rounds):
        # One example a cluster: variances per cluster are then those of an example.
        d = difference + generator.normal(size=clusters) * spread.cluster**0.5
        d = d + generator.normal(size=(3, clusters)) * spread.interaction**0.5
        if estimand == "method":
            d = d + generator.normal(size=(3, 1)) * spread.seed**0.5
            result = stats.method_difference(d, np.zeros_like(d))
        else:
            result = stats.paired_difference(d.mean(axis=0), np.zeros(clusters), seeds=3)
        found += result.low > 0 or result.high < 0
    assert found / rounds == pytest.approx(0.8, abs=0.035)


@given(st.floats(0.1, 1.5), st.sampled_from(["checkpoints", "method"]))
@settings(max_examples=25, deadline=None)
def test_what_is_needed_is_the_least_that_suffices(difference, estimand):
    design = stats.Design(60, 3, estimand)
    examples = stats.examples_needed(SPREAD, design, difference)
    seeds = stats.seeds_needed(SPREAD, design, difference)
    if examples is not None:
        clusters = examples // 4
        assert stats.detectable_difference(SPREAD, replace(design, clusters=clusters)) <= difference
        if clusters > 2:
            assert stats.detectable_difference(SPREAD, replace(design, clusters=clusters - 1)) > difference
    if seeds is not None:
        assert stats.detectable_difference(SPREAD, replace(design, seeds=seeds)) <= difference
        if seeds > (3 if estimand == "method" else 1):
            assert stats.detectable_difference(SPREAD, replace(design, seeds=seeds - 1)) > difference


def test_some_differences_are_out_of_reach():
    design = stats.Design(60, 3, "method")
    assert stats.examples_needed(SPREAD, design, 0.05) is None
    assert stats.seeds_needed(SPREAD, design, 0.05) is None
    assert stats.examples_needed(SPREAD, replace(design, seeds=40), 0.05) is not None


@pytest.mark.parametrize("trained", [(True, True), (True, False)])
def test_a_spread_is_found_again(trained):
    generator, clusters, size, seeds = rng(), 3000, 2, 60
    codes = np.repeat(np.arange(clusters), size)
    cluster, own = generator.normal(size=clusters)[codes], generator.normal(size=(seeds, 1)) * 0.2
    a = cluster + own + 0.5 * generator.normal(size=(seeds, clusters * size))
    b = np.zeros((seeds if trained[1] else 1, len(codes)))
    found = stats.measured_spread(a, b, codes.tolist(), trained=trained)
    assert found.cluster == pytest.approx(1.0, rel=0.1)
    assert found.interaction == pytest.approx(0.25 / size, rel=0.1)
    assert found.seed == pytest.approx(0.04, rel=0.5)
    assert (found.examples_per_cluster, found.evenness) == pytest.approx((2.0, 1.0))
    statistics = [np.stack([side, np.ones_like(side)], axis=-1) for side in (a, b)]
    corpus = stats.corpus_measured_spread(
        *statistics, lambda totals: totals[..., 0] / totals[..., 1], codes.tolist(), trained=trained
    )
    assert (corpus.cluster, corpus.interaction, corpus.seed) == pytest.approx(
        (found.cluster, found.interaction, found.seed)
    )


def test_a_measured_spread_plans_the_interval_it_was_measured_with():
    generator = rng()
    codes = np.repeat(np.arange(20), generator.integers(1, 8, size=20))
    a = generator.normal(size=20)[codes] + generator.normal(size=(3, len(codes))) + generator.normal(size=(3, 1))
    b = generator.normal(size=(3, len(codes)))
    spread = stats.measured_spread(a, b, codes.tolist())
    error, _ = stats.planned_error(spread, stats.Design(20, 3))
    result = stats.paired_difference(a.mean(axis=0), b.mean(axis=0), codes.tolist())
    freedom = spread.evenness * 19
    assert reference.t.ppf(0.975, freedom) * error == pytest.approx(result.high - result.value)
    method, freedom = stats.planned_error(spread, stats.Design(20, 3, "method"))
    whole = stats.method_difference(a, b, codes.tolist())
    assert reference.t.ppf(0.975, freedom) * method == pytest.approx(whole.high - whole.value)


def test_arms_with_different_numbers_of_seeds_add_their_spreads():
    generator = rng()
    a = generator.normal(size=(4, 4000)) + generator.normal(size=(4, 1))
    b = generator.normal(size=(3, 4000))
    both = stats.measured_spread(a, b)
    zeros = np.zeros((1, 4000))
    alone = [stats.measured_spread(side, zeros, trained=(True, False)) for side in (a, b)]
    assert both.interaction == pytest.approx(alone[0].interaction + alone[1].interaction)
    assert both.seed == pytest.approx(alone[0].seed + alone[1].seed)


def test_two_seeds_leave_the_seed_spread_unknown():
    a = rng().normal(size=(2, 50))
    spread = stats.measured_spread(a, np.zeros((1, 50)), trained=(True, False))
    assert spread.seed is None
    assert stats.planned_error(spread, stats.Design(50, 2))[0] > 0
    with pytest.raises(ValueError, match="spread between seeds is not known"):
        stats.detectable_difference(spread, stats.Design(50, 3, "method"))


def test_a_binary_difference_spreads_by_its_disagreement():
    generator = rng()
    d = generator.choice([-1, 0, 1], p=[0.05, 0.8, 0.15], size=200_000)
    assert stats.binary_difference_sd(0.2, 0.1) == pytest.approx(d.std(), rel=0.01)
    with pytest.raises(ValueError, match="disagreement"):
        stats.binary_difference_sd(0.1, 0.2)


def test_bad_plans_are_refused():
    with pytest.raises(ValueError, match="two clusters"):
        stats.planned_error(SPREAD, stats.Design(1))
    with pytest.raises(ValueError, match="at least 3 seeds, got 2"):
        stats.planned_error(SPREAD, stats.Design(60, 2, "method"))
    with pytest.raises(ValueError, match="no spread"):
        stats.detectable_difference(stats.Spread(0.0), stats.Design(60))
    with pytest.raises(ValueError, match="must be positive"):
        stats.smallest_difference(0.0, 10)
    with pytest.raises(ValueError, match="power lies between"):
        stats.smallest_difference(1.0, 10, power=0.01)
    with pytest.raises(ValueError, match="two clusters"):
        stats.measured_spread(np.ones((3, 4)), np.ones((3, 4)), ["p"] * 4)
