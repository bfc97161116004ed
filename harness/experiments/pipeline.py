"""Runs an experiment: plans its trainings, hands them to an executor, and stores every outcome as it comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import arms, environment, redaction
from harness.arms.training import footprint
from harness.arms.training.order import SEED_PURPOSES, derived_seed
from harness.config import ArmSpec, DpoSpec, EndpointSpec
from harness.data.prepare import Prepared, prepare
from harness.errors import SpecError, UsageError
from harness.experiments import racing, speed, upkeep
from harness.experiments.loading import suites
from harness.experiments.loading.load import load_experiment, recipe_notes
from harness.experiments.running import ingest, preflight, worker
from harness.experiments.running.context import RunContext
from harness.experiments.running.executors import forking, opened
from harness.experiments.running.executors.admission import Memory
from harness.experiments.running.live import LiveFile
from harness.experiments.running.plans import (
    Planner,
    TrainingDraw,
    base_identity,
    device_of,
    plan_runs,
    precision_notes,
    threads,
    workers,
)
from harness.experiments.tuning import search, trials
from harness.metrics import METRICS, check_names
from harness.metrics.user_metrics import declaration, known_metric, load_own
from harness.models.engines import endpoint
from harness.models.transformers import base_cache
from harness.progress import Reporter
from harness.records import ExperimentRecord, ResolvedExperiment, RunPlan, digest
from harness.results import queries, stored as stored_results

if TYPE_CHECKING:
    from harness.results.leaderboard.rows import Leaderboard


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `harness run` returns: the leaderboard, and whether some arm failed."""

    board: Leaderboard
    failed: bool


def run(path: Path, home: Path, reporter: Reporter, *, retry: bool = False, rescore: bool = False) -> RunResult:
    """Train and score every arm of the experiment in `path` that is not finished, and rank them.

    With `rescore`, what was scored in another environment is scored again in this one.
    """
    try:
        return run_experiment(load(path), home, reporter, retry=retry, rescore=rescore)
    finally:
        forking.end()


def run_suite(
    path: Path, home: Path, reporter: Reporter, *, retry: bool = False, rescore: bool = False
) -> list[RunResult]:
    """`run` for every experiment of a suite file, one after the other; all are read before the first begins."""
    experiments = load_suite(path)
    results = []
    try:
        for number, experiment in enumerate(experiments, 1):
            reporter.say(f"suite: {experiment.name} ({number} of {len(experiments)})")
            results.append(run_experiment(experiment, home, reporter, retry=retry, rescore=rescore))
    finally:
        forking.end()
    return results


def run_experiment(
    experiment: ResolvedExperiment, home: Path, reporter: Reporter, *, retry: bool = False, rescore: bool = False
) -> RunResult:
    """`run` for an experiment that is read already."""
    from harness.store import Store

    with redaction.texts(experiment.task.sensitive):
        home = home.absolute()
        done = home / "finished" / digest([experiment.spec, experiment.task, experiment.base, *experiment.arms])
        if experiment.spec.resources.executor == "processes" and not done.exists():
            # Libraries are imported while the task is read and split, unless all is likely to be there already.
            forking.begin(experiment, device_of(experiment), threads(experiment))
        prepared = prepare(experiment, home)
        for note in [
            *prepared.notes,
            *recipe_notes(experiment),
            *precision_notes(experiment.base, device_of(experiment), environment.multiplies),
        ]:
            reporter.say(note)
        if experiment.spec.serving is not None:
            speed.check_prompts(prepared.sizes["validation"])
        plans = plan_runs(experiment, prepared, home)
        record = experiment_record(experiment, prepared, plans, home)
        store = Store(queries.database(home))
        upkeep.resume(store, home)
        ingest.experiment(store, home, record)
        live = reporter.listener = LiveFile(home, record.experiment_id)
        try:
            name, count = experiment.spec.resources.executor, workers(experiment)
            with opened(name, reporter, count, lambda plans: Memory(footprint.needs(plans))) as execute:
                context = RunContext(home, store, record, reporter, execute, retry)
                if experiment.spec.tuning is not None:
                    experiment = tune(experiment, prepared, context)
                    plans = plan_runs(experiment, prepared, home)
                plans = [replace(plan, rescore=rescore) for plan in plans]
                going = plans
                if experiment.spec.racing is not None:
                    going = racing.race(
                        experiment, plans, context, before=lambda: preflight.examine(plans, reporter.say)
                    )
                failed = _execute(going, context)
            base_cache.BASE.drop()
            if experiment.spec.serving is not None:
                speed.measure(context, speed.jobs(going, experiment.spec.serving))
        finally:
            live.close()
            reporter.listener = None
        board = queries.board(home, record.experiment_id)
        ingest.prune(experiment, plans, queries.leader(board), store.trials(record.experiment_id))
        for line in without_value(board):
            failed = True
            reporter.say(line)
        if not failed:
            done.parent.mkdir(exist_ok=True)
            done.touch()
        return RunResult(board, failed)


