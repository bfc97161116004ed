"""Reports as plain JSON values under a versioned schema. Absent is null; no NaN; no text of a sensitive task."""

from __future__ import annotations

import math
from typing import Any

from harness.records import Estimate
from harness.records import to_json as plain
from harness.report.board import Cell, Leaderboard, Row
from harness.report.comparison import Comparison, MetricDifference

LEADERBOARD = "harness.leaderboard/2"
LEDGER = "harness.ledger/1"
COMPARE = "harness.compare/1"


def to_json(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard: experiment, metrics with directions, and a row for each arm, ranked."""
    return {
        "schema": LEADERBOARD,
        **_experiment(board),
        "primary": board.primary,
        "reference": board.reference,
        "estimand": board.estimand,
        "question": board.question,
        "verdict": plain(board.verdict),
        "winner_rules": list(board.experiment.spec.get("winner_rules") or ()),
        "clusters": board.clusters,
        "looks": {"experiment": board.looks, "in_all": board.looks_in_all},
        "leaks": board.leaks,
        "notes": list(board.notes),
        "metrics": [plain(column) for column in board.columns],
        "rows": [_row(row) for row in board.rows],
    }


def ledger_to_json(board: Leaderboard) -> dict[str, Any]:
    """What every arm was given and what it cost, the mean over its seeds."""
    return {
        "schema": LEDGER,
        **_experiment(board),
        "rows": [
            {
                "arm": row.arm,
                "method": row.method,
                "status": row.status,
                "seeds": list(row.seeds),
                "cost": plain(row.cost),
                "notes": list(row.notes),
                "errors": list(row.errors),
            }
            for row in board.rows
        ],
    }


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Two arms: every difference is a minus b."""
    return {
        "schema": COMPARE,
        "experiment": {"id": comparison.experiment.experiment_id, "name": comparison.experiment.name},
        "a": comparison.a,
        "b": comparison.b,
        "estimand": comparison.estimand,
        "metrics": [_metric_difference(one) for one in comparison.metrics],
        "wins": {"a": comparison.wins_a, "b": comparison.wins_b, "ties": comparison.ties},
        "sensitive": comparison.sensitive,
        "samples": [{**plain(sample), "difference": sample.difference} for sample in comparison.samples],
        "notes": list(comparison.notes),
    }


def _experiment(board: Leaderboard) -> dict[str, Any]:
    record = board.experiment
    return {
        "experiment": {
            "id": record.experiment_id,
            "name": record.name,
            "file": record.file,
            "created": record.created,
            "budget": plain(record.spec.get("budget")),
        },
        "task": {
            "name": board.task,
            "version": record.task.get("version"),
            "description": record.task.get("description", ""),
            "fingerprint": record.task_fingerprint,
            "split_sizes": dict(record.split_sizes),
            "sensitive": bool(record.task.get("sensitive")),
        },
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "arm": row.arm,
        "method": row.method,
        "status": row.status,
        "seeds": list(row.seeds),
        "evaluations": list(row.evaluations),
        "metrics": {name: _cell(cell) for name, cell in row.cells.items()},
        "difference_to_best": _estimate(row.to_best),
        "ranks": plain(row.ranks),
        "best_probability": row.best_probability,
        "cost": plain(row.cost),
        "answers": plain(row.answers),
        "looks": row.looks,
        "notes": list(row.notes),
        "errors": list(row.errors),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "estimate": _estimate(cell.estimate),
        "reason": cell.reason or None,
        "difference": _estimate(cell.difference),
        "difference_reason": cell.difference_reason or None,
        "p_value": cell.p_value,
        "p_holm": cell.p_holm,
        "missing": cell.missing,
    }


def _metric_difference(one: MetricDifference) -> dict[str, Any]:
    return {
        "metric": one.column.name,
        "direction": one.column.direction,
        "primary": one.column.primary,
        "a": _estimate(one.a),
        "b": _estimate(one.b),
        "difference": _estimate(one.difference),
        "p_value": one.p_value,
        "reason": one.reason or None,
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    values: dict[str, Any] = plain(estimate)
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
