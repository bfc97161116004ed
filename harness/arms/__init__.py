"""The `Arm` protocol and the literal table of families.

An arm family is a module with an integer `VERSION` (raise it when results may change; it is part of `train_id`), a
`train` function and a `load` function. Families: `untrained` (few-shot too), `sft` (full, LoRA, QLoRA, any PEFT
config), `dpo`, `sft_continued`, `imported`, `endpoint`, `toy`. Modules are imported when asked for, so that listing
arms loads no torch. Installed packages add methods (`config/plugins.py`): such a module also has `Spec`, a subclass of
`config.ArmBase` (or of `config.TrainedBase`: then it trains) whose field `method` is the literal name.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from harness.config import ArmBase, ArmSpec, ToySpec, TrainedBase, plugins
from harness.errors import UsageError
from harness.models import Model
from harness.records import Artefact, Ledger, RunPlan, TrainingData

FAMILIES: dict[str, str] = {
    "untrained": "harness.arms.untrained",
    "few_shot": "harness.arms.untrained",
    "full": "harness.arms.sft",
    "lora": "harness.arms.sft",
    "qlora": "harness.arms.sft",
    "peft": "harness.arms.sft",
    "dpo": "harness.arms.dpo",
    "sft_continued": "harness.arms.sft_continued",
    "imported": "harness.arms.imported",
    "endpoint": "harness.arms.endpoint",
    "toy": "harness.arms.toy",
}


def needs_libraries(arm: ArmSpec) -> bool:
    """Whether an arm is trained or scored by torch in this process."""
    return arm.method not in ("toy", "endpoint")


SCORING = ("harness.models.transformers.causal",)
TRAINING = ("peft", "harness.arms.saving", "harness.arms.training.loop", *SCORING)
"""What scoring and training import anyway, and most of a process's time before its first step."""


def warm(plan: RunPlan) -> None:
    """Import what training or loading the plan's arm will import anyway, and load nothing."""
    import_all(SCORING if plan.seed is None else TRAINING)


def import_all(modules: Sequence[str]) -> None:
    """Import `modules` and what they need, without garbage collection, which would walk all of it again and again and
    find nothing; afterwards it is left out of all later collections."""
    if all(name in sys.modules for name in modules):
        return
    from harness.models.transformers import loading

    collects = gc.isenabled()
    gc.disable()
    try:
        loading.quiet()  # before the imports: some of these libraries talk while they are imported
        for name in modules:
            importlib.import_module(name)
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def is_trained(arm: ArmSpec) -> bool:
    """Whether an arm trains, needs a seed, is held to the budget and can be tuned; a toy does with a learning rate."""
    return isinstance(arm, TrainedBase) or (isinstance(arm, ToySpec) and arm.learning_rate is not None)


Progress = Callable[[str, int, int], None]
"""Called with a phase, steps done and steps in all."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training leaves: an artefact in the run folder, what it cost, and notes for the leaderboard."""

    artefact: Artefact
    ledger: Ledger
    notes: tuple[str, ...] = ()


class Arm(Protocol):
    """An arm family (a module)."""

    VERSION: int

    def train(self, plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
        """Train (or prepare) into `plan.run_folder`, resuming from its last complete checkpoint.

        Writes `train_log.jsonl` (TrainLogRow) and the artefact there. Raises Diverged, OutOfMemory, Interrupted or
        another HarnessError; anything else is a bug and is recorded as `failed`.
        """

    def load(self, plan: RunPlan, artefact: Artefact) -> Model:
        """The trained model, ready to score."""


def family(method: str) -> Arm:
    """The module that implements `method`. Raises UsageError where the package that brought it cannot be imported."""
    found = plugins.find("harness.arms", method, FAMILIES)
    return cast(Arm, found.load() if found is not None else importlib.import_module(FAMILIES[method]))


def version(method: str) -> int | list[Any]:
    """What of a method's code is part of the identity of a training: its VERSION, and the package it comes from."""
    found = plugins.find("harness.arms", method, FAMILIES)
    own = family(method).VERSION
    return own if found is None else [found.identity, own]


def plugin_spec(method: str) -> type[ArmBase] | None:
    """The fields of an arm whose method an installed package adds; None where none does. Raises UsageError."""
    found = plugins.find("harness.arms", method, FAMILIES)
    if found is None:
        return None
    module = found.load()
    spec = getattr(module, "Spec", None)
    if not (isinstance(spec, type) and issubclass(spec, ArmBase)):
        raise UsageError(f"{found.point.value} of the package {found.distribution} has no Spec of an arm")
    missing = [name for name in ("VERSION", "train", "load") if not hasattr(module, name)]
    if missing:
        raise UsageError(f"{found.point.value} of the package {found.distribution} has no {' and no '.join(missing)}")
    return spec
