"""What is searched, what is tried and which trial wins: pure functions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import TypeAdapter

from harness.config import ArmSpec, RangeSpec, TuningSpec
from harness.errors import SpecError
from harness.experiments.tuning import search as tuning
from harness.records import Trial

SIX = TuningSpec(trials=6)


def arm(**fields: Any) -> ArmSpec:
    made: ArmSpec = TypeAdapter(ArmSpec).validate_python(
        {"method": "lora", "name": "lora", "optimiser": {"learning_rate": 4e-3}, **fields}
    )
    return made


def trial(number: int, value: float | None, **changes: Any) -> Trial:
    made = Trial(
        experiment_id="x",
        arm="lora",
        number=number,
        rung=0,
        train_id=f"t{number}",
        seed=1000,
        values={"learning_rate": 10.0**-number},
        space={},
        stock=number == 0,
        share=1.0,
        status="ok",
        error=None,
        metric="rouge_l",
        value=value,
        loss=None,
        validated=10,
        examples=8,
        seconds=1.0,
    )
    return replace(made, **changes)


# --------------------------------------------------------------------------------------------------------- spaces


def test_learning_rate_goes_a_factor_of_ten_each_way_around_each_recipe() -> None:
    assert tuning.space(arm(), SIX) == {"learning_rate": RangeSpec(low=4e-4, high=4e-2, log=True)}
    slow = arm(optimiser={"learning_rate": 1e-5})
    assert tuning.space(slow, SIX) == {"learning_rate": RangeSpec(low=1e-6, high=1e-4, log=True)}


def test_an_arm_adds_to_the_space_and_replaces_its_learning_rate() -> None:
    own = arm(search={"r": [8, 16, 32], "learning_rate": [1e-3, 1e-2]})
    assert tuning.space(own, SIX) == {"learning_rate": [1e-3, 1e-2], "r": [8, 16, 32]}
    alone = tuning.space(arm(search={"r": [2, 4, 8, 16, 32, 64]}), TuningSpec(trials=6, learning_rate=None))
    assert list(alone) == ["r"]


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ({"rank": [8, 16]}, "no such field"),
        ({"name": ["a", "b"]}, "no such field"),
        ({"micro_batch_size": [1, 2]}, "no such field"),
        ({"target_modules": {"low": 1, "high": 2}}, "range is for numbers"),
        ({"dropout": [0.1, 1.5]}, "less than 1"),
        ({"r": [8, 8, 16]}, "given twice"),
        ({"learning_rate": [1e-3, 1e-2]}, "2 settings, and every arm gets 6 trials"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(search: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        tuning.space(arm(search=search), SIX)
    assert caught.value.field.startswith("search") and caught.value.hint


def test_nothing_to_search_is_refused() -> None:
    with pytest.raises(SpecError, match="nothing to search"):
        tuning.space(arm(), TuningSpec(learning_rate=None))


def test_values_go_where_the_field_stands_and_the_search_is_gone() -> None:
    changed = tuning.apply(arm(search={"r": [8, 16]}), {"learning_rate": 1e-3, "r": 8, "batch_size": 4})
    assert (changed.optimiser.learning_rate, changed.lora.r, changed.optimiser.batch_size) == (1e-3, 8, 4)
    assert changed.search == {}
    peft = arm(method="peft", type="LORA", config={"r": 16, "lora_alpha": 32})
    assert tuning.apply(peft, {"config.r": 4}).config == {"r": 4, "lora_alpha": 32}
    assert "config.lora_alpha" in tuning.tunable(peft)


# ------------------------------------------------------------------------------------------------------ proposals


def test_one_range_is_an_even_grid_through_the_recipe_with_both_ends() -> None:
    rates = [row["learning_rate"] for row in tuning.propose(arm(), tuning.space(arm(), SIX), [], SIX)]
    assert rates[0] == 4e-3
    assert sorted(rates) == [4e-4, 1.26e-3, 4e-3, 8.62e-3, 1.86e-2, 4e-2]


@given(
    trials=st.integers(2, 12),
    rate=st.floats(1e-6, 1e-1),
    ranks=st.sampled_from([None, [8, 16], [4, 8, 32, 64]]),
    batch=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_every_arm_gets_its_number_of_distinct_trials_inside_its_space(
    trials: int, rate: float, ranks: list[int] | None, batch: bool, seed: int
) -> None:
    search: dict[str, Any] = {} if ranks is None else {"r": ranks}
    if batch:
        search["batch_size"] = {"low": 2, "high": 64, "log": True}
    spec, one = TuningSpec(trials=trials, seed=seed), arm(optimiser={"learning_rate": rate}, search=search)
    space = tuning.space(one, spec)
    rows = tuning.propose(one, space, [], spec)
    assert len(rows) == trials and len({repr(row) for row in rows}) == trials
    assert rows == tuning.propose(one, space, [], spec)
    for row in rows:
        assert rate / 10.1 < row["learning_rate"] < rate * 10.1
        assert "r" not in row or row["r"] in (ranks or [])
        assert "batch_size" not in row or (2 <= row["batch_size"] <= 64 and isinstance(row["batch_size"], int))
        tuning.apply(one, row)
    if ranks is None or 16 in ranks:
        assert rows[0] == tuning.stock(one, space)


def test_choices_with_a_whole_number_for_a_real_field_are_not_tried_twice() -> None:
    one = arm(search={"alpha": [16, 32, 64]})
    spec = TuningSpec(trials=3, learning_rate=None)
    rows = tuning.propose(one, tuning.space(one, spec), [], spec)
    assert rows == [{"alpha": 32.0}, {"alpha": 16.0}, {"alpha": 64.0}]


def test_tpe_starts_evenly_then_goes_where_it_is_good_and_repeats_itself() -> None:
    spec = TuningSpec(trials=24, sampler="tpe")
    one = arm()
    space = tuning.space(one, spec)

    def run() -> list[float]:
        told: list[tuning.TrialResult] = []
        while rows := tuning.propose(one, space, told, spec):
            for row in rows:
                distance = math.log10(float(row["learning_rate"]) / 1.5e-3)
                told.append(tuning.TrialResult(row, None if distance > 1.2 else math.exp(-(distance**2))))
        return [float(row.values["learning_rate"]) for row in told]

    rates = run()
    assert len(rates) == len(set(rates)) == 24 and rates == run()
    assert rates[:12] == [row["learning_rate"] for row in tuning.even(one, space, 12, spec.seed)]
    near = [sum(abs(math.log10(rate / 1.5e-3)) < 0.3 for rate in half) for half in (rates[:12], rates[12:])]
    assert near[1] > near[0]


# --------------------------------------------------------------------------------------------------------- choice


def test_best_is_by_value_then_loss_then_recipe_then_order() -> None:
    rows = [trial(0, 0.5), trial(1, 0.7, loss=2.0), trial(2, 0.7, loss=1.0), trial(3, None, status="diverged")]
    results = [tuning.result(row, arm(), SIX, "higher") for row in rows]
    assert results == [0.5, 0.7, 0.7, None]
    assert tuning.best(rows, results) == rows[2]
    same = [trial(1, 0.5), trial(0, 0.5), trial(2, 0.5)]
    assert tuning.best(same, [0.5] * 3) == same[1]
    assert tuning.best(rows[3:], [None]) is None


def test_a_lower_metric_and_the_loss_turn_around_but_dpo_keeps_to_the_metric() -> None:
    row = trial(0, 3.0, loss=0.4)
    assert tuning.result(row, arm(), SIX, "lower") == -3.0
    by_loss = TuningSpec(choose_by="loss")
    assert tuning.result(row, arm(), by_loss, "lower") == -0.4
    dpo: ArmSpec = TypeAdapter(ArmSpec).validate_python({"method": "dpo"})
    assert tuning.result(row, dpo, by_loss, "higher") == 3.0


def test_the_edge_is_the_smallest_or_largest_value_tried_even_where_training_diverged() -> None:
    rows = [trial(0, 0.5), trial(1, 0.7), trial(2, 0.9)]
    assert tuning.edge(rows[2], rows) == ("learning_rate",)
    assert tuning.edge(rows[1], rows) == ()
    bracketed = [*rows, trial(3, None, status="diverged")]
    assert tuning.edge(rows[2], bracketed) == ()
    words = [replace(row, values={"schedule": name}) for row, name in zip(rows, ("a", "b", "a"), strict=True)]
    assert tuning.edge(words[0], words) == ()


@pytest.mark.parametrize(("trials", "places"), [(2, [1, 1]), (6, [2, 1]), (9, [3, 1]), (27, [9, 3])])
def test_halving_keeps_a_third_each_time(trials: int, places: list[int]) -> None:
    results: list[tuple[int, float | None]] = [(number, float(number)) for number in range(trials)]
    for rung, size in enumerate(places, 1):
        kept = tuning.survivors(results, trials, rung)
        assert kept == [number for number, _ in results[-size:]]
        results = [(number, value) for number, value in results if number in kept]
    assert tuning.survivors([(0, None), (1, 0.1)], 9, 1) == [1]
