"""The driver: plans runs, hands them to an executor, ingests what they leave, answers questions from the store."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import (
    arms,
    environment,
    ingest,
    load_suites,
    preflight,
    queries,
    races,
    serving,
    trials,
    tuning,
    withheld,
    worker,
)
from harness.arms import footprint, seeds
from harness.arms.artefacts import files_hash
from harness.errors import SpecError
from harness.executors import Execute, forking, opened
from harness.executors.admission import Memory
from harness.live import LiveFile
from harness.load import load_experiment
from harness.metrics import METRICS, check_names
from harness.metrics.own import declaration, known_metric, load_own
from harness.models import endpoint, held
from harness.pair_files import pairs_hash
from harness.prepare import Prepared, prepare
from harness.progress import Reporter
from harness.records import (
    ExperimentRecord,
    ResolvedExperiment,
    RunPlan,
    TaskFiles,
    digest,
)
from harness.spec import (
    ArmSpec,
    BaseModelSpec,
    ContinuedBase,
    DpoSpec,
    EndpointSpec,
    ImportedSpec,
    PairsFileSpec,
    SftContinuedSpec,
)

if TYPE_CHECKING:
    from harness.report import Leaderboard
    from harness.store import Store


NOT_IDENTITY = {"name", "path", "search", "key_env", "timeout", "retries", "concurrency"}
"""Fields of an arm that do not change what it answers (what lies at `path` is hashed instead)."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `harness run` answers."""

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
    with withheld.texts(experiment.task.sensitive):
        return _run(experiment, home, reporter, retry=retry, rescore=rescore)


def _run(experiment: ResolvedExperiment, home: Path, reporter: Reporter, *, retry: bool, rescore: bool) -> RunResult:
    from harness.store import Store

    home = home.absolute()
    done = home / "finished" / digest([experiment.spec, experiment.task, experiment.base, *experiment.arms])
    if experiment.spec.resources.executor == "processes" and not done.exists():
        # Libraries are imported while the task is read and split, unless all is likely to be there already.
        forking.begin(experiment, device_of(experiment), threads(experiment))
    prepared = prepare(experiment, home)
    for note in [*prepared.notes, *precision_notes(experiment.base, device_of(experiment), environment.multiplies)]:
        reporter.say(note)
    if experiment.spec.serving is not None:
        serving.check_prompts(prepared.sizes["validation"])
    plans = plan_runs(experiment, prepared, home)
    record = experiment_record(experiment, prepared, plans)
    store = Store(queries.database(home))
    ingest.experiment(store, home, record)
    reporter.live = LiveFile(home, record.experiment_id)
    try:
        name, count = experiment.spec.resources.executor, workers(experiment)
        with opened(name, reporter, count, lambda plans: Memory(footprint.needs(plans))) as execute:
            session = Session(home, reporter, retry, execute)
            if experiment.spec.tuning is not None:
                experiment = tune(experiment, prepared, store, record, session)
                plans = plan_runs(experiment, prepared, home)
            plans = [replace(plan, rescore=rescore) for plan in plans]
            going = plans
            if experiment.spec.racing is not None:
                where = races.Place(home, store, record, reporter, execute)
                going = races.race(experiment, plans, where, before=lambda: preflight.examine(plans))
            failed = _execute(record, going, store, session)
        held.BASE.drop()
        if experiment.spec.serving is not None:
            place = serving.Place(home, record.experiment_id, store, reporter)
            serving.measure(place, serving.jobs(going, experiment.spec.serving))
    finally:
        reporter.live.close()
        reporter.live = None
    board = queries.board(home, record.experiment_id)
    ingest.prune(experiment, plans, queries.leader(board))
    ingest.prune_trials(experiment, home, store.trials(record.experiment_id), plans)
    if not failed:
        done.parent.mkdir(exist_ok=True)
        done.touch()
    return RunResult(board, failed)


def load_suite(path: Path) -> list[ResolvedExperiment]:
    """`load` for every experiment of a suite file."""
    return [_checked(experiment) for experiment in load_suites.load_suite(path, METRICS)]


def load(path: Path) -> ResolvedExperiment:
    """Read an experiment and check the names of its metrics."""
    return _checked(load_experiment(path, METRICS))


def _checked(experiment: ResolvedExperiment) -> ResolvedExperiment:
    check_names([experiment.task.metrics.primary, *experiment.task.metrics.also])
    for arm in experiment.arms:
        if isinstance(arm, EndpointSpec) and experiment.task.sensitive:
            endpoint.stays_here(arm.url)
    if experiment.spec.tuning is not None:
        check_tuning(experiment)
    races.check(experiment)
    return experiment