def load_suite(path: Path) -> list[ResolvedExperiment]:
    """`load` for every experiment of a suite file."""
    return [_checked(experiment) for experiment in suites.load_suite(path, METRICS)]


def load(path: Path) -> ResolvedExperiment:
    """Read an experiment and check the names of its metrics."""
    return _checked(load_experiment(path, METRICS))


def _checked(experiment: ResolvedExperiment) -> ResolvedExperiment:
    check_names([experiment.task.metrics.primary, *experiment.task.metrics.also])
    for arm in experiment.arms:
        if isinstance(arm, EndpointSpec) and experiment.task.sensitive:
            endpoint.stays_here(arm.url)
    racing.check(experiment)
    task, tuning = experiment.task, experiment.spec.tuning
    dpo = any(isinstance(arm, DpoSpec) for arm in experiment.arms)
    if tuning is None or not (tuning.choose_by == "primary" or dpo):
        return experiment
    primary = known_metric(task.metrics.primary, experiment.task_dir, sensitive=task.sensitive)
    if primary.suite != "test":
        raise SpecError(
            f"the primary metric {primary.name} is not measured on the validation split",
            file=experiment.file.name,
            field="tuning.choose_by",
            hint="Write `choose_by: loss` (and leave DPO arms out), or give the task a primary metric of its answers",
        )
    return experiment


def tune(experiment: ResolvedExperiment, prepared: Prepared, context: RunContext) -> ResolvedExperiment:
    """The experiment with every trained arm at the setting that did best on validation."""
    planner = Planner(prepared.files, context.home, base_identity(experiment, context.home))
    spec = experiment.spec.tuning
    assert spec is not None

    def plan(reduced: ResolvedExperiment, arm: ArmSpec, parent: str | None, trial: Mapping[str, Any]) -> RunPlan:
        run_plan = planner.plan(reduced, arm, TrainingDraw(spec.seed, parent))
        return replace(worker.without_test(run_plan), role="trial", trial=trial)

    finals = plan_runs(experiment, prepared, context.home)
    tuned = trials.tune(experiment, plan, context, before=lambda: preflight.examine(finals, context.reporter.say))
    return replace(experiment, arms=tuned)


def with_tuned_settings(experiment: ResolvedExperiment, home: Path, record: ExperimentRecord) -> ResolvedExperiment:
    """The experiment at the settings that its tuning chose; arms that are not decided stay as their recipe says."""
    if experiment.spec.tuning is None:
        return experiment
    tuned = []
    for arm in experiment.arms:
        decided = trials.decided(home, record.experiment_id, str(arm.name)) or ()
        chosen = next((trial for trial in decided if trial.chosen), None)
        tuned.append(arm if chosen is None else search.apply(arm, chosen.values))
    return replace(experiment, arms=tuple(tuned))


def stored_plans(
    experiment: ResolvedExperiment, prepared: Prepared, home: Path
) -> tuple[ExperimentRecord, list[RunPlan]]:
    """The record of an experiment as `run` stores it, and the plans of its runs at the settings that tuning chose."""
    plans = plan_runs(experiment, prepared, home)
    record = experiment_record(experiment, prepared, plans, home)
    tuned = with_tuned_settings(experiment, home, record)
    return record, plans if tuned is experiment else plan_runs(tuned, prepared, home)


def stored_run(path: Path, home: Path, reporter: Reporter) -> tuple[ResolvedExperiment, RunContext, list[RunPlan]]:
    """An experiment that was run in `home`, with the plans of its runs. Raises UsageError where it was not."""
    experiment = load(path)
    record, plans = stored_plans(experiment, prepare(experiment, home), home)
    store = queries.open_store(home)
    if record.experiment_id not in {stored.experiment_id for stored in store.experiments()}:
        raise no_results(path, home)
    return experiment, RunContext(home, store, record, reporter), plans


def no_results(path: Path, home: Path) -> UsageError:
    """The error for an experiment without results."""
    return UsageError(f"{path} has no results under {home}", hint=f"`harness run {path}` makes them")


def untuned(experiment: ResolvedExperiment, home: Path, record: ExperimentRecord) -> set[str]:
    """Names of the arms that tuning has still to decide."""
    if experiment.spec.tuning is None:
        return set()
    trained = [str(arm.name) for arm in experiment.arms if arms.is_trained(arm)]
    return {name for name in trained if trials.decided(home, record.experiment_id, name) is None}


