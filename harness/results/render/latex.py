"""The leaderboard as a LaTeX table with booktabs rules, for a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.results import numbers
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render import human, human_board, speed
from harness.results.render.text import UNKNOWN

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "−": "$-$",
    "…": r"\dots{}",
    "·": r"$\cdot$",
    "×": r"$\times$",
}
_SERVING = ("first token ms", "tokens/s", "tokens/s at batch", "peak MB")
ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$"}


def escape(text: str) -> str:
    """Text of one line in which nothing is a command: LaTeX's special characters written out."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return "".join(_ESCAPES.get(char, char) for char in flat)


def to_latex(board: Leaderboard) -> str:
    r"""A `table` with the primary metric, its paired difference to the reference, the other metrics, and cost.

    Needs `\usepackage{booktabs}` and a UTF-8 engine; wide boards want `\resizebox` or a landscape page.
    """
    primary, others = board.columns[0], board.columns[1:]
    heads = [
        "arm",
        f"{_label(primary)} [95\\,\\%]",
        f"minus {escape(board.reference)} [95\\,\\%]",
        "$p$ (Holm)",
        *map(_label, others),
        *(["human win rate $\\uparrow$ [95\\,\\%]"] if board.human is not None else []),
        "train s",
        "total s",
        *(_SERVING if board.serving is not None else ()),
    ]
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{_caption(board)}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        _line(heads),
        r"\midrule",
        *(_line(_cells(board, row, primary, others)) for row in board.rows if row.evaluations),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _caption(board: Leaderboard) -> str:
    task = board.experiment.task
    parts = [
        f"{board.experiment.name}: task {board.task} v{task.get('version', 1)}, "
        f"{board.experiment.split_sizes.get('test', 0)} test examples in {board.clusters} groups.",
        f"Verdict: {board.verdict.words}.",
        board.estimand,
        "p: no difference to the reference, Holm-adjusted for the number of arms.",
        *_marks(board),
        *(human_board.board_lines(board.human) if board.human is not None else []),
        *(f"{row.arm} has no result ({row.status})." for row in board.rows if not row.evaluations),
    ]
    return escape(" ".join(parts))


def _marks(board: Leaderboard) -> list[str]:
    rows = [row for row in board.rows if row.evaluations]
    said = [
        f"{sign}: {name} than the budget."
        for name, sign in (("more", "+"), ("less", "−"))
        if any(row.budget == name for row in rows)
    ]
    return said + [
        f"{UNKNOWN}: trained elsewhere, budget unknown." for _ in range(any(not r.budget_known for r in rows))
    ]


def _label(column: Column) -> str:
    return f"{escape(column.name)} {ARROWS[column.direction]}"


def _cells(board: Leaderboard, row: Row, primary: Column, others: Sequence[Column]) -> list[str]:
    cell, cost = row.cells[primary.name], row.cost
    difference = numbers.with_interval(cell.difference, primary.bounds, sign=True)
    return [
        escape(row.arm) + _mark(row),
        _number(numbers.with_interval(cell.estimate, primary.bounds)),
        "(reference)" if row.arm == board.reference else _number(difference),
        _number(numbers.probability(cell.p_holm)),
        *(_number(numbers.value(row.cells[column.name].estimate, column.bounds)) for column in others),
        *([_number(_human(board, row))] if board.human is not None else []),
        _number(numbers.seconds(cost.all_train_seconds if cost else None)),
        _number(numbers.seconds(cost.all_seconds if cost else None)),
        *map(_number, _serving(board, row)),
    ]


def _serving(board: Leaderboard, row: Row) -> list[str]:
    """Medians alone: the intervals stand in the other forms."""
    if board.serving is None:
        return []
    found = board.serving.of(row.arm)
    if found is None:
        return [numbers.ABSENT] * len(_SERVING)
    latency, *rates = (found.figures.get(name) for name in speed.RATIOS)
    return [
        numbers.ABSENT if latency is None else speed.milliseconds(latency.value),
        *(numbers.ABSENT if one is None else speed.rate(one.value) for one in rates),
        numbers.megabytes(found.memory_bytes),
    ]


def _human(board: Leaderboard, row: Row) -> str:
    found = human_board.arm_cell(board, row.arm)
    return human.share(found.win_rate.rate) if found is not None else numbers.ABSENT


def _mark(row: Row) -> str:
    """More, less or unknown, as a superscript that the caption explains."""
    mark = {"more": "+", "less": "-"}.get(row.budget or "", "") if row.budget_known else UNKNOWN
    return f"$^{{{mark}}}$" if mark else ""


def _number(text: str) -> str:
    """A number in text mode with a true minus sign; `-` alone means absent."""
    if text == numbers.ABSENT:
        return "--"
    return escape(re.sub(r"-(?=\d)", "−", text.replace("[-]", "[--]")))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
