"""`harness serving`: the arms of a stored experiment measured on demand."""

from __future__ import annotations

from pathlib import Path

from harness import results
from harness.data.prepare import prepare
from harness.errors import UsageError
from harness.experiments import pipeline, speed
from harness.experiments.running import plans as run_plans
from harness.progress import Reporter
from harness.results import queries


def serve(path: Path, home: Path, reporter: Reporter, *, again: bool = False) -> results.Leaderboard:
    """Measure the finished arms of the experiment in `path` on this machine, unless that is stored or `again`.

    With the settings of its `serving:`, or the defaults. Takes no look at the test split.

    Raises UsageError when the experiment has no results here, DataError when it has no validation examples.
    """
    home = home.absolute()
    experiment = pipeline.load(path)
    prepared = prepare(experiment, home)
    record = pipeline.experiment_record(experiment, prepared, run_plans.plan_runs(experiment, prepared, home))
    store = queries.open_store(home)
    jobs = []
    if record.experiment_id in {stored.experiment_id for stored in store.experiments()}:
        plans = run_plans.plan_runs(pipeline.settled(experiment, home, record), prepared, home)
        jobs = speed.jobs(plans, speed.settings_of(experiment))
    if not jobs:
        raise UsageError(f"{path} has no results under {home}", hint=f"`harness run {path}` makes them")
    speed.measure(speed.Place(home, record.experiment_id, store, reporter), jobs, again=again)
    return queries.board(home, record.experiment_id)
