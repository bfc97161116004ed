"""Plans the runs of an experiment: on which device each executes, and the identity of each training."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import arms, environment
from harness.arms.artefacts import files_hash
from harness.config import ArmSpec, BaseModelSpec, ContinuedBase, DpoSpec, ImportedSpec, PairsFileSpec, SftContinuedSpec
from harness.data.preference_files import pairs_hash
from harness.data.prepare import Prepared
from harness.records import ResolvedExperiment, RunPlan, TaskFiles, digest

WITHOUT_EFFECT = {"name", "path", "search", "key_env", "timeout", "retries", "concurrency"}
"""Fields of an arm that do not change what it answers (the files at `path` are hashed instead)."""


@dataclass(frozen=True, slots=True)
class TrainingDraw:
    """What tells the trainings of one arm apart."""

    seed: int | None = None
    parent: str | None = None
    """Identity of the parent's training."""
    fraction: float = 1.0
    """Share of the train split."""


def device_of(experiment: ResolvedExperiment) -> str:
    """`cuda` where the driver shows a device and torch can use it, else `cpu`."""
    asked = experiment.spec.resources.device
    if asked != "auto":
        return asked
    usable = environment.accelerators() and not environment.packages().get("torch", "").endswith("+cpu")
    return "cuda" if usable else "cpu"


def precision_notes(base: BaseModelSpec, device: str, multiplies: Callable[[str], bool | None]) -> list[str]:
    """A warning where the base is computed in a data type that the processor only emulates."""
    asked = {"dtype": base.dtype, "autocast": base.autocast or "float32"}
    slow = [f"{name}: {dtype}" for name, dtype in asked.items() if device == "cpu" and multiplies(dtype) is False]
    return [
        f"base_model.{setting}: this processor has no such arithmetic, and emulating it takes tens of times as long; "
        "it is quick in float32"
        for setting in slow[:1]
    ]


def workers(experiment: ResolvedExperiment) -> int:
    """Processes at a time."""
    resources = experiment.spec.resources
    if resources.executor == "inline":
        return 1
    devices = environment.visible_devices(len(environment.accelerators()), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return resources.workers or max(1, len(devices))


def threads(experiment: ResolvedExperiment) -> int:
    """Threads of one worker."""
    resources = experiment.spec.resources
    return resources.threads or (1 if resources.executor == "processes" else environment.usable_threads())


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans over one prepared task and one base."""

    files: TaskFiles
    home: Path
    base_hash: str

    def plan(self, experiment: ResolvedExperiment, arm: ArmSpec, draw: TrainingDraw) -> RunPlan:
        """The plan of one training of an arm, or of its scoring where nothing is trained."""
        return RunPlan(
            experiment=experiment,
            arm=arm,
            arm_name=arm.name or arm.method,
            seed=draw.seed,
            train_id=self.identity(experiment, arm, draw),
            parent_train_id=draw.parent,
            home=self.home,
            files=self.files,
            base_hash=self.base_hash,
            device=device_of(experiment),
            threads=threads(experiment),
            fraction=draw.fraction,
        )

    def identity(self, experiment: ResolvedExperiment, arm: ArmSpec, draw: TrainingDraw) -> str:
        """`train_id`: hash of everything that determines a training.

        Paths, names, threads, executors and what tuning searches are no part of it: a trial and an untuned run of one
        setting and seed are the same training. Arms without training depend on neither data nor budget (few-shot: on
        the train split that its examples come from).
        """
        task, base = experiment.task, experiment.base
        content: dict[str, Any] = {
            "base": [self.base_hash, base.dtype, base.attention, base.context],
            "arm": arm.model_dump(mode="json", exclude=WITHOUT_EFFECT),
            "version": arms.version(arm.method),
            "prompt": [task.system, task.prompt, task.target, task.messages, task.references],
            "chat": experiment.spec.chat.model_dump(mode="json"),
        }
        if isinstance(arm, DpoSpec) and isinstance(arm.pairs, PairsFileSpec):
            content["arm"]["pairs"] = {"sha256": pairs_hash(Path(arm.pairs.path))}
        if isinstance(arm, ImportedSpec):
            content["imported"] = files_hash(Path(arm.path))
        if arm.method not in ("untrained", "imported", "endpoint"):
            content["data"] = self.files.fingerprint
        if draw.fraction < 1:
            content["fraction"] = draw.fraction
        if arms.is_trained(arm):
            if base.autocast is not None:
                content["autocast"] = base.autocast
            content |= {
                "seed": draw.seed,
                "parent": draw.parent,
                "budget": experiment.spec.budget.model_dump(mode="json"),
            }
            if experiment.spec.stop_on != "diverged":
                content["stop_on"] = experiment.spec.stop_on
        if isinstance(arm, SftContinuedSpec) and arm.examples is None:
            # How many examples it sees follows from the DPO arm that it is held against.
            others = [other for other in experiment.arms if other.name == arm.like]
            content["like"] = [other.model_dump(mode="json", include={"pairs", "examples"}) for other in others]
        return digest(content)


def plan_runs(experiment: ResolvedExperiment, prepared: Prepared, home: Path) -> list[RunPlan]:
    """One plan for each arm, seed and share of the train split, parents before children, the whole split first.

    Arms without training get one plan and no seed.
    """
    planner = Planner(prepared.files, home, base_identity(experiment, home))
    plans: list[RunPlan] = []
    ids: dict[tuple[str, int | None, float], str] = {}
    ordered = sorted(experiment.arms, key=lambda arm: isinstance(arm, ContinuedBase))
    for fraction in experiment.spec.fractions:
        for arm in ordered:
            trained = arms.is_trained(arm)
            if not trained and fraction < 1:
                continue
            for seed in experiment.spec.seeds if trained else [None]:
                parent = ids[(arm.parent, seed, fraction)] if isinstance(arm, ContinuedBase) else None
                plan = planner.plan(experiment, arm, TrainingDraw(seed, parent, fraction))
                ids[(plan.arm_name, seed, fraction)] = plan.train_id
                plans.append(plan)
    return plans


def base_identity(experiment: ResolvedExperiment, home: Path) -> str:
    """Hash of the base model's files, remembered under `home`; toy arms have no base."""
    if all(arm.method == "toy" for arm in experiment.arms):
        return "toy"
    from harness.models.transformers import loading

    return loading.base_hash(loading.resolve_base(experiment.base), home / "hashes.json")
