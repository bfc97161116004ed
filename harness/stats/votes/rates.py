"""Raw win rates and position bias: counts of votes, with intervals and no model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.stats.clusters import Floats
from harness.stats.votes.record import BOTH_BAD, SKIP, TIE, Measured, VoteTable
from harness.stats.votes.two_way import Crossing, mean_interval


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often an arm won. Rate = (wins + ties / 2) / (wins + losses + ties)."""

    arm: str
    against: str | None
    """The other arm; None: all others together."""
    rate: Measured
    wins: int
    losses: int
    ties: int
    both_bad: int
    """Reported apart: not in the rate."""
    skipped: int


def win_rates(table: VoteTable, level: float = 0.95) -> tuple[WinRate, ...]:
    """Every arm's rate against all others, in the order of `table.arms`.

    It averages over the opponents that the arm happened to meet; with unequal numbers of votes the Bradley-Terry score
    is the one to compare.
    """
    rates = []
    for code, arm in enumerate(table.arms):
        rows = (table.left == code) | (table.right == code)
        score = np.where(table.left == code, table.left_score, 1.0 - table.left_score)
        rates.append(_rate((arm, None), table, rows, score, level))
    return tuple(rates)


def pair_win_rates(table: VoteTable, level: float = 0.95) -> tuple[WinRate, ...]:
    """The rate of one arm against another, for each pair that was compared; `arm` comes first by name."""
    pairs = sorted({(int(a), int(b)) for a, b in zip(table.first, table.second, strict=True)})
    score = table.first_score
    rates = []
    for first, second in pairs:
        rows = (table.first == first) & (table.second == second)
        rates.append(_rate((table.arms[first], table.arms[second]), table, rows, score, level))
    return tuple(rates)


def left_rate(table: VoteTable, level: float = 0.95) -> Measured:
    """Position bias: how often the left side wins, a tie being half a win.

    With sides balanced within pairs, raters that are blind to the side give one half.
    """
    kept = table.take(table.counted())
    if not len(kept.item):
        return Measured(None, "no vote prefers a side")
    crossing = Crossing.of(kept.item_clusters, kept.rater_clusters)
    estimate = mean_interval(kept.left_score, crossing, level=level)
    return Measured(replace(estimate, method=estimate.method.replace("mean", "wins of the left side", 1)))


def _rate(
    names: tuple[str, str | None], table: VoteTable, rows: NDArray[np.bool_], score: Floats, level: float
) -> WinRate:
    kept = rows & table.counted()
    decided = rows & (table.winner < TIE)
    wins, losses = (int((decided & (score == end)).sum()) for end in (1.0, 0.0))
    others = (int((rows & (table.winner == code)).sum()) for code in (TIE, BOTH_BAD, SKIP))
    rate = Measured(None, "every vote was skipped or called both bad")
    if kept.any():
        part = table.take(kept)
        crossing = Crossing.of(part.item_clusters, part.rater_clusters)
        estimate = mean_interval(score[kept], crossing, level=level)
        rate = Measured(replace(estimate, method=estimate.method.replace("mean", "wins and half the ties", 1)))
    return WinRate(*names, rate, wins, losses, *others)
