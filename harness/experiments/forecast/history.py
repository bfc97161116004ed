"""Reads from stored runs what they took per example, which a forecast is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import environment
from harness.records import ExperimentRecord, Ledger, RunPlan, RunRecord

if TYPE_CHECKING:
    from harness.store import Store

NEWEST = 5
"""How many of the newest runs are averaged."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one run of an arm takes. Seconds are wall time; None where the basis does not say."""

    per_example: float | None
    """Seconds of train steps for one training example; None for an arm without training."""
    per_token: float | None
    fixed_seconds: float
    """Preparation and validation of one run."""
    per_test_example: float | None
    """Seconds of generation and scoring for one test example."""
    peak_memory_bytes: int | None
    artefact_bytes: int
    basis: str
    """Where this comes from, in words."""


@dataclass(frozen=True, slots=True)
class Past:
    """A stored run and the experiment that it was scored in."""

    run: RunRecord
    experiment: ExperimentRecord


def past_runs(store: Store) -> list[Past]:
    """Finished runs with the experiments they belong to, the newest first; each run once."""
    records_of_runs: dict[tuple[str, int], ExperimentRecord] = {}
    for record in store.experiments():
        for entry in store.entries(record.experiment_id):
            if entry.eval_id is not None:
                records_of_runs[entry.train_id, entry.attempt] = record
    runs = store.runs([train_id for train_id, _ in records_of_runs])
    good = [run for run in runs if run.status == "ok" and (run.train_id, run.attempt) in records_of_runs]
    good.sort(key=lambda run: run.provenance.started, reverse=True)
    return [Past(run, records_of_runs[run.train_id, run.attempt]) for run in good]


def rate(plan: RunPlan, past: Sequence[Past]) -> Rate | None:
    """What stored runs of the plan's base and method took, the most similar ones; None when there are none.

    Most similar: first the same machine, then the same task, then the same arm.
    """
    base, method = plan.base_hash, plan.arm.method
    candidates = [run for run in past if run.run.method == method and run.experiment.base_hash == base]
    if not candidates:
        return None
    task, here = plan.experiment.task.name, _machine(environment.hardware())

    def likeness(candidate: Past) -> tuple[bool, bool, bool]:
        machine = _machine(candidate.run.provenance.hardware) == here
        return (machine, candidate.experiment.task.get("name") == task, candidate.run.arm == plan.arm_name)

    best = max(map(likeness, candidates))
    used = [candidate for candidate in candidates if likeness(candidate) == best][:NEWEST]
    fixed = [past.run.ledger.prepare_seconds + past.run.ledger.validation_seconds for past in used]
    tests = sum(past.experiment.split_sizes.get("test", 0) for past in used)
    return rate_of([past.run.ledger for past in used], sum(fixed) / len(fixed), tests, _basis(used, best))


def _machine(hardware: Any) -> tuple[Any, ...]:
    accelerators = tuple(hardware.get("accelerators") or ())
    return (hardware.get("processor"), hardware.get("cores"), accelerators)


def _basis(used: Sequence[Past], likeness: tuple[bool, bool, bool]) -> str:
    same_machine, same_task, same_arm = likeness
    newest = used[0]
    number = "1 stored run" if len(used) == 1 else f"{len(used)} stored runs"
    text = f"{number} of {newest.run.arm if same_arm else newest.run.method}"
    if not same_task:
        text += f" on another task ({newest.experiment.task.get('name')})"
    return text if same_machine else f"{text} on another machine"


def rate_of(ledgers: Sequence[Ledger], fixed_seconds: float, tests: int, basis: str) -> Rate:
    """What runs took that scored `tests` examples in all."""
    peaks = [ledger.peak_memory_bytes for ledger in ledgers if ledger.peak_memory_bytes is not None]
    trained = [ledger for ledger in ledgers if ledger.examples]
    examples, tokens = sum(ledger.examples for ledger in trained), sum(ledger.tokens for ledger in trained)
    train_seconds = sum(ledger.train_seconds for ledger in trained)
    score_seconds = sum(ledger.predict_seconds + ledger.score_seconds for ledger in ledgers)
    return Rate(
        per_example=train_seconds / examples if examples else None,
        per_token=train_seconds / tokens if tokens else None,
        fixed_seconds=fixed_seconds,
        per_test_example=score_seconds / tests if tests else None,
        peak_memory_bytes=max(peaks, default=None),
        artefact_bytes=max(ledger.artefact_bytes for ledger in ledgers),
        basis=basis,
    )
