"""A whole report as a record: what `harness report` writes as HTML and as Markdown, so that the two cannot differ.

    page = report_page(results, Told("harness run my.yaml"), samples)
    to_page_html(page), to_page_markdown(page)

Everything is made of the records that the leaderboard, the ledger and the other views are made of. The top is for who
decides: verdict, one table, three sentences. What follows is for who checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.results import numbers
from harness.results.collect import Results
from harness.results.human.records import anonymous
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.charts import svg_charts
from harness.results.render.page import parts
from harness.results.render.page.records import Page, Section, Table, Told, sentence
from harness.results.render.text import label, legend_of_marks, marked
from harness.results.render.verdicts import verdict_lines
from harness.results.studies.samples import Shown

OUTCOMES = {
    "ship": ("Verdict: ship", "good"),
    "tie": ("Verdict: a tie", "good"),
    "ship_none": ("Verdict: ship none", "bad"),
    "not_enough_data": ("Verdict: not enough data", "open"),
    "no_verdict": ("No verdict", "open"),
}
"""What the verdict is called, and its colour."""


@dataclass(frozen=True, slots=True)
class Made:
    """What sections are made of."""

    results: Results
    board: Leaderboard
    looks: svg_charts.Looks
    told: Told
    samples: tuple[Shown, ...]


def report_page(results: Results, told: Told, samples: Sequence[Shown] = ()) -> Page:
    """The report of an experiment; raters have numbers in place of names, and who looked is not said."""
    if results.human is not None:
        results = replace(results, human=anonymous(results.human))
    made = Made(results, leaderboard(results), svg_charts.looks_of(results), told, tuple(samples))
    board = made.board
    task = results.experiment.task
    rule = [line for line in verdict_lines(board.verdict)[1:] if line != board.verdict.reason]
    name, colour = OUTCOMES[board.verdict.outcome]
    found = [part(made) for part in PARTS]
    return Page(
        title=f"{results.experiment.name}: which method to ship",
        name=results.experiment.name,
        question=_question(board),
        outcome=name,
        colour=colour,
        verdict=sentence(board.verdict.words),
        sentences=_sentences(board),
        rule=tuple(rule),
        facts=_facts(made),
        glance=_glance(board),
        glance_chart=svg_charts.forest(board, made.looks),
        legend={arm: look.swatch() for arm, look in made.looks.items()},
        sections=tuple(section for section in found if section is not None),
        sensitive=bool(task.get("sensitive")),
    )


def _question(board: Leaderboard) -> str:
    asked = str(board.experiment.spec.get("description") or "").strip()
    return asked or f"Which of {len(board.rows)} ways to prepare a model for {board.task} should be shipped?"


def _sentences(board: Leaderboard) -> tuple[str, ...]:
    """Three at most: why, how good, how sure."""
    column = board.columns[0]
    found = [board.verdict.reason] if board.verdict.reason else []
    rows = [row for row in board.rows if row.cells[column.name].estimate is not None]
    if rows:
        best, base = rows[0], next((row for row in rows if row.arm == board.reference), None)
        about = f" ({column.description})" if column.description else ""
        text = f"The best {column.name}{about} is that of {best.arm}: {_said(best, column.name, column.bounds)}"
        if base is not None and base is not best:
            text += f", where {base.arm} has {numbers.value(base.cells[column.name].estimate, column.bounds)}"
        found.append(f"{text}; {'higher' if column.direction == 'higher' else 'lower'} is better.")
    size = board.experiment.split_sizes.get("test")
    seeds = max((len(row.seeds) for row in board.rows), default=0)
    if size and seeds:
        trained = "one training of each method" if seeds == 1 else f"{seeds} trainings of each method"
        sure = "another training may come out otherwise" if seeds < 3 else "the intervals allow for other trainings"
        found.append(f"This rests on {size:,} examples that no training saw and on {trained}: {sure}.")
    return tuple(found)


def _said(row: Row, name: str, bounds: numbers.Bounds) -> str:
    estimate = row.cells[name].estimate
    assert estimate is not None
    places = numbers.decimals(estimate.value, bounds)
    text = numbers.fixed(estimate.value, places)
    if estimate.low is None or estimate.high is None:
        return text
    low, high = (numbers.fixed(end, places) for end in (estimate.low, estimate.high))
    return f"{text}, with 95 % confidence between {low} and {high}"


def _seeds(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})" if seeds else "none"


def _facts(made: Made) -> tuple[tuple[str, str], ...]:
    record, board = made.results.experiment, made.board
    sizes = record.split_sizes
    counts = ", ".join(f"{sizes[side]:,} {side}" for side in ("train", "validation", "test") if side in sizes)
    licence = str((record.task.get("data") or {}).get("licence") or "")
    spec = record.spec
    base = spec.get("base_model")
    path = str(base.get("path") if isinstance(base, dict) else base)
    rows = [
        ("Task", f"{board.task}, version {record.task.get('version', 1)}"),
        ("About", str(record.task.get("description") or "")),
        ("Examples", counts + (f"; data licence {licence}" if licence else "")),
        ("Base model", path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if base else ""),
        ("Budget", f"{parts.budget_words(board)} for each trained arm"),
        ("Training seeds", _seeds(spec.get("seeds") or [])),
        ("Declared", record.created),
        ("Looks at the test split", f"{board.looks} by this experiment, {board.looks_in_all} in all"),
    ]
    return tuple((name, value) for name, value in rows if value)


def _glance(board: Leaderboard) -> Table:
    """One table for who decides."""
    column = board.columns[0]
    rows = []
    for row in board.rows:
        if row.evaluations:
            cost = row.cost
            rows.append(
                (
                    marked(row),
                    numbers.with_interval(row.cells[column.name].estimate, column.bounds),
                    _standing(board, row),
                    numbers.seconds(cost.all_train_seconds if cost else None),
                    numbers.megabytes(cost.artefact_bytes if cost else None),
                )
            )
    heads = ("method", f"{label(column)} [95 %]", "in words", "training s", "file MB")
    return Table("The methods at a glance, the best one first", heads, tuple(rows), tuple(legend_of_marks(board)))


def _standing(board: Leaderboard, row: Row) -> str:
    verdict = board.verdict
    if row.arm == verdict.arm:
        return "take this one"
    if row.apart:
        return "not ranked"
    if row.arm in verdict.good:
        return "as good as any"
    if row.arm in verdict.open:
        return "may be as good"
    return "worse" if row.arm in verdict.worse else numbers.ABSENT


PARTS: tuple[Callable[[Made], Section | None], ...] = (
    lambda made: parts.ranking(made.board),
    lambda made: parts.all_metrics(made.board),
    lambda made: parts.failures(made.board),
    lambda made: parts.human(made.board),
    lambda made: parts.cost(made.board, made.looks),
    lambda made: parts.fairness(made.board),
    lambda made: parts.training(made.results, made.looks),
    lambda made: parts.tuning(made.results, made.looks),
    lambda made: parts.learning(made.results, made.looks),
    lambda made: parts.forgetting(made.board),
    lambda made: parts.serving(made.board),
    lambda made: parts.samples(made.results, made.samples, made.told),
    lambda made: parts.looks(made.results),
    lambda made: parts.settings(made.results),
    lambda made: parts.reproduce(made.results, made.told),
)
"""Sections in their order; those that have nothing to show are None."""

__all__ = ["Page", "Section", "Table", "Told", "report_page"]
