"""Measures the arms of a stored experiment on demand: `harness serving`."""

from __future__ import annotations

from pathlib import Path

from harness.config import ServingSpec
from harness.experiments import pipeline, speed
from harness.progress import Reporter
from harness.results import queries
from harness.results.leaderboard.rows import Leaderboard


def serve(path: Path, home: Path, reporter: Reporter, *, again: bool = False) -> Leaderboard:
    """Measure the finished arms of the experiment in `path` on this machine, unless that is stored or `again`.

    With the settings of its `serving:`, or the defaults. The test split is not evaluated.

    Raises UsageError when the experiment has no results here, DataError when it has no validation examples.
    """
    home = home.absolute()
    experiment, context, plans = pipeline.stored_run(path, home, reporter)
    jobs = speed.jobs(plans, experiment.spec.serving or ServingSpec())
    if not jobs:
        raise pipeline.no_results(path, home)
    speed.measure(context, jobs, again=again)
    return queries.board(home, context.record.experiment_id)
