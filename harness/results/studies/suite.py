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
        ranks = [standing.rank for standing in self.standings[arm]]
        known = [rank for rank in ranks if rank is not None]
        return sum(known) / len(ranks) if len(known) == len(ranks) else None


def suite_table(boards: Sequence[Leaderboard]) -> SuiteTable:
    """The boards of one suite as a table of arms."""
    arms = dict.fromkeys(row.arm for board in boards for row in board.rows)
    table = SuiteTable(tuple(boards), {arm: tuple(_standing(board, arm) for board in boards) for arm in arms})
    means = {arm: table.mean_rank(arm) for arm in arms}
    order = sorted(arms, key=lambda arm: (means[arm] is None, means[arm] or 0.0))
    return SuiteTable(table.boards, {arm: table.standings[arm] for arm in order})


def _standing(board: Leaderboard, arm: str) -> ArmStanding:
    ranked = [row for row in board.rows if row.cells[board.primary].estimate is not None and not row.unranked_reason]
    row: Row | None = next((row for row in board.rows if row.arm == arm), None)
    estimate = row.cells[board.primary].estimate if row is not None else None
    value = numbers.with_interval(estimate, board.columns[0].bounds)
    if row is None or estimate is None:
        value = "not in it" if row is None else row.status if row.status != "ok" else "no value"
    elif row.unranked_reason:
        value += f" (not ranked: {row.unranked_reason})"
    else:
        return ArmStanding(board.experiment.name, value, ranked.index(row) + 1, row.ranks)
    return ArmStanding(board.experiment.name, value, None, None)