def _execute(plans: Sequence[RunPlan], context: RunContext) -> bool:
    """Hand unfinished plans to the executor and store each outcome as it comes; True when some arm failed."""
    store, record, reporter, failed = context.store, context.record, context.reporter, False
    waiting: list[RunPlan] = []
    for plan in plans:
        outcome = worker.finished(plan)
        if context.retry and outcome is not None and outcome.run.status == "diverged":
            (plan.run_folder / worker.RETRY).touch()
            outcome = None
        if outcome is not None and outcome.run.artefact and worker.server_changed(plan, outcome.run.artefact):
            reporter.say(f"{name_of(plan)}: the server answers otherwise than when it was scored; scored again")
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
    # Arms with other names may be the same training: it runs once and answers for all of them.
    by_train_id: dict[str, list[RunPlan]] = defaultdict(list)
    for plan in waiting:
        by_train_id[plan.train_id].append(plan)
    once = [same[0] for same in by_train_id.values()]
    outcomes = context.execute(once, before=lambda: preflight.examine(waiting, reporter.say))
    for number, outcome in enumerate(outcomes, 1):
        same = by_train_id[outcome.run.train_id]
        for plan in same:
            ingest.outcome(store, record, plan, outcome)
        failed |= outcome.run.status != "ok"
        error = f": {outcome.run.error}" if outcome.run.error else ""
        names = " and ".join(map(name_of, same))
        reporter.say(f"[{number}/{len(once)}] {names} {outcome.run.status}{error}")
    return failed


def without_value(board: Leaderboard) -> list[str]:
    """A line for each arm that ended well and has no value of the primary metric, which decides nothing then.

    An arm that the metric cannot be taken of (likelihoods of a server, lm-eval of a few-shot prompt) is none as long as
    another arm has a value.
    """
    from harness.results.leaderboard.columns import metric_of

    primary = next(column for column in board.columns if column.primary)
    lacking = [row for row in board.rows if row.status == "ok" and row.cells[primary.name].estimate is None]
    every = len(lacking) == sum(row.status == "ok" for row in board.rows)
    return [
        f"{row.arm} ended well and has no value of the primary metric {primary.name}"
        for row in lacking
        if every or (metric_of(primary).source == "prediction" and not row.answers.refused)
    ]


def name_of(plan: RunPlan) -> str:
    """Arm, seed and share of the train split, for people."""
    seed = "" if plan.seed is None else f", seed {plan.seed}"
    return plan.arm_name + seed + ("" if plan.fraction == 1 else f", {plan.fraction:.0%} of the data")


# ---------------------------------------------------------------------------------------------------------- record


def experiment_record(
    experiment: ResolvedExperiment, prepared: Prepared, plans: Sequence[RunPlan], home: Path
) -> ExperimentRecord:
    """The experiment as it is run; its id covers the spec, the task's content and the base.

    `plans` are those of the recipes as they stand. What tuning will choose follows from them and from what is searched,
    so that the id is known before the first trial.
    """
    spec, task = experiment.spec, experiment.task
    own = load_own([task.metrics.primary, *task.metrics.also], experiment.task_dir, sensitive=task.sensitive)
    # Reports are made where the files of these metrics are not.
    declared = {"own_metrics": {name: declaration(metric) for name, metric in own.items()}}
    content: list[Any] = [
        experiment.name,
        prepared.files.fingerprint,
        prepared.files.suite_fingerprint,
        sorted([plan.arm_name, plan.seed or 0, plan.train_id] for plan in plans),
        spec.reference,
    ]
    if spec.tuning is not None:
        trained = [arm for arm in experiment.arms if arms.is_trained(arm)]
        content.append([spec.tuning, {str(arm.name): search.space(arm, spec.tuning) for arm in trained}])
    if spec.racing is not None:
        content.append(["racing", spec.racing])
    identity = digest(content)
    return ExperimentRecord(
        experiment_id=identity,
        name=experiment.name,
        file=experiment.file.name,
        spec=spec.model_dump(mode="json")
        | {
            "sources": [stored_results.source_of(experiment.file, home)],
            "text": stored_results.file_text(experiment.file),
        },
        task=task.model_dump(mode="json") | declared,
        task_fingerprint=prepared.splits.fingerprint,
        split_sizes=prepared.sizes,
        leaks=prepared.splits.leaks,
        base_hash=plans[0].base_hash,
        created=environment.now(),
        groups=prepared.groups,
        suite=prepared.files.suite_fingerprint,
        seeds={
            "training": list(spec.seeds),
            **{name: {str(seed): derived_seed(seed, name) for seed in spec.seeds} for name in SEED_PURPOSES},
            "tuning": spec.tuning.seed if spec.tuning is not None else None,
            "bootstrap": int(digest(identity), 16),
        },
    )
