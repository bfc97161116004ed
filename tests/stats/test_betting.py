"""One-sided evidence by betting: a supermartingale at every mean that it speaks against, and its limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from harness.stats.elimination import bets, log_mean, node_log_wealth, upper_limit
from harness.stats.votes.sequential import log_wealth_path

UNIT = st.lists(st.sampled_from([0.0, 1 / 6, 1 / 3, 0.5, 2 / 3, 1.0]), min_size=1, max_size=60)
MEAN = st.floats(0.05, 0.95)


def evidence(values: list[float], mean: float) -> float:
    return float(np.exp(log_mean(node_log_wealth(np.asarray(values), mean))))


@given(UNIT, MEAN, st.floats(0, 1))
@settings(max_examples=40)
def test_wealth_does_not_grow_where_the_mean_is_not_below(values, mean, above):
    before = evidence(values, mean)
    true = mean + above * (1 - mean)
    after = true * evidence([*values, 1.0], mean) + (1 - true) * evidence([*values, 0.0], mean)
    assert after <= before * (1 + 1e-9)


@given(UNIT, MEAN)
def test_it_is_the_half_of_the_two_sided_mixture_that_bets_on_small_values(values, mean):
    mirrored = evidence([1 - value for value in values], 1 - mean)
    share = float((bets() < mean).mean())
    two_sided = np.exp(log_wealth_path(values, mean)[-1])
    assert share * evidence(values, mean) + (1 - share) * mirrored == pytest.approx(two_sided, rel=1e-6)


@given(UNIT, st.lists(st.floats(0, 1), max_size=40), MEAN)
@settings(max_examples=40)
def test_parts_add_up_and_what_is_not_there_bets_nothing(values, more, mean):
    whole = node_log_wealth(np.asarray([*values, *more]), mean)
    parts = node_log_wealth(np.asarray(values), mean) + node_log_wealth(np.asarray(more), mean)
    assert whole == pytest.approx(parts, rel=1e-9, abs=1e-9)
    gaps = np.full(len(values) + 3, np.nan)
    gaps[: len(values)] = values
    assert node_log_wealth(gaps, mean) == pytest.approx(node_log_wealth(np.asarray(values), mean), abs=1e-9)


@given(UNIT, st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=40)
def test_the_limit_is_where_the_evidence_reaches_its_bound(values, level):
    bound = -np.log1p(-level)
    limit = upper_limit(np.asarray(values), bound)
    assert np.mean(values) - 1e-12 <= limit <= 1
    if 1e-6 < limit < 1 - 1e-6:
        # A bet joins the mixture when the mean passes it, so that the evidence has small steps.
        assert np.log(evidence(values, limit)) == pytest.approx(bound, abs=0.02)
        assert np.log(evidence(values, (limit + np.mean(values)) / 2)) < bound


def test_no_more_false_alarms_than_promised_at_all_looks_together():
    rng = np.random.default_rng(3)
    rows = np.where(rng.random((1500, 80)) < 0.3, rng.random((1500, 80)), 0.5)  # mean 1/2, small spread
    steps = np.cumsum(np.stack([node_log_wealth(rows[:, n : n + 4], 0.5) for n in range(0, 80, 4)]), axis=0)
    ever = (log_mean(steps) >= np.log(1 / 0.05)).any(axis=0)
    assert 0 < ever.mean() <= 0.05
