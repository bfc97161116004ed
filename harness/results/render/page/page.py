"""A whole report as a record: what `harness report` writes as HTML and as Markdown, so that the two cannot differ.

    page = report_page(results, ReportContext("harness run my.yaml"), samples)
    to_page_html(page), to_page_markdown(page)

Everything is made of the records that the leaderboard, the ledger and the other views are made of. The top is for who
decides: verdict, one table, three sentences. What follows is for who checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.results import numbers
from harness.results.collect import Results
from harness.results.human.records import anonymous
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.colours import arm_looks
from harness.results.render.ledger import budget_words
from harness.results.render.page.charts import forest_chart
from harness.results.render.page.parts import SECTIONS, PageInputs
from harness.results.render.page.records import Page, ReportContext
from harness.results.render.table import Columns, Table, table_of
from harness.results.render.words import better, label, legend_of_marks, marked, sentence, verdict_lines
from harness.results.studies.samples import SampleAnswers

OUTCOMES = {
    "ship": ("Verdict: ship", "good"),
    "tie": ("Verdict: a tie", "good"),
    "ship_none": ("Verdict: ship none", "bad"),
    "not_enough_data": ("Verdict: not enough data", "open"),
    "no_verdict": ("No verdict", "open"),
}
"""What the verdict is called, and its colour."""


def report_page(results: Results, context: ReportContext, samples: Sequence[SampleAnswers] = ()) -> Page:
    """The report of an experiment; raters have numbers in place of names, and who looked is not said."""
    if results.human is not None:
        results = replace(results, human=anonymous(results.human))
    looks = arm_looks(results.experiment, [entry.arm for entry in results.entries])
    inputs = PageInputs(results, leaderboard(results), looks, context, tuple(samples))
    board = inputs.board
    rule = [line for line in verdict_lines(board.verdict)[1:] if line != board.verdict.reason]
    name, colour = OUTCOMES[board.verdict.outcome]
    sections = [section(inputs) for section in SECTIONS]
    return Page(
        title=f"{results.experiment.name}: which method to ship",
        name=results.experiment.name,
        question=str(board.experiment.spec.get("description") or "").strip()
        or f"Which of {len(board.rows)} ways to prepare a model for {board.task} should be shipped?",
        outcome=name,
        colour=colour,
        verdict=sentence(board.verdict.words),
        sentences=_sentences(board),
        rule=tuple(rule),
        facts=_facts(board),
        glance=_glance(board),
        glance_chart=forest_chart(board, looks),
        sections=tuple(section for section in sections if section is not None),
        sensitive=bool(results.experiment.task.get("sensitive")),
    )


def _sentences(board: Leaderboard) -> tuple[str, ...]:
    """Three at most: why, how good, how sure."""
    column = board.columns[0]
    sentences = [board.verdict.reason] if board.verdict.reason else []
    rows = [row for row in board.rows if row.cells[column.name].estimate is not None]
    if rows:
        best, base = rows[0], next((row for row in rows if row.arm == board.reference), None)
        about = f" ({column.description})" if column.description else ""
        text = f"The best {column.name}{about} is that of {best.arm}: "
        estimate = best.cells[column.name].estimate
        text += numbers.value(estimate, column.bounds)
        if estimate is not None and estimate.low is not None and estimate.high is not None:
            places = numbers.decimals(estimate.value, column.bounds)
            low, high = (numbers.fixed(end, places) for end in (estimate.low, estimate.high))
            text += f", with 95 % confidence between {low} and {high}"
        if base is not None and base is not best:
            text += f", where {base.arm} has {numbers.value(base.cells[column.name].estimate, column.bounds)}"
        sentences.append(f"{text}; {better(column)}.")
    size = board.experiment.split_sizes.get("test")
    seeds = max((len(row.seeds) for row in board.rows), default=0)
    if size and seeds:
        trained = "one training of each method" if seeds == 1 else f"{seeds} trainings of each method"
        sure = "another training may come out otherwise" if seeds < 3 else "the intervals allow for other trainings"
        sentences.append(f"This rests on {size:,} examples that no training saw and on {trained}: {sure}.")
    return tuple(sentences)


def _facts(board: Leaderboard) -> tuple[tuple[str, str], ...]:
    record = board.experiment
    sizes = record.split_sizes
    counts = ", ".join(f"{sizes[side]:,} {side}" for side in ("train", "validation", "test") if side in sizes)
    licence = str((record.task.get("data") or {}).get("licence") or "")
    spec, seeds = record.spec, record.spec.get("seeds") or []
    seed_words = "seed" if len(seeds) == 1 else "seeds"
    base = spec.get("base_model")
    path = str(base.get("path") if isinstance(base, dict) else base)
    rows = [
        ("Task", f"{board.task}, version {record.task.get('version', 1)}"),
        ("About", str(record.task.get("description") or "")),
        ("Examples", counts + (f"; data licence {licence}" if licence else "")),
        ("Base model", path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if base else ""),
        ("Budget", f"{budget_words(board)} for each trained arm"),
        ("Training seeds", f"{len(seeds)} ({seed_words} {', '.join(map(str, seeds))})" if seeds else "none"),
        ("Declared", record.created),
        ("Looks at the test split", f"{board.looks} by this experiment, {board.looks_in_all} in all"),
    ]
    return tuple((name, value) for name, value in rows if value)


def _glance(board: Leaderboard) -> Table:
    """One table for who decides."""
    column = board.columns[0]
    columns: Columns[Row] = {
        "method": marked,
        f"{label(column)} [95 %]": lambda row: numbers.with_interval(row.cells[column.name].estimate, column.bounds),
        "in words": lambda row: _standing(board, row),
        "training s": lambda row: numbers.seconds(row.cost.all_train_seconds if row.cost else None),
        "file MB": lambda row: numbers.megabytes(row.cost.artefact_bytes if row.cost else None),
    }
    title = "The methods at a glance, the best one first"
    return table_of([row for row in board.rows if row.evaluations], columns, legend_of_marks(board), title)


def _standing(board: Leaderboard, row: Row) -> str:
    verdict = board.verdict
    standings = (
        (row.arm == verdict.arm, "take this one"),
        (bool(row.unranked_reason), "not ranked"),
        (row.arm in verdict.good, "as good as any"),
        (row.arm in verdict.open, "may be as good"),
        (row.arm in verdict.worse, "worse"),
    )
    return next((words for is_so, words in standings if is_so), numbers.ABSENT)
