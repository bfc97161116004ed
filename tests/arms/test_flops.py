"""The estimate of floating-point operations against torch's own count, and the peak of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.arms import sft
from harness.arms.training import flops, memory
from harness.arms.training.flops import Shape, Volume
from harness.config import BaseModelSpec
from harness.records import RunPlan, TrainingData

Plans = Callable[..., RunPlan]
LORA = {"method": "lora", "lora": {"r": 4}}


def test_the_formula_is_six_a_trained_and_four_a_frozen_parameter() -> None:
    volume = Volume(tokens=1000, targets=100, squares=50_000)
    full = Shape(body=10_000, trained_body=10_000, head=500, trained_head=500, attention=64)
    assert flops.training(full, volume) == 6 * 10_000 * 1000 + 6 * 500 * 100 + 12 * 64 * 50_000
    adapter = Shape(body=10_200, trained_body=200, head=500, trained_head=0, attention=64)
    assert flops.training(adapter, volume) == (4 * 10_000 + 6 * 200) * 1000 + 4 * 500 * 100 + 12 * 64 * 50_000
    assert flops.forward(full, volume) == 2 * 10_000 * 1000 + 2 * 500 * 100 + 4 * 64 * 50_000


@pytest.mark.parametrize("arm", [{"method": "full"}, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_estimate_is_what_torch_counts(
    arm: dict[str, Any], kind: str, make_plan: Plans, data: TrainingData, base_folder: Callable[[str], Any]
) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from harness.arms.training import losses

    if kind == "gpt2" and arm is LORA:
        arm = {**LORA, "lora": {"r": 4, "target_modules": ["c_attn", "c_proj", "c_fc"]}}
    plan = make_plan(arm, kind=kind, base=BaseModelSpec(path=str(base_folder(kind)), attention="eager"))
    trainable = sft.prepare(plan)
    shape = flops.shape_of(trainable.model)
    row = trainable.prompter.encode(data.train[2])
    objective = losses.CompletionLoss(0)
    batch = objective.collate([row] * 4)
    volume = losses.volume([row] * 4)
    with FlopCounterMode(display=False) as forward:
        loss = -losses.target_logprobs(trainable.model, **batch).sum()
    assert flops.forward(shape, volume) == pytest.approx(forward.get_total_flops(), rel=0.02)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    counted = forward.get_total_flops() + backward.get_total_flops()
    # Nothing is trained in front of an adapter's first layer, so its input needs no gradient: the estimate is higher.
    assert flops.training(shape, volume) == pytest.approx(counted, rel=0.02 if arm["method"] == "full" else 0.12)
    assert flops.training(shape, volume) >= 0.98 * counted


def test_a_quantised_base_counts_what_its_weights_stand_for(make_plan: Plans) -> None:
    plain = flops.shape_of(sft.prepare(make_plan(LORA)).model)
    packed = flops.shape_of(sft.prepare(make_plan({**LORA, "method": "qlora"})).model)
    assert packed == plain and plain.attention == 2 * 2 * 16


def test_an_arm_that_trains_less_costs_less(make_plan: Plans, data: TrainingData) -> None:
    def nothing(phase: str, done: int, total: int) -> None:
        """Progress that says nothing."""

    full = sft.train(make_plan({"method": "full"}), data, nothing).ledger
    lora = sft.train(make_plan({"method": "lora", "lora": {"r": 1}}), data, nothing).ledger
    assert full.tokens == lora.tokens
    assert full.flops is not None and lora.flops is not None
    assert 0.6 < lora.flops / full.flops < 0.85
    assert full.memory_kind == "resident set" and (full.peak_memory_bytes or 0) > 10**8


def test_the_peak_of_memory_is_that_since_the_start_of_the_watch() -> None:
    import numpy as np

    first = memory.watch("cpu")
    before = first()
    block = np.ones(40_000_000)
    del block
    assert first() > before + 200e6, "a block that is gone again counts"
    assert memory.watch("cpu")() < first() or memory.watch("cpu")() < before + 100e6
    assert memory.kind("cuda:0") == "accelerator"
