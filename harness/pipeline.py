"""The driver: plans runs, hands them to an executor, ingests what they leave, answers questions from the store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import arms, environment, ingest, preflight, queries, worker
from harness.arms.artefacts import files_hash
from harness.executors import executor
from harness.load import load_experiment
from harness.load_suites import load_suite
from harness.metrics import METRICS, check_names
from harness.metrics.own import declaration, load_own
from harness.prepare import Prepared, prepare
from harness.progress import Reporter
from harness.records import (
    ExperimentRecord,
    ResolvedExperiment,
    RunPlan,
    digest,
)
from harness.spec import ArmSpec, DpoSpec, ImportedSpec

if TYPE_CHECKING:
    from harness.report import Leaderboard
    from harness.store import Store


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `harness run` answers."""

    board: Leaderboard
    failed: bool


def run(path: Path, home: Path, reporter: Reporter, *, retry: bool = False) -> RunResult:
    """Train and score every arm of the experiment in `path` that is not finished, and rank them."""
    return run_experiment(load(path), home, reporter, retry=retry)


def run_suite(path: Path, home: Path, reporter: Reporter, *, retry: bool = False) -> list[RunResult]:
    """`run` for every experiment of a suite file, one after the other; all are read before the first begins."""
    experiments = [_checked(experiment) for experiment in load_suite(path, METRICS)]
    results = []
    for number, experiment in enumerate(experiments, 1):
        reporter.say(f"suite: {experiment.name} ({number} of {len(experiments)})")
        results.append(run_experiment(experiment, home, reporter, retry=retry))
    return results


def run_experiment(experiment: ResolvedExperiment, home: Path, reporter: Reporter, *, retry: bool = False) -> RunResult:
    """`run` for an experiment that is read already."""
    from harness.store import Store

    home = home.absolute()
    prepared = prepare(experiment, home)
    for note in prepared.notes:
        reporter.say(note)
    plans = plan_runs(experiment, prepared, home)
    record = experiment_record(experiment, prepared, plans)
    store = Store(queries.database(home))
    ingest.experiment(store, home, record)
    failed = _execute(experiment, record, plans, store, Session(home, reporter, retry))
    board = queries.board(home, record.experiment_id)
    ingest.prune(experiment, plans, queries.leader(board))
    return RunResult(board, failed)


def load(path: Path) -> ResolvedExperiment:
    """Read an experiment and check the names of its metrics."""
    return _checked(load_experiment(path, METRICS))


def _checked(experiment: ResolvedExperiment) -> ResolvedExperiment:
    check_names([experiment.task.metrics.primary, *experiment.task.metrics.also])
    return experiment


def own_declarations(experiment: ResolvedExperiment) -> dict[str, Any]:
    """What the task's own metrics declare, for reports that are made where their files are not."""
    task = experiment.task
    own = load_own([task.metrics.primary, *task.metrics.also], experiment.task_dir, sensitive=task.sensitive)
    return {name: declaration(known) for name, known in own.items()}


@dataclass(frozen=True, slots=True)
class Session:
    """Where an invocation works, how it talks, and whether diverged arms are tried again."""

    home: Path
    reporter: Reporter
    retry: bool


def _execute(
    experiment: ResolvedExperiment, record: ExperimentRecord, plans: Sequence[RunPlan], store: Store, session: Session
) -> bool:
    """Hand unfinished plans to the executor and store each outcome as it comes; True when some arm failed."""
    reporter, failed = session.reporter, False
    waiting: list[RunPlan] = []
    for plan in plans:
        outcome = worker.finished(plan)
        if session.retry and outcome is not None and outcome.run.status == "diverged":
            (plan.run_folder / worker.RETRY).touch()
            outcome = None
        if outcome is not None:
            failed |= outcome.run.status != "ok"
            ingest.outcome(store, record, plan, outcome)
        else:
            waiting.append(plan)
    if not waiting:
        reporter.say(f"{len(plans)} runs are finished already; nothing to train or score")
        return failed
    preflight.examine(waiting)
    by_train_id = {plan.train_id: plan for plan in plans}
    resources = experiment.spec.resources
    for number, outcome in enumerate(executor(resources.executor)(waiting, workers(experiment), reporter), 1):
        plan = by_train_id[outcome.run.train_id]
        ingest.outcome(store, record, plan, outcome)
        failed |= outcome.run.status != "ok"
        error = f": {outcome.run.error}" if outcome.run.error else ""
        reporter.say(f"[{number}/{len(waiting)}] {name_of(plan)} {outcome.run.status}{error}")
    return failed


def name_of(plan: RunPlan) -> str:
    """Arm and seed, for people."""
    return plan.arm_name if plan.seed is None else f"{plan.arm_name}, seed {plan.seed}"


