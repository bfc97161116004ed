"""The leaderboard as text, Markdown, LaTeX and CSV: the same tables, in the order that each form asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.results import numbers
from harness.results.human.records import METRIC, HumanArm
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render import board as tables, human, speed
from harness.results.render.words import (
    better,
    legend_of_marks,
    method_words,
    p_words,
    ranks_words,
    sentence,
    standing,
    times,
    verdict_lines,
)
from harness.results.render.writers import SIGNS, Part, escape, latex, markdown, printed, safe, to_rows

ESTIMATE = ("value", "low", "high", "level", "n", "clusters", "seeds")
CSV_FIELDS = (
    *("experiment", "arm", "method", "status", "metric", "direction", "primary", *ESTIMATE),
    *("estimand", "reference", "difference", "difference_low", "difference_high"),
    *("p", "p_holm", "missing", "reason", "budget"),
)
"""Columns, in order. `level` is that of both intervals; `difference` is arm minus reference, paired; `budget` what the
arm was given against the budget: equal, more, less, unknown (trained elsewhere), or empty without training."""


def board_view(board: Leaderboard) -> list[Part]:
    """Verdict, ranking, failures, all metrics, people's votes, forgetting, cost, notes, serving figures, a legend."""
    scored = bool(tables.scored_rows(board))
    parts: list[Part] = [*verdict_lines(board.verdict), "", *_heading(board), "", tables.ranking(board)]
    parts += [line for line in [standing(board.verdict), *legend_of_marks(board)] if line]
    failures = tables.failures(board).rows
    if failures:
        parts += ["", "Without a result:", *(f"  {arm}: {error}" for arm, error in failures)]
    parts += ["", tables.metrics(board)] if scored else []
    rates = human.board_rates(board)
    parts += ["", rates] if rates is not None else []
    parts += ["", tables.forgetting(board)] if board.forgetting else []
    parts += ["", tables.cost(board)]
    for number, (note, arms) in enumerate(tables.numbered_notes(board).items(), 1):
        parts.append(f"{number}  {', '.join(arms)}: {note}")
    parts.append("")
    parts += [*speed.serving_view(board), ""] if board.serving is not None else []
    parts += [tables.meanings(board), *method_words(board), p_words(board)]
    return [*parts, *([ranks_words(board.verdict.estimand)] if any(row.ranks for row in board.rows) else [])]


print_board, to_text = printed(board_view)


def _heading(board: Leaderboard) -> list[str]:
    record, sizes = board.experiment, board.experiment.split_sizes
    splits = [split for split in ("train", "validation", "test") if split in sizes]
    counts = ", ".join(f"{numbers.count(sizes[split])} {split}" for split in splits)
    lines = [
        f"{record.name}: task {board.task} v{record.task.get('version', 1)} ({counts}; {board.clusters} test groups)",
        record.task.get("description") or "",
        f"Compared with {board.reference}, paired on the same test examples. {board.estimand}",
        f"This experiment scored the test split {times(board.looks)}; all experiments together "
        f"{times(board.looks_in_all)}. Leaks between splits: {board.leaks or 'none'}"
        + (" (dropped or allowed as the task says)." if board.leaks else "."),
        *map(sentence, board.notes),
    ]
    return [line for line in lines if line]


# ---------------------------------------------------------------------------------------------------------- Markdown


def sections(board: Leaderboard) -> tuple[tuple[str, str, str], dict[str, str]]:
    """The Markdown form: verdict, summary and ranking, then what else there is by its heading, a metric by its name."""
    record = board.experiment
    sizes = ", ".join(f"{size:,} {name}" for name, size in record.split_sizes.items())
    summary = _blocks(
        f"Task `{board.task}` v{record.task.get('version', 1)}: {sizes}. "
        f"{safe(str(record.task.get('description', '')))}",
        f"{board.estimand} Looks at the test split: {board.looks} by this experiment, {board.looks_in_all} in all. "
        f"Leaks between splits: {board.leaks}.",
        _listed(board.notes),
    )
    first, *others = map(safe, verdict_lines(board.verdict))
    ranking = [markdown(tables.short_ranking(board)), "\n".join([standing(board.verdict), *legend_of_marks(board)])]
    ranking += [ranks_words(board.verdict.estimand)] if tables.scored_rows(board) else []
    rates, serving = human.board_rates(board), board.serving
    speeds = [] if serving is None else [*map(markdown, speed.speed_tables(serving)), _listed(speed.legend(serving))]
    more = {
        "Without a result": "\n".join(f"- **{arm}**: {safe(error)}" for arm, error in tables.failures(board).rows),
        **{
            column.name: _blocks(
                f"{better(column)}; {safe(column.description)}.", markdown(tables.one_metric(board, column))
            )
            for column in board.columns
        },
        "Human review": markdown(replace(rates, title="")) if rates is not None else "",
        "Forgetting": markdown(tables.forgetting(board)) if board.forgetting else "",
        "Cost of one seed": _blocks(
            markdown(tables.cost(board)), _listed([f"{row.arm}: {note}" for row in board.rows for note in row.notes])
        ),
        "Serving": _blocks(*speeds),
    }
    top = (_blocks(f"**{first}**", " ".join(others)), summary, _blocks(*ranking))
    return top, {title: text for title, text in more.items() if text}


