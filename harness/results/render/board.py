"""The tables of a leaderboard, one function each; every form of it shows these."""

from __future__ import annotations

from harness.results import numbers
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.table import Head, Table, table
from harness.results.render.words import (
    ARROWS,
    UNKNOWN,
    better,
    label,
    marked,
    metrics_note,
    missing_values,
    share_trained,
)

IN_SHORT = 4
"""Columns with a larger drop number stand in the terminal alone, where there is room."""


def scored_rows(board: Leaderboard) -> list[Row]:
    """Arms with a result, the best first."""
    return [row for row in board.rows if row.evaluations]


def ranking(board: Leaderboard) -> Table:
    """Arms by the primary metric: differences to the reference, ranks, the other metrics, time, numbers of notes."""
    primary, *others = board.columns
    notes = list(numbered_notes(board))
    heads: list[Head] = [
        *("arm", f"{label(primary)} [95 %]", f"minus {board.reference} [95 %]"),
        *(("p (Holm)", 2), ("rank", 3), ("P(best)", 3)),
        *((label(column), drop) for drop, column in enumerate(others, 6)),
        *(("train s", 4), ("total s", 1), ("trainable", 5)),
        *(["notes"] if notes else []),
    ]
    rows = [
        [
            marked(row),
            numbers.with_interval(row.cells[primary.name].estimate, primary.bounds),
            difference(board, row, primary),
            numbers.probability(row.cells[primary.name].p_holm),
            numbers.ranks(row.ranks),
            numbers.chance(row.best_probability),
            *(numbers.value(row.cells[column.name].estimate, column.bounds) for column in others),
            numbers.seconds(row.cost.all_train_seconds if row.cost else None),
            numbers.seconds(row.cost.all_seconds if row.cost else None),
            numbers.count(row.cost.trainable_parameters if row.cost else None),
            *([" ".join(str(notes.index(note) + 1) for note in row.notes)] if notes else []),
        ]
        for row in scored_rows(board)
    ]
    return table(heads, rows)


def short_ranking(board: Leaderboard) -> Table:
    """The same without other metrics and without the numbers of notes, for a form that lists both."""
    return ranking(board).select(lambda head, drop: drop <= IN_SHORT and head != "notes")


def difference(board: Leaderboard, row: Row, column: Column) -> str:
    """The paired difference of an arm to the reference."""
    if row.arm == board.reference:
        return "(reference)"
    return numbers.with_interval(row.cells[column.name].difference, column.bounds, sign=True)


def numbered_notes(board: Leaderboard) -> dict[str, list[str]]:
    """Each note with the arms that it is about, in the order of their numbers."""
    arms: dict[str, list[str]] = {}
    for row in board.rows:
        for note in row.notes:
            arms.setdefault(note, []).append(row.arm)
    return arms


def metrics(board: Leaderboard) -> Table:
    """All metrics: a row for each, a column for each arm."""
    rows = scored_rows(board)
    cells = [[label(column), *(_with_half_width(row, column) for row in rows)] for column in board.columns]
    notes = [metrics_note(board), *missing_values(board, rows)]
    return table(["all metrics", *(row.arm for row in rows)], cells, notes)


def _with_half_width(row: Row, column: Column) -> str:
    """`0.902 ±0.018*`; the star where the paired difference to the reference excludes 0."""
    cell = row.cells[column.name]
    if cell.estimate is None:
        return numbers.ABSENT
    places = numbers.decimals(cell.estimate.value, column.bounds)
    text = numbers.fixed(cell.estimate.value, places)
    if cell.estimate.low is not None and cell.estimate.high is not None:
        text += f" ±{numbers.fixed((cell.estimate.high - cell.estimate.low) / 2, places)}"
    return text + ("*" if numbers.excludes_zero(cell.difference) else " ")


def one_metric(board: Leaderboard, column: Column) -> Table:
    """One metric of every arm with its interval and its difference to the reference."""
    rows = []
    for row in scored_rows(board):
        estimate = row.cells[column.name].estimate
        value = numbers.with_interval(estimate, column.bounds) if estimate else f"- ({row.cells[column.name].reason})"
        rows.append([row.arm, value, difference(board, row, column), f"{estimate.n:,}" if estimate else "0"])
    return table(["arm", f"{label(column)} [95 %]", f"minus {board.reference} [95 %]", "n"], rows)


def meanings(board: Leaderboard) -> Table:
    """What the metrics are."""
    rows = [
        [label(one), f"{better(one)}; {one.description}" + (f" ({one.unit})" if one.unit else "")]
        for one in board.columns
    ]
    return table(["metric", "meaning"], rows, title="What the metrics are", words=True)


def failures(board: Leaderboard) -> Table:
    """Arms and seeds without a result, and why."""
    rows = [(row.arm, error) for row in board.rows for error in row.errors]
    return table(["arm", "what happened"], rows, title="Arms without a result", words=True)


def forgetting(board: Leaderboard) -> Table:
    """Retention before and after, a row for each measure and arm."""
    bounds = {column.name: column.bounds for column in board.columns}
    rows = [
        [
            f"{one.metric} {ARROWS[one.direction]}",
            one.arm,
            numbers.value(one.before, bounds[one.metric]),
            numbers.value(one.after, bounds[one.metric]),
            numbers.with_interval(one.difference, bounds[one.metric], sign=True),
        ]
        for one in board.forgetting
    ]
    return table(["forgetting", "arm", "before (untrained)", "after", "after minus before [95 %]"], rows)


def cost(board: Leaderboard) -> Table:
    """What one seed of every arm took."""
    rows, costs = [], [row.cost for row in board.rows if row.cost is not None]
    tuned = any(one.tuning_seconds for one in costs)
    for row in board.rows:
        if row.cost is None:
            continue
        one = row.cost
        rows.append(
            [
                row.arm + ("+" if one.has_parent else "") + ("" if row.budget_known else f" {UNKNOWN}"),
                numbers.seconds(one.all_train_seconds),
                numbers.seconds(one.predict_seconds + one.score_seconds),
                numbers.seconds(one.all_seconds),
                numbers.count(one.all_examples),
                numbers.count(one.all_tokens),
                numbers.count(one.optimiser_steps),
                numbers.count(one.trainable_parameters),
                share_trained(one.trainable_parameters, one.total_parameters),
                numbers.megabytes(one.artefact_bytes),
                numbers.megabytes(one.peak_memory_bytes),
                numbers.count(one.trials),
                *([numbers.seconds((one.with_parent or one).tuning_seconds)] if tuned else []),
            ]
        )
    heads: list[Head] = [
        *("cost", "train s", ("score s", 4), "total s", "examples", ("tokens", 1), ("steps", 6), ("trainable", 2)),
        *(("of all", 7), ("file MB", 3), ("peak MB", 2), ("trials", 5)),
        *(["tuning s"] if tuned else []),
    ]
    text = "Cost of one seed" + (", mean over seeds" if any(one.seeds > 1 for one in costs) else "")
    text += "; total: preparation, training, scoring."
    if any(one.has_parent for one in costs):
        text += " +: with its parent's training."
    if any(not row.budget_known for row in board.rows):
        text += f" {UNKNOWN}: trained elsewhere, what it took is unknown (-)."
    if tuned:
        text += " tuning: all trials of the arm (and of its parent), once for all seeds, not in the total."
    return table(heads, rows, [text])
