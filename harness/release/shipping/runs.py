"""The run that is to ship, by name, with the plan to load and score it again wherever its home folder lies by now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.config import BaseModelSpec, ExperimentSpec, TaskSpec
from harness.errors import ModelError, UsageError
from harness.experiments.running import plans
from harness.records import Artefact, Entry, ExperimentRecord, RunPlan, RunRecord, Score, from_json
from harness.records.files import read_json
from harness.release.gate import inputs, run as gates
from harness.release.gate.inputs import CandidateRun
from harness.results import stored

NO_WEIGHTS = {
    "untrained": "it is the base model itself",
    "few_shot": "it is the base model with few-shot examples in its prompt",
    "endpoint": "it lies behind a URL",
    "toy": "a toy arm has no weights",
}


@dataclass(frozen=True, slots=True)
class Shippable(CandidateRun):
    """A finished run with weights of its own."""

    scores: tuple[Score, ...]
    """Of the newest version of each metric."""
    plan: RunPlan
    artefact: Artefact

    @property
    def folder(self) -> Path:
        """Where its artefact lies."""
        return self.plan.run_folder / str(self.artefact.path)


def find(home: Path, name: str, base: str | None = None) -> Shippable:
    """The run called EXPERIMENT/ARM[@SEED]; `base` says where its base model lies now, if it has moved.

    Raises UsageError for a name that is none, a failed run, one without weights, weights that were pruned, and a base
    that is not the one the run was trained from.
    """
    home = home.absolute()
    candidate = gates.find_run(home, name)
    record, entry, run = candidate.experiment, candidate.entry, candidate.run
    if run.method in NO_WEIGHTS:
        raise UsageError(
            f"{name} has no weights that could ship: {NO_WEIGHTS[run.method]}", hint="Name an arm that was trained"
        )
    plan = stored_plan(home, record, entry, base)
    artefact = run.artefact
    if artefact is None or artefact.path is None or not (plan.run_folder / artefact.path).is_dir():
        keep = record.spec.get("keep", "all")
        raise UsageError(
            f"the model of {name} is not on disk any more (keep: {keep})",
            hint=f"`harness run {record.file}` trains it again, to the same bits; with `keep: all` it stays",
        )
    _check_base(plan, run, record)
    scores = inputs.scored(candidate).scores
    return Shippable(candidate.store, home, record, entry, run, scores, plan, artefact)


def stored_plan(home: Path, record: ExperimentRecord, entry: Entry, base: str | None = None) -> RunPlan:
    """The plan of a run as its experiment was stored; paths are those of `home` as it lies now."""
    file = home / "runs" / entry.train_id / "plan.json"
    if not file.exists():
        raise UsageError(f"{file} is gone, and with it how {entry.arm} was run", hint=f"`harness run {record.file}`")
    sealed = stored.sealed_file(home, record).parent
    if not sealed.is_dir():
        raise UsageError(
            f"the sealed test split of {record.name} is not under {home}", hint=f"`harness run {record.file}` makes it"
        )
    plain: dict[str, Any] = read_json(file)
    # What was added to a spec where it was stored (the rules' dates, own metrics) is no field of it.
    spec = {name: value for name, value in record.spec.items() if name in ExperimentSpec.model_fields}
    task = {name: value for name, value in record.task.items() if name in TaskSpec.model_fields}
    kept = {name: value for name, value in plain.items() if name not in ("role", "trial", "rung", "rescore")}
    try:
        plan = from_json(RunPlan, {**kept, "experiment": {**plain["experiment"], "spec": spec, "task": task}})
    except ValueError as error:
        again = "`harness run` its file again"
        raise UsageError(f"the stored experiment is of another version of the harness ({error})", hint=again) from None
    model = BaseModelSpec.model_validate(plan.experiment.base)
    if base is not None:
        path = Path(base).expanduser()
        model = model.model_copy(update={"path": str(path.absolute()) if path.exists() else base})
    experiment = replace(plan.experiment, name=record.name, base=model)
    folder = home / "tasks" / plan.files.folder.name
    return replace(
        plan,
        experiment=experiment,
        arm_name=entry.arm,
        seed=entry.seed,
        train_id=entry.train_id,
        home=home,
        files=replace(plan.files, folder=folder, sealed=sealed, suite_fingerprint=record.suite),
        device=plans.device_of(experiment),
        fraction=entry.fraction,
    )


def _check_base(plan: RunPlan, run: RunRecord, record: ExperimentRecord) -> None:
    from harness.models.transformers import loading

    try:
        folder = loading.resolve_base(plan.experiment.base)
    except ModelError as error:
        raise ModelError(error.message, hint=f"Say where the base model of {run.arm} lies with --base") from error
    hash_ = loading.base_hash(folder, plan.home / "hashes.json")
    if hash_ != plan.base_hash:
        raise UsageError(
            f"{plan.experiment.base.path} is not the base model that {run.arm} was trained from "
            f"({hash_}, not {plan.base_hash})",
            hint=f"Say where that one lies with --base, or `harness run {record.file}` again",
        )
