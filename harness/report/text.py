"""Reports as lines for a terminal or a log: rich tables that fit 100 to 120 columns.

Without a terminal the same tables come as plain lines of a fixed width, without colour and without control codes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report import numbers
from harness.report.columns import Column
from harness.report.comparison import Comparison, Sample
from harness.report.costs import Cost
from harness.report.human_board import board_block
from harness.report.human_views import render as render_block
from harness.report.rendering import GAP as _GAP
from harness.report.rendering import WIDTH
from harness.report.rendering import TextColumn as _Column
from harness.report.rendering import chunks as _chunks
from harness.report.rendering import emit as _print
from harness.report.rendering import fitted as _fitted
from harness.report.rendering import plain as _plain
from harness.report.rendering import table as _table
from harness.report.rendering import terminal_width as _width
from harness.report.rows import Leaderboard, Row
from harness.report.serving_views import render_serving
from harness.report.verdicts import ranks_words, standing, verdict_lines

ARROWS = {"higher": "↑", "lower": "↓"}
MARKS = {"more": "▲", "less": "▼"}
UNSTABLE = "!"
UNKNOWN = "?"


def print_board(board: Leaderboard) -> None:
    """Print the leaderboard on standard output."""
    _print(render_text(board, _width()))


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison on standard output."""
    _print(_comparison(comparison))


def to_text(board: Leaderboard, width: int = WIDTH) -> str:
    """The leaderboard as plain lines."""
    return _plain(render_text(board, width), width)


def comparison_to_text(comparison: Comparison) -> str:
    """A comparison as plain lines."""
    return _plain(_comparison(comparison), WIDTH)


def render_text(board: Leaderboard, width: int = WIDTH) -> list[RenderableType]:
    """The leaderboard as rich renderables that fit `width` columns."""
    parts: list[RenderableType] = [Text(numbers.printable(line)) for line in verdict_lines(board.verdict)]
    parts += [Text(""), *_heading(board), Text(""), _ranking(board, width)]
    parts += [Text(line) for line in [standing(board.verdict), *legend_of_marks(board)] if line]
    parts += _failures(board)
    parts += _metric_tables(board, width)
    parts += _human(board, width)
    parts += _forgetting(board)
    parts += [Text(""), _ledger(board, width), *_cost_legend(board), *_numbered_notes(board), Text("")]
    parts += [*render_serving(board.serving, width), Text("")] if board.serving is not None else []
    parts += _legend(board)
    return parts


def marked(row: Row) -> str:
    """The arm's name, with ▲ or ▼ for more or less than the budget, ? for an unknown one, ! for instability."""
    given = MARKS.get(row.budget or "", "") if row.budget_known else UNKNOWN
    marks = given + (UNSTABLE if unstable(row) else "")
    return f"{row.arm} {marks}" if marks else row.arm


def unstable(row: Row) -> bool:
    """Whether a training of the arm showed signs of instability; memory that ran out is none."""
    return any(event.kind != "out_of_memory" for event in row.events)


def legend_of_marks(board: Leaderboard) -> list[str]:
    """What the marks beside the arms mean, those that are used."""
    rows = [row for row in board.rows if row.evaluations]
    used = {row.budget for row in rows}
    said = [f"{MARKS[name]} got {name} than the budget (a parent's share counts)" for name in MARKS if name in used]
    said += [f"{UNKNOWN} budget unknown"] if any(not row.budget_known for row in rows) else []
    said += [f"{UNSTABLE} signs of an unstable training (see its notes)"] if any(map(unstable, rows)) else []
    return [f"{'; '.join(said)}."] if said else []


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
        _Column("arm", [marked(row) for row in rows]),
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
        _Column("train s", [_own(row, numbers.seconds, "all_train_seconds") for row in rows], drop=4),
        _Column("total s", [numbers.seconds(cost.all_seconds if cost else None) for cost in costs], drop=1),
        _Column("trainable", [_own(row, numbers.count, "trainable_parameters") for row in rows], drop=5),
    ]
    if any(marks.values()):
        columns.append(_Column("notes", [marks[row.arm] for row in rows]))
    return _fitted(columns, width)


def _own(row: Row, shown: Callable[[float | None], str], name: str) -> str:
    """A cost; absent where it is not known, as that of a training elsewhere."""
    return shown(getattr(row.cost, name) if row.cost is not None else None)


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
    texts = {row.arm: [with_half_width(row, column) for column in board.columns] for row in rows}
    widths = {arm: max(len(arm), *map(len, cells)) + _GAP for arm, cells in texts.items()}
    first = max(len(label(column)) for column in board.columns) + _GAP
    tables: list[RenderableType] = []
    for arms in _chunks(list(texts), widths, width - first):
        table = _table("all metrics", *arms)
        for index, column in enumerate(board.columns):
            table.add_row(Text(label(column)), *(Text(texts[arm][index]) for arm in arms))
        tables += [Text(""), table]
    return [*tables, Text(metrics_note(board)), *map(Text, reasons(board, rows))]


