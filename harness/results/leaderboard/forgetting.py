"""Forgetting: what an arm can still do of what the base could, before and after, paired on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.metrics import metric
from harness.records import Estimate, Score, ScoreColumns
from harness.results.estimator import Estimator
from harness.results.score_table import Table, name_of, named, series


@dataclass(frozen=True, slots=True)
class Forgetting:
    """One measure of retention for one arm."""

    arm: str
    metric: str
    direction: Literal["higher", "lower"]
    before: Estimate
    """The untrained base."""
    after: Estimate
    difference: Estimate
    """After minus before, paired."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An arm and its evaluations."""

    arm: str
    evaluations: Sequence[str]


def retention_metrics(scores: Sequence[Score]) -> list[str]:
    """Names of the metrics over the task's retention text and tasks, in stored order."""
    if isinstance(scores, ScoreColumns):
        kept = [block for block in scores.blocks if block.suite.partition(":")[0] == "retention"]
        return list(dict.fromkeys(named(block.suite, block.metric, block.filter) for block in kept))
    return list(dict.fromkeys(name_of(score) for score in scores if score.suite.partition(":")[0] == "retention"))


def forgetting(
    names: Sequence[str], base: Measured, arms: Sequence[Measured], table: Table, estimator: Estimator
) -> tuple[Forgetting, ...]:
    """Before (`base`) and after of every measure and arm that has both."""
    measures = []
    for name in names:
        measure, before = metric(name), series(table, base.evaluations, name)
        if isinstance(before, str):
            continue
        for arm in arms:
            after = series(table, arm.evaluations, name)
            if isinstance(after, str):
                continue
            was = estimator.value(measure, before, base.arm)
            is_now = estimator.value(measure, after, arm.arm)
            difference = estimator.difference(measure, after, before, (arm.arm, base.arm))
            if isinstance(was, str) or isinstance(is_now, str) or isinstance(difference, str):
                continue
            measures.append(Forgetting(arm.arm, name, measure.direction, was, is_now, difference))
    return tuple(measures)
