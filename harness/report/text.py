"""Reports as lines for a terminal or a log: rich tables that fit 100 to 120 columns.

Without a terminal the same tables come as plain lines of a fixed width, without colour and without control codes.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report import numbers
from harness.report.board import Column, Cost, Leaderboard, Row
from harness.report.comparison import Comparison, Sample
from harness.report.verdicts import RANKS, standing, verdict_lines

WIDTH = 110
ARROWS = {"higher": "↑", "lower": "↓"}
_GAP = 2


def print_board(board: Leaderboard) -> None:
    """Print the leaderboard on standard output."""
    _print(render_text(board, _width()))


def print_ledger(board: Leaderboard) -> None:
    """Print the cost table on standard output."""
    _print([_ledger(board, _width()), *_cost_legend(board), *_numbered_notes(board)])


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison on standard output."""
    _print(_comparison(comparison))


def to_text(board: Leaderboard, width: int = WIDTH) -> str:
    """The leaderboard as plain lines."""
    return _plain(render_text(board, width), width)


def ledger_to_text(board: Leaderboard, width: int = WIDTH) -> str:
    """The cost table as plain lines."""
    return _plain([_ledger(board, width), *_cost_legend(board), *_numbered_notes(board)], width)


def comparison_to_text(comparison: Comparison, width: int = WIDTH) -> str:
    """A comparison as plain lines."""
    return _plain(_comparison(comparison), width)


def render_text(board: Leaderboard, width: int = WIDTH) -> list[RenderableType]:
    """The leaderboard as rich renderables that fit `width` columns."""
    parts: list[RenderableType] = [Text(numbers.printable(line)) for line in verdict_lines(board.verdict)]
    parts += [Text(""), *_heading(board), Text(""), _ranking(board, width)]
    parts += [Text(line) for line in [standing(board.verdict)] if line]
    parts += _failures(board)
    parts += _metric_tables(board, width)
    parts += [Text(""), _ledger(board, width), *_cost_legend(board), *_numbered_notes(board), Text(""), *_legend(board)]
    return parts


def label(column: Column) -> str:
    """Metric and direction, `rouge_l ↑`; of an own metric the function's name."""
    return f"{column.name.rpartition(':')[2]} {ARROWS[column.direction]}"


# ------------------------------------------------------------------------------------------------------ leaderboard


def _heading(board: Leaderboard) -> list[RenderableType]:
    record, sizes = board.experiment, board.experiment.split_sizes
    task = record.task
    counts = ", ".join(
        f"{numbers.count(sizes[name])} {name}" for name in ("train", "validation", "test") if name in sizes
    )
    lines = [
        f"{record.name}: task {board.task} v{task.get('version', 1)} ({counts}; {board.clusters} test groups)",
        task.get("description") or "",
        f"Compared with {board.reference}, paired on the same test examples. {board.estimand}",
        f"This experiment scored the test split {_times(board.looks)}; all experiments together "
        f"{_times(board.looks_in_all)}. Leaks between splits: {board.leaks or 'none'}"
        + (" (dropped or allowed as the task says)." if board.leaks else "."),
        *(f"{note[0].upper()}{note[1:]}." for note in board.notes),
    ]
    return [Text(numbers.printable(line)) for line in lines if line]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _ranking(board: Leaderboard, width: int) -> Table:
    primary = board.columns[0]
    rows = [row for row in board.rows if row.evaluations]
    cells = [row.cells[primary.name] for row in rows]
    costs = [row.cost for row in rows]
    marks = _marks(board)
    columns = [
        _Column("arm", [row.arm for row in rows]),
        _Column(f"{label(primary)} [95 %]", [numbers.with_interval(cell.estimate, primary.bounds) for cell in cells]),
        _Column(f"minus {board.reference} [95 %]", [_difference(board, row, primary) for row in rows]),
        _Column("p (Holm)", [numbers.probability(cell.p_holm) for cell in cells], drop=2),
        _Column("rank", [numbers.ranks(row.ranks) for row in rows], drop=3),
        _Column("P(best)", [numbers.chance(row.best_probability) for row in rows], drop=3),
        *(
            _Column(
                label(column), [numbers.value(row.cells[column.name].estimate, column.bounds) for row in rows], drop
            )
            for drop, column in enumerate(board.columns[1:], 6)
        ),
        _Column("train s", [numbers.seconds(cost.all_train_seconds if cost else None) for cost in costs], drop=4),
        _Column("total s", [numbers.seconds(cost.all_seconds if cost else None) for cost in costs], drop=1),
        _Column("trainable", [numbers.count(cost.trainable_parameters if cost else None) for cost in costs], drop=5),
    ]
    if any(marks.values()):
        columns.append(_Column("notes", [marks[row.arm] for row in rows]))
    return _fitted(columns, width)


def _difference(board: Leaderboard, row: Row, column: Column) -> str:
    if row.arm == board.reference:
        return "(reference)"
    return numbers.with_interval(row.cells[column.name].difference, column.bounds, sign=True)


