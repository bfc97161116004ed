"""What figures show, as records and as CSV; `harness/figures` draws it. The forest's data is the leaderboard's CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.records import RunEvent, TrainLogRow
from harness.results.collect import Results
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.costs import Cost
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.studies.curve import LearningCurve, learning_curve
from harness.results.studies.tuning import TuningReport, tuning_report

Spread = tuple[float, float | None, float | None]
"""A cost with its whiskers."""


def _of_cost(read: Callable[[Cost], float | None]) -> Callable[[Row, Leaderboard], Spread | None]:
    def spread(row: Row, board: Leaderboard) -> Spread | None:
        value = read(row.cost) if row.cost is not None else None
        return None if value is None else (value, None, None)

    return spread


def _train_seconds(row: Row, board: Leaderboard) -> Spread | None:
    """With the range over seeds."""
    if row.cost is None or row.cost.all_train_seconds is None:
        return None
    low, high = row.cost.spread or (None, None)
    return row.cost.all_train_seconds, low, high


def _latency(row: Row, board: Leaderboard) -> Spread | None:
    """Milliseconds to the first token, with the interval over rounds."""
    served = board.serving.of(row.arm) if board.serving is not None else None
    latency = served.figures.get("first_token_seconds") if served is not None else None
    if latency is None:
        return None
    low, high = (None if end is None else 1000 * end for end in (latency.low, latency.high))
    return 1000 * latency.value, low, high


MEASURES: tuple[tuple[str, str, Callable[[Row, Leaderboard], Spread | None]], ...] = (
    ("train_seconds", "s", _train_seconds),
    (
        "peak_memory",
        "MB",
        _of_cost(lambda cost: None if cost.peak_memory_bytes is None else cost.peak_memory_bytes / 1e6),
    ),
    ("trainable_parameters", "", _of_cost(lambda cost: cost.trainable_parameters)),
    ("latency", "ms", _latency),
    ("money", "", _of_cost(lambda cost: (cost.with_parent or cost).money)),
)
"""Costs that quality is shown against: name, unit, and how it is read off. Latency is there where it was measured,
money where the experiment gives a price (in whatever money that is), a parent's share included."""


@dataclass(frozen=True, slots=True)
class CostPoint:
    """One arm: the primary metric against one cost."""

    arm: str
    value: float
    low: float | None
    high: float | None
    cost: float
    cost_low: float | None
    """Of training time the least of the seeds, of latency the lower limit; None where neither is known."""
    cost_high: float | None
    on_front: bool
    """Whether no other arm is at least as cheap and as good, and better in one of the two."""


@dataclass(frozen=True, slots=True)
class CostView:
    """The primary metric of all arms against one cost."""

    measure: str
    unit: str
    points: tuple[CostPoint, ...]
    unknown: tuple[str, ...]
    """Arms with a value whose cost is not known."""


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """The training log of one arm and seed, with what went wrong in it."""

    arm: str
    seed: int | None
    status: str
    rows: tuple[TrainLogRow, ...]
    events: tuple[RunEvent, ...]


def cost_views(board: Leaderboard) -> tuple[CostView, ...]:
    """Quality against each cost, for arms that stand in one ranking; costs that no arm has are left out."""
    rows = [row for row in board.rows if row.cells[board.primary].estimate is not None and not row.unranked_reason]
    higher = board.columns[0].direction == "higher"
    views = []
    for name, unit, read in MEASURES:
        points, unknown = [], []
        for row in rows:
            estimate, cost = row.cells[board.primary].estimate, read(row, board)
            if estimate is None or cost is None:
                unknown.append(row.arm)
                continue
            points.append(CostPoint(row.arm, estimate.value, estimate.low, estimate.high, *cost, False))
        if points:
            views.append(CostView(name, unit, _with_front(points, higher), tuple(unknown)))
    return tuple(views)


def front_corners(view: CostView) -> list[tuple[float, float]]:
    """Corners of the Pareto front, as (cost, value), from the cheapest on."""
    corners: list[tuple[float, float]] = []
    for point in sorted((point for point in view.points if point.on_front), key=lambda point: point.cost):
        if corners:
            corners.append((point.cost, corners[-1][1]))
        corners.append((point.cost, point.value))
    return corners


