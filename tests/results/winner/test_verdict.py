"""The winner rule over made-up comparisons: every outcome in words, and what must hold for any contest."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import norm

from harness.records import Estimate, WinnerRule, WinnerVerdict
from harness.results.winner.verdict import COST_WORDS, LESS, Contender, Contest, judge


@functools.cache
def quantile(level: float) -> float:
    return float(norm.ppf(0.5 + level / 2))


@dataclass(frozen=True)
class Normal:
    """Differences of known normal values, all with one standard error."""

    values: Mapping[str, float]
    error: float
    examples: int = 100

    def difference(self, a: str, b: str, level: float) -> Estimate | str:
        half = quantile(level) * self.error
        value = self.values[a] - self.values[b]
        return Estimate(value, value - half, value + half, self.examples, self.examples, 1, "made up", level)

    def needed(self, a: str, b: str, gap: float, level: float) -> tuple[float | None, int | None]:
        reach = (quantile(level) + quantile(0.6)) * self.error
        return self.examples * ((reach / gap) ** 2 - 1), None


class Without:
    """No comparison has an interval."""

    def __init__(self, answer: Estimate | str) -> None:
        self.answer = answer

    def difference(self, a: str, b: str, level: float) -> Estimate | str:
        return self.answer

    def needed(self, a: str, b: str, gap: float, level: float) -> tuple[float | None, int | None]:
        raise AssertionError("nothing can be said of more data without an interval")


COSTS = {"untrained": 1.0, "few_shot": 2.0, "qlora": 38.0, "lora": 100.0, "full": 300.0}


def contest(values: Mapping[str, float], margin: float = 0.0, **changes: Any) -> Contest:
    given = Contest(
        contenders=tuple(
            Contender(arm, value, COSTS.get(arm, 50.0), 0 if arm in ("untrained", "few_shot") else 1)
            for arm, value in values.items()
        ),
        without_result=(),
        reference="untrained",
        metric="rouge_l",
        higher_is_better=True,
        rule=WinnerRule(margin, "peak_memory_bytes"),
        estimand="checkpoints",
    )
    return replace(given, **changes)


def verdict(values: Mapping[str, float], error: float, margin: float = 0.0, **changes: Any) -> WinnerVerdict:
    return judge(contest(values, margin, **changes), Normal(values, error))


# ----------------------------------------------------------------------------------------------------------- words


def test_one_arm_is_better_than_all_others() -> None:
    said = verdict({"untrained": 0.1, "lora": 0.8, "qlora": 0.5}, 0.01)
    assert (said.outcome, said.arm, said.words) == ("ship", "lora", "ship lora")
    assert said.worse == ("qlora", "untrained")
    assert said.reason.startswith("Every other arm is shown to be worse; the nearest, qlora, by 0.3 [")


def test_arms_within_the_margin_are_tied_and_the_cheapest_is_taken() -> None:
    said = verdict({"untrained": 0.1, "lora": 0.8, "qlora": 0.799}, 0.004, margin=0.02)
    assert (said.outcome, said.arm) == ("tie", "qlora")
    assert said.words == "tie between lora and qlora: take qlora, 38 % of the memory"
    assert said.cost_share == pytest.approx(0.38)
    three = verdict({"untrained": 0.1, "full": 0.8, "lora": 0.8, "qlora": 0.799}, 0.004, margin=0.02)
    assert three.words == "tie between full, lora and qlora: take qlora, 13 % of full's memory"


def test_a_margin_of_zero_never_ties() -> None:
    said = verdict({"untrained": 0.1, "lora": 0.8, "qlora": 0.799}, 0.0001)
    assert said.outcome == "ship"
    said = verdict({"untrained": 0.1, "lora": 0.8, "qlora": 0.79}, 0.01)
    assert said.words == "not enough data to tell lora from qlora: about 860 more test examples"
    assert said.more_examples == 860
    assert said.reason == ("Best rouge_l so far: lora, 0.8. Of those not shown to be worse qlora costs least, at 0.79.")


@dataclass(frozen=True)
class Seeds(Normal):
    """As Normal, where some number of examples or seeds is known to help, or none is."""

    more: tuple[float | None, int | None] = (None, None)

    def needed(self, a: str, b: str, gap: float, level: float) -> tuple[float | None, int | None]:
        return self.more


@settings(max_examples=300)
@given(
    values=st.lists(st.floats(0.2, 0.9), min_size=2, max_size=6),
    error=st.floats(0.01, 0.5),
    margin=st.sampled_from([0.0, 0.02]),
    estimand=st.sampled_from(["checkpoints", "method"]),
    more=st.tuples(st.none() | st.floats(1, 1e6), st.none() | st.integers(1, 9)),
)
def test_what_is_said_to_be_missing_is_what_would_help(
    values: list[float], error: float, margin: float, estimand: Any, more: Any
) -> None:
    arms = dict(zip(["untrained", "full", "lora", "qlora", "dora", "ia3"], values, strict=False))
    said = judge(contest(arms, margin, estimand=estimand), Seeds(arms, error, more=more))
    if said.outcome != "not_enough_data":
        return
    text = f"{said.words} {said.reason}"
    assert "close" not in text
    counted = said.words.partition(": about ")[2]
    assert (said.more_examples is not None) == ("more test examples" in counted)
    assert (said.more_seeds is not None) == ("more seed" in counted)
    if not counted:
        assert "differ by" in said.words or "the same value" in said.words
        assert ("more seeds may" in said.words) == (estimand == "method")
    if more[0] is not None and more[0] <= 100_000 and len(set(values)) == len(values) and margin == 0:
        assert said.more_examples is not None, "known to help, and left out"
    for arm, value in arms.items():  # a named figure is the arm's own
        if f" {arm} costs least, at " in said.reason:
            assert f" {arm} costs least, at {value:.3g}." in said.reason


def test_arms_far_apart_are_not_called_close() -> None:
    """Ten methods with three seeds: it is seeds that are missing, and the figures stand in the sentence."""
    arms = {"untrained": 0.325, "lora": 0.792}
    said = judge(contest(arms, estimand="method"), Seeds(arms, 0.4))
    assert (
        "lora and untrained differ by 0.467; more test examples alone would not settle it, more seeds may" in said.words
    )


def test_the_examples_named_would_settle_it() -> None:
    values = {"untrained": 0.1, "lora": 0.8, "qlora": 0.79}
    said = verdict(values, 0.01)
    assert said.more_examples is not None
    error = 0.01 * (100 / (100 + said.more_examples)) ** 0.5
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(400):
        noise = rng.normal(0, error / 2**0.5, 2)
        drawn = {"untrained": 0.1, "lora": 0.8 + noise[0], "qlora": 0.79 + noise[1]}
        told += verdict(drawn, error).outcome == "ship"
    assert 0.74 < told / 400 < 0.88


def test_nothing_beats_the_untrained_model() -> None:
    said = verdict({"untrained": 0.8, "lora": 0.5, "qlora": 0.4}, 0.01)
    assert (said.outcome, said.arm, said.words) == ("ship_none", None, "nothing beats untrained: ship none")
    within = verdict({"untrained": 0.8, "lora": 0.81}, 0.001, margin=0.05)
    assert within.outcome == "ship_none"
    assert "No arm is better by more than 0.05; the nearest, lora, by 0.01 [" in within.reason


def test_a_reference_that_was_not_trained_here_is_kept() -> None:
    values = {"production": 0.8, "lora": 0.5}
    given = contest(values, reference="production")
    given = replace(given, contenders=tuple(replace(one, seeds=int(one.arm == "lora")) for one in given.contenders))
    assert judge(given, Normal(values, 0.01)).words == "nothing beats production: keep production"
    trained = replace(given, contenders=tuple(replace(one, seeds=1) for one in given.contenders))
    assert judge(trained, Normal(values, 0.01)).words == "ship production"


def test_the_gain_over_untrained_is_open() -> None:
    said = verdict({"untrained": 0.5, "lora": 0.53}, 0.02)
    assert said.words.startswith("not enough data to tell whether anything beats untrained: about ")
    assert said.arm is None


def test_a_good_arm_is_shipped_while_only_a_saving_is_open() -> None:
    values = {"untrained": 0.1, "lora": 0.8, "qlora": 0.781}
    said = verdict(values, 0.004, margin=0.02)
    assert (said.outcome, said.arm, said.good, said.open) == ("ship", "lora", ("lora",), ("qlora",))
    assert said.more_examples is not None and said.cost_share is None
    assert (
        said.words
        == f"ship lora; qlora may do for less memory: about {said.more_examples:,} more test examples would tell"
    )
    assert said.reason == "lora is at most 0.02 worse than any arm. qlora's memory is 38 % of its."
    three = verdict({"untrained": 0.1, "full": 0.8, "lora": 0.8, "qlora": 0.781}, 0.004, margin=0.02)
    assert (three.outcome, three.arm, three.good) == ("tie", "lora", ("full", "lora"))
    assert three.words.startswith("tie between full and lora: take lora; qlora may do for less memory: about ")


def test_a_dearer_arm_that_may_be_as_good_changes_nothing() -> None:
    dearer = {"untrained": 0.1, "qlora": 0.8, "lora": 0.781}
    said = verdict(dearer, 0.004, margin=0.02)
    assert (said.outcome, said.words) == ("ship", "ship qlora")
    assert "lora, which may be as good, costs more" in said.reason


def test_lower_is_better_turns_every_sign() -> None:
    up = verdict({"untrained": 0.1, "lora": 0.8, "qlora": 0.799}, 0.004, margin=0.02)
    values = {"untrained": -0.1, "lora": -0.8, "qlora": -0.799}
    down = judge(contest(values, 0.02, higher_is_better=False), Normal(values, 0.004))
    assert replace(down, reason="") == replace(up, reason="")


def test_costs_that_are_not_known_are_said() -> None:
    values = {"untrained": 0.1, "lora": 0.8, "qlora": 0.799}
    given = contest(values, 0.02)
    given = replace(given, contenders=tuple(replace(one, cost=None) for one in given.contenders))
    said = judge(given, Normal(values, 0.004))
    assert said.words == "tie between lora and qlora: take lora, the better value (the memory is not known)"
    assert said.notes == ("the memory of lora and qlora is not known",)
    one = replace(given, contenders=tuple(replace(o, cost=5.0 if o.arm == "qlora" else None) for o in given.contenders))
    assert judge(one, Normal(values, 0.004)).arm == "qlora"


def test_equal_costs_go_to_the_better_value() -> None:
    values = {"untrained": 0.1, "lora": 0.8, "dora": 0.799}
    given = contest(values, 0.02)
    given = replace(given, contenders=tuple(replace(one, cost=7.0) for one in given.contenders))
    said = judge(given, Normal(values, 0.004))
    assert said.words == "tie between lora and dora: take lora, the same memory"
    free = replace(given, contenders=tuple(replace(one, cost=0.0) for one in given.contenders))
    assert judge(free, Normal(values, 0.004)).words == "tie between lora and dora: take lora, the same memory"


@pytest.mark.parametrize(
    ("values", "words"),
    [({}, "no verdict: no arm has a result"), ({"lora": 0.5}, "no verdict: only lora has a result")],
)
def test_too_few_arms(values: dict[str, float], words: str) -> None:
    said = verdict(values, 0.1, without_result=("full", "dpo"))
    assert (said.outcome, said.words, said.reason) == ("no_verdict", words, "full and dpo have no result.")


def test_failed_arms_are_named() -> None:
    said = verdict({"untrained": 0.1, "lora": 0.8}, 0.01, without_result=("full",))
    assert said.words == "ship lora"
    assert said.reason.endswith("full has no result.")


def test_a_single_group_of_examples() -> None:
    values = {"untrained": 0.1, "lora": 0.8}
    one = Estimate(0.7, None, None, 10, 1, 1, "mean of paired differences; no interval from a single cluster; x")
    said = judge(contest(values), Without(one))
    assert said.words.startswith("not enough data: all test examples are in one group, which gives no interval")
    flat = replace(one, clusters=9, method="paired difference; all resamples are equal; these checkpoints")
    assert judge(contest(values), Without(flat)).words == "not enough data: lora and untrained: all resamples are equal"
    refused = judge(contest(values), Without("2 seeds say nothing about a method"))
    assert refused.words == "not enough data: lora and untrained: 2 seeds say nothing about a method"


def test_a_rule_about_methods_asks_for_seeds() -> None:
    rule = WinnerRule(0.0, "total_seconds", "method")
    said = verdict({"untrained": 0.1, "lora": 0.8}, 0.01, rule=rule)
    assert said.words == "not enough data: the rule is about the methods, which takes three seeds; give 2 more seeds"
    untrained = verdict({"untrained": 0.1, "few_shot": 0.8}, 0.01, rule=rule)
    assert untrained.words == "ship few_shot"


def test_arms_too_close_to_tell() -> None:
    said = verdict({"untrained": 0.1, "lora": 0.8, "qlora": 0.8}, 0.01)
    assert said.more_examples is None
    assert said.words.endswith("; a margin above 0 in the winner rule would let it call a tie")


# ------------------------------------------------------------------------------------------------------ properties

contests = st.dictionaries(
    st.sampled_from(["untrained", "few_shot", "full", "lora", "qlora", "dpo", "dora"]),
    st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 3)),
    min_size=2,
)
errors = st.sampled_from([0.001, 0.05, 0.2, 1.0])
margins = st.sampled_from([0.0, 0.01, 0.1, 0.5])


@given(contests, errors, margins)
@settings(max_examples=100, deadline=None)
def test_every_contest_has_one_sane_verdict(values: dict[str, float], error: float, margin: float) -> None:
    said = verdict(values, error, margin)
    assert sorted((*said.good, *said.open, *said.worse)) == sorted(values)
    best = max(values.values())
    assert any(values[arm] == best for arm in (*said.good, *said.open)), "the best value is never shown to be worse"
    assert said.words and "\n" not in said.words
    assert (said.arm is not None) == (said.outcome in ("ship", "tie"))
    if said.outcome == "ship":
        assert said.arm in said.good or (said.open == (said.arm,) and not said.good)
    if said.outcome == "tie":
        assert said.arm in said.good and len(said.good) > 1 and margin > 0
        assert all(COSTS.get(said.arm or "", 50.0) <= COSTS.get(arm, 50.0) for arm in said.good)
    if said.arm is not None:
        cheaper = [arm for arm in said.open if COSTS.get(arm, 50.0) < COSTS.get(said.arm, 50.0)]
        assert bool(cheaper) == ("may do for" in said.words) or said.arm in said.open
    if "untrained" in (*said.good, *said.open):
        assert said.arm is None, "nothing is shipped that is not shown to beat doing nothing"
    if said.more_examples is not None:
        assert said.more_examples > 0 and f"{said.more_examples:,} more test examples" in said.words


@given(contests, errors, margins, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_arms_does_not_matter(
    values: dict[str, float], error: float, margin: float, random: Any
) -> None:
    arms = list(values)
    random.shuffle(arms)
    if len(set(values.values())) == len(values):
        assert verdict({arm: values[arm] for arm in arms}, error, margin) == verdict(values, error, margin)


@given(contests, errors, margins)
@settings(max_examples=60, deadline=None)
def test_a_wider_margin_shows_no_more_arms_to_be_worse(values: dict[str, float], error: float, margin: float) -> None:
    narrow, wide = verdict(values, error, margin), verdict(values, error, margin + 0.1)
    assert set(wide.worse) <= set(narrow.worse)
    assert set(wide.good) >= set(narrow.good)


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_the_arm_named_is_wrong_in_at_most_one_experiment_of_twenty(margin: float) -> None:
    """Arms at the worst places: equal to the best, just beyond the margin, and far away."""
    rng = np.random.default_rng(7)
    truth = {"a": 0.0, "b": -margin - 1e-9, "c": -margin - 1e-9, "d": 0.0 if margin == 0 else -margin - 1e-9, "e": -9.0}
    rounds, wrong = 1500, 0
    for _ in range(rounds):
        drawn = {arm: value + float(rng.normal(0, 0.5**0.5)) for arm, value in truth.items()}
        arm = judge(contest(drawn, margin), Normal(drawn, 1.0)).arm
        wrong += arm is not None and (margin == 0 or truth[arm] < -margin)
    assert wrong / rounds < 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)


def test_every_cost_has_its_words() -> None:
    assert set(COST_WORDS) == set(LESS)
