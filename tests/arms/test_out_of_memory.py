"""A step that runs out of memory is done again with half the micro-batch, and ends at the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.arms import sft
from harness.arms.training import losses
from harness.errors import OutOfMemory
from harness.records import Ledger, RunPlan, TrainingData

Plans = Callable[..., RunPlan]
FULL = {"method": "full", "optimiser": {"learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


def weights(plan: RunPlan) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(plan.run_folder / "artefact" / "model.safetensors"))


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[int]]:
    """Forward passes of more than `rows` rows run out of memory from the call number `after` on."""
    import torch

    real = losses.CompletionLoss.loss

    def install(rows: int, after: int) -> list[int]:
        calls: list[int] = []

        def loss(self: Any, model: Any, batch: Any, weight: Any) -> Any:
            calls.append(len(weight))
            value = real(self, model, batch, weight)
            if len(weight) > rows and len(calls) > after:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return value

        monkeypatch.setattr(losses.CompletionLoss, "loss", loss)
        return calls

    return install


@pytest.mark.parametrize("after", [0, 2])
def test_the_micro_batch_is_halved_and_the_result_is_that_of_the_whole_batch(
    after: int, make_plan: Plans, data: TrainingData, tmp_path: Path, small_memory: Callable[[int, int], list[int]]
) -> None:
    import torch

    whole = make_plan(FULL, home=tmp_path / "whole", budget={"examples": 36})
    expected = sft.train(whole, data, nothing)
    calls = small_memory(2, after)
    plan = make_plan(FULL, home=tmp_path / "small", budget={"examples": 36})
    result = sft.train(plan, data, nothing)
    assert calls[: after + 3] == [8] * (after + 1) + [4, 2], "halved twice, at the step that failed"
    ours, theirs = weights(plan), weights(whole)
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, atol=2e-4, rtol=1e-3)
    same = ("examples", "tokens", "target_tokens", "optimiser_steps", "flops")
    assert [getattr(result.ledger, name) for name in same] == [getattr(expected.ledger, name) for name in same]
    step = after + 1
    assert [(event.step, event.kind, event.value) for event in result.ledger.events] == [
        (step, "out_of_memory", 4.0),
        (step, "out_of_memory", 2.0),
    ]
    assert result.notes == (
        f"memory ran out at step {step}: micro-batch halved from 8 to 4, effective batch kept at 8",
        f"memory ran out at step {step}: micro-batch halved from 4 to 2, effective batch kept at 8",
    )
    assert result.ledger.micro_batch_size == 2 and result.ledger.lost_seconds > 0
    assert expected.ledger.micro_batch_size == 8 and expected.ledger.lost_seconds == 0


def test_where_one_example_does_not_fit_the_arm_ends_and_says_what_it_took(
    make_plan: Plans, data: TrainingData, small_memory: Callable[[int, int], list[int]]
) -> None:
    calls = small_memory(0, 0)
    with pytest.raises(OutOfMemory, match="training ran out of memory") as caught:
        sft.train(make_plan(FULL), data, nothing)
    assert calls == [8, 4, 2, 1]
    spent = caught.value.ledger
    assert isinstance(spent, Ledger) and [event.value for event in spent.events] == [4.0, 2.0, 1.0]


def test_a_resumed_training_keeps_the_smaller_micro_batch(
    make_plan: Plans, data: TrainingData, small_memory: Callable[[int, int], list[int]]
) -> None:
    import os
    import signal

    from harness.errors import Interrupted

    calls = small_memory(4, 0)

    def interrupt(phase: str, done: int, total: int) -> None:
        if phase == "train" and done == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    plan = make_plan(FULL, budget={"examples": 24})
    with pytest.raises(Interrupted):
        sft.train(plan, data, interrupt)
    assert calls == [8, 4, 4]
    result = sft.train(plan, data, nothing)
    assert calls[3:] == [4] * 4
    assert len(result.ledger.events) == 1


def test_memory_that_runs_out_in_validation_is_no_reason_to_go_on(
    make_plan: Plans, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(losses, "completion_loss", fail)
    with pytest.raises(OutOfMemory) as caught:
        sft.train(make_plan(FULL, budget={"examples": 16}), data, nothing)
    spent = caught.value.ledger
    assert isinstance(spent, Ledger) and spent.optimiser_steps == 1 and spent.events == ()


def test_another_error_of_the_runtime_is_not_taken_for_one(
    make_plan: Plans, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(losses.CompletionLoss, "loss", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        sft.train(make_plan(FULL), data, nothing)
