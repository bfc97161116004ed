"""The sections of a report, each a function of the results or the board; None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.metrics import of_task
from harness.results import numbers
from harness.results.collect import Results
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render import speed
from harness.results.render.appendix import recipe_cells
from harness.results.render.charts import svg_charts
from harness.results.render.human import Block, human_sections
from harness.results.render.human_board import board_block
from harness.results.render.markdown import forgetting_cells, ranking_cells
from harness.results.render.page.records import Section, Table, Told, sentence, table
from harness.results.render.text import label, legend_of_marks, metrics_note, reasons, with_half_width
from harness.results.render.text_ledger import (
    budget_words,
    happenings,
    ledger_columns,
    ledger_legend,
    run_columns,
    worth_listing,
)
from harness.results.render.text_studies import tuning_cells
from harness.results.render.verdicts import ranks_words, standing
from harness.results.studies.appendix import appendix
from harness.results.studies.curve import learning_curve
from harness.results.studies.figure_data import training_curves
from harness.results.studies.samples import Shown
from harness.results.studies.tuning import tuning_report

__all__ = ["budget_words"]


def ranking(board: Leaderboard) -> Section:
    """The leaderboard of the primary metric."""
    heads, rows = ranking_cells(board)
    test = "t test" if board.question == "method" else "permutation test"
    notes = [
        standing(board.verdict),
        *legend_of_marks(board),
        ranks_words(board.verdict.estimand),
        f"p (Holm): {test} of no difference to {board.reference}, adjusted for the number of arms.",
        *_method(board),
    ]
    about = [board.estimand, *(sentence(note) for note in board.notes)]
    leaks = f"{board.leaks} (dropped or allowed as the task says)" if board.leaks else "none"
    about.append(f"{board.clusters:,} groups of test examples. Leaks between splits: {leaks}.")
    notes += [f"{row.arm}: {note}" for row in board.rows for note in row.notes]
    caption = f"{board.primary}, compared with {board.reference} on the same test examples"
    return Section(
        "leaderboard",
        "Leaderboard",
        " ".join(about),
        tables=(table(caption, heads, rows, [note for note in notes if note]),),
    )


def _method(board: Leaderboard) -> list[str]:
    how = next((row.cells[board.primary].estimate for row in board.rows if row.cells[board.primary].estimate), None)
    return [f"Interval of {board.primary}: {how.method}."] if how is not None else []


def all_metrics(board: Leaderboard) -> Section | None:
    """Every metric of every arm, and what the metrics are."""
    rows = [row for row in board.rows if row.evaluations]
    if not rows:
        return None
    cells = [[label(one), *(with_half_width(row, one).strip() for row in rows)] for one in board.columns]
    about = []
    for one in board.columns:
        better = "higher is better" if one.direction == "higher" else "lower is better"
        about.append([label(one), f"{better}; {one.description}" + (f" ({one.unit})" if one.unit else "")])
    notes = [metrics_note(board), *reasons(board, rows)]
    meaning = replace(table("What the metrics are", ["metric", "meaning"], about), words=True)
    tables = (table("Every metric of every arm", ["metric", *(row.arm for row in rows)], cells, notes), meaning)
    return Section("metrics", "All metrics", tables=tables)


def failures(board: Leaderboard) -> Section | None:
    """Arms and seeds without a result, and why."""
    found = [(row.arm, error) for row in board.rows for error in row.errors]
    if not found:
        return None
    made = replace(table("Arms without a result", ["arm", "what happened"], found), words=True)
    return Section("failures", "Without a result", tables=(made,))


def human(board: Leaderboard) -> Section | None:
    """What people said in the newest unblinded round."""
    block = board_block(board)
    if block is None or board.human is None:
        return None
    blocks = [(title, one) for title, found in human_sections(board.human) for one in found]
    tables = [_block("", block), *(_block(title, one) for title, one in blocks)]
    lead = "People compared answers side by side without knowing whose they were."
    return Section("people", "Human review", lead, tables=tuple(tables))


def _block(title: str, block: Block) -> Table:
    caption = f"{block.title} ({title.lower()})" if title and title != block.title else block.title
    return table(caption, [name for name, _ in block.heads], block.rows, block.lines)


def cost(board: Leaderboard, looks: svg_charts.Looks) -> Section | None:
    """Quality against cost."""
    found = svg_charts.cost_charts(board, looks)
    if not found:
        return None
    lead = (
        "Higher up and further to the left is better."
        if board.columns[0].direction == "higher"
        else "Lower down and further to the left is better."
    )
    lead += (
        " The dashed line joins the arms that no other arm beats in both (the Pareto front). Bars are 95 % intervals; "
        "an arrow stands for an arm far beyond the edge."
    )
    return Section("cost", "Quality against cost", lead, charts=tuple(found))


def fairness(board: Leaderboard) -> Section | None:
    """What every arm was given, and what it cost."""
    lines, columns = ledger_columns(board)
    if not columns:
        return None
    rows = [[line, *(cells[place] for cells in columns.values())] for place, line in enumerate(lines)]
    made = [table("What one seed of every arm was given and took", ["", *columns], rows, ledger_legend(board))]
    if worth_listing(board.runs):
        found = run_columns(board)
        made.append(
            table("Every run", [one.name for one in found], list(zip(*(one.cells for one in found), strict=True)))
        )
    lead = (
        f"The budget is {budget_words(board)}, the same for every trained arm; an arm that got more or less is marked."
    )
    return Section("ledger", "Fairness ledger", lead, tables=tuple(made), notes=tuple(happenings(board)))


def training(results: Results, looks: svg_charts.Looks) -> Section | None:
    """Training curves."""
    curves = training_curves(results)
    found = svg_charts.training_charts(curves, looks)
    if not found:
        return None
    lead = "How the trainings went. Crosses mark signs of instability."
    return Section("training", "Training curves", lead, tuple(found), tuple(dict.fromkeys(one.arm for one in curves)))


def tuning(results: Results, looks: svg_charts.Looks) -> Section | None:
    """Trials and what was chosen."""
    report = tuning_report(results)
    if not report.arms:
        return None
    chart = svg_charts.tuning_chart(report, looks)
    heads, rows = tuning_cells(report)
    lead = (
        "Every trained arm got the same number of trials, judged on validation; looks at the test split by trials: "
        f"{report.looks}."
    )
    return Section(
        "tuning",
        "Tuning",
        lead,
        (chart,) if chart else (),
        legend=tuple(one.arm for one in report.arms) if chart else (),
        tables=(table("What was chosen, and in brackets what the recipe says", heads, rows),),
    )


def learning(results: Results, looks: svg_charts.Looks) -> Section | None:
    """Whether more data would help."""
    curve = learning_curve(results)
    if not curve.arms:
        return None
    bounds = of_task(curve.primary, results.experiment.task).bounds
    rows = []
    for one in curve.arms:
        for point in one.points:
            value = numbers.with_interval(point.estimate, bounds) if point.estimate else point.reason
            passes = numbers.ABSENT if point.passes is None else f"{point.passes:.1f}"
            rows.append([one.arm, f"{point.fraction:.0%}", numbers.count(point.examples), passes, value])
    notes = [
        f"{one.arm}: each doubling of the data over the last step: "
        f"{numbers.with_interval(one.per_doubling, bounds, sign=True)}; {one.verdict}."
        for one in curve.arms
    ]
    heads = ["arm", "share", "train examples", "passes", f"{curve.primary} [95 %]"]
    chart = svg_charts.learning_chart(curve, looks)
    lead = "The same budget on each share of the train split: would more data help?"
    legend = tuple(one.arm for one in curve.arms) if chart else ()
    made = table("By share of the train split", heads, rows, notes)
    return Section("data", "More data", lead, (chart,) if chart else (), legend, (made,))


def forgetting(board: Leaderboard) -> Section | None:
    """Retention before and after."""
    if not board.forgetting:
        return None
    made = table("Before and after, on the same texts", *forgetting_cells(board))
    lead = "What the untrained model could do of things that the task is not about, and what is left of it."
    return Section("forgetting", "Forgetting", lead, tables=(made,))


def serving(board: Leaderboard) -> Section | None:
    """Latency, throughput and memory."""
    if board.serving is None:
        return None
    made = []
    for caption, (heads, rows) in (
        ("Time, speed and memory", speed.figures(board.serving)),
        (f"Relative to {board.serving.reference}", speed.ratios(board.serving)),
    ):
        if rows:
            made.append(table(caption, [name for name, _ in heads], rows))
    return Section("serving", "Serving", tables=tuple(made), notes=tuple(speed.legend(board.serving)))


def samples(results: Results, shown: Sequence[Shown], told: Told) -> Section:
    """Answers side by side, or why there are none."""
    if results.experiment.task.get("sensitive"):
        return Section(
            "samples", "Sample answers", "Withheld: the task is sensitive, and no text of it leaves the store."
        )
    if not shown:
        why = "None were asked for." if told.sampled else "The sealed test examples are not at hand."
        return Section("samples", "Sample answers", why)
    lead = (
        "Test examples with the answers of every arm: the best, the median and the worst one of the leading arm, and "
        "some drawn at random. A rule and a seed choose them. Who changes a recipe after reading them uses the test "
        "split up."
    )
    return Section("samples", "Sample answers", lead, samples=tuple(shown))


def looks(results: Results) -> Section:
    """Every look at the sealed test split."""
    mine = results.experiment.experiment_id
    rows = [
        [one.when, one.arm, "this one" if one.experiment == mine else one.experiment, one.why] for one in results.looks
    ]
    made = replace(table("Looks, the earliest first", ["when", "arm", "experiment", "why"], rows), words=True)
    lead = (
        f"{len(rows)} looks at this test split. The more often it is looked at, the less its intervals are worth; "
        "`harness looks` says who looked."
    )
    return Section("looks", "Looks at the test split", lead, tables=(made,) if rows else ())


def settings(results: Results) -> Section:
    """The recipes, and what holds for all arms."""
    found = appendix(results)
    heads, rows = recipe_cells(found)
    tables = [replace(table("Recipes; - where an arm has no such setting", heads, rows), words=True)] if rows else []
    shared = replace(table("What holds for all arms", ["setting", "value"], found.shared), words=True)
    lead = "`harness appendix` also lists every setting that was handed to libraries."
    return Section("settings", "Settings", lead, tables=(*tables, shared), notes=tuple(map(sentence, found.notes)))


def reproduce(results: Results, told: Told) -> Section:
    """The exact command, fingerprints, versions and hardware."""
    record = results.experiment
    runs = {(run.train_id, run.attempt): run for run in results.runs}
    known = [runs[key] for entry in results.entries if (key := (entry.train_id, entry.attempt)) in runs]
    commits = {(run.provenance.commit, run.provenance.dirty) for run in known if run.provenance.commit}
    clean = [commit for commit, dirty in commits if not dirty]
    commands = [f"git checkout {clean[0]}"] if len(commits) == 1 and clean else []
    commands += ["pip install -c constraints.txt -e .", told.command, told.command.replace(" run ", " report ")]
    notes = []
    if len(commits) > 1:
        notes.append("The runs come from several commits: " + ", ".join(sorted(str(one) for one, _ in commits)) + ".")
    if any(dirty for _, dirty in commits):
        notes.append("Some runs come from a working tree with uncommitted changes.")
    identity = [
        ("experiment", record.experiment_id),
        ("task (train and validation)", record.task_fingerprint),
        ("sealed test suite", record.suite or numbers.ABSENT),
        ("base model", record.base_hash),
        *(
            (f"seed: {name.replace('_', ' ')}", _seed(value))
            for name, value in record.seeds.items()
            if value is not None
        ),
    ]
    rows = []
    for entry in results.entries:
        run = runs.get((entry.train_id, entry.attempt))
        artefact = run.artefact.hash if run is not None and run.artefact is not None else numbers.ABSENT
        seed = numbers.ABSENT if entry.seed is None else str(entry.seed)
        rows.append([entry.arm, seed, entry.train_id, artefact, entry.eval_id or numbers.ABSENT])
    versions = ", ".join(f"{name} {version}" for name, version in appendix(results).versions)
    machines = dict.fromkeys(_machine(run.provenance.hardware) for run in known)
    return Section(
        "reproduce",
        "How to reproduce",
        "From the repository, at the same commit:",
        commands=tuple(commands),
        tables=(
            replace(table("Fingerprints", ["of", "value"], identity), words=True),
            replace(table("Runs", ["arm", "seed", "training", "artefact", "evaluation"], rows), words=True),
        ),
        notes=(*notes, f"Versions: {versions}.", *(f"Hardware: {machine}." for machine in machines if machine)),
    )


def _seed(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _machine(hardware: object) -> str:
    if not isinstance(hardware, dict) or not hardware.get("processor"):
        return ""
    parts = [
        str(hardware["processor"]),
        f"{hardware.get('cores')} cores",
        *map(str, hardware.get("accelerators") or ()),
    ]
    return ", ".join(parts)
