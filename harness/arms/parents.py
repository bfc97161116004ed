"""Where an arm begins that is trained on from another one: the parent's finished training, and its model unfrozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.arms import TrainResult, artefacts
from harness.arms.sft import make_prompter
from harness.config import ContinuedBase, QuantSpec
from harness.errors import ArmFailed, SpecError
from harness.records import Artefact, RunPlan

if TYPE_CHECKING:
    from harness.arms.saving import Trainable


def read_parent(plan: RunPlan) -> TrainResult:
    """The finished training of the parent arm. Raises ArmFailed when there is none to start from."""
    assert isinstance(plan.arm, ContinuedBase)
    result = artefacts.read_result(plan.parent_folder) if plan.parent_folder is not None else None
    if result is None:
        raise ArmFailed(f"its parent {plan.arm.parent} left no model", hint="Mend the parent arm and run again")
    if result.artefact.kind not in ("adapter", "full"):
        raise SpecError(
            f"{plan.arm.parent} has nothing that was trained (its artefact is the {result.artefact.kind} model)",
            field="parent",
            hint="Name an arm that is fine-tuned, such as lora or full",
        )
    return result


def load_parent(plan: RunPlan, artefact: Artefact, *, dropout: bool) -> Trainable:
    """The parent's model with the weights that it trained unfrozen; without `dropout` it is turned off."""
    import torch

    from harness.arms import saving
    from harness.models.transformers import loading

    base = plan.experiment.base
    assert plan.parent_folder is not None and artefact.path is not None
    folder = plan.parent_folder / artefact.path
    quantisation = QuantSpec(**artefact.quantisation) if artefact.quantisation else None
    if artefact.kind == "full":
        model, tokenizer = loading.load_full(folder, base, plan.device, None)
        model.requires_grad_(True)
    else:
        model, tokenizer = loading.borrow_base(base, plan.device, quantisation)
        model = _trainable_adapter(model, folder)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and not dropout:
            module.p = 0.0
    prompter = make_prompter(plan, tokenizer, model)
    kind: Literal["adapter", "full"] = "full" if artefact.kind == "full" else "adapter"
    return saving.Trainable(model, tokenizer, prompter, kind, artefact.quantisation)


def _trainable_adapter(model: Any, folder: Path) -> Any:
    import warnings

    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return PeftModel.from_pretrained(model, str(folder), is_trainable=True, use_safetensors=True)
    except ValueError as error:
        raise SpecError(
            f"peft cannot train on with the parent's adapter: {' '.join(str(error).split())[:200]}",
            field="parent",
            hint="Name a lora, qlora or full arm",
        ) from error
