"""Takes what workers leave in run and evaluation folders into the store, and removes artefacts not to be kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness import environment
from harness.arms.artefacts import FOLDER
from harness.records import (
    Entry,
    ExperimentRecord,
    GateCall,
    Likelihood,
    ParityCheck,
    Prediction,
    Race,
    ResolvedExperiment,
    RunPlan,
    RunRecord,
    Score,
    SealedAccess,
    SentinelCheck,
    ServingPass,
    TrainLog,
    TrainLogRow,
    Trial,
    digest,
    from_json,
)
from harness.records.files import read_json, read_records, write_json
from harness.results.winner import rules

if TYPE_CHECKING:  # a gate stores its verdict through this file and needs no worker
    from harness.experiments.running import worker
    from harness.store import Store

R = TypeVar("R")


def experiment(store: Store, home: Path, record: ExperimentRecord) -> None:
    """Store an experiment, and keep it as a file from which the store can be rebuilt.

    Running an experiment again does not move its date. What is no part of its identity is as the files say now: the
    metrics, what is sensitive, how the review asks, a price. A change of it is kept with its date, as another winner
    rule is.
    """
    stored = read_experiment(home, record.experiment_id)
    if stored is None:
        others = sorted(path.parent.name for path in home.glob("experiments/*/record.json"))
        records = [other for name in others if (other := read_experiment(home, name)) is not None]
        declared = rules.declare(record, None, rules.first_declared(record, records))
    else:
        declared = rules.declare(record, stored, environment.now())
    before = stored or record
    kept = {name: declared.spec[name] for name in ("winner", "winner_rules") if name in declared.spec}
    kept["sources"] = sorted({*(before.spec.get("sources") or ()), *(record.spec.get("sources") or ())})
    kept["changes"] = [*(before.spec.get("changes") or ()), *changes(before, record, environment.now())]
    own = {**(before.task.get("own_metrics") or {}), **(record.task.get("own_metrics") or {})}
    declared = replace(
        declared, spec={**record.spec, **kept}, task={**record.task, "own_metrics": own}, leaks=record.leaks
    )
    if declared != stored:
        write_json(_record_file(home, record.experiment_id), declared)
    store.ingest([read_experiment(home, record.experiment_id)])


def changes(before: ExperimentRecord, now: ExperimentRecord, when: str) -> list[dict[str, Any]]:
    """What the task of one experiment says otherwise than when it was stored: field, value then and now, date.

    What the experiment's own file says is part of its identity, but for prices and speed, or dated as the rule is.
    """
    return [
        {"field": f"task.{name}", "was": before.task[name], "now": value, "when": when}
        for name, value in now.task.items()
        if name != "own_metrics" and name in before.task and before.task[name] != value
    ]


def read_experiment(home: Path, experiment_id: str) -> ExperimentRecord | None:
    """The record of an experiment as its file has it."""
    file = _record_file(home, experiment_id)
    return from_json(ExperimentRecord, read_json(file)) if file.exists() else None


def _record_file(home: Path, experiment_id: str) -> Path:
    return home / "experiments" / experiment_id / "record.json"


def race(store: Store, home: Path, record: ExperimentRecord, result: Race) -> None:
    """Store a finished race as part of its experiment's record, and keep it in the record's file."""
    stored = read_experiment(home, record.experiment_id)
    finished = replace(stored or record, race=result)
    write_json(_record_file(home, record.experiment_id), finished)
    store.ingest([finished])


def outcome(store: Store, record: ExperimentRecord, plan: RunPlan, result: worker.Outcome) -> None:
    """Store one outcome: its run, its evaluation when there is one, and the row that ties them to the experiment."""
    run = result.run
    rows: list[Any] = [run, *training_log(plan.run_folder, run)]
    why = None
    if result.eval_id is not None:
        scored, why = _scoring(store, record, plan, result.eval_id)
        rows += scored
    entry = Entry(
        experiment_id=record.experiment_id,
        arm=plan.arm_name,
        seed=plan.seed,
        train_id=run.train_id,
        attempt=run.attempt,
        status=run.status,
        eval_id=result.eval_id,
        fraction=plan.fraction,
    )
    seed = "none" if plan.seed is None else str(plan.seed)
    if plan.fraction < 1:
        seed += f"-{plan.fraction:g}"
    write_json(plan.home / "experiments" / record.experiment_id / "entries" / f"{plan.arm_name}-{seed}.json", entry)
    looked = [look(record, entry, why)] if why is not None else []
    keep_looks(plan.home, looked)
    store.ingest([*rows, entry, *looked])


def trial(store: Store, plan: RunPlan, run: RunRecord, row: Trial) -> None:
    """Store a trial and its run. Its plan cannot reach the test split, so no test-set evaluation is counted."""
    store.ingest([run, *training_log(plan.run_folder, run), row])


def _scoring(store: Store, record: ExperimentRecord, plan: RunPlan, eval_id: str) -> tuple[list[Any], str | None]:
    """Rows of an evaluation that the store lacks, and why it counts as a test-set evaluation; None where it does not.

    An experiment that takes over an evaluation of another one looks at nothing that was not looked at.
    """
    from harness.experiments.evaluation import evaluate

    folder = plan.home / "evals" / eval_id
    if not store.has_evaluation(eval_id):
        return evaluation_rows(folder), "harness run"
    missing = missing_metrics(store, plan, eval_id)
    if missing:
        rows = evaluate.score(plan, eval_id, folder, evaluate.read_suite(plan))
        return list(rows), f"harness run: added {', '.join(sorted(missing))}"
    return [], None


def keep_looks(home: Path, looks: Sequence[SealedAccess]) -> None:
    """Write test-set evaluations as files of their experiment before the store has them: a rebuild reads every one."""
    for row in looks:
        write_json(home / "experiments" / row.experiment / "looks" / f"{digest(row)}.json", row)


def look(record: ExperimentRecord, entry: Entry, why: str) -> SealedAccess:
    """A test-set evaluation, to be counted: who scored which arm on the sealed test split, when and why."""
    assert entry.eval_id is not None
    return SealedAccess(entry.eval_id, record.experiment_id, entry.arm, environment.user(), why, environment.moment())


def check(store: Store, home: Path, check: SentinelCheck | ParityCheck, rows: Sequence[Any]) -> None:
    """Store a check of an environment or of a shipped model, with the `rows` of its scoring, and keep it as a file."""
    own = f"sentinels/{check.before}-{check.after}" if isinstance(check, SentinelCheck) else f"parity/{digest(check)}"
    write_json(home / "experiments" / check.experiment / f"{own}.json", check)
    keep_looks(home, [row for row in rows if isinstance(row, SealedAccess)])
    store.ingest([*rows, check])


def serving_folder(home: Path, experiment_id: str) -> Path:
    """The folder of an experiment's serving passes."""
    return home / "experiments" / experiment_id / "serving"


