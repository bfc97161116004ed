"""Holds where one run of an experiment works and stores, whom it tells, and what executes its plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.experiments.running.executors import Execute
from harness.experiments.running.worker import Outcome
from harness.progress import Reporter
from harness.records import ExperimentRecord, RunPlan

if TYPE_CHECKING:
    from harness.store import Store


def no_executor(plans: Sequence[RunPlan], before: Callable[[], None] | None = None) -> Iterator[Outcome]:
    """Stands in for an executor where nothing is trained."""
    raise AssertionError("nothing is executed here")


@dataclass(frozen=True, slots=True)
class RunContext:
    """What racing, tuning, speed and drift share of one run."""

    home: Path
    store: Store
    record: ExperimentRecord
    reporter: Reporter
    execute: Execute = no_executor
    retry: bool = False
    """Whether diverged arms are tried again."""