# ---------------------------------------------------------------------------------------------------------- plans


def device_of(experiment: ResolvedExperiment) -> str:
    """`cuda` where the driver shows a device and torch can use it, else `cpu`."""
    asked = experiment.spec.resources.device
    if asked != "auto":
        return asked
    usable = environment.accelerators() and not environment.packages().get("torch", "").endswith("+cpu")
    return "cuda" if usable else "cpu"


def workers(experiment: ResolvedExperiment) -> int:
    """Processes at a time."""
    resources = experiment.spec.resources
    if resources.executor == "inline":
        return 1
    return resources.workers or max(1, len(environment.accelerators()))


def threads(experiment: ResolvedExperiment) -> int:
    """Threads of one worker."""
    resources = experiment.spec.resources
    return resources.threads or (1 if resources.executor == "processes" else os.cpu_count() or 1)


def plan_runs(experiment: ResolvedExperiment, prepared: Prepared, home: Path) -> list[RunPlan]:
    """One plan for each arm and seed, parents before children; arms without training get one plan and no seed."""
    base_hash = base_identity(experiment, home)
    plans: list[RunPlan] = []
    ids: dict[tuple[str, int | None], str] = {}
    ordered = sorted(experiment.arms, key=lambda arm: isinstance(arm, DpoSpec))
    for arm in ordered:
        name = arm.name or arm.method
        trained = arm.method in arms.TRAINED
        for seed in experiment.spec.seeds if trained else [None]:
            parent = ids[(arm.parent, seed)] if isinstance(arm, DpoSpec) else None
            identity = train_identity(experiment, prepared, arm, (seed, parent, base_hash))
            ids[(name, seed)] = identity
            plans.append(
                RunPlan(
                    experiment=experiment,
                    arm=arm,
                    arm_name=name,
                    seed=seed,
                    train_id=identity,
                    parent_train_id=parent,
                    home=home,
                    files=prepared.files,
                    base_hash=base_hash,
                    device=device_of(experiment),
                    threads=threads(experiment),
                )
            )
    return plans


def base_identity(experiment: ResolvedExperiment, home: Path) -> str:
    """Hash of the base model's files, remembered under `home`; toy arms have no base."""
    if all(arm.method == "toy" for arm in experiment.arms):
        return "toy"
    from harness.models import hf

    return hf.base_hash(hf.resolve_base(experiment.base), home / "hashes.json")


def train_identity(
    experiment: ResolvedExperiment, prepared: Prepared, arm: ArmSpec, drawn: tuple[int | None, str | None, str]
) -> str:
    """Hash of everything that determines a training; `drawn` is (seed, parent's identity, base hash).

    Paths, names, threads and executors are no part of it. Arms without training depend on neither data nor budget
    (few-shot: on the train split that its examples come from).
    """
    seed, parent, base_hash = drawn
    task, base = experiment.task, experiment.base
    content: dict[str, Any] = {
        "base": [base_hash, base.dtype, base.attention, base.context],
        "arm": arm.model_dump(mode="json", exclude={"name", "path"}),
        "version": arms.family(arm.method).VERSION,
        "prompt": [task.system, task.prompt, task.target, task.messages, task.references],
        "chat": experiment.spec.chat.model_dump(mode="json"),
    }
    if isinstance(arm, ImportedSpec):
        content["imported"] = files_hash(Path(arm.path))
    if arm.method in arms.TRAINED or arm.method in ("few_shot", "toy"):
        content["data"] = prepared.files.fingerprint
    if arm.method in arms.TRAINED:
        content |= {"seed": seed, "parent": parent, "budget": experiment.spec.budget.model_dump(mode="json")}
    return digest(content)


def experiment_record(experiment: ResolvedExperiment, prepared: Prepared, plans: Sequence[RunPlan]) -> ExperimentRecord:
    """The experiment as it is run; its id covers the spec, the task's content and the base."""
    identity = digest(
        [
            experiment.name,
            prepared.files.fingerprint,
            prepared.files.suite_fingerprint,
            sorted([plan.arm_name, plan.seed or 0, plan.train_id] for plan in plans),
            experiment.spec.reference,
        ]
    )
    return ExperimentRecord(
        experiment_id=identity,
        name=experiment.name,
        file=experiment.file.name,
        spec=experiment.spec.model_dump(mode="json"),
        task=experiment.task.model_dump(mode="json") | {"own_metrics": own_declarations(experiment)},
        task_fingerprint=prepared.splits.fingerprint,
        split_sizes=prepared.sizes,
        leaks=prepared.splits.leaks,
        base_hash=plans[0].base_hash,
        created=environment.now(),
        groups=prepared.groups,
        suite=prepared.files.suite_fingerprint,
    )
