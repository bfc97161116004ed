"""The tables of a leaderboard, one function each; every form of it shows these."""

from __future__ import annotations

from harness.results import numbers
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.table import Head, Table, table
from harness.results.render.words import ARROWS, UNKNOWN, better, label, marked, missing_values, share_trained

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
    """All metrics: a row for each, a column for each arm.

    `0.902 ±0.018*`; the star where the paired difference to the reference excludes 0.
    """
    rows, table_rows = scored_rows(board), []
    for column in board.columns:
        cells = [label(column)]
        for cell in (row.cells[column.name] for row in rows):
            if cell.estimate is None:
                cells.append(numbers.ABSENT)
                continue
            value, low, high = cell.estimate.value, cell.estimate.low, cell.estimate.high
            places = numbers.decimals(value, column.bounds)
            width = "" if low is None or high is None else f" ±{numbers.fixed((high - low) / 2, places)}"
            star = "*" if numbers.excludes_zero(cell.difference) else " "
            cells.append(numbers.fixed(value, places) + width + star)
        table_rows.append(cells)
    notes = [
        f"±: half the width of the 95 % interval. *: the paired 95 % interval of the difference to {board.reference} "
        "excludes 0 (not adjusted for the number of metrics).",
        *missing_values(board, rows),
    ]
    return table(["all metrics", *(row.arm for row in rows)], table_rows, notes)


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
    units = {column.name: f" ({column.unit})" if column.unit else "" for column in board.columns}
    rows = [[label(column), f"{better(column)}; {column.description}{units[column.name]}"] for column in board.columns]
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
            f"{measure.metric} {ARROWS[measure.direction]}",
            measure.arm,
            numbers.value(measure.before, bounds[measure.metric]),
            numbers.value(measure.after, bounds[measure.metric]),
            numbers.with_interval(measure.difference, bounds[measure.metric], sign=True),
        ]
        for measure in board.forgetting
    ]
    return table(["forgetting", "arm", "before (untrained)", "after", "after minus before [95 %]"], rows)


def cost(board: Leaderboard) -> Table:
    """What one seed of every arm took."""
    costs = [(row, row.cost) for row in board.rows if row.cost is not None]
    tuned = any(cost.tuning_seconds for _, cost in costs)
    rows = [
        [
            row.arm + ("+" if cost.has_parent else "") + ("" if row.budget_known else f" {UNKNOWN}"),
            numbers.seconds(cost.all_train_seconds),
            numbers.seconds(cost.predict_seconds + cost.score_seconds),
            numbers.seconds(cost.all_seconds),
            numbers.count(cost.all_examples),
            numbers.count(cost.all_tokens),
            numbers.count(cost.optimiser_steps),
            numbers.count(cost.trainable_parameters),
            share_trained(cost.trainable_parameters, cost.total_parameters),
            numbers.megabytes(cost.artefact_bytes),
            numbers.megabytes(cost.peak_memory_bytes),
            numbers.count(cost.trials),
            *([numbers.seconds((cost.with_parent or cost).tuning_seconds)] if tuned else []),
        ]
        for row, cost in costs
    ]
    heads: list[Head] = [
        *("cost", "train s", ("score s", 4), "total s", "examples", ("tokens", 1), ("steps", 6), ("trainable", 2)),
        *(("of all", 7), ("file MB", 3), ("peak MB", 2), ("trials", 5)),
        *(["tuning s"] if tuned else []),
    ]
    text = "Cost of one seed" + (", mean over seeds" if any(cost.seeds > 1 for _, cost in costs) else "")
    text += "; total: preparation, training, scoring."
    if any(cost.has_parent for _, cost in costs):
        text += " +: with its parent's training."
    if any(not row.budget_known for row in board.rows):
        text += f" {UNKNOWN}: trained elsewhere, what it took is unknown (-)."
    if tuned:
        text += " tuning: all trials of the arm (and of its parent), once for all seeds, not in the total."
    return table(heads, rows, [text])
