"""What is loaded to be scored is what was trained, whatever the type of adapter and its first weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import arms
from harness.errors import ModelError
from harness.models.transformers import same_model
from harness.records import RunPlan, TrainingData
from harness.records.files import read_json, write_json
from harness.release.shipping import weights

OPTIMISER = {"learning_rate": 5e-3}


def trained(plan: RunPlan, data: TrainingData) -> Any:
    return arms.family(plan.arm.method).train(plan, data, lambda phase, done, total: None)


def peft(init: Any) -> dict[str, Any]:
    config = {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": init}
    return {"method": "peft", "type": "LORA", "config": config, "optimiser": OPTIMISER}


@pytest.mark.parametrize(
    "arm",
    [{"method": "full", "optimiser": OPTIMISER}, {"method": "lora", "optimiser": OPTIMISER},
     {"method": "qlora", "optimiser": OPTIMISER}, peft(True), peft("gaussian"), peft("pissa"), peft("olora")],
    ids=["full", "lora", "qlora", "peft", "gaussian", "pissa", "olora"],
)  # fmt: skip
def test_the_loaded_model_is_the_trained_one(
    make_plan: Callable[..., RunPlan], data: TrainingData, arm: dict[str, Any]
) -> None:
    plan = make_plan(arm)
    result = trained(plan, data)
    arms.family(plan.arm.method).load(plan, result.artefact).close()
    assert len(read_json(plan.run_folder / same_model.TRAINED)) >= 100


def test_an_initialisation_that_is_drawn_anew_is_refused(make_plan: Callable[..., RunPlan], data: TrainingData) -> None:
    plan = make_plan(peft("pissa_niter_1"))
    result = trained(plan, data)
    with pytest.raises(ModelError, match="not the model that was trained"):
        arms.family(plan.arm.method).load(plan, result.artefact)


def test_other_logits_are_noticed(make_plan: Callable[..., RunPlan], data: TrainingData) -> None:
    plan = make_plan({"method": "lora", "optimiser": OPTIMISER})
    result = trained(plan, data)
    noted = read_json(plan.run_folder / same_model.TRAINED)
    write_json(plan.run_folder / same_model.TRAINED, [*noted[:-1], noted[-1] + 0.05])
    with pytest.raises(ModelError):
        arms.family(plan.arm.method).load(plan, result.artefact)


@pytest.mark.parametrize(("target", "refused"), [(["lm_head"], True), (["q_proj", "v_proj"], False)])
def test_a_merge_into_weights_that_are_shared_is_refused(
    make_plan: Callable[..., RunPlan], data: TrainingData, tmp_path: Path, target: list[str], refused: bool
) -> None:
    """An adapter of the output head alone changes the embeddings too when it is merged into weights that both share."""
    arm = peft(True)
    arm["config"]["target_modules"] = target
    arm["optimiser"] = {"learning_rate": 5e-2}
    plan = make_plan(arm, kind="gemma3")
    result = trained(plan, data)
    if refused:
        with pytest.raises(ModelError, match="another model"):
            weights.write_merged(plan, result.artefact, tmp_path / "merged")
    else:
        assert weights.write_merged(plan, result.artefact, tmp_path / "merged").largest_change < 0.05
