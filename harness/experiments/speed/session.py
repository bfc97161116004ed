"""Measures an experiment's arms and stores the pass, unless these artefacts were measured on this machine before."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from harness import environment, redaction
from harness.config import ServingSpec
from harness.errors import DataError
from harness.experiments.running import ingest, worker
from harness.experiments.running.context import RunContext
from harness.experiments.speed import passes
from harness.experiments.speed.passes import Bench, orders
from harness.experiments.speed.probes import Job, examples_of
from harness.experiments.speed.processes import Processes
from harness.records import RunPlan, ServingPass, digest, from_json
from harness.records.files import read_json
from harness.records.journal import Journal


def check_prompts(validation: int) -> None:
    """Raise DataError where there is no validation example to take a prompt from."""
    if not validation:
        raise DataError(
            "serving figures need prompts of validation examples, and the validation split is empty",
            hint="Give the task `splits: {validation: 0.1}`, or leave `serving:` out",
        )


def jobs(plans: Sequence[RunPlan], settings: ServingSpec) -> list[Job]:
    """One job for each arm with a finished run on the whole train split: that of its lowest seed."""
    by_arm: dict[str, Job] = {}
    for plan in sorted(plans, key=lambda plan: -1 if plan.seed is None else plan.seed):
        outcome = worker.finished(plan) if plan.fraction == 1 and plan.arm_name not in by_arm else None
        if outcome is not None and outcome.run.status == "ok" and outcome.run.artefact is not None:
            by_arm[plan.arm_name] = Job(worker.without_test(plan), outcome.run.artefact, settings)
    names = dict.fromkeys(plan.arm_name for plan in plans)
    return [by_arm[name] for name in names if name in by_arm]


def measure(
    context: RunContext, jobs: Sequence[Job], *, again: bool = False, bench: Bench | None = None
) -> ServingPass | None:
    """Measure the arms of `jobs` in one pass and store it; None where there is none to measure.

    A pass that is stored for the same subject is given back instead, unless `again`. `bench` stands in for processes.

    Raises DataError where there is no validation example.
    """
    if not jobs:
        return None
    with redaction.texts(jobs[0].plan.experiment.task.sensitive):
        settings, plan = jobs[0].settings, jobs[0].plan
        folder = ingest.serving_folder(context.home, context.record.experiment_id)
        examples = examples_of(plan, settings.prompts)
        check_prompts(len(examples))
        cores, written = environment.hardware()["cores"], settings.model_dump(mode="json")
        hardware = {**environment.scoring_hardware(), "cores": cores, "threads": plan.threads}
        here = environment.scoring_environment(plan.device)
        measured_arms = sorted([job.plan.arm_name, job.plan.train_id, job.artefact.hash] for job in jobs)
        about = digest([written, plan.files.fingerprint, measured_arms, here, hardware])
        earlier = stored(folder, about)
        if earlier is not None and not again:
            context.store.ingest([earlier])
            context.reporter.say(f"serving figures were measured already, {earlier.created}")
            return earlier
        context.reporter.label = ""
        present = [
            job for job in jobs if job.artefact.path is None or (job.plan.run_folder / job.artefact.path).exists()
        ]
        journal = Journal(folder / f"{about}.part.jsonl")
        order = orders([job.plan.arm_name for job in present], settings.rounds, random.Random(settings.seed))
        started = time.monotonic()
        with Processes() if bench is None else nullcontext(bench) as opened:
            measured = passes.run(present, order, opened, journal, context.reporter)
        served = {arm.arm: arm for arm in measured}
        gone = f"its model is not on disk any more (keep: {plan.experiment.spec.keep}); `keep: all` leaves it there"
        result = ServingPass(
            pass_id="",
            experiment_id=context.record.experiment_id,
            subject=about,
            created=environment.now(),
            settings={**written, "prompts": len(examples)},
            environment=here,
            hardware=hardware,
            seconds=time.monotonic() - started,
            arms=tuple(served.get(job.plan.arm_name) or passes.served_arm(job, error=gone) for job in jobs),
        )
        result = replace(result, pass_id=digest(result))
        ingest.serving(context.store, context.home, result)
        journal.path.unlink(missing_ok=True)
        return result


def stored(folder: Path, subject: str) -> ServingPass | None:
    """The newest finished pass about `subject` in a folder of passes."""
    every = [from_json(ServingPass, read_json(path)) for path in folder.glob("*.json")]
    return max((row for row in every if row.subject == subject), key=lambda row: row.created, default=None)