def _blocks(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {safe(line)}" for line in lines)


def render_markdown(board: Leaderboard) -> str:
    """Tables of ranking, metrics and cost, with every caveat of the text form."""
    top, more = sections(board)
    headed = [_blocks(f"## {title}", text) for title, text in more.items()]
    return _blocks(f"# {board.experiment.name}", *top, *headed) + "\n"


# ------------------------------------------------------------------------------------------------------------- LaTeX


def to_latex(board: Leaderboard) -> str:
    r"""A `table` with the primary metric, its paired difference to the reference, the other metrics, cost and serving.

    Needs `\usepackage{booktabs}` and a UTF-8 engine; wide boards want `\resizebox` or a landscape page. Of what people
    said and of serving figures the caption and the values; the intervals of the latter stand in the other forms.
    """
    left_out = ("rank", "P(best)", "trainable", "notes")
    ranking = tables.ranking(board).select(lambda head, _: head not in left_out)
    rows = tables.scored_rows(board)
    if board.human is not None:
        voted = [board.human.everyone.of(row.arm) for row in rows]
        rates = [human.share(arm.win_rate.rate) if arm is not None else numbers.ABSENT for arm in voted]
        ranking = ranking.with_column("human win rate ↑ [95 %]", rates)
    for head, shown in speed.medians(board.serving).items() if board.serving is not None else ():
        ranking = ranking.with_column(head, [shown(row.arm) for row in rows])
    return r"% \usepackage{booktabs}" + "\n" + latex(ranking, _caption(board))


def _caption(board: Leaderboard) -> str:
    record = board.experiment
    parts = [
        f"{record.name}: task {board.task} v{record.task.get('version', 1)}, "
        f"{record.split_sizes.get('test', 0)} test examples in {board.clusters} groups.",
        f"Verdict: {board.verdict.words}.",
        board.estimand,
        "p: no difference to the reference, Holm-adjusted for the number of arms.",
        *(line.translate(SIGNS) for line in legend_of_marks(board)),
        *(human.board_lines(board.human) if board.human is not None else []),
        *(f"{row.arm} has no result ({row.status})." for row in board.rows if not row.evaluations),
    ]
    return escape(" ".join(parts))


# --------------------------------------------------------------------------------------------------------------- CSV


def to_csv(board: Leaderboard) -> str:
    """One row for each arm and metric, full precision, absent values empty, `true` and `false`."""
    rows: list[dict[str, object]] = []
    for row in board.rows:
        rows += [_metric_values(board, row, index) for index in range(len(board.columns))]
        voted = board.human.everyone.of(row.arm) if board.human is not None else None
        rows += [_human_values(row, voted)] if voted is not None else []
    budgets = {row.arm: (row.budget or "") if row.budget_known else "unknown" for row in board.rows}
    for values in rows:
        values |= {"experiment": board.experiment.name, "budget": budgets[str(values["arm"])]}
    return to_rows(CSV_FIELDS, rows)


def _metric_values(board: Leaderboard, row: Row, index: int) -> dict[str, object]:
    column = board.columns[index]
    cell = row.cells[column.name]
    return {
        **{name: getattr(row, name) for name in ("arm", "method", "status")},
        **{"metric": column.name, "direction": column.direction, "primary": str(column.primary).lower()},
        **{name: getattr(cell.estimate, name, None) for name in ESTIMATE},
        **{"estimand": board.question, "reference": board.reference},
        "difference": getattr(cell.difference, "value", None),
        **{f"difference_{end}": getattr(cell.difference, end, None) for end in ("low", "high")},
        **{"p": cell.p_value, "p_holm": cell.p_holm, "missing": cell.missing},
        "reason": cell.reason or cell.difference_reason,
    }


def _human_values(row: Row, voted: HumanArm) -> dict[str, object]:
    """What people said of an arm; n counts votes, clusters the examples."""
    return {
        **{name: getattr(row, name) for name in ("arm", "method", "status")},
        **{"metric": METRIC, "direction": "higher", "primary": "false", "estimand": "checkpoints", "missing": 0},
        **{name: getattr(voted.win_rate.rate.estimate, name, None) for name in ESTIMATE},
        "reason": voted.win_rate.rate.why,
    }
