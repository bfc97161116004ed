"""Reports as plain JSON values under a versioned schema. Absent is null; no NaN; no text of a sensitive task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.records import Estimate, SentinelCheck
from harness.records import to_json as plain
from harness.results.leaderboard.raced import race_json
from harness.results.leaderboard.rows import Cell, Leaderboard, Row
from harness.results.render.human_board import board_json
from harness.results.render.text_ledger import arm_to_json, runs_to_json
from harness.results.studies.comparison import Comparison, MetricDifference

LEADERBOARD = "harness.leaderboard/2"
LEDGER = "harness.ledger/1"
COMPARE = "harness.compare/1"
SENTINEL = "harness.sentinel/1"


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
        "environments": _environments(board),
        "notes": list(board.notes),
        "metrics": [plain(column) for column in board.columns],
        "forgetting": [
            {
                "arm": one.arm,
                "metric": one.metric,
                "direction": one.direction,
                "before": _estimate(one.before),
                "after": _estimate(one.after),
                "difference": _estimate(one.difference),
            }
            for one in board.forgetting
        ],
        "rows": [_row(row) for row in board.rows],
        "serving": _serving(board),
        "human": board_json(board),
        "race": race_json(board.experiment),
    }


def _serving(board: Leaderboard) -> dict[str, Any] | None:
    """Figures of every arm; `harness serving --json` has the rounds."""
    table = board.serving
    if table is None:
        return None
    made = {name: plain(getattr(table.made, name)) for name in ("pass_id", "created", "settings", "hardware")}
    return {**made, "reference": table.reference, "rows": [plain(row) for row in table.rows]}


def _environments(board: Leaderboard) -> list[dict[str, Any]]:
    """Every environment that results were made in, the ranking's own first."""
    found = board.environments
    return [
        {
            "fingerprint": name,
            "environment": plain(environment),
            "arms": [arm for arm, prints in found.of_arm.items() if name in prints],
            "accepted": not any(name in found.of_arm[arm] for arm in found.apart),
        }
        for name, environment in found.known.items()
    ]


def ledger_to_json(board: Leaderboard) -> dict[str, Any]:
    """What every arm was given and what it cost, the mean over its seeds (`rows`), and every single run (`runs`)."""
    return {
        "schema": LEDGER,
        **_experiment(board),
        "price_per_device_hour": (board.experiment.spec.get("resources") or {}).get("price_per_device_hour"),
        "rows": [arm_to_json(row) for row in board.rows],
        "runs": runs_to_json(board),
        "race": race_json(board.experiment),
    }


def sentinel_to_json(checks: Sequence[SentinelCheck]) -> dict[str, Any]:
    """Checks of the present environment against others."""
    return {"schema": SENTINEL, "checks": [plain(check) for check in checks]}


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
        "budget": row.budget,
        "events": [plain(event) for event in row.events],
        "apart": row.apart or None,
        "budget_known": row.budget_known,
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