def _failures(board: Leaderboard) -> list[RenderableType]:
    failed = [(row, error) for row in board.rows for error in row.errors]
    if not failed:
        return []
    lines = [Text(""), Text("Without a result:")]
    lines += [Text(numbers.printable(f"  {row.arm}: {error}")) for row, error in failed]
    return [Group(*lines)]


def _metric_tables(board: Leaderboard, width: int) -> list[RenderableType]:
    """All metrics: a row for each, a column for each arm, in as many tables as the width asks for."""
    rows = [row for row in board.rows if row.evaluations]
    if not rows:
        return []
    texts = {row.arm: [_with_half_width(row, column) for column in board.columns] for row in rows}
    widths = {arm: max(len(arm), *map(len, cells)) + _GAP for arm, cells in texts.items()}
    first = max(len(label(column)) for column in board.columns) + _GAP
    tables: list[RenderableType] = []
    for arms in _chunks(list(texts), widths, width - first):
        table = _table("all metrics", *arms)
        for index, column in enumerate(board.columns):
            table.add_row(Text(label(column)), *(Text(texts[arm][index]) for arm in arms))
        tables += [Text(""), table]
    note = (
        f"±: half the width of the 95 % interval. *: the paired 95 % interval of the difference to {board.reference} "
        "excludes 0 (not adjusted for the number of metrics)."
    )
    return [*tables, Text(note), *_reasons(board, rows)]


def _with_half_width(row: Row, column: Column) -> str:
    cell = row.cells[column.name]
    if cell.estimate is None:
        return numbers.ABSENT
    places = numbers.decimals(cell.estimate.value, column.bounds)
    text = numbers.fixed(cell.estimate.value, places)
    if cell.estimate.low is not None and cell.estimate.high is not None:
        text += f" ±{numbers.fixed((cell.estimate.high - cell.estimate.low) / 2, places)}"
    return text + ("*" if numbers.apart(cell.difference) else " ")


def _reasons(board: Leaderboard, rows: Sequence[Row]) -> list[RenderableType]:
    """Why a value is missing from the tables, the same reason said once."""
    said: dict[tuple[str, str], list[str]] = {}
    for column in board.columns:
        for row in rows:
            cell = row.cells[column.name]
            if cell.reason or cell.difference_reason:
                said.setdefault((column.name, cell.reason or cell.difference_reason), []).append(row.arm)
    return [Text(f"{name} of {', '.join(arms)}: {reason}.") for (name, reason), arms in said.items()]


def _chunks(arms: Sequence[str], widths: dict[str, int], room: int) -> Iterable[list[str]]:
    chunk: list[str] = []
    for arm in arms:
        if chunk and sum(widths[one] for one in [*chunk, arm]) > room:
            yield chunk
            chunk = []
        chunk.append(arm)
    yield chunk


def _legend(board: Leaderboard) -> list[RenderableType]:
    table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for column in board.columns:
        better = "higher is better" if column.direction == "higher" else "lower is better"
        about = f"{better}; {column.description}" + (f" ({column.unit})" if column.unit else "")
        table.add_row(Text(label(column)), Text(about))
    how = next((row.cells[board.primary].estimate for row in board.rows if row.cells[board.primary].estimate), None)
    lines: list[RenderableType] = [table]
    if how is not None:
        lines.append(Text(f"Interval of {board.primary}: {how.method}."))
    test = "t test" if board.question == "method" else "permutation test"
    lines.append(Text(f"p (Holm): {test} of no difference to the reference, adjusted for the number of arms."))
    if any(row.ranks for row in board.rows):
        lines.append(Text(RANKS))
    return lines


# ----------------------------------------------------------------------------------------------------------- ledger


def _ledger(board: Leaderboard, width: int) -> Table:
    rows = [(row.arm + ("+" if row.cost.has_parent else ""), row.cost) for row in board.rows if row.cost is not None]
    costs = [cost for _, cost in rows]
    return _fitted(
        [
            _Column("cost", [arm for arm, _ in rows]),
            _Column("train s", [numbers.seconds(cost.all_train_seconds) for cost in costs]),
            _Column("score s", [numbers.seconds(cost.predict_seconds + cost.score_seconds) for cost in costs], drop=4),
            _Column("total s", [numbers.seconds(cost.all_seconds) for cost in costs]),
            _Column("examples", [numbers.count(cost.all_examples) for cost in costs]),
            _Column("tokens", [numbers.count(cost.all_tokens) for cost in costs], drop=1),
            _Column("steps", [numbers.count(cost.optimiser_steps) for cost in costs], drop=6),
            _Column("trainable", [numbers.count(cost.trainable_parameters) for cost in costs], drop=2),
            _Column("of all", [_share(cost) for cost in costs], drop=7),
            _Column("file MB", [numbers.megabytes(cost.artefact_bytes) for cost in costs], drop=3),
            _Column("peak MB", [numbers.megabytes(cost.peak_memory_bytes) for cost in costs], drop=2),
            _Column("trials", [numbers.count(cost.trials) for cost in costs], drop=5),
        ],
        width,
    )


