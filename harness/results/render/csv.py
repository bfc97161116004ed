"""The leaderboard as CSV: one row for each arm and metric, full precision, absent values empty."""

from __future__ import annotations

import csv
import io

from harness.records import Estimate
from harness.results.human.records import METRIC, HumanArm
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.human_board import arm_cell

FIELDS = (
    *("experiment", "arm", "method", "status", "metric", "direction", "primary", "value", "low", "high", "level"),
    *("n", "clusters", "seeds", "estimand", "reference", "difference", "difference_low", "difference_high"),
    *("p", "p_holm", "missing", "reason", "budget"),
)
"""Columns, in order. `level` is that of both intervals; `difference` is arm minus reference, paired; `budget` what the
arm was given against the budget: equal, more, less, unknown (trained elsewhere), or empty without training."""


def to_csv(board: Leaderboard) -> str:
    """The board with a header row; numbers with all their digits, `true` and `false`, lines ended by a newline."""
    target = io.StringIO()
    writer = csv.DictWriter(target, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in board.rows:
        for column in board.columns:
            writer.writerow(_values(board, row, column))
        human = arm_cell(board, row.arm)
        if human is not None:
            writer.writerow(_human(board, row, human))
    return target.getvalue()


def _values(board: Leaderboard, row: Row, column: Column) -> dict[str, object]:
    cell = row.cells[column.name]
    return {
        "experiment": one_line(board.experiment.name),
        "arm": one_line(row.arm),
        "method": row.method,
        "status": row.status,
        "metric": one_line(column.name),
        "direction": column.direction,
        "primary": str(column.primary).lower(),
        **_estimate(cell.estimate),
        "estimand": board.question,
        "reference": one_line(board.reference),
        **_difference(cell.difference),
        "p": cell.p_value,
        "p_holm": cell.p_holm,
        "missing": cell.missing,
        "reason": one_line(cell.reason or cell.difference_reason),
        "budget": (row.budget or "") if row.budget_known else "unknown",
    }


def _human(board: Leaderboard, row: Row, human: HumanArm) -> dict[str, object]:
    """What people said of an arm; n counts votes, clusters the examples."""
    return {
        "experiment": one_line(board.experiment.name),
        "arm": one_line(row.arm),
        "method": row.method,
        "status": row.status,
        "metric": METRIC,
        "direction": "higher",
        "primary": "false",
        **_estimate(human.win_rate.rate.estimate),
        "estimand": "checkpoints",
        "missing": 0,
        "reason": one_line(human.win_rate.rate.why),
        "budget": (row.budget or "") if row.budget_known else "unknown",
    }


def _estimate(one: Estimate | None) -> dict[str, object]:
    if one is None:
        return {}
    return {
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "level": one.level,
        "n": one.n,
        "clusters": one.clusters,
        "seeds": one.seeds,
    }


def _difference(one: Estimate | None) -> dict[str, object]:
    if one is None:
        return {}
    return {"difference": one.value, "difference_low": one.low, "difference_high": one.high}


def one_line(text: str) -> str:
    """One line, and nothing that a spreadsheet would take for a formula."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return f"'{flat}" if flat[:1] in ("=", "+", "-", "@") else flat
