"""Measures the arms of a stored experiment on demand: `harness serving`."""

from __future__ import annotations

from pathlib import Path

from harness import results
from harness.config import ServingSpec
from harness.data.prepare import prepare
from harness.errors import UsageError
from harness.experiments import pipeline, speed
from harness.experiments.running.context import RunContext
from harness.progress import Reporter
from harness.results import queries


def serve(path: Path, home: Path, reporter: Reporter, *, again: bool = False) -> results.Leaderboard:
    """Measure the finished arms of the experiment in `path` on this machine, unless that is stored or `again`.

    With the settings of its `serving:`, or the defaults. The test split is not evaluated.

    Raises UsageError when the experiment has no results here, DataError when it has no validation examples.
    """
    home = home.absolute()
    experiment = pipeline.load(path)
    record, plans = pipeline.stored_plans(experiment, prepare(experiment, home), home)
    store, jobs = queries.open_store(home), []
    if record.experiment_id in {stored.experiment_id for stored in store.experiments()}:
        jobs = speed.jobs(plans, experiment.spec.serving or ServingSpec())
    if not jobs:
        raise UsageError(f"{path} has no results under {home}", hint=f"`harness run {path}` makes them")
    speed.measure(RunContext(home, store, record, reporter), jobs, again=again)
    return queries.board(home, record.experiment_id)
