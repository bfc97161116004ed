"""Joint resamples, rank intervals and the probability of being best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import stats

DRAWS = st.integers(2, 5).flatmap(
    lambda arms: st.lists(st.lists(st.integers(0, 4).map(float), min_size=arms, max_size=arms), min_size=1, max_size=30)
)


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def ratio(totals):
    return totals[..., 0] / totals[..., 1]


def test_draws_are_means_over_the_same_drawn_clusters():
    codes = ["a", "b", "b", "c", "a", "a", "d"]
    values = rng().normal(size=(3, 7))
    draws = stats.joint_draws(values, codes, rng(8), resamples=50)
    drawn = rng(8).integers(4, size=(50, 4))
    for row, clusters in zip(draws, drawn, strict=True):
        members = [index for cluster in clusters for index in range(7) if codes[index] == "abcd"[cluster]]
        assert row == pytest.approx(values[:, members].mean(axis=1))


def test_the_same_generator_gives_the_same_bits():
    values = rng().normal(size=(4, 60))
    assert np.array_equal(stats.joint_draws(values, None, rng(1)), stats.joint_draws(values, None, rng(1)))


def test_a_corpus_mean_is_drawn_as_a_mean():
    codes = (np.arange(40) // 3).tolist()
    values = rng().normal(size=(3, 2, 40))
    statistics = [np.stack([arm, np.ones_like(arm)], axis=-1) for arm in values]
    statistics[2] = statistics[2][:1]
    expected = np.stack([values[0].mean(axis=0), values[1].mean(axis=0), values[2, 0]])
    draws = stats.corpus_joint_draws(statistics, ratio, codes, rng(1), resamples=200)
    assert draws == pytest.approx(stats.joint_draws(expected, codes, rng(1), resamples=200))
    with pytest.raises(ValueError, match="no arms"):
        stats.corpus_joint_draws([], ratio, None, rng())


def test_ranks_of_draws_that_are_written_down():
    draws = [[3.0, 2.0, 1.0]] * 90 + [[2.0, 3.0, 1.0]] * 10
    assert stats.rank_intervals(draws, higher=True) == [(1, 2), (1, 2), (3, 3)]
    assert stats.rank_intervals(draws, higher=False) == [(2, 3), (2, 3), (1, 1)]
    assert stats.rank_intervals(draws, higher=True, level=0.5) == [(1, 1), (2, 2), (3, 3)]
    assert stats.best_probabilities(draws, higher=True) == pytest.approx([0.9, 0.1, 0.0])
    assert stats.best_probabilities(draws, higher=False) == [0.0, 0.0, 1.0]


def test_ties_widen_ranks_and_share_the_best():
    draws = [[1.0, 1.0, 0.0]] * 10
    assert stats.rank_intervals(draws, higher=True) == [(1, 2), (1, 2), (3, 3)]
    assert stats.best_probabilities(draws, higher=True) == [0.5, 0.5, 0.0]


@given(DRAWS, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_ranks_follow_the_arms_and_the_direction(draws, higher, shuffle):
    table = np.array(draws)
    order = list(range(table.shape[1]))
    shuffle.shuffle(order)
    ranks, best = stats.rank_intervals(table, higher), stats.best_probabilities(table, higher)
    assert stats.rank_intervals(table[:, order], higher) == [ranks[arm] for arm in order]
    assert stats.best_probabilities(table[:, order], higher) == pytest.approx([best[arm] for arm in order])
    assert stats.rank_intervals(-table, not higher) == ranks
    assert sum(best) == pytest.approx(1.0)
    assert all(1 <= low <= high <= len(order) for low, high in ranks)
    by_sorting = [min(np.sum(row > row[0]) + 1 for row in (table if higher else -table))]
    assert stats.rank_intervals(table, higher, level=1.0)[0][0] == by_sorting[0]


def test_a_clear_winner_is_best_and_equals_are_not_told_apart():
    generator = rng()
    values = generator.normal(size=(3, 400))
    values[0] += 1.0
    draws = stats.joint_draws(values, None, generator)
    assert stats.rank_intervals(draws, higher=True)[0] == (1, 1)
    assert stats.best_probabilities(draws, higher=True)[0] == 1.0
    same = stats.joint_draws(np.stack([values[1], values[1]]), None, generator)
    assert stats.rank_intervals(same, higher=True) == [(1, 2), (1, 2)]
    assert stats.best_probabilities(same, higher=True) == [0.5, 0.5]