def check_tuning(experiment: ResolvedExperiment) -> None:
    """Raise SpecError where no validation value can be had of the primary metric, and it is asked for."""
    task, spec = experiment.task, experiment.spec.tuning
    primary = known_metric(task.metrics.primary, experiment.task_dir, sensitive=task.sensitive)
    dpo = any(isinstance(arm, DpoSpec) for arm in experiment.arms)
    if primary.suite != "test" and spec is not None and (spec.choose_by == "primary" or dpo):
        raise SpecError(
            f"the primary metric {primary.name} is not measured on the validation split",
            file=experiment.file.name,
            field="tuning.choose_by",
            hint="Write `choose_by: loss` (and leave DPO arms out), or give the task a primary metric of its answers",
        )


def tune(
    experiment: ResolvedExperiment, prepared: Prepared, store: Store, record: ExperimentRecord, session: Session
) -> ResolvedExperiment:
    """The experiment with every trained arm at the setting that did best on validation."""
    planner = Planner(prepared.files, session.home, base_identity(experiment, session.home))
    spec = experiment.spec.tuning
    assert spec is not None

    def plan(reduced: ResolvedExperiment, arm: ArmSpec, parent: str | None, trial: Mapping[str, Any]) -> RunPlan:
        made = planner.plan(reduced, arm, (spec.seed, parent, 1.0))
        return replace(worker.without_test(made), role="trial", trial=trial)

    place = trials.Place(session.home, store, record.experiment_id, session.reporter, session.execute, session.retry)
    finals = plan_runs(experiment, prepared, session.home)
    tuned = trials.tune(experiment, plan, place, before=lambda: preflight.examine(finals))
    return replace(experiment, arms=tuned)


def settled(experiment: ResolvedExperiment, home: Path, record: ExperimentRecord) -> ResolvedExperiment:
    """The experiment at the settings that its tuning chose; arms that are not decided stay as their recipe says."""
    if experiment.spec.tuning is None:
        return experiment
    chosen = {str(arm.name): trials.decided(home, record.experiment_id, str(arm.name)) for arm in experiment.arms}
    found = {name: next((one for one in rows or () if one.chosen), None) for name, rows in chosen.items()}
    arms = [tuning.apply(arm, trial.values) if (trial := found[str(arm.name)]) else arm for arm in experiment.arms]
    return replace(experiment, arms=tuple(arms))


def own_declarations(experiment: ResolvedExperiment) -> dict[str, Any]:
    """What the task's own metrics declare, for reports that are made where their files are not."""
    task = experiment.task
    own = load_own([task.metrics.primary, *task.metrics.also], experiment.task_dir, sensitive=task.sensitive)
    return {name: declaration(known) for name, known in own.items()}


def untuned(experiment: ResolvedExperiment, home: Path, record: ExperimentRecord) -> set[str]:
    """Names of the arms that tuning has still to decide."""
    if experiment.spec.tuning is None:
        return set()
    trained = [str(arm.name) for arm in experiment.arms if arms.is_trained(arm)]
    return {name for name in trained if trials.decided(home, record.experiment_id, name) is None}


@dataclass(frozen=True, slots=True)
class Session:
    """Where an invocation works, how it talks, whether diverged arms are tried again, and what executes plans."""

    home: Path
    reporter: Reporter
    retry: bool
    execute: Execute


def _execute(record: ExperimentRecord, plans: Sequence[RunPlan], store: Store, session: Session) -> bool:
    """Hand unfinished plans to the executor and store each outcome as it comes; True when some arm failed."""
    reporter, failed = session.reporter, False
    waiting: list[RunPlan] = []
    for plan in plans:
        outcome = worker.finished(plan)
        if session.retry and outcome is not None and outcome.run.status == "diverged":
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
    outcomes = session.execute(once, before=lambda: preflight.examine(waiting))
    for number, outcome in enumerate(outcomes, 1):
        same = by_train_id[outcome.run.train_id]
        for plan in same:
            ingest.outcome(store, record, plan, outcome)
        failed |= outcome.run.status != "ok"
        error = f": {outcome.run.error}" if outcome.run.error else ""
        names = " and ".join(map(name_of, same))
        reporter.say(f"[{number}/{len(once)}] {names} {outcome.run.status}{error}")
    return failed


def name_of(plan: RunPlan) -> str:
    """Arm, seed and share of the train split, for people."""
    seed = "" if plan.seed is None else f", seed {plan.seed}"
    return plan.arm_name + seed + ("" if plan.fraction == 1 else f", {plan.fraction:.0%} of the data")


