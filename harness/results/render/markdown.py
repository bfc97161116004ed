"""The leaderboard as Markdown, for a committed report or a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.results import numbers
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render import speed
from harness.results.render.human_board import board_block
from harness.results.render.text import ARROWS, label, legend_of_marks, marked
from harness.results.render.verdicts import ranks_words, standing, verdict_lines


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of a report, for a page that lays them out itself."""

    verdict: str
    summary: str
    ranking: str
    failures: str
    """Empty when every arm has a result."""
    metrics: tuple[str, ...]
    """One for each column of the board."""
    cost: str
    forgetting: str = ""
    """Empty where the task measures no retention."""
    serving: str = ""
    """Empty where no serving figures were measured."""
    human: str = ""
    """Empty without an unblinded review round."""


def sections(board: Leaderboard) -> Sections:
    """The parts of the report, each in Markdown without a heading."""
    record = board.experiment
    sizes = ", ".join(f"{size:,} {name}" for name, size in record.split_sizes.items())
    about = safe(str(record.task.get("description", "")))
    summary = [
        f"Task `{board.task}` v{record.task.get('version', 1)}: {sizes}. {about}",
        "",
        f"{board.estimand} Looks at the test split: {board.looks} by this experiment, {board.looks_in_all} in all. "
        f"Leaks between splits: {board.leaks}.",
        "",
        *(f"- {safe(note)}" for note in board.notes),
    ]
    notes = [f"- {row.arm}: {safe(note)}" for row in board.rows for note in row.notes]
    first, *others = map(safe, verdict_lines(board.verdict))
    return Sections(
        verdict="\n\n".join([f"**{first}**", " ".join(others)]),
        summary="\n".join(summary).rstrip(),
        ranking="\n".join([*_ranking(board), standing(board.verdict), *legend_of_marks(board)]).rstrip(),
        failures="\n".join(f"- **{row.arm}**: {safe(error)}" for row in board.rows for error in row.errors),
        metrics=tuple("\n".join(_metric(board, column)).rstrip() for column in board.columns),
        cost="\n".join([*_cost(board), *notes]).rstrip(),
        forgetting="\n".join(_forgetting(board)).rstrip(),
        serving="\n".join(_serving(board)).rstrip(),
        human="\n".join(_human(board)).rstrip(),
    )


def render_markdown(board: Leaderboard) -> str:
    """Tables of ranking, metrics and cost, with every caveat of the text form."""
    parts = sections(board)
    blocks = [f"# {board.experiment.name}", parts.verdict, parts.summary, parts.ranking]
    if parts.failures:
        blocks += ["## Without a result", parts.failures]
    for column, table in zip(board.columns, parts.metrics, strict=True):
        blocks += [f"## {column.name}", table]
    blocks += ["## Human review", parts.human] if parts.human else []
    if parts.forgetting:
        blocks += ["## Forgetting", parts.forgetting]
    blocks += ["## Cost of one seed", parts.cost]
    blocks += ["## Serving", parts.serving] if parts.serving else []
    return "\n\n".join(blocks) + "\n"


Cells = tuple[list[str], list[list[str]]]
"""Heads and rows of a table."""


def ranking_cells(board: Leaderboard) -> Cells:
    """Arms by the primary metric, with differences, ranks and time."""
    primary = board.columns[0]
    rows = []
    for row in board.rows:
        if row.evaluations:
            cell, cost = row.cells[primary.name], row.cost
            rows.append(
                [
                    marked(row),
                    numbers.with_interval(cell.estimate, primary.bounds),
                    _difference(board, row, primary),
                    numbers.probability(cell.p_holm),
                    numbers.ranks(row.ranks),
                    numbers.chance(row.best_probability),
                    numbers.seconds(cost.all_train_seconds if cost else None),
                    numbers.seconds(cost.all_seconds if cost else None),
                ]
            )
    names = [f"{label(primary)} [95 %]", f"minus {board.reference} [95 %]", "p (Holm)", "rank", "P(best)"]
    return ["arm", *names, "train s", "total s"], rows


def _ranking(board: Leaderboard) -> list[str]:
    heads, rows = ranking_cells(board)
    return [*_table(heads, rows), *([ranks_words(board.verdict.estimand), ""] if rows else [])]


def _metric(board: Leaderboard, column: Column) -> list[str]:
    better = "higher is better" if column.direction == "higher" else "lower is better"
    rows = []
    for row in board.rows:
        if row.evaluations:
            cell = row.cells[column.name]
            value = numbers.with_interval(cell.estimate, column.bounds)
            n = f"{cell.estimate.n:,}" if cell.estimate else "0"
            rows.append(
                [row.arm, value if cell.estimate else f"- ({safe(cell.reason)})", _difference(board, row, column), n]
            )
    names = ["arm", f"{label(column)} [95 %]", f"minus {board.reference} [95 %]", "n"]
    return [f"{better}; {safe(column.description)}.", "", *_table(names, rows)]


def _difference(board: Leaderboard, row: Row, column: Column) -> str:
    if row.arm == board.reference:
        return "(reference)"
    return numbers.with_interval(row.cells[column.name].difference, column.bounds, sign=True)


def forgetting_cells(board: Leaderboard) -> Cells:
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
    return ["measure", "arm", "before (untrained)", "after", "after minus before [95 %]"], rows


def _forgetting(board: Leaderboard) -> list[str]:
    return _table(*forgetting_cells(board)) if board.forgetting else []


def _cost(board: Leaderboard) -> list[str]:
    names = ["arm", "train s", "total s", "examples", "tokens", "trainable", "file MB", "peak MB"]
    return _table(
        names,
        [
            [
                row.arm
                + (" (with its parent)" if row.cost.has_parent else "")
                + ("" if row.budget_known else " (budget unknown)"),
                numbers.seconds(row.cost.all_train_seconds),
                numbers.seconds(row.cost.all_seconds),
                numbers.count(row.cost.all_examples),
                numbers.count(row.cost.all_tokens),
                numbers.count(row.cost.trainable_parameters),
                numbers.megabytes(row.cost.artefact_bytes),
                numbers.megabytes(row.cost.peak_memory_bytes),
            ]
            for row in board.rows
            if row.cost is not None
        ],
    )


def _serving(board: Leaderboard) -> list[str]:
    if board.serving is None:
        return []
    lines = []
    for heads, rows in (speed.figures(board.serving), speed.ratios(board.serving)):
        lines += _table([name for name, _ in heads], [list(map(safe, row)) for row in rows]) if rows else []
    return [*lines, *(f"- {safe(line)}" for line in speed.legend(board.serving))]


def _human(board: Leaderboard) -> list[str]:
    block = board_block(board)
    if block is None:
        return []
    names = ["arm", *(name for name, _ in block.heads[1:])]
    return [*_table(names, [list(map(safe, row)) for row in block.rows]), *(f"- {safe(line)}" for line in block.lines)]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    head = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    return [*head, *("| " + " | ".join(row) + " |" for row in rows), ""]


def safe(text: str) -> str:
    """One line, without what would open a table cell, markup, a link or an image."""
    flat = " ".join(numbers.printable(text).split())
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'").replace("](", "]\\(")
