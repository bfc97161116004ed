"""Checks what the arms of an experiment refer to, and what they need of each other, of the task and of its tuning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from harness.config import (
    SERVING_COSTS,
    ContinuedBase,
    DpoSpec,
    EndpointSpec,
    ExperimentSpec,
    FewShotSpec,
    PairsFileSpec,
    SftContinuedSpec,
    TaskSpec,
    UntrainedSpec,
    WinnerCost,
)
from harness.config.documents import Document, FieldPath, list_names, nearest
from harness.data.preference_files import read_pairs
from harness.errors import SpecError
from harness.experiments.tuning import search

SFT = ("full", "lora", "qlora", "peft")
"""Methods that a DPO arm, or its control, can start from."""
PROMPTED = (UntrainedSpec, FewShotSpec, EndpointSpec)
"""Arms that may bring a prompt of their own."""


def check_arms(document: Document, spec: ExperimentSpec, arms: list[Any], task: TaskSpec) -> None:
    """Raise SpecError, with its line, where a reference or a demand cannot be met."""
    by_name = {arm.name: arm for arm in arms}
    if spec.reference not in by_name:
        hint = f"{nearest(spec.reference, by_name)}".replace("Known:", "Arms:")
        raise document.error(("reference",), f"no arm is named {spec.reference!r}", hint)
    _check_cost(document, spec)
    added = len(arms) - len(spec.arms)
    if spec.tuning is not None and spec.tuning.seed in spec.seeds:
        hint = "Finals are trained with fresh seeds: take a number that is not among `seeds`"
        raise document.error(("tuning", "seed"), f"{spec.tuning.seed} is one of the experiment's seeds", hint)
    for number, arm in enumerate(arms):
        field_path = ("arms", number - added)
        _check_space(document, field_path, spec, arm)
        if isinstance(arm, PROMPTED) and arm.prompt is not None and task.messages is not None:
            raise document.error(field_path, "another prompt cannot be used with a task of messages", "Remove `prompt`")
        if not isinstance(arm, ContinuedBase):
            continue
        parent = by_name.get(arm.parent)
        if parent is None:
            supervised = [name for name, other in by_name.items() if other.method in SFT]
            hint = (
                f"{nearest(arm.parent, supervised)}".replace("Known:", "SFT arms here:")
                or f"Add {arm.parent!r} to arms"
            )
            raise document.error((*field_path, "parent"), f"no arm is named {arm.parent!r}", hint)
        if parent.method not in SFT:
            kind = "DPO" if isinstance(arm, DpoSpec) else arm.method  # type: ignore[attr-defined]
            message = f"{arm.parent!r} is {parent.method}, and {kind} starts from a supervised arm"
            raise document.error((*field_path, "parent"), message, f"Use an arm of {list_names(SFT)}")
        if isinstance(arm, SftContinuedSpec) and arm.examples is None:
            _check_control(document, (*field_path, "like"), arm, by_name)
        if isinstance(arm, DpoSpec) and arm.pairs == "task" and task.preferences is None:
            message = f"the task {task.name!r} has no preference pairs"
            raise document.error(
                (*field_path, "pairs"), message, "Write `pairs: parent_samples`, or give it `preferences`"
            )
        if isinstance(arm, DpoSpec) and isinstance(arm.pairs, PairsFileSpec):
            read_pairs(Path(arm.pairs.path), task)


def _check_cost(document: Document, spec: ExperimentSpec) -> None:
    """A winner rule's cost is one that is measured."""
    if spec.winner is None or spec.winner.cost not in SERVING_COSTS or spec.serving is not None:
        return
    measured = [cost for cost in get_args(WinnerCost) if cost not in SERVING_COSTS]
    message = f"{spec.winner.cost} is measured only with `serving:`, which this experiment does not have"
    raise document.error(("winner", "cost"), message, f"Add `serving: {{}}`, or name one of {list_names(measured)}")


def _check_control(
    document: Document, field_path: FieldPath, arm: SftContinuedSpec, by_name: Mapping[str, Any]
) -> None:
    """The DPO arm that a control is held against: it must be there and start from the same parent."""
    other = by_name.get(arm.like)
    if not isinstance(other, DpoSpec):
        dpo_arms = [name for name, entry in by_name.items() if entry.method == "dpo"]
        what = "no arm is named" if other is None else "this is no DPO arm:"
        hint = nearest(arm.like, dpo_arms).replace("Known:", "DPO arms here:") if dpo_arms else "Add a dpo arm"
        raise document.error(field_path, f"{what} {arm.like!r}", f"{hint}, or give `examples`")
    if other.parent != arm.parent:
        message = f"{arm.like!r} starts from {other.parent!r}, and this arm from {arm.parent!r}"
        raise document.error(field_path, message, f"Write `parent: {other.parent}`")


def _check_space(document: Document, field_path: FieldPath, spec: ExperimentSpec, arm: Any) -> None:
    """An arm that is tuned has something to search, with at least as many settings as trials."""
    if spec.tuning is None or not hasattr(arm, "search") or getattr(arm, "learning_rate", 0.0) is None:
        return
    try:
        search.space(arm, spec.tuning)
    except SpecError as error:
        field = error.field.split(".", 1) if error.field else []
        raise document.error((*field_path, *field), error.reason, error.hint) from None