# ---------------------------------------------------------------------------------------------------------- plans


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
        f"base_model.{one}: this processor has no such arithmetic, and emulating it takes tens of times as long; "
        "it is quick in float32"
        for one in slow[:1]
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
    return resources.threads or (1 if resources.executor == "processes" else os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans over one prepared task and one base."""

    files: TaskFiles
    home: Path
    base_hash: str

    def plan(
        self, experiment: ResolvedExperiment, arm: ArmSpec, drawn: tuple[int | None, str | None, float]
    ) -> RunPlan:
        """The plan of an arm; `drawn` is (training seed, parent's identity, share of the train split)."""
        seed, parent, fraction = drawn
        return RunPlan(
            experiment=experiment,
            arm=arm,
            arm_name=arm.name or arm.method,
            seed=seed,
            train_id=train_identity(experiment, self.files, arm, (*drawn, self.base_hash)),
            parent_train_id=parent,
            home=self.home,
            files=self.files,
            base_hash=self.base_hash,
            device=device_of(experiment),
            threads=threads(experiment),
            fraction=fraction,
        )


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
                plan = planner.plan(experiment, arm, (seed, parent, fraction))
                ids[(plan.arm_name, seed, fraction)] = plan.train_id
                plans.append(plan)
    return plans


def base_identity(experiment: ResolvedExperiment, home: Path) -> str:
    """Hash of the base model's files, remembered under `home`; toy arms have no base."""
    if all(arm.method == "toy" for arm in experiment.arms):
        return "toy"
    from harness.models import hf

    return hf.base_hash(hf.resolve_base(experiment.base), home / "hashes.json")


def train_identity(
    experiment: ResolvedExperiment,
    files: TaskFiles,
    arm: ArmSpec,
    drawn: tuple[int | None, str | None, float, str],
) -> str:
    """Hash of everything that determines a training; `drawn` is (seed, parent's identity, share of data, base hash).

    Paths, names, threads, executors and what tuning searches are no part of it: a trial and an untuned run of one
    setting and seed are the same training. Arms without training depend on neither data nor budget (few-shot: on the
    train split that its examples come from).
    """
    seed, parent, fraction, base_hash = drawn
    task, base = experiment.task, experiment.base
    content: dict[str, Any] = {
        "base": [base_hash, base.dtype, base.attention, base.context],
        "arm": arm.model_dump(mode="json", exclude=NOT_IDENTITY),
        "version": arms.family(arm.method).VERSION,
        "prompt": [task.system, task.prompt, task.target, task.messages, task.references],
        "chat": experiment.spec.chat.model_dump(mode="json"),
    }
    if isinstance(arm, DpoSpec) and isinstance(arm.pairs, PairsFileSpec):
        content["arm"]["pairs"] = {"sha256": pairs_hash(Path(arm.pairs.path))}
    if isinstance(arm, ImportedSpec):
        content["imported"] = files_hash(Path(arm.path))
    if arm.method in arms.TRAINED or arm.method in ("few_shot", "toy"):
        content["data"] = files.fingerprint
    if fraction < 1:
        content["fraction"] = fraction
    if arms.is_trained(arm):
        if base.autocast is not None:
            content["autocast"] = base.autocast
        content |= {"seed": seed, "parent": parent, "budget": experiment.spec.budget.model_dump(mode="json")}
        if experiment.spec.stop_on != "diverged":
            content["stop_on"] = experiment.spec.stop_on
    if isinstance(arm, SftContinuedSpec) and arm.examples is None:
        # How many examples it sees follows from the DPO arm that it is held against.
        others = [other for other in experiment.arms if other.name == arm.like]
        content["like"] = [other.model_dump(mode="json", include={"pairs", "examples"}) for other in others]
    return digest(content)


def experiment_record(experiment: ResolvedExperiment, prepared: Prepared, plans: Sequence[RunPlan]) -> ExperimentRecord:
    """The experiment as it is run; its id covers the spec, the task's content and the base.

    `plans` are those of the recipes as they stand. What tuning will choose follows from them and from what is searched,
    so that the id is known before the first trial.
    """
    spec = experiment.spec
    content: list[Any] = [
        experiment.name,
        prepared.files.fingerprint,
        prepared.files.suite_fingerprint,
        sorted([plan.arm_name, plan.seed or 0, plan.train_id] for plan in plans),
        spec.reference,
    ]
    if spec.tuning is not None:
        trained = [arm for arm in experiment.arms if arms.is_trained(arm)]
        content.append([spec.tuning, {str(arm.name): tuning.space(arm, spec.tuning) for arm in trained}])
    if spec.racing is not None:
        content.append(["racing", spec.racing])
    identity = digest(content)
    return ExperimentRecord(
        experiment_id=identity,
        name=experiment.name,
        file=experiment.file.name,
        spec=spec.model_dump(mode="json"),
        task=experiment.task.model_dump(mode="json") | {"own_metrics": own_declarations(experiment)},
        task_fingerprint=prepared.splits.fingerprint,
        split_sizes=prepared.sizes,
        leaks=prepared.splits.leaks,
        base_hash=plans[0].base_hash,
        created=environment.now(),
        groups=prepared.groups,
        suite=prepared.files.suite_fingerprint,
        seeds={
            "training": list(spec.seeds),
            **{name: {str(seed): seeds.derived(seed, name) for seed in spec.seeds} for name in seeds.PURPOSES},
            "tuning": spec.tuning.seed if spec.tuning is not None else None,
            "bootstrap": int(digest(identity), 16),
        },
    )
