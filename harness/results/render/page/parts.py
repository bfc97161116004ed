"""The sections of a report, each a function of what the page is made of; None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.results import numbers
from harness.results.collect import Results
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render import board as tables, human, ledger, speed, studies
from harness.results.render.colours import Looks
from harness.results.render.page import charts
from harness.results.render.page.records import ReportContext, Section
from harness.results.render.table import Table, table
from harness.results.render.words import legend_of_marks, method_words, p_words, ranks_words, sentence, standing
from harness.results.studies.appendix import appendix
from harness.results.studies.curve import learning_curve
from harness.results.studies.figure_data import training_curves
from harness.results.studies.samples import SampleAnswers
from harness.results.studies.tuning import tuning_report


@dataclass(frozen=True, slots=True)
class PageInputs:
    """What sections are made of."""

    results: Results
    board: Leaderboard
    looks: Looks
    context: ReportContext
    samples: tuple[SampleAnswers, ...]


def _titled(shown: Table, title: str, notes: Sequence[str] | None = None) -> Table:
    return replace(shown, title=title, notes=shown.notes if notes is None else tuple(notes))


def ranking(inputs: PageInputs) -> Section:
    """The leaderboard of the primary metric."""
    board = inputs.board
    notes = [
        standing(board.verdict),
        *legend_of_marks(board),
        ranks_words(board.verdict.estimand),
        p_words(board, board.reference),
        *method_words(board),
        *(f"{row.arm}: {note}" for row in board.rows for note in row.notes),
    ]
    leaks = f"{board.leaks} (dropped or allowed as the task says)" if board.leaks else "none"
    about = [board.estimand, *map(sentence, board.notes)]
    about.append(f"{board.clusters:,} groups of test examples. Leaks between splits: {leaks}.")
    title = f"{board.primary}, compared with {board.reference} on the same test examples"
    ranked = _titled(tables.short_ranking(board), title, [note for note in notes if note])
    return Section("leaderboard", "Leaderboard", " ".join(about), tables=(ranked,))


def all_metrics(inputs: PageInputs) -> Section | None:
    """Every metric of every arm, and what the metrics are."""
    if not tables.scored_rows(inputs.board):
        return None
    every = _titled(tables.metrics(inputs.board), "Every metric of every arm")
    return Section("metrics", "All metrics", tables=(every, tables.meanings(inputs.board)))


def failures(inputs: PageInputs) -> Section | None:
    """Arms and seeds without a result, and why."""
    failed = tables.failures(inputs.board)
    return Section("failures", "Without a result", tables=(failed,)) if failed.rows else None


def people(inputs: PageInputs) -> Section | None:
    """What people said in the newest unblinded round."""
    rates, review = human.board_rates(inputs.board), inputs.board.human
    if rates is None or review is None:
        return None
    shown = [rates]
    for title, those in human.human_sections(review):
        same = title in ("", *(table.title for table in those))
        shown += [table if same else _titled(table, f"{table.title} ({title.lower()})") for table in those]
    lead = "People compared answers side by side without knowing whose they were."
    return Section("people", "Human review", lead, tables=tuple(shown))


def cost(inputs: PageInputs) -> Section | None:
    """Quality against cost."""
    pictures = charts.cost_charts(inputs.board, inputs.looks)
    if not pictures:
        return None
    higher = inputs.board.columns[0].direction == "higher"
    lead = (
        f"{'Higher up' if higher else 'Lower down'} and further to the left is better. The dashed line joins the arms "
        "that no other arm beats in both (the Pareto front). Bars are 95 % intervals; a triangle at the edge stands "
        "for an arm far beyond it."
    )
    return Section("cost", "Quality against cost", lead, charts=tuple(pictures))


def fairness(inputs: PageInputs) -> Section | None:
    """What every arm was given, and what it cost."""
    board = inputs.board
    arms, runs = ledger.arm_ledger(board), ledger.run_ledger(board)
    if not arms.rows:
        return None
    shown = [_titled(arms, "What one seed of every arm was given and took")]
    shown += [_titled(runs, "Every run")] if runs is not None else []
    budget = ledger.budget_words(board)
    lead = f"The budget is {budget}, the same for every trained arm; an arm that got more or less is marked."
    return Section("ledger", "Fairness ledger", lead, tables=tuple(shown), notes=tuple(ledger.happenings(board)))


def training(inputs: PageInputs) -> Section | None:
    """Training curves."""
    pictures = charts.training_charts(training_curves(inputs.results), inputs.looks)
    lead = "How the trainings went. Crosses mark signs of instability."
    return Section("training", "Training curves", lead, tuple(pictures)) if pictures else None


def tuning(inputs: PageInputs) -> Section | None:
    """Trials and what was chosen."""
    report = tuning_report(inputs.results)
    if not report.arms:
        return None
    picture = charts.tuning_chart(report, inputs.looks)
    lead = (
        "Every trained arm got the same number of trials, judged on validation; looks at the test split by trials: "
        f"{report.looks}."
    )
    chosen = studies.chosen_settings(report)
    return Section("tuning", "Tuning", lead, (picture,) if picture else (), (chosen,))


def learning(inputs: PageInputs) -> Section | None:
    """Whether more data would help."""
    curve = learning_curve(inputs.results)
    if not curve.arms:
        return None
    picture = charts.learning_chart(curve, inputs.looks)
    lead = "The same budget on each share of the train split: would more data help?"
    return Section("data", "More data", lead, (picture,) if picture else (), (studies.shares(curve),))


def forgetting(inputs: PageInputs) -> Section | None:
    """Retention before and after."""
    if not inputs.board.forgetting:
        return None
    kept = _titled(tables.forgetting(inputs.board), "Before and after, on the same texts")
    lead = "What the untrained model could do of things that the task is not about, and what is left of it."
    return Section("forgetting", "Forgetting", lead, tables=(kept,))


def serving(inputs: PageInputs) -> Section | None:
    """Latency, throughput and memory."""
    measured = inputs.board.serving
    if measured is None:
        return None
    shown = [table for table in speed.speed_tables(measured) if table.rows]
    return Section("serving", "Serving", tables=tuple(shown), notes=tuple(speed.legend(measured)))


def samples(inputs: PageInputs) -> Section:
    """Answers side by side, or why there are none."""
    if inputs.results.experiment.task.get("sensitive"):
        return Section(
            "samples", "Sample answers", "Withheld: the task is sensitive, and no text of it leaves the store."
        )
    if not inputs.samples:
        why = "None were asked for." if inputs.context.sampled else "The sealed test examples are not at hand."
        return Section("samples", "Sample answers", why)
    lead = (
        "Test examples with the answers of every arm: the best, the median and the worst one of the leading arm, and "
        "some drawn at random. A rule and a seed choose them. Who changes a recipe after reading them uses the test "
        "split up."
    )
    return Section("samples", "Sample answers", lead, samples=inputs.samples)


def looks_at_test(inputs: PageInputs) -> Section:
    """Every look at the sealed test split."""
    looks = studies.looks(inputs.results)
    lead = (
        f"{len(looks.rows)} looks at this test split. The more often it is looked at, the less its intervals are "
        "worth; `harness looks` says who looked."
    )
    return Section("looks", "Looks at the test split", lead, tables=(looks,) if looks.rows else ())


def settings(inputs: PageInputs) -> Section:
    """The recipes, and what holds for all arms."""
    used = appendix(inputs.results)
    recipes = _titled(studies.arm_settings(used, used.recipes), "Recipes; - where an arm has no such setting")
    lead = "`harness appendix` also lists every setting that was handed to libraries."
    shown = (*([recipes] if recipes.rows else []), studies.shared_settings(used))
    return Section("settings", "Settings", lead, tables=shown, notes=tuple(map(sentence, used.notes)))


def reproduce(inputs: PageInputs) -> Section:
    """The exact command, fingerprints, versions and hardware."""
    results, command = inputs.results, inputs.context.command
    record = results.experiment
    runs = {(run.train_id, run.attempt): run for run in results.runs}
    used = [runs[key] for entry in results.entries if (key := (entry.train_id, entry.attempt)) in runs]
    commits = {(run.provenance.commit, run.provenance.dirty) for run in used if run.provenance.commit}
    clean = [commit for commit, dirty in commits if not dirty]
    commands = [f"git checkout {clean[0]}"] if len(commits) == 1 and clean else []
    commands += ["pip install -c constraints.txt -e .", command, command.replace(" run ", " report ")]
    notes = []
    if len(commits) > 1:
        listed = ", ".join(sorted(str(commit) for commit, _ in commits))
        notes.append(f"The runs come from several commits: {listed}.")
    if any(dirty for _, dirty in commits):
        notes.append("Some runs come from a working tree with uncommitted changes.")
    seeds = {}
    for name, value in record.seeds.items():
        words = [f"{key}: {seed}" for key, seed in value.items()] if isinstance(value, dict) else value
        if value is not None:
            seeds[name] = ", ".join(map(str, words)) if isinstance(words, (list, tuple)) else str(words)
    identity = [
        ("experiment", record.experiment_id),
        ("task (train and validation)", record.task_fingerprint),
        ("sealed test suite", record.suite or numbers.ABSENT),
        ("base model", record.base_hash),
        *((f"seed: {name.replace('_', ' ')}", value) for name, value in seeds.items()),
    ]
    rows = []
    for entry in results.entries:
        run = runs.get((entry.train_id, entry.attempt))
        artefact = run.artefact.hash if run is not None and run.artefact is not None else numbers.ABSENT
        seed = numbers.ABSENT if entry.seed is None else str(entry.seed)
        rows.append([entry.arm, seed, entry.train_id, artefact, entry.eval_id or numbers.ABSENT])
    versions = ", ".join(f"{name} {version}" for name, version in appendix(results).versions)
    machines: list[str] = []
    for hardware in (run.provenance.hardware for run in used):
        if hardware.get("processor"):
            parts = [hardware["processor"], f"{hardware.get('cores')} cores", *(hardware.get("accelerators") or ())]
            machines.append(", ".join(map(str, parts)))
    names = ["arm", "seed", "training", "artefact", "evaluation"]
    return Section(
        "reproduce",
        "How to reproduce",
        "From the repository, at the same commit:",
        commands=tuple(commands),
        tables=(
            table(["of", "value"], identity, title="Fingerprints", words=True),
            table(names, rows, title="Runs", words=True),
        ),
        notes=(*notes, f"Versions: {versions}.", *(f"Hardware: {machine}." for machine in dict.fromkeys(machines))),
    )


SECTIONS: tuple[Callable[[PageInputs], Section | None], ...] = (
    *(ranking, all_metrics, failures, people, cost, fairness, training, tuning, learning, forgetting, serving),
    *(samples, looks_at_test, settings, reproduce),
)
"""Sections in their order; those that have nothing to show are None."""
