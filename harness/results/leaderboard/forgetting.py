"""Forgetting: what an arm can still do of what the base could, before and after, paired on the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def retention_metrics(scores: Sequence[Score]) -> list[str]:
    """Names of the metrics over the task's retention text and tasks, in stored order."""
    if isinstance(scores, ScoreColumns):
        kept = [block for block in scores.blocks if block.suite.partition(":")[0] == "retention"]
        return list(dict.fromkeys(named(block.suite, block.metric, block.filter) for block in kept))
    return list(dict.fromkeys(name_of(score) for score in scores if score.suite.partition(":")[0] == "retention"))


def forgetting(
    names: Sequence[str], base: str, evaluations: Mapping[str, Sequence[str]], table: Table, estimator: Estimator
) -> tuple[Forgetting, ...]:
    """Before (the arm `base`) and after of every measure and other arm of `evaluations` that has both."""
    measures = []
    for name in names:
        metric_, before = metric(name), series(table, evaluations[base], name)
        for arm, own in evaluations.items():
            after = series(table, own, name)
            if arm == base or isinstance(before, str) or isinstance(after, str):
                continue
            was, is_now = estimator.value(metric_, before, base), estimator.value(metric_, after, arm)
            difference = estimator.difference(metric_, after, before, (arm, base))
            if not (isinstance(was, str) or isinstance(is_now, str) or isinstance(difference, str)):
                measures.append(Forgetting(arm, name, metric_.direction, was, is_now, difference))
    return tuple(measures)
