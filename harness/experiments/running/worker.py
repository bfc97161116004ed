"""Executes one plan, training and scoring, into a run folder and an evaluation folder; never opens the store.

    runs/TRAIN_ID/   plan.json  claim.lock  heartbeat  checkpoints/  artefact/  train_log.jsonl  run-N.json  run.json
    evals/EVAL_ID/   predictions and likelihoods by whole batch  scores.jsonl  evaluation.json (written last)
    runs/TRAIN_ID/rungs/  what a race saw of it on the way (`rungs.py`)
    validations/ID/  the same of a trial, on the validation split: a trial's plan does not know where the test split is

Every step first reads what an earlier try left, so that the same plan can be executed again after a kill at any
moment: a finished training is never repeated, a half-finished one goes on from its last complete checkpoint, a
half-finished scoring from its last complete batch.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from harness import arms, environment, redaction
from harness.arms import artefacts
from harness.arms.training import checkpoints
from harness.arms.training.order import derived_seeds
from harness.data import sealing, splits
from harness.errors import ArmFailed, DiskFull, Diverged, HarnessError, Interrupted, OutOfMemory, is_full_disk
from harness.experiments.evaluation import evaluate, rungs, validate as validation
from harness.models import library_configs
from harness.records import (
    Artefact,
    Example,
    Ledger,
    PreferencePair,
    Provenance,
    RungScores,
    RunPlan,
    RunRecord,
    Status,
    TrainingData,
    Validation,
    differences,
    from_json,
)
from harness.records.files import read_json, read_records, write_json

TRAINING = ("prepare", "sample", "reference", "train")
"""Phases whose time is lost when a training is killed in them; scoring keeps its batches."""
RETRY = "retry"
"""A file in a run folder that asks for another attempt at a run that diverged, or whose server has changed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an executed plan gave: the run's record, and the evaluation if there is one (of a trial: on validation)."""

    run: RunRecord
    eval_id: str | None
    validation: Validation | None = None
    rung: RungScores | None = None
    """Of a race: the scores of the training at its rung; `run` is then its record there."""


def finished(plan: RunPlan) -> Outcome | None:
    """The outcome of a plan that needs no more work, or None.

    A diverged run is final: the same seed would diverge again. Other failures may be tried again.
    """
    record = read_run(plan.run_folder)
    if plan.rung is not None:
        rung_result = rungs.read(plan)
        if rung_result is not None:
            return Outcome(rung_result[0], None, rung=rung_result[1])
        return Outcome(record, None) if record is not None and record.status == "diverged" else None
    again = ("failed", "oom", "cancelled", "eliminated")
    if record is None or record.status in again or (plan.run_folder / RETRY).exists():
        return None
    if record.status == "diverged" or record.artefact is None:
        return Outcome(record, None)
    if plan.role == "trial":
        stored = validation.read(plan, record.artefact)
        return None if stored is None else Outcome(record, None, stored)
    scored = evaluate.find(plan, record.artefact)
    return Outcome(record, scored) if scored is not None else None


def read_run(folder: Path) -> RunRecord | None:
    """The latest record of a run folder, or None when no attempt has ended."""
    path = folder / "run.json"
    return from_json(RunRecord, read_json(path)) if path.exists() else None


def execute(plan: RunPlan, progress: arms.Progress | None = None) -> Outcome:
    """Train (unless trained) and score (unless scored). An arm's failure is an outcome, not an exception.

    Raises Interrupted (after a checkpoint) and DiskFull: those end the whole experiment, not one arm.
    """
    report = _with_heartbeat(plan, progress or (lambda phase, done, total: None))
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    with redaction.texts(plan.experiment.task.sensitive), _claim(plan.run_folder), _full_disk():
        done = finished(plan)
        if done is not None:
            return done
        warm(plan)
        if plan.rung is not None:
            return _at_rung(plan, report)
        record = read_run(plan.run_folder)
        asked = (plan.run_folder / RETRY).exists()
        if asked or record is None or record.status != "ok" or not _artefact_is_there(plan, record):
            record = _train(plan, record, report)
        if record.status != "ok" or record.artefact is None:
            return Outcome(record, None)
        return _score(plan, record, report)


def execute_or_block(plan: RunPlan, failed: dict[str, str], progress: arms.Progress | None = None) -> Outcome:
    """`execute`, or a recorded failure when the plan's parent is among the `failed` (train_id → reason)."""
    if plan.parent_train_id is None or plan.parent_train_id not in failed:
        return execute(plan, progress)
    return not_run(plan, f"not started: its parent arm ended without a model ({failed[plan.parent_train_id]})")


