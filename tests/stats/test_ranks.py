"""Joint resamples, rank intervals and the probability of being best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import t as student

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


def test_seeds_that_lie_apart_make_ranks_of_methods_uncertain():
    """Two arms whose examples tell them apart, and whose seeds do not."""
    generator = rng()
    values = generator.normal(size=(2, 400)) / 10
    values[0] += 0.1
    draws = stats.joint_draws(values, None, generator)
    apart = [[-0.3, 0.1, 0.5], [-0.4, 0.0, 0.4]]
    together = [[0.099, 0.1, 0.101], [-0.001, 0.0, 0.001]]
    assert stats.rank_intervals(draws, higher=True)[0] == (1, 1)
    wide = stats.with_seeds(draws, apart, generator)
    assert stats.rank_intervals(wide, higher=True) == [(1, 2), (1, 2)]
    assert stats.best_probabilities(wide, higher=True)[0] < 0.8
    assert stats.rank_intervals(stats.with_seeds(draws, together, generator), higher=True) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("seeds", [3, 5])
def test_seeds_add_t_variates_of_their_own_error_to_trained_arms_alone(seeds):
    seen = rng(5).normal(size=seeds)
    wide = stats.with_seeds(np.zeros((200_000, 2)), [seen, None], rng(6))
    assert np.all(wide[:, 1] == 0.0)
    error = seen.std(ddof=1) / seeds**0.5
    chances = [0.1, 0.25, 0.5, 0.75, 0.9]
    expected = error * student.ppf(chances, seeds - 1)
    # The standard error of a quantile is sqrt(p (1 - p) / n) / density: at most 0.005 errors here.
    assert np.quantile(wide[:, 0], chances) == pytest.approx(expected, abs=0.025 * error)


def test_too_few_seeds_are_refused():
    with pytest.raises(ValueError, match="takes 3"):
        stats.with_seeds(np.zeros((5, 1)), [[0.1, 0.2]], rng())
    with pytest.raises(ValueError, match="1 arms, seeds of 2"):
        stats.with_seeds(np.zeros((5, 1)), [None, None], rng())


def test_the_chance_that_a_method_is_best_is_one_half_between_equals_on_average():
    """Same method twice, three seeds each: over many experiments neither is favoured, and certainty is rare."""
    generator, chances, n = rng(11), [], 150
    for _ in range(300):
        seeds = 0.2 * generator.normal(size=(2, 3))
        values = generator.normal(size=n) + seeds[..., None] + 0.3 * generator.normal(size=(2, 3, n))
        draws = stats.joint_draws(values.mean(axis=1), None, generator, resamples=400)
        chances.append(
            stats.best_probabilities(stats.with_seeds(draws, values.mean(axis=2), generator), higher=True)[0]
        )
    # A valid posterior's tail falls below 2.5 % in at most 2.5 % of experiments on each side; 5.0 + 3 standard errors.
    assert np.mean((np.array(chances) < 0.025) | (np.array(chances) > 0.975)) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert np.mean(chances) == pytest.approx(0.5, abs=0.07)
