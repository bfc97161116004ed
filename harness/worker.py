"""One picklable function, `execute`: a RunPlan in, a run folder and an evaluation folder out. Never opens the store.

    runs/TRAIN_ID/   plan.json  claim.lock  heartbeat  checkpoints/  artefact/  train_log.jsonl  run-N.json  run.json
    evals/EVAL_ID/   predictions and likelihoods by whole batch  scores.jsonl  evaluation.json (written last)

Every step looks first at what is there already, so that the same plan can be executed again after a kill at any
moment: a finished training is never repeated, a half-finished one goes on from its last complete checkpoint, a
half-finished scoring from its last complete batch.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness import arms, environment, evaluation, sealing
from harness.errors import ArmFailed, DiskFull, Diverged, HarnessError, Interrupted, OutOfMemory
from harness.files import read_json, read_records, write_json
from harness.records import (
    Artefact,
    Example,
    Ledger,
    PreferencePair,
    RunPlan,
    RunRecord,
    Status,
    TrainingData,
    from_json,
)

RETRY = "retry"
"""A file in a run folder that asks for another attempt at a run that diverged."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan: the run's record, and the evaluation when there is one."""

    run: RunRecord
    eval_id: str | None


def eval_id(plan: RunPlan, artefact: Artefact) -> str:
    """Identity of scoring `artefact` on the plan's sealed suite with its generation settings in this environment."""
    return evaluation.identity(plan, artefact)


def finished(plan: RunPlan) -> Outcome | None:
    """The outcome of a plan that needs no more work, or None.

    A diverged run is final: the same seed would diverge again. Other failures may be tried again.
    """
    record = read_run(plan.run_folder)
    if record is None or record.status in ("failed", "oom", "cancelled"):
        return None
    if record.status == "diverged" or record.artefact is None:
        return None if (plan.run_folder / RETRY).exists() else Outcome(record, None)
    identity = eval_id(plan, record.artefact)
    if not evaluation.is_complete(plan.home / "evals" / identity):
        return None
    return Outcome(record, identity)


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
    _set_threads(plan)
    with _claim(plan.run_folder), _full_disk():
        done = finished(plan)
        if done is not None:
            return done
        record = read_run(plan.run_folder)
        if record is None or record.status != "ok" or not _artefact_is_there(plan, record):
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
    earlier = read_run(plan.run_folder)
    record = RunRecord(
        train_id=plan.train_id,
        attempt=earlier.attempt + 1 if earlier else 1,
        arm=plan.arm_name,
        method=plan.arm.method,
        seed=plan.seed,
        role=plan.role,
        status="failed",
        error=error,
        ledger=Ledger(),
        provenance=environment.provenance(),
        artefact=None,
        parent_train_id=plan.parent_train_id,
    )
    return Outcome(record, None)


def _train(plan: RunPlan, earlier: RunRecord | None, progress: arms.Progress) -> RunRecord:
    provenance = environment.provenance()
    attempt = earlier.attempt + 1 if earlier is not None else 1
    lost = _lost_seconds(plan.run_folder) + (_spent(earlier.ledger) if earlier and earlier.status != "ok" else 0.0)
    write_json(plan.run_folder / "plan.json", plan)
    status: Status = "ok"
    error, result = None, None
    started = time.monotonic()
    try:
        data = read_training(plan.files.folder)
        with sealing.closed(plan.home / "sealed"):
            result = arms.family(plan.arm.method).train(without_test(plan), data, progress)
    except (Interrupted, DiskFull, KeyboardInterrupt):
        raise
    except Exception as caught:
        _raise_full_disk(caught)
        status, error = _status_of(caught), _one_line(caught)
        if not isinstance(caught, HarnessError):
            (plan.run_folder / f"traceback-{attempt}.txt").write_text(traceback.format_exc())
    ledger = result.ledger if result else Ledger(train_seconds=time.monotonic() - started)
    record = RunRecord(
        train_id=plan.train_id,
        attempt=attempt,
        arm=plan.arm_name,
        method=plan.arm.method,
        seed=plan.seed,
        role=plan.role,
        status=status,
        error=error,
        ledger=replace(ledger, lost_seconds=ledger.lost_seconds + lost),
        provenance=provenance,
        artefact=result.artefact if result else None,
        parent_train_id=plan.parent_train_id,
        notes=result.notes if result else (),
    )
    _write_run(plan.run_folder, record)
    for name in ("heartbeat", "lost.json", RETRY):
        (plan.run_folder / name).unlink(missing_ok=True)
    if status in ("ok", "diverged"):
        shutil.rmtree(plan.run_folder / "checkpoints", ignore_errors=True)
    return record