def not_run(plan: RunPlan, error: str) -> Outcome:
    """A failure that left no record of its own."""
    return Outcome(_new_record(plan, read_run(plan.run_folder), Provenance.here(), error), None)


def _new_record(plan: RunPlan, earlier: RunRecord | None, provenance: Provenance, error: str | None) -> RunRecord:
    """The record of another attempt at a plan; failed, until its outcome is filled in."""
    return RunRecord(
        train_id=plan.train_id,
        attempt=earlier.attempt + 1 if earlier else 1,
        arm=plan.arm_name,
        method=plan.arm.method,
        seed=plan.seed,
        role=plan.role,
        status="failed",
        error=error,
        ledger=Ledger(),
        provenance=provenance,
        artefact=None,
        parent_train_id=plan.parent_train_id,
        seeds=derived_seeds(plan.seed),
        trial=plan.trial,
    )


def _train(plan: RunPlan, earlier: RunRecord | None, progress: arms.Progress) -> RunRecord:
    provenance = Provenance.here()
    attempt = earlier.attempt + 1 if earlier is not None else 1
    lost = _lost_seconds(plan.run_folder)
    if earlier is not None and earlier.status != "ok":
        lost += max(0.0, spent(earlier.ledger) - _kept_seconds(plan.run_folder))
    places = _places(plan.run_folder, provenance)
    write_json(plan.run_folder / "plan.json", plan)
    status: Status = "ok"
    error, result, ledger = None, None, Ledger()
    started = time.monotonic()
    try:
        data = splits.training_share(read_training(plan.files.folder), plan.fraction)
        with sealing.closed(plan.home / "sealed"):
            result = arms.family(plan.arm.method).train(without_test(plan), data, progress)
    except Exception as caught:
        status, error = _failure(plan, caught, str(attempt))
        ledger = _spent_until(caught, time.monotonic() - started)
    ledger = result.ledger if result else ledger
    record = replace(
        _new_record(plan, earlier, library_configs.into(provenance, plan.run_folder), error),
        status=status,
        ledger=replace(ledger, lost_seconds=ledger.lost_seconds + lost),
        artefact=result.artefact if result else None,
        notes=(*result.notes, *_moved(places)) if result else (),
    )
    if plan.rung is not None and status == "ok":
        # It goes on from its checkpoint as a killed training would; the pause is no lost time.
        rungs.keep(plan, record)
        (plan.run_folder / "heartbeat").unlink(missing_ok=True)
        return record
    _write_run(plan.run_folder, record)
    for name in ("heartbeat", "lost.json", "places.json", RETRY):
        (plan.run_folder / name).unlink(missing_ok=True)
    if status in ("ok", "diverged"):
        shutil.rmtree(plan.run_folder / "checkpoints", ignore_errors=True)
    return record


def _places(folder: Path, provenance: Provenance) -> list[dict[str, str]]:
    """Machines that this training has run on, the present one last: processor, accelerators, package versions."""
    path = folder / "places.json"
    versions = {name: version for name, version in provenance.packages.items() if name in environment.TRAINING}
    here = {"processor": str(provenance.hardware.get("processor")), **versions}
    here["accelerators"] = ", ".join(provenance.hardware.get("accelerators", ())) or "none"
    places: list[dict[str, str]] = read_json(path) if path.exists() and (folder / "checkpoints").exists() else []
    if not places or places[-1] != here:
        places.append(here)
        write_json(path, places)
    return places


def _moved(places: list[dict[str, str]]) -> tuple[str, ...]:
    """A note for a training that went on after a change of machine or packages."""
    changes = [", ".join(differences(before, after)) for before, after in itertools.pairwise(places)]
    return (f"its training went on after a change of {'; then of '.join(changes)}",) if changes else ()


def without_test(plan: RunPlan) -> RunPlan:
    """The plan as a trainer sees it: it does not say where the sealed test split lies."""
    return replace(plan, files=replace(plan.files, sealed=None))


