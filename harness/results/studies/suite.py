"""Several experiments side by side: how every arm did on each, with intervals of values and of ranks.

Ranks belong to one experiment; their mean describes these experiments and says nothing about tasks at large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.results import numbers
from harness.results.leaderboard.rows import Leaderboard, Row


@dataclass(frozen=True, slots=True)
class ArmStanding:
    """One arm in one experiment."""

    experiment: str
    value: str
    """The primary metric with its interval, or why there is none."""
    rank: int | None
    ranks: tuple[int, int] | None
    """Best and worst rank that the data allows."""


@dataclass(frozen=True, slots=True)
class SuiteTable:
    """Arms by their mean rank, those without a rank somewhere last."""

    boards: tuple[Leaderboard, ...]
    standings: dict[str, tuple[ArmStanding, ...]]
    """Arm → its standing in every experiment, in order."""

    def mean_rank(self, arm: str) -> float | None:
        """Mean over all experiments; None where the arm lacks a rank in one."""
        ranks = [one.rank for one in self.standings[arm]]
        known = [rank for rank in ranks if rank is not None]
        return sum(known) / len(ranks) if len(known) == len(ranks) else None


def suite_table(boards: Sequence[Leaderboard]) -> SuiteTable:
    """The boards of one suite as a table of arms."""
    arms = dict.fromkeys(row.arm for board in boards for row in board.rows)
    table = SuiteTable(tuple(boards), {arm: tuple(_standing(board, arm) for board in boards) for arm in arms})

    def order(arm: str) -> tuple[bool, float]:
        mean = table.mean_rank(arm)
        return mean is None, mean or 0.0

    return SuiteTable(table.boards, {arm: table.standings[arm] for arm in sorted(arms, key=order)})


def _standing(board: Leaderboard, arm: str) -> ArmStanding:
    ranked = [row for row in board.rows if row.cells[board.primary].estimate is not None and not row.unranked_reason]
    row: Row | None = next((row for row in board.rows if row.arm == arm), None)
    if row is None:
        return ArmStanding(board.experiment.name, "not in it", None, None)
    estimate = row.cells[board.primary].estimate
    if estimate is None:
        return ArmStanding(board.experiment.name, row.status if row.status != "ok" else "no value", None, None)
    value = numbers.with_interval(estimate, board.columns[0].bounds)
    if row.unranked_reason:
        return ArmStanding(board.experiment.name, f"{value} (not ranked: {row.unranked_reason})", None, None)
    return ArmStanding(board.experiment.name, value, ranked.index(row) + 1, row.ranks)
