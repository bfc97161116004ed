"""Intervals that may be looked at all the time: closed forms, properties, false alarms, complete examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import betaln
from votes_made import some_votes, turned

from harness.errors import DataError
from harness.stats import votes
from harness.stats.votes.sequential import confidence_sequence, example_values, log_wealth_path

V = votes.Vote
UNIT = st.lists(st.sampled_from([0.0, 1 / 6, 1 / 3, 0.5, 2 / 3, 1.0]), min_size=1, max_size=60)
MEAN = st.floats(0.05, 0.95)


def e_value(values, mean=0.5):
    return np.exp(log_wealth_path(values, mean)[-1])


@given(st.lists(st.integers(0, 1), min_size=1, max_size=200), MEAN)
def test_for_wins_and_losses_it_is_the_beta_binomial_mixture(values, mean):
    wins, n = sum(values), len(values)
    expected = betaln(0.5 + wins, 0.5 + n - wins) - betaln(0.5, 0.5)
    expected -= wins * np.log(mean) + (n - wins) * np.log(1 - mean)
    assert log_wealth_path(values, mean)[-1] == pytest.approx(expected, abs=1e-8)


@given(UNIT, MEAN, st.randoms(use_true_random=False))
def test_it_does_not_hang_on_the_order(values, mean, shuffle):
    other = list(values)
    shuffle.shuffle(other)
    assert e_value(other, mean) == pytest.approx(e_value(values, mean), rel=1e-9)
    assert confidence_sequence(other) == pytest.approx(confidence_sequence(values), abs=1e-9)


@given(UNIT, st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60)
def test_limits_are_where_the_evidence_reaches_its_bound(values, level):
    low, high = confidence_sequence(values, level=level)
    assert 0 <= low <= np.mean(values) <= high <= 1
    for limit in (low, high):
        if 1e-9 < limit < 1 - 1e-9:
            assert e_value(values, limit) == pytest.approx(1 / (1 - level), rel=1e-6)
    mirrored = confidence_sequence([1 - value for value in values], level=level)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)
    wider = confidence_sequence(values, level=(1 + level) / 2)
    assert wider[0] <= low and high <= wider[1]


@given(UNIT, MEAN)
def test_wealth_is_a_martingale(values, mean):
    # Whatever came before, a next value of mean m leaves the expected wealth as it is.
    before = e_value(values, mean)
    after = [e_value([*values, value], mean) for value in (0.0, 1.0, mean)]
    assert (1 - mean) * after[0] + mean * after[1] == pytest.approx(before, rel=1e-9)
    assert after[2] == pytest.approx(before, rel=1e-9)


def test_the_path_is_the_e_value_at_every_time():
    values = np.random.default_rng(0).random((3, 20))
    path = log_wealth_path(values)
    assert path.shape == (3, 20)
    for row in range(3):
        for time in (0, 7, 19):
            assert np.exp(path[row, time]) == pytest.approx(e_value(values[row, : time + 1]))


def test_false_alarms_stay_under_their_level_while_the_usual_test_cries_wolf():
    rng = np.random.default_rng(11)
    hard = rng.normal(size=(800, 120, 1))
    wins = (hard + rng.logistic(size=(800, 120, 3)) > 0).astype(float)
    alarms = (log_wealth_path(wins.mean(axis=2)) >= np.log(20)).any(axis=1).mean()
    n = np.arange(1, 361)
    mean = np.cumsum(wins.reshape(800, -1), axis=1) / n
    naive = (np.abs(mean - 0.5) > 1.96 * 0.5 / np.sqrt(n))[:, 9:].any(axis=1).mean()
    assert alarms <= 0.05
    assert naive > 0.4
    better = (hard + 1.0 + rng.logistic(size=(800, 120, 3)) > 0).mean(axis=2)
    assert (log_wealth_path(better)[:, -1] >= np.log(20)).mean() > 0.95


def test_nothing_seen_says_nothing():
    assert confidence_sequence([]) == (0.0, 1.0)
    assert log_wealth_path([]).shape == (0,)
    low, high = confidence_sequence([1.0] * 10)
    assert 0.5 < low < 1 and high == 1.0
    with pytest.raises(ValueError, match="within 0 and 1"):
        confidence_sequence([0.5, 1.2])
    with pytest.raises(ValueError, match="bound of the values"):
        log_wealth_path([0.5], mean=1.0)


def made() -> list[V]:
    return [
        V("1", "a", "b", "x", "left"),
        V("2", "b", "a", "x", "left"),
        V("1", "b", "a", "y", "tie"),
        V("3", "a", "b", "x", "skip"),
        V("4", "a", "c", "x", "left"),
        V("2", "a", "b", "y", "both_bad"),
        V("3", "a", "b", "y", "both_bad"),
        V("1", "a", "b", "z", "right"),  # beyond its two votes
        V("5", "a", "b", "z", "left"),  # still open
    ]


def test_an_example_counts_when_it_is_complete():
    table = votes.VoteTable.of(made())
    assert example_values(table, "a", "b", 2).tolist() == [0.75, 0.0]
    assert example_values(table, "b", "a", 2).tolist() == [0.25, 1.0]
    found = votes.monitored_win_rate(table, "a", "b", 2).estimate
    assert (found.value, found.clusters) == (0.375, 2)
    assert (found.low, found.high) == confidence_sequence([0.75, 0.0])
    open_yet = votes.monitored_win_rate(table, "c", "a", 2)
    assert open_yet.estimate is None and "no example has its 2 votes on c and a yet" in open_yet.why


@given(some_votes(("left", "right", "tie", "both_bad", "skip")), st.integers(1, 3))
@settings(max_examples=40)
def test_a_value_once_seen_stays_and_sides_do_not_matter(given_votes, each):
    table = votes.VoteTable.of(given_votes)
    first, second = sorted((given_votes[0].left, given_votes[0].right))
    whole = example_values(table, first, second, each).tolist()
    for end in range(1, len(given_votes)):
        part = example_values(votes.VoteTable.of(given_votes[:end]), first, second, each)
        assert part.tolist() == whole[: len(part)]
    other = votes.VoteTable.of([turned(vote) for vote in given_votes])
    assert example_values(other, first, second, each).tolist() == pytest.approx(whole)


def test_monitoring_what_is_not_there_is_refused():
    table = votes.VoteTable.of(made())
    with pytest.raises(DataError, match=r"no vote on q\. There are votes on a, b, c"):
        votes.monitored_win_rate(table, "a", "q", 2)
    with pytest.raises(DataError, match="0 votes make no example complete"):
        votes.monitored_win_rate(table, "a", "b", 0)
