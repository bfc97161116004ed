"""Several experiments side by side: how every arm did on each, with intervals of values and of ranks.

Ranks belong to one experiment; their mean describes these experiments and says nothing about tasks at large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.records import to_json as plain
from harness.results import numbers
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.text import label

SUITE = "harness.suite/1"


@dataclass(frozen=True, slots=True)
class Place:
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
    places: dict[str, tuple[Place, ...]]
    """Arm → its place in every experiment, in order."""

    def mean_rank(self, arm: str) -> float | None:
        """Mean over all experiments; None where the arm lacks a rank in one."""
        ranks = [place.rank for place in self.places[arm]]
        known = [rank for rank in ranks if rank is not None]
        return sum(known) / len(ranks) if len(known) == len(ranks) else None


def suite_table(boards: Sequence[Leaderboard]) -> SuiteTable:
    """The boards of one suite as a table of arms."""
    arms = dict.fromkeys(row.arm for board in boards for row in board.rows)
    table = SuiteTable(tuple(boards), {arm: tuple(_place(board, arm) for board in boards) for arm in arms})

    def order(arm: str) -> tuple[bool, float]:
        mean = table.mean_rank(arm)
        return mean is None, mean or 0.0

    return SuiteTable(table.boards, {arm: table.places[arm] for arm in sorted(arms, key=order)})


def _place(board: Leaderboard, arm: str) -> Place:
    ranked = [row for row in board.rows if row.cells[board.primary].estimate is not None and not row.apart]
    row: Row | None = next((row for row in board.rows if row.arm == arm), None)
    if row is None:
        return Place(board.experiment.name, "not in it", None, None)
    estimate = row.cells[board.primary].estimate
    if estimate is None:
        return Place(board.experiment.name, row.status if row.status != "ok" else "no value", None, None)
    value = numbers.with_interval(estimate, board.columns[0].bounds)
    if row.apart:
        return Place(board.experiment.name, f"{value} (not ranked: {row.apart})", None, None)
    return Place(board.experiment.name, value, ranked.index(row) + 1, row.ranks)


def suite_to_markdown(table: SuiteTable) -> str:
    """A table of arms and experiments, and one line on each experiment; readable as plain text too."""
    heads = ["arm", *(_head(board) for board in table.boards), "mean rank"]
    rows = []
    for arm, places in table.places.items():
        mean = table.mean_rank(arm)
        rows.append([arm, *map(_cell, places), "-" if mean is None else f"{mean:.2f}"])
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [_line(heads, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    lines += [_line(row, widths) for row in rows]
    lines += ["", "Value [95 %], then the rank and the ranks that the data allows. Mean ranks are about these only."]
    for board in table.boards:
        lines.append(f"- {board.experiment.name}: task {board.task}, {board.verdict.words}.")
    return "\n".join(lines) + "\n"


def _head(board: Leaderboard) -> str:
    return f"{board.experiment.name.rpartition('.')[2]}: {label(board.columns[0])}"


def _cell(place: Place) -> str:
    if place.rank is None:
        return place.value
    low, high = place.ranks or (place.rank, place.rank)
    allowed = "" if place.ranks is None else f" [{low}]" if low == high else f" [{low}–{high}]"
    return f"{place.value}  #{place.rank}{allowed}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def suite_to_json(table: SuiteTable) -> dict[str, Any]:
    """Arms, their places, and the ids of the experiments."""
    return {
        "schema": SUITE,
        "experiments": [
            {
                "id": board.experiment.experiment_id,
                "name": board.experiment.name,
                "task": board.task,
                "primary": board.primary,
                "verdict": board.verdict.words,
            }
            for board in table.boards
        ],
        "arms": [
            {"arm": arm, "mean_rank": table.mean_rank(arm), "places": [plain(place) for place in places]}
            for arm, places in table.places.items()
        ],
    }
