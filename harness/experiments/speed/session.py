"""From an experiment's plans to a stored pass, unless one answers already for the same artefacts on this machine."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import environment, redaction
from harness.config import ServingSpec
from harness.errors import DataError
from harness.experiments.running import ingest, worker
from harness.experiments.speed import passes
from harness.experiments.speed.passes import Bench
from harness.experiments.speed.probes import Job, examples_of
from harness.experiments.speed.processes import Processes
from harness.experiments.speed.schedule import orders
from harness.progress import Reporter
from harness.records import ResolvedExperiment, RunPlan, ServingPass, digest, from_json
from harness.records.files import read_json
from harness.records.journal import Journal

if TYPE_CHECKING:
    from harness.store import Store


@dataclass(frozen=True, slots=True)
class Place:
    """Where passes over an experiment are kept, and who is told."""

    home: Path
    experiment_id: str
    store: Store
    reporter: Reporter

    @property
    def folder(self) -> Path:
        """Finished passes by id, and the journal of one that is going on."""
        return ingest.serving_folder(self.home, self.experiment_id)


def settings_of(experiment: ResolvedExperiment) -> ServingSpec:
    """What the experiment asks for, or the defaults."""
    return experiment.spec.serving or ServingSpec()


def check_prompts(validation: int) -> None:
    """Raise DataError where there is no validation example to take a prompt from."""
    if not validation:
        raise DataError(
            "serving figures need prompts of validation examples, and the validation split is empty",
            hint="Give the task `splits: {validation: 0.1}`, or leave `serving:` out",
        )


def jobs(plans: Sequence[RunPlan], settings: ServingSpec) -> list[Job]:
    """One job for each arm with a finished run on the whole train split: that of its lowest seed."""
    found: dict[str, Job] = {}
    for plan in sorted(plans, key=lambda plan: -1 if plan.seed is None else plan.seed):
        outcome = worker.finished(plan) if plan.fraction == 1 and plan.arm_name not in found else None
        if outcome is not None and outcome.run.status == "ok" and outcome.run.artefact is not None:
            found[plan.arm_name] = Job(worker.without_test(plan), outcome.run.artefact, settings)
    names = dict.fromkeys(plan.arm_name for plan in plans)
    return [found[name] for name in names if name in found]


def measure(
    place: Place, wanted: Sequence[Job], *, again: bool = False, bench: Bench | None = None
) -> ServingPass | None:
    """Measure the arms of `wanted` in one pass and store it; None where there is none to measure.

    A pass that is stored for the same subject is given back instead, unless `again`. `bench` stands in for processes.

    Raises:
        DataError: there is no validation example.
    """
    if not wanted:
        return None
    with redaction.texts(wanted[0].plan.experiment.task.sensitive):
        return _measure(place, wanted, again=again, bench=bench)


def _measure(place: Place, wanted: Sequence[Job], *, again: bool, bench: Bench | None) -> ServingPass | None:
    settings, plan = wanted[0].settings, wanted[0].plan
    examples = examples_of(plan, settings.prompts)
    check_prompts(len(examples))
    hardware = _hardware(plan)
    about = digest([_settings(settings), plan.files.fingerprint, sorted(map(_identity, wanted)), _here(plan), hardware])
    known = stored(place, about)
    if known is not None and not again:
        place.store.ingest([known])
        place.reporter.say(f"serving figures were measured already, {known.created}")
        return known
    place.reporter.label = ""
    present = [job for job in wanted if _is_there(job)]
    journal = Journal(place.folder / f"{about}.part.jsonl")
    order = orders([job.plan.arm_name for job in present], settings.rounds, random.Random(settings.seed))
    started = time.monotonic()
    if bench is None:
        with Processes() as processes:
            found = passes.run(present, order, processes, journal, place.reporter)
    else:
        found = passes.run(present, order, bench, journal, place.reporter)
    served = {one.arm: one for one in found}
    made = ServingPass(
        pass_id="",
        experiment_id=place.experiment_id,
        subject=about,
        created=environment.now(),
        settings={**_settings(settings), "prompts": len(examples)},
        environment=_here(plan),
        hardware=hardware,
        seconds=time.monotonic() - started,
        arms=tuple(served.get(job.plan.arm_name) or passes.unmeasured(job, _gone(job)) for job in wanted),
    )
    made = replace(made, pass_id=digest(made))
    ingest.serving(place.store, place.home, made)
    journal.path.unlink(missing_ok=True)
    return made


def stored(place: Place, subject: str) -> ServingPass | None:
    """The newest finished pass about `subject`."""
    every = [from_json(ServingPass, read_json(path)) for path in place.folder.glob("*.json")]
    return max((one for one in every if one.subject == subject), key=lambda one: one.created, default=None)


def _settings(settings: ServingSpec) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def _identity(job: Job) -> list[str]:
    return [job.plan.arm_name, job.plan.train_id, job.artefact.hash]


def _here(plan: RunPlan) -> dict[str, str]:
    return environment.scoring_environment(plan.device)


def _hardware(plan: RunPlan) -> dict[str, Any]:
    """What times depend on."""
    return {**environment.scoring_hardware(), "cores": environment.hardware()["cores"], "threads": plan.threads}


def _is_there(job: Job) -> bool:
    path = job.artefact.path
    return path is None or (job.plan.run_folder / path).exists()


def _gone(job: Job) -> str:
    keep = job.plan.experiment.spec.keep
    return f"its model is not on disk any more (keep: {keep}); `keep: all` leaves it there"
