"""Scores a frozen run again after an upgrade, to see whether results of both environments may be ranked together.

A library that is upgraded may move every score. Instead of scoring everything again, one run that was scored in the
other environment is scored here, from its stored artefact, and compared with itself example by example: if no metric of
the task moved by as much as its own interval, the environments are accepted as one. What the check cannot show is
whether the change would have altered a *training*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import environment, metrics
from harness.errors import UsageError
from harness.experiments import pipeline
from harness.experiments.evaluation import evaluate
from harness.experiments.running import ingest, plans as run_plans, worker
from harness.experiments.running.context import RunContext
from harness.progress import Reporter
from harness.records import Entry, Estimate, ExperimentRecord, Move, Prediction, RunPlan, Score, SentinelCheck, digest
from harness.results.collect import collect
from harness.results.estimator import Estimator, series, tabulate
from harness.results.leaderboard.environments import examine, fingerprint


def check(path: Path, home: Path, reporter: Reporter, arm: str | None = None) -> list[SentinelCheck]:
    """Check the present environment against every other one that the experiment in `path` has results of.

    For each, the frozen run is the reference arm's where that was scored there, else an arm that was (or `arm`). The
    scoring counts as a test-set evaluation. Returns the checks made now; none when there is nothing to check.

    Raises UsageError when the experiment has no results here, ArmFailed when the frozen run's artefact is gone.
    """
    experiment, context, plans = pipeline.stored_run(path, home.absolute(), reporter)
    here = digest(environment.scoring_environment(run_plans.device_of(experiment)))
    by_train_id = {plan.train_id: plan for plan in plans}
    return [_check(context, by_train_id[entry.train_id], entry) for entry in _frozen(context, here, arm)]


def _frozen(context: RunContext, here: str, arm: str | None) -> list[Entry]:
    """One run for each environment that is neither the present one nor linked to it by an accepted check."""
    results = collect(context.store, context.record.experiment_id)
    environments = examine(results)
    accepted = [check for check in environments.checks if check.accepted]
    linked = {here}
    for _ in accepted:  # by way of others, too
        for check in accepted:
            pair = {digest(check.environment_before), digest(check.environment_after)}
            linked |= pair if pair & linked else set()
    scored_in = {row.eval_id: fingerprint(row.environment) for row in results.evaluations}
    reference = str(context.record.spec.get("reference", "untrained"))
    entries = [entry for entry in results.entries if entry.status == "ok" and entry.eval_id is not None]
    if arm is not None and arm not in {entry.arm for entry in entries}:
        raise UsageError(f"no arm with a result is called {arm!r}", hint=", ".join(entry.arm for entry in entries))
    chosen = []
    for other in [name for name in environments.known if name not in linked]:
        candidates = [entry for entry in entries if scored_in.get(entry.eval_id or "") == other]
        preferred = [entry for entry in candidates if entry.arm == (arm or reference)]
        chosen += (preferred or ([] if arm else candidates))[:1]
    return chosen


def _check(context: RunContext, plan: RunPlan, entry: Entry) -> SentinelCheck:
    assert entry.eval_id is not None
    context.reporter.label = f"sentinel {entry.arm}"
    after = worker.rescore(plan, context.reporter)
    store, record = context.store, context.record
    rows = ingest.evaluation_rows(context.home / "evals" / after)
    look = ingest.look(record, Entry(record.experiment_id, entry.arm, entry.seed, "", 1, "ok", after), "sentinel")
    scores = [*store.scores([entry.eval_id]), *(row for row in rows if isinstance(row, Score))]
    frozen = store.evaluations([entry.eval_id])[0]
    old = {row.example: row.text for row in store.predictions([entry.eval_id])}
    new = {row.example: row.text for row in rows if isinstance(row, Prediction)}
    moves = _moves(record, scores, entry.eval_id, after)
    result = SentinelCheck(
        experiment=record.experiment_id,
        suite=record.suite,
        arm=entry.arm,
        before=entry.eval_id,
        after=after,
        environment_before=frozen.environment,
        environment_after=evaluate.environment_of(plan),
        moves=moves,
        answers=len(old),
        changed_answers=sum(text != new.get(example) for example, text in old.items()),
        accepted=bool(moves) and all(move.within for move in moves),
        when=environment.now(),
    )
    ingest.check(store, context.home, result, [*rows, look])
    return result


def _moves(record: ExperimentRecord, scores: Sequence[Score], before: str, after: str) -> tuple[Move, ...]:
    """How far every metric that the task declares moved; those without a value are left out."""
    table = tabulate(scores)
    estimator = Estimator(record.groups, int(digest([before, after]), 16))
    asked = record.task["metrics"]
    moves = []
    for name in dict.fromkeys([asked["primary"], *asked.get("also", [])]):
        metric = metrics.of_task(name, record.task)
        old, new = series(table, [before], name), series(table, [after], name)
        if isinstance(old, str) or isinstance(new, str):
            continue
        value = estimator.value(metric, old, "frozen")
        difference = estimator.difference(metric, new, old, ("again", "frozen"))
        if old.items == new.items and (old.data == new.data).all() and isinstance(value, Estimate):
            # Nothing moved at all: an interval around 0 would speak of a sampling that did not take place.
            difference = replace(value, value=0.0, low=0.0, high=0.0, method="every score is the same")
        if isinstance(value, Estimate) and isinstance(difference, Estimate):
            moves.append(Move(name, value, difference, within(value, difference)))
    return tuple(moves)


def within(frozen: Estimate, difference: Estimate) -> bool:
    """Whether a movement is less than the frozen value's uncertainty: its whole interval within half the width."""
    if difference.value == 0 and difference.low in (0, None) and difference.high in (0, None):
        return True
    if None in (frozen.low, frozen.high, difference.low, difference.high):
        return False
    half = (float(frozen.high or 0.0) - float(frozen.low or 0.0)) / 2
    return -half < float(difference.low or 0.0) and float(difference.high or 0.0) < half