def _score(plan: RunPlan, record: RunRecord, progress: arms.Progress) -> Outcome:
    artefact = record.artefact
    assert artefact is not None
    validated = None
    started = time.monotonic()
    try:
        if plan.role == "trial":
            with sealing.closed(plan.home / "sealed"):
                validated = validation.validate(plan, artefact, progress)
            seconds = evaluate.Seconds(validated.seconds, 0.0)
        else:
            seconds = evaluate.evaluate(plan, artefact, progress)
    except Exception as caught:
        status, error = _failure(plan, caught, "score")
        lost = record.ledger.lost_seconds + time.monotonic() - started
        # The training stays good: the next attempt scores again, and knows what this one took.
        record = replace(record, ledger=replace(record.ledger, lost_seconds=lost))
        _write_run(plan.run_folder, record)
        return Outcome(replace(record, status=status, error=f"scoring: {error}"), None)
    ledger = replace(record.ledger, predict_seconds=seconds.predict, score_seconds=seconds.score)
    record = replace(record, ledger=ledger)
    _write_run(plan.run_folder, record)
    if validated is not None:
        return Outcome(record, None, validated)
    identity = evaluate.identity(plan, artefact)
    evaluate.note(plan, artefact, identity)
    return Outcome(record, identity)


def _at_rung(plan: RunPlan, progress: arms.Progress) -> Outcome:
    """Train to the plan's rung, unless it has come there, and score what the plan asks for."""
    record = rungs.trained(plan) or _train(plan, read_run(plan.run_folder), progress)
    if record.status != "ok":
        return Outcome(record, None)
    try:
        with sealing.closed(plan.home / "sealed"):
            scores = rungs.score(plan, record, progress)
    except Exception as caught:
        status, error = _failure(plan, caught, "rung")
        return Outcome(replace(record, status=status, error=f"scoring at a rung: {error}"), None)
    return Outcome(record, None, rung=scores)


def eliminate(plan: RunPlan, run: RunRecord, why: str) -> RunRecord:
    """Note in its run folder that a race stopped a training; its checkpoint stays, what was scored goes.

    Another experiment that asks for the whole of the same training goes on from there.
    """
    earlier = read_run(plan.run_folder)
    attempt = earlier.attempt + 1 if earlier is not None else 1
    record = replace(run, status="eliminated", error=why, artefact=None, attempt=attempt)
    _write_run(plan.run_folder, record)
    shutil.rmtree(plan.run_folder / artefacts.FOLDER, ignore_errors=True)
    return record


def _failure(plan: RunPlan, error: Exception, name: str) -> tuple[Status, str]:
    """Status and line of a failed arm, with a traceback in `traceback-NAME.txt` unless the error is one of ours.

    Raises again what ends the whole experiment: an interruption, a full disk.
    """
    if isinstance(error, (Interrupted, DiskFull)):
        raise error
    _raise_full_disk(error)
    if not isinstance(error, HarnessError):
        (plan.run_folder / f"traceback-{name}.txt").write_text(traceback.format_exc())
    status: Status = "failed"
    if isinstance(error, Diverged):
        status = "diverged"
    elif isinstance(error, (OutOfMemory, MemoryError)) or type(error).__name__ == "OutOfMemoryError":
        status = "oom"
    elif isinstance(error, ArmFailed) and error.message.startswith("cancelled"):
        status = "cancelled"
    # Our messages hold no sensitive data; those of libraries may, and are kept in the run folder's traceback alone.
    ours = isinstance(error, HarnessError)
    text = str(error) if ours else redaction.reason(error, f"{type(error).__name__}: {error}")
    return status, " ".join(text.split())[:500]


def _artefact_is_there(plan: RunPlan, record: RunRecord) -> bool:
    """False when `keep:` pruned the artefact since; it can be trained again to the same bits."""
    artefact = record.artefact
    if artefact is None or not (artefact.path is None or (plan.run_folder / artefact.path).exists()):
        return False
    return not server_changed(plan, artefact)


def server_changed(plan: RunPlan, artefact: Artefact) -> bool:
    """Whether `artefact` is an endpoint whose server is up and answers its probes differently than before."""
    if plan.arm.method != "endpoint":
        return False
    from harness.arms import endpoint

    try:
        return endpoint.changed(plan, artefact) > 0
    except ArmFailed:  # the next request to the server will report it
        return False


