"""What every form of the results says in the same words: the verdict, names of metrics, marks beside arms, reasons."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import Question, WinnerVerdict
from harness.results import numbers
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.winner.verdict import COST_WORDS, listed

ARROWS = {"higher": "↑", "lower": "↓"}
MARKS = {"more": "▲", "less": "▼"}
UNSTABLE = "!"
UNKNOWN = "?"


def sentence(text: str) -> str:
    """`text` with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def times(number: int) -> str:
    """`once`, `5 times`."""
    return "once" if number == 1 else f"{number} times"


def some(count: int, what: str) -> str:
    """`1 rater`, `2 raters`."""
    return f"{count} {what}" + ("" if count == 1 else "s")


# ----------------------------------------------------------------------------------------------------------- verdict


def ranks_words(question: Question) -> str:
    """What the columns of ranks say."""
    drawn = (
        "resamples of the test examples and draws of the seeds' spread"
        if question == "method"
        else "resamples of the test examples, seeds averaged: they say nothing about other seeds"
    )
    return f"rank: 95 % interval of each arm's own rank; P(best): how often it is the best one. Both over {drawn}."


def verdict_lines(verdict: WinnerVerdict) -> list[str]:
    """The verdict, what stands behind it, and the rule with the moment of its declaration."""
    what = "these methods" if verdict.estimand == "method" else "these checkpoints"
    lines = [f"Verdict on {what}: {verdict.words}.", *([verdict.reason] if verdict.reason else [])]
    rule, least = verdict.rule, f"a tie goes to the least {COST_WORDS[verdict.rule.cost]}"
    matters = f"differences up to {rule.margin:g} do not matter, {least}" if rule.margin else "every difference matters"
    name = "Winner rule" if rule.declared else "Default winner rule"
    return [*lines, *map(sentence, verdict.notes), f"{name} ({matters}): {verdict.declaration}."]


def standing(verdict: WinnerVerdict) -> str:
    """What the verdict says of every arm, in one line; empty where there is nothing to compare."""
    more = f" by more than {verdict.rule.margin:g}" if verdict.rule.margin else ""
    sets = (
        (f"no arm is better{more} than ", verdict.good),
        ("may be as good as any: ", verdict.open),
        (f"worse than another{more}: ", verdict.worse),
    )
    parts = [words + listed(arms) for words, arms in sets if arms]
    if verdict.outcome == "no_verdict" or not parts:
        return ""
    level = f"Each comparison at {100 * verdict.level:.3g} %, so that the verdict holds at 95 %."
    return f"{sentence('; '.join(parts))} {level}"


def p_words(board: Leaderboard, reference: str = "the reference") -> str:
    """What the column of p-values says."""
    test = "t test" if board.question == "method" else "permutation test"
    return f"p (Holm): {test} of no difference to {reference}, adjusted for the number of arms."


def method_words(board: Leaderboard) -> list[str]:
    """How the intervals of the primary metric were made; nothing without a value."""
    estimates = [row.cells[board.primary].estimate for row in board.rows]
    return [f"Interval of {board.primary}: {estimate.method}." for estimate in estimates if estimate is not None][:1]


# -------------------------------------------------------------------------------------------------- metrics and arms


def label(column: Column) -> str:
    """Metric and direction, `rouge_l ↑`; of an own metric the function's name."""
    return f"{column.name.rpartition(':')[2]} {ARROWS[column.direction]}"


def better(column: Column) -> str:
    """`higher is better` or `lower is better`."""
    return f"{column.direction} is better"


def marked(row: Row) -> str:
    """The arm's name, with ▲ or ▼ for more or less than the budget, ? for an unknown one, ! for instability."""
    given = MARKS.get(row.budget or "", "") if row.budget_known else UNKNOWN
    marks = given + (UNSTABLE if _unstable(row) else "")
    return f"{row.arm} {marks}" if marks else row.arm


def _unstable(row: Row) -> bool:
    """Whether a training of the arm showed signs of instability; memory that ran out is none."""
    return any(event.kind != "out_of_memory" for event in row.events)


def legend_of_marks(board: Leaderboard) -> list[str]:
    """What the marks beside the arms mean, those that are used, in one line."""
    rows = [row for row in board.rows if row.evaluations]
    used = {row.budget for row in rows}
    marks = [f"{MARKS[name]} got {name} than the budget (a parent's share counts)" for name in MARKS if name in used]
    marks += [f"{UNKNOWN} budget unknown: trained elsewhere"] if any(not row.budget_known for row in rows) else []
    marks += [f"{UNSTABLE} signs of an unstable training (see its notes)"] if any(map(_unstable, rows)) else []
    return [f"{'; '.join(marks)}."] if marks else []


def missing_values(board: Leaderboard, rows: Sequence[Row]) -> list[str]:
    """Why a value is missing from the tables, the same reason said once."""
    arms: dict[tuple[str, str], list[str]] = {}
    for column in board.columns:
        for row in rows:
            cell = row.cells[column.name]
            if cell.reason or cell.difference_reason:
                arms.setdefault((column.name, cell.reason or cell.difference_reason), []).append(row.arm)
    return [f"{name} of {', '.join(those)}: {reason}." for (name, reason), those in arms.items()]


def share_trained(trainable: float | None, total: float | None) -> str:
    """`9.74 %` of all parameters."""
    return numbers.ABSENT if not total or trainable is None else f"{100 * trainable / total:.3g} %"
