"""The order of examples and the learning rate: pure functions."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings, strategies as st

from harness.arms.training.order import budgeted_order, derived_seeds, rate_factor, training_order
from harness.config import BudgetSpec
from harness.errors import DataError

SIZES = st.integers(1, 40)
SEEDS = st.integers(0, 2**32)


@settings(deadline=None)
@given(SIZES, st.integers(1, 200), SEEDS)
def test_epochs_are_permutations_cut_at_the_budget(size: int, examples: int, seed: int) -> None:
    order = training_order(size, examples, seed)
    assert len(order) == examples
    for start in range(0, examples, size):
        epoch = order[start : start + size]
        assert len(set(epoch)) == len(epoch) and set(epoch) <= set(range(size))
    assert training_order(size, examples + 7, seed)[:examples] == order


def test_epochs_and_seeds_differ_and_the_order_never_changes() -> None:
    order = training_order(20, 40, 0)
    assert order[:20] != order[20:] != training_order(20, 40, 1)[20:]
    assert training_order(6, 12, 3) == [2, 5, 4, 1, 3, 0, 1, 2, 0, 4, 5, 3]


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 2000), SEEDS)
def test_a_token_budget_is_the_shortest_prefix_that_reaches_it(lengths: list[int], tokens: int, seed: int) -> None:
    order = budgeted_order(lengths, BudgetSpec(tokens=tokens), seed)
    spent = [lengths[index] for index in order]
    assert sum(spent) >= tokens > sum(spent[:-1])


def test_no_examples_is_an_error() -> None:
    with pytest.raises(DataError, match="no examples to train on"):
        training_order(0, 5, 0)


@settings(deadline=None)
@given(st.sampled_from(["cosine", "linear", "constant"]), st.floats(0, 0.9), st.integers(1, 300))
def test_the_rate_rises_then_falls_and_is_never_zero_before_the_end(schedule: str, warmup: float, steps: int) -> None:
    rates = [rate_factor(schedule, warmup, step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_rate_by_hand() -> None:
    assert [rate_factor("linear", 0.0, step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert rate_factor("cosine", 0.0, 2, 4) == pytest.approx(0.5)
    assert rate_factor("constant", 0.5, 0, 8) == 0.25 and rate_factor("constant", 0.5, 4, 8) == 1.0


def test_a_training_seed_stands_for_two_that_nothing_shares() -> None:
    for seed, purpose in ((0, "initialisation"), (7, "data_order")):
        content = f'["{purpose}",{seed}]'.encode()
        assert derived_seeds(seed)[purpose] == int.from_bytes(hashlib.sha256(content).digest()[:4], "big")
    every = [value for seed in range(200) for value in derived_seeds(seed).values()]
    assert len(set(every)) == 400 and all(0 <= value < 2**32 for value in every)
    assert derived_seeds(None) == {}