def rescore(plan: RunPlan, progress: arms.Progress) -> str:
    """Score a finished run's artefact in the present environment, in addition to the evaluation it has.

    Returns the evaluation's id. Raises ArmFailed when the artefact is gone, and whatever scoring raises.
    """
    record = read_run(plan.run_folder)
    if record is None or record.artefact is None or not _artefact_is_there(plan, record):
        raise ArmFailed(f"the model of {plan.arm_name} is not on disk any more", hint="Choose another run with --arm")
    set_threads(plan)
    with redaction.texts(plan.experiment.task.sensitive), _claim(plan.run_folder), _full_disk():
        evaluate.evaluate(plan, record.artefact, progress)
    return evaluate.identity(plan, record.artefact)


def _write_run(folder: Path, record: RunRecord) -> None:
    write_json(folder / f"run-{record.attempt}.json", record)
    write_json(folder / "run.json", record)


# ----------------------------------------------------------------------------------------------- time and claims


def _with_heartbeat(plan: RunPlan, progress: arms.Progress) -> arms.Progress:
    """Touch a file with every step, so that the time lost in a kill is known to the next attempt."""
    beat = plan.run_folder / "heartbeat"

    def report(phase: str, done: int, total: int) -> None:
        if phase in TRAINING:
            beat.touch()
        progress(phase, done, total)

    return report


def _lost_seconds(folder: Path) -> float:
    """Wall seconds between the last complete checkpoint (or the start) and the last sign of life of a killed try."""
    lost_file, beat, plan = folder / "lost.json", folder / "heartbeat", folder / "plan.json"
    lost = float(read_json(lost_file)) if lost_file.exists() else 0.0
    if beat.exists():
        saved = [path.stat().st_mtime for path in folder.glob("checkpoints/*/COMPLETE")]
        # The plan is written anew by every try; a checkpoint of an earlier one says nothing of the pause between.
        began = plan.stat().st_mtime if plan.exists() else beat.stat().st_mtime
        lost += max(0.0, beat.stat().st_mtime - max([*saved, began]))
        beat.unlink()
        write_json(lost_file, lost)
    return lost


def spent(ledger: Ledger) -> float:
    """Wall seconds of training, preparation, validation and failed attempts."""
    return ledger.train_seconds + ledger.prepare_seconds + ledger.validation_seconds + ledger.lost_seconds


def _spent_until(error: Exception, elapsed: float) -> Ledger:
    """What a failed training of `elapsed` seconds took: what its loop counted, and the rest as preparation.

    A loop that went on from a checkpoint counts what was spent before, too.
    """
    ledger = error.ledger if isinstance(error, ArmFailed) else None
    if not isinstance(ledger, Ledger):
        return Ledger(prepare_seconds=elapsed)
    return replace(ledger, prepare_seconds=max(0.0, elapsed - spent(ledger)))


def _kept_seconds(folder: Path) -> float:
    """Seconds of an earlier attempt that are not lost: the next one goes on from its checkpoint, which counts them."""
    newest = checkpoints.latest(folder / "checkpoints")
    if newest is None:
        return 0.0
    position = read_json(newest / "position.json")
    return float(sum(position.get(name, 0.0) for name in ("train_seconds", "validation_seconds", "lost_seconds")))


def _claim(folder: Path) -> filelock.FileLock:
    """Hold the run folder: two processes never train the same thing. The kernel frees it when a process dies."""
    return filelock.FileLock(folder / "claim.lock")


def set_threads(plan: RunPlan, before: Callable[[RunPlan], None] = lambda plan: None) -> None:
    """Fix the number of threads: results of CPU kernels depend on it, and waiting threads spin.

    Some libraries read it when they are imported; `before` may import them.
    """
    if arms.needs_libraries(plan.arm):
        os.environ["OMP_NUM_THREADS"] = str(plan.threads)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        before(plan)
        import torch

        torch.set_num_threads(plan.threads)


def warm(plan: RunPlan) -> None:
    """Import what training and scoring `plan` needs, and load nothing."""
    set_threads(plan, arms.warm)


# --------------------------------------------------------------------------------------------------------- files


def read_training(folder: Path) -> TrainingData:
    """Train and validation examples and train pairs of a prepared task: all that a trainer may see."""
    return TrainingData(
        train=tuple(read_records(folder / "train.jsonl", Example)),
        validation=tuple(read_records(folder / "validation.jsonl", Example)),
        pairs=tuple(read_records(folder / "pairs.jsonl", PreferencePair)),
    )


@contextmanager
def _full_disk() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _raise_full_disk(error)
        raise


def _raise_full_disk(error: BaseException) -> None:
    if is_full_disk(error):
        hint = "free some space and run the same command: it goes on"
        raise DiskFull("no space left on the device", hint=hint) from error
