"""Models that a gate scores first: an adapter that is no run yet, and the baseline in a new environment.

Both are scored by the pipeline's own workers on the sealed examples of an experiment file, into this home, so that
scoring is counted, kept, and done once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.arms.artefacts import files_hash
from harness.arms.imported import kind_of
from harness.config import ImportedSpec, UntrainedSpec
from harness.data.prepare import prepare
from harness.errors import ArmFailed, DataError, ModelError, UsageError
from harness.experiments import pipeline
from harness.experiments.loading.load import find_experiment
from harness.experiments.running import ingest, plans as run_plans, worker
from harness.records import Entry, ResolvedExperiment, RunRecord
from harness.records.files import read_json
from harness.records.release import Scored
from harness.release import baselines
from harness.release.gate.inputs import ScoringContext
from harness.results import stored
from harness.store import Store


def _experiment(context: ScoringContext) -> ResolvedExperiment:
    """The experiment that says how to score. Raises UsageError where no file is known."""
    if context.experiment is not None:
        return pipeline.load(context.experiment)
    plan = context.home / "runs" / context.baseline.scored.train_id / "plan.json"
    files = [Path(read_json(plan)["experiment"]["file"])] if plan.exists() else []
    files += [find_experiment(Path("baselines") / f"{context.baseline.experiment}.yaml")]
    for file in files:
        if file.is_file():
            return pipeline.load(file)
    raise UsageError(
        f"the experiment file of {context.baseline.name} ({context.baseline.experiment}) is not here",
        hint="Name it with --experiment FILE",
    )


def rescore(context: ScoringContext) -> Scored:
    """The baseline's own model scored in this environment, on the suite of its experiment as it is here now.

    Raises UsageError where the model is not in this home, or where the experiment file describes another training.
    """
    run = _own_run(context)
    experiment = _experiment(context)
    prepared = prepare(experiment, context.home)
    record, plans = pipeline.stored_plans(experiment, prepared, context.home)
    plan = next((each for each in plans if each.train_id == run.train_id), None)
    if plan is None:
        raise UsageError(
            f"{experiment.file.name} does not describe the training of {context.baseline.name} (any more)",
            hint="Name the experiment file it was trained with: --experiment FILE",
        )
    context.reporter.label = f"{context.baseline.name} again"
    try:
        eval_id = worker.rescore(plan, context.reporter)
    except ArmFailed as error:
        hint = f"`harness run {experiment.file.name}` trains it again, to the same bits"
        raise UsageError(error.message, hint=hint) from None
    entry = Entry(record.experiment_id, plan.arm_name, plan.seed, plan.train_id, run.attempt, "ok", eval_id)
    store = Store(stored.database(context.home))
    if not store.has_evaluation(eval_id):
        look = ingest.look(record, entry, f"harness gate --rescore-baseline: {context.baseline.name}")
        ingest.keep_looks(context.home, [look])
        store.ingest([*ingest.evaluation_rows(context.home / "evals" / eval_id), look])
    [evaluation] = store.evaluations([eval_id])
    return baselines.scored(record, entry, evaluation, run, (store.scores([eval_id]), store.predictions([eval_id])))


def _own_run(context: ScoringContext) -> RunRecord:
    """The run in this home that left the baseline's very model."""
    pinned = context.baseline.scored
    folders = [context.home / "runs" / pinned.train_id]
    folders += [path.parent for path in sorted((context.home / "runs").glob("*/run.json"))]
    for folder in folders:
        record = worker.read_run(folder)
        if record is not None and record.artefact is not None and record.artefact.hash == pinned.artefact:
            return record
    raise UsageError(
        f"the model of {context.baseline.name} (artefact {pinned.artefact}) is not in {context.home}",
        hint="Give the --home it was trained in, run its experiment here, or pin a baseline again in this environment",
    )


