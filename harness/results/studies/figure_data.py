"""What figures show, as records; `render.figures` draws it and writes it as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.records import RunEvent, TrainLogRow
from harness.results.collect import Results
from harness.results.leaderboard.rows import Leaderboard, Row

Spread = tuple[float | None, float | None, float | None]
"""A cost with its whiskers."""
UNITS = {"train_seconds": "s", "peak_memory": "MB", "trainable_parameters": "", "latency": "ms", "money": ""}
"""Costs that quality is shown against, with their units. Latency is there where it was measured, money where the
experiment gives a price (in whatever money that is), a parent's share included."""


def _costs(row: Row, board: Leaderboard) -> dict[str, Spread]:
    """An arm's costs: training time with its range over seeds, milliseconds to the first token with their interval."""
    costs: dict[str, Spread] = {}
    if row.cost is not None:
        peak = row.cost.peak_memory_bytes
        low, high = row.cost.spread or (None, None)
        costs["train_seconds"] = (row.cost.all_train_seconds, low, high)
        costs["peak_memory"] = (None if peak is None else peak / 1e6, None, None)
        costs["trainable_parameters"] = (row.cost.trainable_parameters, None, None)
        costs["money"] = ((row.cost.with_parent or row.cost).money, None, None)
    served = board.serving.of(row.arm) if board.serving is not None else None
    latency = served.figures.get("first_token_seconds") if served is not None else None
    if latency is not None:
        low, high = (None if end is None else 1000 * end for end in (latency.low, latency.high))
        costs["latency"] = (1000 * latency.value, low, high)
    return costs


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
    costs = {row.arm: _costs(row, board) for row in rows}
    views = []
    for name, unit in UNITS.items():
        points, unknown = [], []
        for row in rows:
            estimate, (cost, low, high) = row.cells[board.primary].estimate, costs[row.arm].get(name, (None,) * 3)
            if estimate is None or cost is None:
                unknown.append(row.arm)
            else:
                ends = estimate.value, estimate.low, estimate.high
                points.append(CostPoint(row.arm, *ends, cost, low, high, False))
        if points:
            higher = board.columns[0].direction == "higher"
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

    def beaten(point: CostPoint) -> bool:
        return any(
            other.cost <= point.cost
            and sign * other.value >= sign * point.value
            and (other.cost < point.cost or sign * other.value > sign * point.value)
            for other in points
        )

    return tuple(replace(point, on_front=not beaten(point)) for point in points)


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
