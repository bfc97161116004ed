"""Mixed precision: products in bfloat16, weights and optimiser as they were, another training by its identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.arms import sft
from harness.config import BaseModelSpec
from harness.experiments.running import plans
from harness.records import RunPlan, TrainingData

Plans = Callable[..., RunPlan]
FAST = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 0.0}


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_training_in_mixed_precision_is_near_the_other_and_keeps_its_weights(
    method: str, make_plan: Plans, data: TrainingData, base_folder: Callable[[str], Path]
) -> None:
    from safetensors.torch import load_file

    losses: dict[str | None, list[float]] = {}
    for autocast in (None, "bfloat16"):
        base = BaseModelSpec(path=str(base_folder("llama")), autocast=autocast)
        plan = make_plan({"method": method, "optimiser": FAST}, base=base, train_id=f"{method}-{autocast}")
        sft.train(plan, data, lambda *step: None)
        rows = [json.loads(line) for line in (plan.run_folder / "train_log.jsonl").read_text().splitlines()]
        losses[autocast] = [row["loss"] for row in rows] + [rows[-1]["validation_loss"]]
        (file,) = (plan.run_folder / "artefact").glob("*.safetensors")
        assert {str(weight.dtype) for weight in load_file(file).values()} == {"torch.float32"}
    assert losses["bfloat16"] == pytest.approx(losses[None], abs=2e-2)
    assert losses["bfloat16"] != losses[None]


def test_mixed_precision_is_part_of_what_identifies_a_training(make_plan: Plans) -> None:
    def identity(arm: dict[str, Any], **changed: Any) -> str:
        plan = make_plan(arm)
        experiment = plan.experiment
        base = experiment.base.model_copy(update=changed)
        from dataclasses import replace

        planner = plans.Planner(plan.files, plan.home, "hash")
        return planner.identity(replace(experiment, base=base), plan.arm, plans.TrainingDraw(0))

    lora, untrained = {"method": "lora"}, {"method": "untrained"}
    assert identity(lora) == identity(lora, autocast=None) != identity(lora, autocast="bfloat16")
    assert identity(untrained) == identity(untrained, autocast="bfloat16")