def score_folder(context: ScoringContext, folder: Path, *, untrained: bool) -> str:
    """Score a PEFT adapter or a model folder as an imported arm of an experiment of its own; the run's name.

    `untrained`: the untrained arm as well, which a rule about forgetting asks for; where it is scored already it is
    taken along at no cost. Raises UsageError and ModelError where the folder cannot be scored.
    """
    kind = kind_of(folder)
    experiment = _experiment(context)
    ours = _base(context, experiment)
    if kind == "adapter":
        _check_base(context, folder, experiment, ours)
    derived = _derived(experiment, folder, context, untrained)
    result = pipeline.run_experiment(derived, context.home, context.reporter)
    name = f"{derived.name}/{derived.arms[-1].name}"
    if result.failed:
        store = stored.open_store(context.home)
        entries = store.entries(store.experiment(derived.name).experiment_id)
        entry = next(each for each in entries if each.arm == derived.arms[-1].name)
        errors = [run.error for run in store.runs([entry.train_id]) if run.attempt == entry.attempt]
        raise UsageError(
            f"{folder} cannot be scored: {errors[0] if errors else entry.status}", hint="Nothing is judged"
        )
    return name


def _derived(
    experiment: ResolvedExperiment, folder: Path, context: ScoringContext, untrained: bool
) -> ResolvedExperiment:
    """The experiment with the folder as its only candidate: same task, base, prompts and settings."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-_") or "model"
    called = f"{plain}-{files_hash(folder)[:8]}"
    candidate = ImportedSpec(method="imported", name=called, path=str(folder.resolve()))
    base = next((arm for arm in experiment.arms if isinstance(arm, UntrainedSpec)), None)
    if base is not None and not untrained:
        plans = run_plans.plan_runs(experiment, prepare(experiment, context.home), context.home)
        scored = any(plan.arm_name == base.name and worker.finished(plan) is not None for plan in plans)
        base = base if scored else None
    others = (base,) if base is not None else ()
    arms = (*others, candidate)
    spec = experiment.spec.model_copy(
        update={
            "arms": list(arms),
            "tuning": None,
            "serving": None,
            "winner": None,
            "data_fraction": [1.0],
            "reference": str(arms[0].name),
            "keep": "all",
        }
    )
    return replace(experiment, name=f"{experiment.name}.{called}", spec=spec, arms=arms)


def _base(context: ScoringContext, experiment: ResolvedExperiment) -> str:
    """Hash of the experiment's base, which must be the baseline's where its run is here. Raises ModelError."""
    ours = run_plans.base_identity(experiment, context.home)
    run = worker.read_run(context.home / "runs" / context.baseline.scored.train_id)
    if run is not None and run.artefact is not None and run.artefact.base_hash != ours:
        raise ModelError(
            f"{context.baseline.name} was made from another base ({run.artefact.base_hash}) than the one that "
            f"{experiment.file.name} names ({ours})",
            hint="Name the experiment file of its own base with --experiment FILE",
        )
    return ours


def _check_base(context: ScoringContext, folder: Path, experiment: ResolvedExperiment, ours: str) -> None:
    """That an adapter was made for the experiment's base, whose hash is `ours`. Raises ModelError or UsageError."""
    from harness.models.transformers import loading

    try:
        config: Mapping[str, Any] = read_json(folder / "adapter_config.json")
        named = str(config.get("base_model_name_or_path") or "")
    except (ValueError, AttributeError):
        raise DataError(f"{folder / 'adapter_config.json'}: cannot be read", hint="Save the adapter again") from None
    if named and Path(named).expanduser().is_dir():
        theirs = loading.base_hash(Path(named).expanduser().resolve(), context.home / "hashes.json")
        if theirs != ours:
            raise ModelError(
                f"{folder} is an adapter of {named} ({theirs}), and {context.baseline.name} of {experiment.base.path} "
                f"({ours})",
                hint="Gate it against a baseline of its own base",
            )
    elif named != experiment.base.path and context.experiment is None:
        raise UsageError(
            f"the base of {folder}, {named or 'which its config does not name'}, is not here and cannot be checked",
            hint=f"If it is {experiment.base.path}, say so with --experiment {experiment.file.name}",
        )
