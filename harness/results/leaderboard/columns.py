"""The metrics of a board, in the order in which they are shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from harness.errors import UsageError
from harness.metrics import METRICS, Metric, declared, is_own, metric
from harness.metrics.external import own_metric
from harness.records import ExperimentRecord
from harness.results.estimator import Table


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of the board."""

    name: str
    direction: Literal["higher", "lower"]
    unit: str
    description: str
    suite: str
    bounds: tuple[float, float] | None
    primary: bool


def columns_of(experiment: ExperimentRecord, table: Table) -> tuple[Column, ...]:
    """The primary metric, then what the task asks for, then what else was scored."""
    asked = experiment.task["metrics"]
    scored = dict.fromkeys(name for metrics in table.values() for name in metrics)
    own = [name for name in METRICS if name in scored]
    names = dict.fromkeys([asked["primary"], *asked.get("also", []), *own, *sorted(scored)])
    columns = []
    declarations = experiment.task.get("own_metrics") or {}
    for name in names:
        if is_own(name) and name not in declarations:
            continue  # another experiment added it to an evaluation that the two share
        try:
            metric_ = declared(name, declarations.get(name))
        except UsageError:
            # A score that an older harness stored under a name that is gone; the primary must be known.
            if name == asked["primary"]:
                raise
            continue
        about = metric_.direction, metric_.unit, metric_.description, metric_.suite, metric_.bounds
        columns.append(Column(name, *about, name == asked["primary"]))
    return tuple(columns)


def metric_of(column: Column) -> Metric:
    """The metric of a column; an own one with the bounds that it declares."""
    try:
        known = metric(column.name)
    except UsageError:  # of a package that is gone; `columns_of` has seen to it that a mean is right
        known = own_metric(column.name)
    added = column.name not in METRICS and "/" not in column.name
    return replace(known, direction=column.direction, bounds=column.bounds) if added else known