def without_test(plan: RunPlan) -> RunPlan:
    """The plan as a trainer sees it: it does not say where the sealed test split lies."""
    return replace(plan, files=replace(plan.files, sealed=None))


def _score(plan: RunPlan, record: RunRecord, progress: arms.Progress) -> Outcome:
    assert record.artefact is not None
    identity = eval_id(plan, record.artefact)
    try:
        seconds = evaluation.evaluate(plan, record.artefact, progress)
    except (Interrupted, DiskFull, KeyboardInterrupt):
        raise
    except Exception as caught:
        _raise_full_disk(caught)
        if not isinstance(caught, HarnessError):
            (plan.run_folder / "traceback-score.txt").write_text(traceback.format_exc())
        failed = replace(record, status=_status_of(caught), error=f"scoring: {_one_line(caught)}")
        return Outcome(failed, None)
    ledger = replace(record.ledger, predict_seconds=seconds.predict, score_seconds=seconds.score)
    record = replace(record, ledger=ledger)
    _write_run(plan.run_folder, record)
    return Outcome(record, identity)


def _status_of(error: Exception) -> Status:
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, (OutOfMemory, MemoryError)) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    if isinstance(error, ArmFailed) and error.message.startswith("cancelled"):
        return "cancelled"
    return "failed"


def _one_line(error: Exception) -> str:
    text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]


def _artefact_is_there(plan: RunPlan, record: RunRecord) -> bool:
    """False when `keep:` pruned the artefact since; it can be trained again to the same bits."""
    artefact = record.artefact
    return artefact is not None and (artefact.path is None or (plan.run_folder / artefact.path).exists())


def _write_run(folder: Path, record: RunRecord) -> None:
    write_json(folder / f"run-{record.attempt}.json", record)
    write_json(folder / "run.json", record)


# ----------------------------------------------------------------------------------------------- time and claims


def _with_heartbeat(plan: RunPlan, progress: arms.Progress) -> arms.Progress:
    """Touch a file with every step, so that the time lost in a kill is known to the next attempt."""
    beat = plan.run_folder / "heartbeat"

    def report(phase: str, done: int, total: int) -> None:
        if phase.startswith("train"):
            beat.touch()
        progress(phase, done, total)

    return report


def _lost_seconds(folder: Path) -> float:
    """Wall seconds between the last complete checkpoint (or the start) and the last sign of life of a killed try."""
    lost_file, beat, plan = folder / "lost.json", folder / "heartbeat", folder / "plan.json"
    lost = float(read_json(lost_file)) if lost_file.exists() else 0.0
    if beat.exists():
        saved = [path.stat().st_mtime for path in folder.glob("checkpoints/*/COMPLETE")]
        started = max(saved, default=plan.stat().st_mtime if plan.exists() else beat.stat().st_mtime)
        lost += max(0.0, beat.stat().st_mtime - started)
        beat.unlink()
        write_json(lost_file, lost)
    return lost


def _spent(ledger: Ledger) -> float:
    return ledger.train_seconds + ledger.prepare_seconds + ledger.validation_seconds + ledger.lost_seconds


@contextmanager
def _claim(folder: Path) -> Iterator[None]:
    """Hold the run folder: two processes never train the same thing. The kernel frees it when a process dies."""
    import filelock

    with filelock.FileLock(folder / "claim.lock"):
        yield


def _set_threads(plan: RunPlan) -> None:
    """Fix the number of threads: results of CPU kernels depend on it, and waiting threads spin."""
    if plan.arm.method == "toy":
        return
    os.environ["OMP_NUM_THREADS"] = str(plan.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(plan.threads)


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
    except OSError as error:
        _raise_full_disk(error)
        raise


def _raise_full_disk(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "no space left on the device", hint="free some space and run the same command: it goes on"
            ) from error
        seen = seen.__cause__ or seen.__context__