def _with_front(points: Sequence[CostPoint], higher: bool) -> tuple[CostPoint, ...]:
    sign = 1.0 if higher else -1.0

    def beaten(one: CostPoint) -> bool:
        return any(
            other.cost <= one.cost
            and sign * other.value >= sign * one.value
            and (other.cost < one.cost or sign * other.value > sign * one.value)
            for other in points
        )

    return tuple(
        CostPoint(p.arm, p.value, p.low, p.high, p.cost, p.cost_low, p.cost_high, not beaten(p)) for p in points
    )


def training_curves(results: Results) -> tuple[TrainingCurve, ...]:
    """The log of every final training on the whole train split, in the experiment's order; without logs, none."""
    logs = {(log.train_id, log.attempt): log.rows for log in results.logs}
    runs = {(run.train_id, run.attempt): run for run in results.runs}
    curves = []
    for entry in results.entries:
        rows, run = logs.get((entry.train_id, entry.attempt)), runs.get((entry.train_id, entry.attempt))
        if rows and run is not None:
            curves.append(TrainingCurve(entry.arm, entry.seed, run.status, tuple(rows), run.ledger.events))
    return tuple(curves)


# -------------------------------------------------------------------------------------------------------------- csv


def figure_tables(results: Results) -> dict[str, str]:
    """The data of every figure that the results have, as CSV by the figure's name."""
    tables = {
        "cost": _csv(_cost_rows(leaderboard(results))),
        "training": _csv(_training_rows(training_curves(results))),
        "curve": _csv(_curve_rows(learning_curve(results))),
        "tuning": _csv(_tuning_rows(tuning_report(results))),
    }
    return {name: text for name, text in tables.items() if text}


def _cost_rows(board: Leaderboard) -> list[dict[str, object]]:
    return [
        {
            "measure": view.measure,
            "unit": view.unit,
            "arm": point.arm,
            "metric": board.primary,
            "value": point.value,
            "low": point.low,
            "high": point.high,
            "cost": point.cost,
            "cost_low": point.cost_low,
            "cost_high": point.cost_high,
            "on_front": str(point.on_front).lower(),
        }
        for view in cost_views(board)
        for point in view.points
    ]


def _training_rows(curves: Sequence[TrainingCurve]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for curve in curves:
        events: dict[int, list[str]] = {}
        for event in curve.events:
            events.setdefault(event.step, []).append(event.kind)
        for row in curve.rows:
            rows.append(
                {
                    "arm": curve.arm,
                    "seed": curve.seed,
                    "step": row.step,
                    "examples": row.examples,
                    "loss": row.loss,
                    "validation_loss": row.validation_loss,
                    "gradient_norm": row.gradient_norm,
                    "learning_rate": row.learning_rate,
                    "events": " ".join(events.get(row.step, ())),
                }
            )
    return rows


def _curve_rows(curve: LearningCurve) -> list[dict[str, object]]:
    return [
        {
            "arm": one.arm,
            "metric": curve.primary,
            "fraction": point.fraction,
            "examples": point.examples,
            "value": point.estimate.value if point.estimate else None,
            "low": point.estimate.low if point.estimate else None,
            "high": point.estimate.high if point.estimate else None,
            "verdict": one.verdict,
        }
        for one in curve.arms
        for point in one.points
    ]


def _tuning_rows(report: TuningReport) -> list[dict[str, object]]:
    fields = list(dict.fromkeys(name for one in report.arms for trial in one.trials for name in trial.values))
    return [
        {
            "arm": one.arm,
            "trial": trial.number,
            "rung": trial.rung,
            "share": trial.share,
            **{name: trial.values.get(name) for name in fields},
            "metric": trial.metric,
            "value": trial.value,
            "loss": trial.loss,
            "status": trial.status,
            "recipe": str(trial.stock).lower(),
            "chosen": str(trial.chosen).lower(),
        }
        for one in report.arms
        for trial in one.trials
    ]


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with a header, all digits; empty without rows."""
    if not rows:
        return ""
    target = io.StringIO()
    writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return target.getvalue()
