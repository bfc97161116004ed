"""The run that is to ship, by name, with the plan to load and score it again wherever its home folder lies by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.config import ArmSpec, BaseModelSpec, ExperimentSpec, TaskSpec
from harness.errors import ModelError, UsageError
from harness.experiments.running import plans
from harness.records import Artefact, Entry, ExperimentRecord, ResolvedExperiment, RunPlan, RunRecord, Score, TaskFiles
from harness.records.files import read_json
from harness.release.gate import inputs, run as gates
from harness.results import stored

S = TypeVar("S", ExperimentSpec, TaskSpec)
ADAPTER: TypeAdapter[ArmSpec] = TypeAdapter(ArmSpec)
NO_WEIGHTS = {
    "untrained": "it is the base model itself",
    "few_shot": "it is the base model with few-shot examples in its prompt",
    "endpoint": "it lies behind a URL",
    "toy": "a toy arm has no weights",
}


@dataclass(frozen=True, slots=True)
class Shippable:
    """A finished run with weights of its own."""

    name: str
    """EXPERIMENT/ARM, with @SEED where it was trained."""
    record: ExperimentRecord
    entry: Entry
    run: RunRecord
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
    return Shippable(candidate.name, record, entry, run, inputs.scored(candidate).scores, plan, artefact)


def stored_plan(home: Path, record: ExperimentRecord, entry: Entry, base: str | None = None) -> RunPlan:
    """The plan of a run as its experiment was stored; paths are those of `home` as it lies now."""
    file = home / "runs" / entry.train_id / "plan.json"
    if not file.exists():
        raise UsageError(f"{file} is gone, and with it how {entry.arm} was run", hint=f"`harness run {record.file}`")
    plain: dict[str, Any] = read_json(file)
    inner = plain["experiment"]
    sealed = stored.sealed_file(home, record).parent
    if not sealed.is_dir():
        raise UsageError(
            f"the sealed test split of {record.name} is not under {home}", hint=f"`harness run {record.file}` makes it"
        )
    model = BaseModelSpec.model_validate(inner["base"])
    if base is not None:
        path = Path(base).expanduser()
        model = model.model_copy(update={"path": str(path.absolute()) if path.exists() else base})
    experiment = ResolvedExperiment(
        name=record.name,
        file=Path(inner["file"]),
        spec=_declared(ExperimentSpec, record.spec),
        task=_declared(TaskSpec, record.task),
        task_dir=Path(inner["task_dir"]),
        arms=tuple(ADAPTER.validate_python(arm) for arm in inner["arms"]),
        base=model,
    )
    files = TaskFiles(
        folder=home / "tasks" / Path(plain["files"]["folder"]).name,
        sealed=sealed,
        fingerprint=plain["files"]["fingerprint"],
        suite_fingerprint=record.suite,
    )
    return RunPlan(
        experiment=experiment,
        arm=ADAPTER.validate_python(plain["arm"]),
        arm_name=entry.arm,
        seed=entry.seed,
        train_id=entry.train_id,
        parent_train_id=plain["parent_train_id"],
        home=home,
        files=files,
        base_hash=plain["base_hash"],
        device=plans.device_of(experiment),
        threads=plain["threads"],
        fraction=entry.fraction,
    )


def _declared(kind: type[S], stored: Mapping[str, Any]) -> S:
    """The spec in a stored experiment, without what was added to it there (the rules' dates, own metrics)."""
    try:
        return kind.model_validate({name: value for name, value in stored.items() if name in kind.model_fields})
    except ValidationError as error:
        raise UsageError(
            f"the stored experiment is of another version of the harness ({error.errors()[0]['loc']})",
            hint="`harness run` its file again",
        ) from None


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