def _share(cost: Cost) -> str:
    if not cost.total_parameters:
        return numbers.ABSENT
    return f"{100 * cost.trainable_parameters / cost.total_parameters:.3g} %"


def _cost_legend(board: Leaderboard) -> list[RenderableType]:
    costs = [row.cost for row in board.rows if row.cost is not None]
    several = any(cost.seeds > 1 for cost in costs)
    text = "Cost of one seed" + (", mean over seeds" if several else "") + "; total: preparation, training, scoring."
    if any(cost.has_parent for cost in costs):
        text += " +: with its parent's training."
    return [Text(text)]


def _marks(board: Leaderboard) -> dict[str, str]:
    """Numbers of each arm's notes, `1 2`."""
    order = list(dict.fromkeys(note for row in board.rows for note in row.notes))
    return {row.arm: " ".join(str(order.index(note) + 1) for note in row.notes) for row in board.rows}


def _numbered_notes(board: Leaderboard) -> list[RenderableType]:
    arms: dict[str, list[str]] = {}
    for row in board.rows:
        for note in row.notes:
            arms.setdefault(note, []).append(row.arm)
    return [
        Text(numbers.printable(f"{number}  {', '.join(who)}: {note}"))
        for number, (note, who) in enumerate(arms.items(), 1)
    ]


# ------------------------------------------------------------------------------------------------------- comparison


def _comparison(comparison: Comparison) -> list[RenderableType]:
    a, b = comparison.a, comparison.b
    table = _table("metric", a, b, f"{a} minus {b} [95 %]", "p")
    for one in comparison.metrics:
        bounds = one.column.bounds
        table.add_row(
            label(one.column),
            numbers.value(one.a, bounds),
            numbers.value(one.b, bounds),
            numbers.with_interval(one.difference, bounds, sign=True)
            if one.difference
            else one.reason or numbers.ABSENT,
            numbers.probability(one.p_value),
        )
    primary = comparison.metrics[0].column
    parts: list[RenderableType] = [
        Text(f"{comparison.experiment.name}: {a} against {b}, paired on the same test examples. {comparison.estimand}"),
        table,
        Text(
            f"{primary.name} by example: {a} better {comparison.wins_a}, {b} better {comparison.wins_b}, "
            f"equal {comparison.ties}. p: permutation test of no difference, for this one pair."
        ),
        *(Text(f"{note[0].upper()}{note[1:]}.") for note in comparison.notes),
    ]
    if comparison.sensitive:
        parts.append(Text("The task is sensitive: ids only, no text."))
    for sample in comparison.samples:
        parts += _sample(sample, comparison, primary)
    return parts


def _sample(sample: Sample, comparison: Comparison, column: Column) -> list[RenderableType]:
    places = numbers.decimals(max(abs(sample.value_a), abs(sample.value_b)), column.bounds)
    ours, theirs = numbers.fixed(sample.value_a, places), numbers.fixed(sample.value_b, places)
    values = f"{comparison.a} {ours}, {comparison.b} {theirs}"
    parts: list[RenderableType] = [Text(""), Text(f"Example {sample.example}: {column.name} {values}")]
    texts = [
        ("prompt", sample.prompt),
        *(("reference", reference) for reference in sample.references or ()),
        (comparison.a, sample.text_a),
        (comparison.b, sample.text_b),
    ]
    for name, text in texts:
        if text is not None:
            parts += [Text(f"  {name}:"), Padding(Text(numbers.printable(text.strip()) or "(empty)"), (0, 0, 0, 4))]
    return parts


# ---------------------------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table; of those that do not fit, the one with the largest `drop` goes first, 0 never."""

    name: str
    cells: Sequence[str]
    drop: int = 0

    @property
    def width(self) -> int:
        return max(len(self.name), *map(len, self.cells), 1) + _GAP


def _fitted(columns: Sequence[_Column], width: int) -> Table:
    kept = list(columns)
    while sum(column.width for column in kept) > width and any(column.drop for column in kept):
        kept.remove(max(kept, key=lambda column: column.drop))
    table = _table(*(column.name for column in kept))
    for cells in zip(*(column.cells for column in kept), strict=True):
        table.add_row(*map(Text, cells))
    return table


def _table(first: str, *others: str) -> Table:
    # The box adds one column between two cells, the padding the other.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(Text(first), overflow="fold")
    for name in others:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def _width() -> int:
    return Console().width if sys.stdout.isatty() else WIDTH


def _print(parts: Sequence[RenderableType]) -> None:
    if sys.stdout.isatty():
        Console().print(*parts, sep="\n")
    else:
        sys.stdout.write(_plain(parts, WIDTH))


def _plain(parts: Sequence[RenderableType], width: int) -> str:
    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, force_terminal=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"