def serving(store: Store, home: Path, serving_pass: ServingPass) -> None:
    """Store a pass of serving figures, and keep it as a file."""
    write_json(serving_folder(home, serving_pass.experiment_id) / f"{serving_pass.pass_id}.json", serving_pass)
    store.ingest([serving_pass])


def training_log(folder: Path, run: RunRecord) -> list[TrainLog]:
    """The training log that belongs to `run`, if its attempt left one."""
    rows = tuple(read_records(folder / "train_log.jsonl", TrainLogRow))
    return [TrainLog(run.train_id, run.attempt, rows)] if rows else []


def evaluation_rows(folder: Path) -> list[Any]:
    """Every record of a complete evaluation folder."""
    from harness.experiments.evaluation import evaluate

    return [
        *read_records(folder / "predictions.jsonl", Prediction),
        *read_records(folder / "likelihoods.jsonl", Likelihood),
        *read_records(folder / "scores.jsonl", Score),
        evaluate.read_evaluation(folder),
    ]


def missing_metrics(store: Store, plan: RunPlan, eval_id: str) -> set[str]:
    """Metrics that the task declares now and that the stored evaluation lacks, or has from another source file."""
    from harness.experiments.evaluation import evaluate

    task = plan.experiment.task
    versions = {name: metric.version for name, metric in evaluate.own_metrics(plan).items()}
    stored = {row.metric for row in store.scores([eval_id]) if versions.get(row.metric, row.version) == row.version}
    return {task.metrics.primary, *task.metrics.also} - stored


def rebuild(store: Store, home: Path) -> None:
    """Ingest every experiment, run and evaluation folder under `home` again; what is stored already stays as it is."""

    def read(kind: type[R], pattern: str) -> list[R]:
        return [from_json(kind, read_json(path)) for path in home.glob(pattern)]

    rows: list[Any] = [
        *read(ExperimentRecord, "experiments/*/record.json"),
        *read(Entry, "experiments/*/entries/*.json"),
    ]
    for path in sorted(home.glob("experiments/*/trials/*.json")):
        rows += [from_json(Trial, row) for row in read_json(path)]
    rows += sorted(read(SealedAccess, "experiments/*/looks/*.json"), key=lambda row: (row.when, row.arm))
    for path in sorted(home.glob("runs/*/run-*.json")):
        run = from_json(RunRecord, read_json(path))
        rows += [run, *training_log(path.parent, run)]
    rows += read(SentinelCheck, "experiments/*/sentinels/*.json")
    rows += read(ServingPass, "experiments/*/serving/*.json")
    calls = [call for call in read(GateCall, "gates/*/*.json") if call.settled]
    rows += sorted(calls, key=lambda call: (call.when, call.id))
    rows += sorted(read(ParityCheck, "experiments/*/parity/*.json"), key=lambda row: (row.when, row.arm))
    store.ingest(rows)
    from harness.experiments.evaluation import evaluate

    for path in sorted((home / "evals").glob(f"*/{evaluate.DONE}")):
        store.ingest(evaluation_rows(path.parent))
    store.rebuild_journal()


def prune(
    experiment: ResolvedExperiment, plans: Sequence[RunPlan], best: str | None, trials: Sequence[Trial] = ()
) -> None:
    """Remove the artefacts that `keep:` does not keep; records, logs and predictions always stay.

    `best` is the name of the arm that leads on the primary metric. Of what was trained for a learning curve and of
    tuning `trials` nothing stays, unless all does.
    """
    from harness.experiments.running import worker

    keep = experiment.spec.keep
    if keep == "all":
        return
    for train_id in {trial.train_id for trial in trials} - {plan.train_id for plan in plans}:
        shutil.rmtree(plans[0].home / "runs" / train_id / FOLDER, ignore_errors=True)
    parents = {plan.parent_train_id for plan in plans if plan.arm_name == best}
    for plan in plans:
        record = worker.read_run(plan.run_folder)
        if record is None or record.artefact is None or record.artefact.path is None:
            continue
        leads = keep == "best" and (plan.arm_name == best or plan.train_id in parents)
        kept = leads or (keep == "adapters" and record.artefact.kind == "adapter")
        if not (kept and plan.fraction == 1) and not Path(record.artefact.path).is_absolute():
            shutil.rmtree(plan.run_folder / record.artefact.path, ignore_errors=True)