def metrics_note(board: Leaderboard) -> str:
    """What the marks in the table of all metrics are."""
    return (
        f"±: half the width of the 95 % interval. *: the paired 95 % interval of the difference to {board.reference} "
        "excludes 0 (not adjusted for the number of metrics)."
    )


def with_half_width(row: Row, column: Column) -> str:
    """`0.902 ±0.018*`; the star where the paired difference to the reference excludes 0."""
    cell = row.cells[column.name]
    if cell.estimate is None:
        return numbers.ABSENT
    places = numbers.decimals(cell.estimate.value, column.bounds)
    text = numbers.fixed(cell.estimate.value, places)
    if cell.estimate.low is not None and cell.estimate.high is not None:
        text += f" ±{numbers.fixed((cell.estimate.high - cell.estimate.low) / 2, places)}"
    return text + ("*" if numbers.apart(cell.difference) else " ")


def reasons(board: Leaderboard, rows: Sequence[Row]) -> list[str]:
    """Why a value is missing from the tables, the same reason said once."""
    said: dict[tuple[str, str], list[str]] = {}
    for column in board.columns:
        for row in rows:
            cell = row.cells[column.name]
            if cell.reason or cell.difference_reason:
                said.setdefault((column.name, cell.reason or cell.difference_reason), []).append(row.arm)
    return [f"{name} of {', '.join(arms)}: {reason}." for (name, reason), arms in said.items()]


def _forgetting(board: Leaderboard) -> list[RenderableType]:
    """Retention before and after, a line for each arm and measure."""
    if not board.forgetting:
        return []
    bounds = {column.name: column.bounds for column in board.columns}
    table = _table("forgetting", "arm", "before (untrained)", "after", "after minus before [95 %]")
    for one in board.forgetting:
        table.add_row(
            Text(f"{one.metric} {ARROWS[one.direction]}"),
            Text(one.arm),
            numbers.value(one.before, bounds[one.metric]),
            numbers.value(one.after, bounds[one.metric]),
            numbers.with_interval(one.difference, bounds[one.metric], sign=True),
        )
    return [Text(""), table]


def _human(board: Leaderboard, width: int) -> list[RenderableType]:
    """What people said in the newest unblinded round."""
    block = board_block(board)
    if block is None:
        return []
    return [Text(""), render_block(block, width), *(Text(numbers.printable(line)) for line in block.lines)]


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
        lines.append(Text(ranks_words(board.verdict.estimand)))
    return lines


# ----------------------------------------------------------------------------------------------------------- ledger


def _ledger(board: Leaderboard, width: int) -> Table:
    rows = [(costly(row), row.cost) for row in board.rows if row.cost is not None]
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
            *(
                [_Column("tuning s", [numbers.seconds((cost.with_parent or cost).tuning_seconds) for cost in costs])]
                if any(cost.tuning_seconds for cost in costs)
                else []
            ),
        ],
        width,
    )


def costly(row: Row) -> str:
    """The arm's name in a table of costs: + with its parent's training, ? where its own is not known."""
    whole = row.cost is not None and row.cost.has_parent
    return row.arm + ("+" if whole else "") + ("" if row.budget_known else f" {UNKNOWN}")


def _share(cost: Cost) -> str:
    if not cost.total_parameters or cost.trainable_parameters is None:
        return numbers.ABSENT
    return f"{100 * cost.trainable_parameters / cost.total_parameters:.3g} %"


def _cost_legend(board: Leaderboard) -> list[RenderableType]:
    costs = [row.cost for row in board.rows if row.cost is not None]
    several = any(cost.seeds > 1 for cost in costs)
    text = "Cost of one seed" + (", mean over seeds" if several else "") + "; total: preparation, training, scoring."
    if any(cost.has_parent for cost in costs):
        text += " +: with its parent's training."
    if any(not row.budget_known for row in board.rows):
        text += f" {UNKNOWN}: trained elsewhere, what it took is unknown (-)."
    if any(cost.tuning_seconds for cost in costs):
        text += " tuning: all trials of the arm (and of its parent), once for all seeds, not in the total."
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
        parts.append(Text("The task is sensitive: no ids and no text."))
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
