"""Decisions of a race from scores alone: what is stopped, how soon, how often wrongly, and what is not scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from harness.stats import elimination
from harness.stats.clusters import Floats

RULES = elimination.Rules(shares=(0.25, 0.5), arms=4, level=0.05, margin=0.0, clip=1.0, least=8)


class Scores:
    """Recorded values by arm, and who asked for which."""

    def __init__(self, values: Mapping[str, Floats]) -> None:
        self.values, self.asked = values, dict.fromkeys(values, 0)

    def __call__(self, arms: Sequence[str], first: int, end: int) -> dict[str, Floats]:
        for arm in arms:
            assert self.asked[arm] == first, "groups come in order, each once"
            self.asked[arm] = end
        return {arm: self.values[arm][first:end] for arm in arms}


def run(
    values: Mapping[str, Floats], rules: elimination.Rules = RULES, rung: int = 0
) -> tuple[elimination.RungResult, Scores]:
    scores = Scores(values)
    found = elimination.run_rung(list(values), rules, rung, scores, len(next(iter(values.values()))))
    assert dict(found.scored) == scores.asked
    return found, scores


def bernoulli(means: Mapping[str, float], n: int, seed: int) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    return {arm: (rng.random(n) < mean).astype(float) for arm, mean in means.items()}


def test_what_is_clearly_worse_is_stopped_at_the_first_looks_and_scored_no_further() -> None:
    values = bernoulli({"good": 0.9, "near": 0.88, "bad": 0.1, "worst": 0.0}, 300, 1)
    found, scores = run(values)
    assert {stop.arm for stop in found.stopped} == {"bad", "worst"}
    assert max(scores.asked["bad"], scores.asked["worst"]) <= 40
    for stop in found.stopped:
        assert stop.against in ("good", "near") and stop.difference <= stop.bound < 0
        seen = values[stop.arm][: stop.groups] - values[stop.against][: stop.groups]
        assert stop.difference == pytest.approx(seen.mean())
    # What cannot be told apart with 300 groups is given up before they are used up.
    assert scores.asked["good"] < 150


@pytest.mark.parametrize(("spread", "margin"), [(1.0, 0.0), (0.1, 0.0), (0.3, 0.05)])
def test_equal_arms_are_stopped_in_no_more_races_than_the_level(spread: float, margin: float) -> None:
    """At the edge of the null: one arm behind by just the margin, the others level with the best."""
    rng = np.random.default_rng(int(100 * spread))
    rules = elimination.Rules((0.25, 0.5), 4, 0.1, margin, 2.0, least=8)
    wrong = 0
    for _ in range(100):
        stopped = False
        for rung in range(2):
            common = rng.normal(size=120)
            values = {f"a{arm}": common + spread * rng.choice([-0.5, 0.5], 120) for arm in range(4)}
            values["a0"] = values["a0"] - margin
            stopped |= bool(run(values, rules, rung)[0].stopped)
        wrong += stopped
    assert wrong <= 0.1 * 100


def test_an_arm_within_margin_and_lead_is_not_stopped_and_the_lead_shrinks_with_the_budget() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=400)
    values = {"good": base, "behind": base - 0.2 + 0.01 * rng.normal(size=400)}
    rules = elimination.Rules((0.25, 0.75), 2, 0.05, 0.1, 1.0, lead=0.2, least=8)
    assert [rules.behind(rung) for rung in (0, 1)] == pytest.approx([0.25, 0.15])
    assert not run(values, rules, 0)[0].stopped
    assert [stop.arm for stop in run(values, rules, 1)[0].stopped] == ["behind"]


def test_an_arm_that_is_kept_may_stop_others_and_is_not_stopped() -> None:
    values = bernoulli({"kept": 0.4, "good": 1.0, "bad": 0.0}, 200, 2)
    rules = elimination.Rules((0.5,), 3, 0.05, 0.0, 1.0, least=8, kept=("kept",))
    assert [stop.arm for stop in run(values, rules)[0].stopped] == ["bad"]


def test_the_most_groups_are_not_exceeded_and_failed_scores_decide_nothing() -> None:
    values = bernoulli({"a": 0.6, "b": 0.5, "c": 0.55, "d": 0.5}, 300, 3)
    limited = elimination.Rules((0.5,), 4, 0.05, 0.0, 1.0, least=8, most=30)
    assert max(run(values, limited)[1].asked.values()) <= 30
    values["d"] = np.full(300, np.nan)
    found, scores = run(values)
    assert scores.asked["d"] == 8 and "d" not in {stop.arm for stop in found.stopped}


def test_an_example_that_counts_for_more_than_the_clip_counts_for_the_clip() -> None:
    values = {"good": np.zeros(60), "bad": np.full(60, -100.0)}
    found, _ = run(values, elimination.Rules((0.5,), 2, 0.05, 0.0, 0.5, least=8))
    assert [(stop.arm, stop.difference) for stop in found.stopped] == [("bad", -0.5)]


@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_one_arm_is_always_left_and_names_do_not_matter(arms: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = rng.random(arms)
    values = {f"a{arm}": (rng.random(n) < means[arm]).astype(float) for arm in range(arms)}
    rules = elimination.Rules((0.5,), arms, 0.2, 0.0, 1.0, least=4)
    found, _ = run(values, rules)
    stopped = {stop.arm for stop in found.stopped}
    assert len(stopped) < arms and len(stopped) == len(found.stopped)
    backwards = {arm: values[arm] for arm in reversed(values)}
    assert {stop.arm for stop in run(backwards, rules)[0].stopped} == stopped


@given(st.sets(st.text(min_size=1, max_size=4), min_size=1, max_size=20), st.integers(0, 5), st.integers(0, 3))
def test_the_order_of_groups_hangs_on_seed_and_rung_alone(groups: set[str], seed: int, rung: int) -> None:
    order = elimination.shuffled(groups, seed, rung)
    assert sorted(order) == sorted(groups) and order == elimination.shuffled(sorted(groups, reverse=True), seed, rung)


@given(st.integers(1, 500), st.integers(2, 64), st.none() | st.integers(1, 300))
def test_looks_rise_to_all_there_is(available: int, least: int, most: int | None) -> None:
    rules = elimination.Rules((0.5,), 3, 0.05, 0.0, 1.0, least=least, most=most)
    found = elimination.looks(rules, available)
    assert found[-1] == min(available, most or available) and list(found) == sorted(set(found))


def test_the_level_is_split_over_ordered_pairs_and_rungs() -> None:
    assert RULES.log_threshold == pytest.approx(math.log(4 * 3 * 2 / 0.05))
