"""The learning curve: the primary metric by share of the train split, and whether more data would help.

Every point has the same budget of examples seen, so that a smaller share means more passes over fewer examples and a
difference is one of data, not of steps. What more data would bring is read off the last step alone, as a paired
difference with its interval; no curve is fitted through three points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.metrics import Metric, of_task
from harness.records import Entry, Estimate, ExperimentRecord, digest
from harness.results.collect import Results, scored
from harness.results.estimator import Estimator, Series, Table, series, tabulate
from harness.results.leaderboard.environments import fingerprint


@dataclass(frozen=True, slots=True)
class Point:
    """One arm on one share of the train split."""

    fraction: float
    examples: float
    """Train examples in that share, to a group."""
    passes: float | None
    """Times that each was seen on average; None where the ledger does not say."""
    estimate: Estimate | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ArmCurve:
    """One arm over all shares, the smallest first."""

    arm: str
    points: tuple[Point, ...]
    per_doubling: Estimate | None
    """Gain (in the metric's own direction, higher being better) for each doubling of the data, over the last step."""
    verdict: str


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Learning curves of one experiment."""

    experiment: ExperimentRecord
    primary: str
    direction: str
    arms: tuple[ArmCurve, ...]


def learning_curve(results: Results) -> LearningCurve:
    """The learning curves of an experiment; no arms when it had one share only."""
    experiment = results.experiment
    primary = str(experiment.task["metrics"]["primary"])
    table = tabulate(results.scores)
    estimator = Estimator(results.groups, int(digest([experiment.experiment_id, "curve"]), 16))
    arms = dict.fromkeys(entry.arm for entry in results.shares)
    curves = tuple(_curve(arm, results, table, estimator) for arm in arms)
    return LearningCurve(experiment, primary, of_task(primary, experiment.task).direction, curves)


def _curve(arm: str, results: Results, table: Table, estimator: Estimator) -> ArmCurve:
    task = results.experiment.task
    metric = of_task(str(task["metrics"]["primary"]), task)
    runs = {(run.train_id, run.attempt): run for run in results.runs}
    entries: dict[float, list[Entry]] = {}
    for entry in (*results.entries, *results.shares):
        if entry.arm == arm:
            entries.setdefault(entry.fraction, []).append(entry)
    points, measured = [], []
    for fraction, own in sorted(entries.items()):
        values = series(table, [entry.eval_id for entry in scored(own) if entry.eval_id is not None], metric.name)
        value = values if isinstance(values, str) else estimator.value(metric, values, f"{arm} {fraction:g}")
        size = fraction * results.experiment.split_sizes.get("train", 0)
        seen = [run.ledger.examples for entry in own if (run := runs.get((entry.train_id, entry.attempt)))]
        point = Point(fraction, size, sum(seen) / len(seen) / size if seen and size else None, None)
        if isinstance(value, str) or isinstance(values, str):
            points.append(replace(point, reason=str(value)))
        else:
            points.append(replace(point, estimate=value))
            measured.append((fraction, values))
    mine = {entry.eval_id for own in entries.values() for entry in own}
    scored_in = {
        fingerprint(evaluation.environment) for evaluation in results.evaluations if evaluation.eval_id in mine
    }
    if len(scored_in - {None}) > 1:
        return ArmCurve(arm, tuple(points), None, "cannot be said: its shares were scored in different environments")
    slope = _slope(metric, measured, estimator, arm)
    return ArmCurve(arm, tuple(points), slope, verdict(slope))


def _slope(metric: Metric, measured: Sequence[tuple[float, Series]], estimator: Estimator, arm: str) -> Estimate | None:
    """Gain for each doubling between the two largest shares, paired on the test examples."""
    if len(measured) < 2:
        return None
    (less, few), (more, many) = measured[-2:]
    difference = estimator.difference(metric, many, few, (f"{arm} {more:g}", f"{arm} {less:g}"))
    if isinstance(difference, str):
        return None
    doublings, sign = math.log2(more / less), 1.0 if metric.direction == "higher" else -1.0
    ends = [None if end is None else sign * end / doublings for end in (difference.low, difference.high)]
    low, high = ends if sign > 0 else ends[::-1]
    return replace(difference, value=sign * difference.value / doublings, low=low, high=high)


def verdict(slope: Estimate | None) -> str:
    """Whether more data would help, in words that claim no more than the last step shows."""
    if slope is None or slope.low is None or slope.high is None:
        return "cannot be said"
    if slope.low > 0:
        return "more data is likely to help: the last step's gain is above 0"
    if slope.high < 0:
        return "more data made it worse in the last step: look at the data, or train longer"
    return "not shown that more data would help: the last step's gain includes 0"
