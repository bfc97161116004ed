"""Signs of an unstable training: what is called one, what is not, and what real trainings do about it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from harness.arms import sft
from harness.arms.training import instability
from harness.arms.training.instability import Step, Watch
from harness.errors import Diverged
from harness.records import Ledger, RunPlan, TrainingData, from_json, to_json

Plans = Callable[..., RunPlan]


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


def seen(losses: Sequence[float], norms: Sequence[float] | None = None) -> Watch:
    watch = Watch()
    for number, loss in enumerate(losses, 1):
        watch = instability.observe(watch, Step(number, loss, norms[number - 1] if norms else 1.0))
    return watch


def found(watch: Watch) -> list[tuple[int, str]]:
    return [(event.step, event.kind) for event in watch.events]


def noisy(length: int, seed: int = 0) -> list[float]:
    """A loss that falls from 2 to 0.5 with noise of 10 %, as batches of eight have it."""
    rng = random.Random(seed)
    return [(0.5 + 1.5 * math.exp(-4 * at / length)) * math.exp(rng.gauss(0, 0.1)) for at in range(length)]


@pytest.mark.parametrize("seed", range(20))
def test_an_ordinary_training_shows_no_sign(seed: int) -> None:
    rng = random.Random(seed)
    norms = [math.exp(rng.gauss(0, 0.4)) for _ in range(200)]
    assert found(seen(noisy(200, seed), norms)) == []


def test_a_spike_is_held_against_the_running_median_and_counts_once_while_it_lasts() -> None:
    losses = noisy(60)
    losses[30:33] = [3.0, 3.2, 2.9]
    watch = seen(losses)
    assert found(watch) == [(31, "loss_spike")]
    event = watch.events[0]
    assert event.value == 3.0 and event.limit is not None and 0.6 < event.limit < 3.0
    assert event.detail.startswith("the loss jumped to 3 at step 31 (running median ")


def test_a_jump_before_there_is_a_median_is_none() -> None:
    assert found(seen([1.0, 1.0, 1.0, 2.5, 1.0])) == []


def test_a_loss_near_nothing_does_not_spike_by_a_ratio() -> None:
    assert found(seen([0.01] * 20 + [0.08])) == []


def test_an_exploding_gradient_is_found() -> None:
    norms = [1.0 + 0.1 * (at % 3) for at in range(40)]
    norms[20] = 11.5
    watch = seen([1.0] * 40, norms)
    assert found(watch) == [(21, "gradient_explosion")]
    assert watch.events[0].limit == pytest.approx(11.0)


@pytest.mark.parametrize(("loss", "norm", "name"), [(math.nan, 1.0, "loss is nan"), (1.0, math.inf, "norm is inf")])
def test_what_is_no_number_is_named_and_leaves_the_window_alone(loss: float, norm: float, name: str) -> None:
    before = seen([1.0] * 10)
    watch = instability.observe(before, Step(11, loss, norm))
    assert found(watch) == [(11, "not_a_number")]
    assert name in watch.events[0].detail and watch.events[0].value is None
    assert watch.losses == before.losses
    assert instability.stopping(watch, 11, "not_a_number") == watch.events[0]


def test_a_loss_far_beyond_guessing_diverges_at_once() -> None:
    watch = seen([1.2, 1.1, 400.0])
    assert found(watch) == [(3, "diverged")]
    assert watch.events[0].detail == "the loss is 400 at step 3, it was 1.2 at the first"
    assert instability.stopping(watch, 3, "diverged") == watch.events[0]
    assert instability.stopping(watch, 3, "not_a_number") is None
    assert instability.stopping(watch, 2, "diverged") is None


def test_a_loss_that_stays_high_diverges_when_the_median_of_eight_steps_says_so() -> None:
    watch = seen([1.0] * 10 + [5.0] * 10)
    assert found(watch) == [(11, "loss_spike"), (15, "diverged")]
    assert found(seen([1.0] * 10 + [5.0] * 3 + [1.0] * 10)) == [(11, "loss_spike")], "three bad steps are a spike"
    assert found(seen([0.02] * 10 + [0.9] * 12))[1:] == [], "three times very little is no divergence"


def validating(points: Sequence[tuple[float, float]]) -> Watch:
    """A watch after blocks of eight steps of a train loss, each with its validation loss."""
    watch, step = Watch(), 0
    for train, validation in points:
        for _ in range(8):
            step += 1
            watch = instability.observe(watch, Step(step, train, 1.0))
        watch = instability.validated(watch, step, validation)
    return watch


def test_validation_that_rises_while_train_loss_falls_is_flagged_once_until_a_new_low() -> None:
    watch = validating([(1.0, 1.0), (0.8, 0.9), (0.6, 1.0), (0.5, 1.1), (0.45, 0.85), (0.4, 0.95)])
    assert found(watch) == [(24, "validation_rising"), (48, "validation_rising")]
    assert watch.events[0].detail == (
        "validation loss rose from 0.9 at step 16 to 1 at step 24 while train loss fell from 0.8 to 0.6"
    )
    assert found(validating([(1.0, 1.0), (1.0, 1.3)])) == [], "train loss did not fall"
    assert found(validating([(1.0, 1.0), (0.8, 1.01)])) == [], "one per cent is nothing"


def test_events_of_a_kind_are_capped() -> None:
    losses = ([1.0] * 12 + [4.0]) * 80
    assert [kind for _, kind in found(seen(losses))] == ["loss_spike"] * instability.MOST_EVENTS


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.floats(0, 50) | st.just(math.nan), min_size=1, max_size=60),
    cut=st.integers(0, 60),
)
def test_a_watch_that_went_through_json_goes_on_to_the_same_events(losses: list[float], cut: int) -> None:
    import json

    whole = seen(losses)
    part = seen(losses[:cut])
    back = from_json(Watch, json.loads(json.dumps(to_json(part), allow_nan=False)))
    assert back == part
    for number, loss in enumerate(losses[cut:], cut + 1):
        back = instability.observe(back, Step(number, loss, 1.0))
    assert back == whole


# ---------------------------------------------------------------------------------------------------- real trainings


HOT = {"learning_rate": 10.0, "batch_size": 2, "warmup": 0.0}


def test_a_learning_rate_of_ten_ends_diverged_with_its_step_and_what_it_took(
    make_plan: Plans, data: TrainingData
) -> None:
    plan = make_plan({"method": "full", "optimiser": HOT}, budget={"examples": 60})
    with pytest.raises(Diverged, match=r"at step \d+.*Lower optimiser.learning_rate") as caught:
        sft.train(plan, data, nothing)
    spent = caught.value.ledger
    assert isinstance(spent, Ledger)
    last = spent.events[-1]
    assert last.kind in ("diverged", "not_a_number") and f"at step {last.step}" in str(caught.value)
    assert (spent.optimiser_steps, spent.examples) == (last.step, 2 * last.step)
    assert spent.train_seconds > 0 and spent.tokens > 0 and not (plan.run_folder / "result.json").exists()


def test_it_trains_on_where_only_what_is_no_number_stops_it(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({"method": "full", "optimiser": HOT}, stop_on="not_a_number")
    kinds = [event.kind for event in sft.train(plan, data, nothing).ledger.events]
    assert "diverged" in kinds and "not_a_number" not in kinds


def test_a_resumed_training_has_the_same_events(make_plan: Plans, data: TrainingData, tmp_path: Any) -> None:
    import os
    import signal

    from harness.errors import Interrupted

    arm = {"method": "full", "optimiser": {**HOT, "learning_rate": 0.3}, "evaluations": 10}
    options = {"budget": {"examples": 80}, "stop_on": "not_a_number"}
    whole = sft.train(make_plan(arm, home=tmp_path / "a", **options), data, nothing)
    assert whole.ledger.events, "an unstable training is what this test is about"
    plan = make_plan(arm, home=tmp_path / "b", **options)
    for stop in (whole.ledger.events[0].step * 2, 60):

        def interrupt(phase: str, done: int, total: int, stop: int = stop) -> None:
            if phase == "train" and done == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(Interrupted):
            sft.train(plan, data, interrupt)
    resumed = sft.train(plan, data, nothing)
    assert resumed.ledger.events == whole.ledger.events
    assert resumed.artefact == whole.artefact and resumed.ledger.flops == whole.ledger.flops
