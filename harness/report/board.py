"""The leaderboard as data: what every arm scored, how surely it differs from the reference, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from harness import stats
from harness.errors import UsageError
from harness.metrics import METRICS, Metric, declared, is_own, metric
from harness.records import Entry, Estimate, ExperimentRecord, Question, RunEvent, RunRecord, WinnerVerdict, digest
from harness.report import remarks, tuned
from harness.report.contest import Comparisons, Entrant, question_of, verdict_of
from harness.report.costs import Cost, Standing, against_budget, cost_of
from harness.report.environments import Environments, examine
from harness.report.environments import notes as environment_notes
from harness.report.forgetting import Forgetting, Measured, forgetting, retention_metrics
from harness.report.results import AnswerCounts, Results
from harness.report.series import Estimator, Series, Table, series, tabulate
from harness.report.serving import ServingTable, serving_costs, serving_table

__all__ = ["Cell", "Column", "Cost", "Leaderboard", "Row", "leaderboard"]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of the board."""

    name: str
    direction: Literal["higher", "lower"]
    unit: str
    description: str
    suite: str
    bounds: tuple[float, float] | None
    primary: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of one arm. `reason` says why a value is not there; `difference_reason` why a difference is not."""

    estimate: Estimate | None
    reason: str = ""
    difference: Estimate | None = None
    """Arm minus reference, paired."""
    difference_reason: str = ""
    p_value: float | None = None
    """Of no difference, by permutation (of methods by t); for the primary metric only."""
    p_holm: float | None = None
    """The same, adjusted for the number of arms (Holm)."""
    missing: int = 0
    """Items that have no value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One arm, all its seeds together."""

    arm: str
    method: str
    status: str
    """`ok`, `partial` (some seeds failed), or the status of the last attempt."""
    seeds: tuple[int, ...]
    """Seeds with a result; empty for arms without training."""
    evaluations: tuple[str, ...]
    cells: Mapping[str, Cell]
    cost: Cost | None
    answers: AnswerCounts
    looks: int
    to_best: Estimate | None
    """Primary metric: this arm minus the arm with the best value, paired."""
    notes: tuple[str, ...]
    errors: tuple[str, ...]
    budget: Standing | None = None
    """What it was given, its parent's share included, against the budget; None for an arm without training."""
    events: tuple[RunEvent, ...] = ()
    """What went wrong, or nearly, in its trainings; of failed seeds too."""
    ranks: tuple[int, int] | None = None
    """Best and worst rank on the primary metric that the data allows; None without an interval."""
    best_probability: float | None = None
    """How often this arm is the best one of the primary metric's resamples."""
    apart: str = ""
    """Why this arm is not ranked with the others; empty when it is."""
    budget_known: bool = True
    """False where the arm was trained elsewhere, on what and for how long nobody here knows."""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All arms of one experiment, the best value of the primary metric first, arms without a result last."""

    experiment: ExperimentRecord
    primary: str
    reference: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    estimand: str
    """What the intervals are about, in words."""
    question: Question
    """The same as a word."""
    verdict: WinnerVerdict
    clusters: int
    """Groups of test examples."""
    looks: int
    """Scorings of this test split by this experiment."""
    looks_in_all: int
    """Scorings of this test split by any experiment in the store."""
    leaks: int
    notes: tuple[str, ...]
    runs: tuple[RunRecord, ...] = ()
    """Every attempt at every arm and seed, failed ones too, called by the names that the arms have here."""
    forgetting: tuple[Forgetting, ...] = ()
    """Retention before and after, where the task measures it and an untrained arm was scored."""
    environments: Environments = field(default_factory=Environments)
    """Where the results were made."""
    serving: ServingTable | None = None
    """Serving figures; None where none were measured."""

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.experiment.task.get("name", "?"))


def leaderboard(results: Results, rng: np.random.Generator | None = None) -> Leaderboard:
    """Rank the arms of an experiment.

    Without `rng` resampling has the experiment's recorded seed (older ones: a hash of its id), so that the same results
    give the same intervals.

    Raises:
        UsageError: the task's primary metric is not a metric.
    """
    experiment = results.experiment
    table = tabulate(results.scores)
    columns = columns_of(experiment, table)
    primary = columns[0].name
    reference = str(experiment.spec.get("reference", "untrained"))
    recorded = int(experiment.seeds.get("bootstrap") or int(digest(experiment.experiment_id), 16))
    seed = recorded if rng is None else int(rng.integers(2**62))
    arms = by_arm(results.entries)
    question = question_of(results, arms)
    unavailable = {one.eval_id: one.unavailable for one in results.evaluations}
    found = examine(results)
    judge = _Judge(Estimator(results.groups, seed, question), columns, table, arms, reference, found, unavailable)
    rows = [_row(arm, entries, results, judge) for arm, entries in judge.entries.items()]
    rows = judge.with_ranks(judge.with_distance_to_best(judge.with_holm(_sorted(rows, columns[0]))))
    served = serving_table(results, reference, [row.arm for row in rows if row.evaluations])
    costs = serving_costs(served)
    entrants = [
        Entrant(row.arm, row.cells[primary].estimate, row.cost, len(row.seeds), costs.get(row.arm, {}))
        for row in rows
        if not row.apart
    ]
    clusters = {results.groups.get(score.item, score.item) for score in results.scores if score.suite == "test"}
    return Leaderboard(
        experiment=experiment,
        primary=primary,
        reference=reference,
        columns=columns,
        rows=tuple(rows),
        estimand=remarks.estimand([len(row.seeds) for row in rows if row.evaluations], question),
        question=question,
        verdict=verdict_of(results, entrants, reference, question, judge.comparisons()),
        clusters=len(clusters),
        looks=sum(look.experiment == experiment.experiment_id for look in results.looks),
        looks_in_all=len(results.looks),
        leaks=len(experiment.leaks),
        notes=(*environment_notes(found, experiment.file), *remarks.of_experiment(results)),
        runs=_attempts(results),
        forgetting=judge.forgetting(rows, retention_metrics(results.scores)),
        environments=found,
        serving=served,
    )


def columns_of(experiment: ExperimentRecord, table: Table) -> tuple[Column, ...]:
    """The primary metric, then what the task asks for, then what else was scored."""
    asked = experiment.task["metrics"]
    scored = dict.fromkeys(name for metrics in table.values() for name in metrics)
    own = [name for name in METRICS if name in scored]
    names = dict.fromkeys([asked["primary"], *asked.get("also", []), *own, *sorted(scored)])
    columns = []
    declarations = experiment.task.get("own_metrics") or {}
    for name in names:
        if is_own(name) and name not in declarations:
            continue  # another experiment added it to an evaluation that the two share
        try:
            known = declared(name, declarations.get(name))
        except UsageError:
            # A score that an older harness stored under a name that is gone; the primary must be known.
            if name == asked["primary"]:
                raise
            continue
        columns.append(
            Column(
                name,
                known.direction,
                known.unit,
                known.description,
                known.suite,
                known.bounds,
                name == asked["primary"],
            )
        )
    return tuple(columns)


def metric_of(column: Column) -> Metric:
    """The metric of a column; an own one with the bounds that it declares."""
    known = metric(column.name)
    return replace(known, direction=column.direction, bounds=column.bounds) if is_own(column.name) else known


def by_arm(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Entries of each arm, in the order of first appearance."""
    arms: dict[str, list[Entry]] = {}
    for entry in entries:
        arms.setdefault(entry.arm, []).append(entry)
    return arms


def scored(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that have a result."""
    return [entry for entry in entries if entry.status == "ok" and entry.eval_id is not None]


@dataclass(frozen=True, slots=True)
class _Judge:
    """Estimates of one board: cells, and what takes all rows together."""

    estimator: Estimator
    columns: Sequence[Column]
    table: Table
    entries: Mapping[str, Sequence[Entry]]
    reference: str
    environments: Environments
    unavailable: Mapping[str, Mapping[str, str]]
    """Evaluation → source of a metric → why it has no value."""

    def series(self, arm: str, name: str) -> Series | str:
        eval_ids = [entry.eval_id for entry in scored(self.entries.get(arm, ())) if entry.eval_id is not None]
        trained = any(entry.seed is not None for entry in self.entries.get(arm, ()))
        return series(self.table, eval_ids, name, trained)

    def comparisons(self) -> Comparisons:
        """Pairs of arms on the primary metric, those of one environment."""
        name = self.columns[0].name
        ranked = [arm for arm in self.entries if arm not in self.environments.apart]
        found = {arm: self.series(arm, name) for arm in ranked if arm not in self.environments.mixed}
        scored = {arm: one for arm, one in found.items() if not isinstance(one, str)}
        return Comparisons(self.estimator, metric_of(self.columns[0]), scored)

    def cell(self, arm: str, column: Column) -> Cell:
        known, one = metric_of(column), self.series(arm, column.name)
        if arm in self.environments.mixed:
            return Cell(None, reason=self.environments.why(arm))
        if isinstance(one, str):
            return Cell(None, reason=self._unavailable(arm, known) or one)
        value = self.estimator.value(known, one, arm)
        if isinstance(value, str):
            return Cell(None, reason=value, missing=one.missing)
        cell = Cell(value, missing=one.missing)
        if arm in self.environments.apart:
            return replace(cell, difference_reason=self.environments.why(arm))
        return cell if arm == self.reference else self._against_reference(cell, arm, known, one, column)

    def _unavailable(self, arm: str, known: Metric) -> str:
        """Why no evaluation of `arm` can have this metric; empty when that is not known."""
        reasons = [self.unavailable.get(entry.eval_id or "", {}) for entry in self.entries[arm]]
        return next((found[known.source] for found in reasons if known.source in found), "")

    def _against_reference(self, cell: Cell, arm: str, known: Metric, one: Series, column: Column) -> Cell:
        other = self.series(self.reference, column.name)
        if self.reference in self.environments.apart:
            return replace(
                cell, difference_reason=f"reference {self.reference}: {self.environments.why(self.reference)}"
            )
        if isinstance(other, str):
            return replace(cell, difference_reason=f"reference {self.reference}: {other}")
        who = (arm, self.reference)
        found = self.estimator.difference(known, one, other, who)
        if isinstance(found, str):
            return replace(cell, difference_reason=found)
        p_value = self.estimator.p_value(known, one, other, who) if column.primary else None
        return replace(cell, difference=found, p_value=p_value)

    def forgetting(self, rows: Sequence[Row], names: Sequence[str]) -> tuple[Forgetting, ...]:
        """Retention of every arm that changed the base, against the untrained arm."""
        rows = [row for row in rows if not row.apart]
        base = next((row for row in rows if row.method == "untrained" and row.evaluations), None)
        if base is None:
            return ()
        arms = [row for row in rows if row.evaluations and row.method not in ("untrained", "few_shot")]
        known = [column.name for column in self.columns if column.name in names]
        return forgetting(
            known,
            Measured(base.arm, base.evaluations),
            [Measured(row.arm, row.evaluations) for row in arms],
            self.table,
            self.estimator,
        )

    def with_holm(self, rows: Sequence[Row]) -> list[Row]:
        """Adjust the primary metric's p-values for the number of arms."""
        name = self.columns[0].name
        raw = {row.arm: row.cells[name].p_value for row in rows}
        tested = {arm: p for arm, p in raw.items() if p is not None}
        adjusted = dict(zip(tested, stats.holm(list(tested.values())), strict=True))
        return [
            replace(row, cells={**row.cells, name: replace(row.cells[name], p_holm=adjusted.get(row.arm))})
            for row in rows
        ]

    def with_ranks(self, rows: Sequence[Row]) -> list[Row]:
        """Add rank intervals and how often each arm is the best one."""
        found = self.comparisons().ranks()
        return [
            replace(row, ranks=found[row.arm][0], best_probability=found[row.arm][1]) if row.arm in found else row
            for row in rows
        ]

    def with_distance_to_best(self, rows: Sequence[Row]) -> list[Row]:
        """Add the paired difference of every arm to the first."""
        column = self.columns[0]
        best = self.series(rows[0].arm, column.name) if rows else "no rows"
        if isinstance(best, str):
            return list(rows)
        done = [rows[0]]
        for row in rows[1:]:
            if row.apart or rows[0].apart:
                done.append(row)
                continue
            one = self.series(row.arm, column.name)
            found = (
                one
                if isinstance(one, str)
                else self.estimator.difference(metric_of(column), one, best, (row.arm, rows[0].arm))
            )
            done.append(row if isinstance(found, str) else replace(row, to_best=found))
        return done


def _row(arm: str, entries: Sequence[Entry], results: Results, judge: _Judge) -> Row:
    runs = _runs_of(entries, results.runs)
    good = scored(entries)
    eval_ids = tuple(entry.eval_id for entry in good if entry.eval_id is not None)
    status = "ok" if len(good) == len(entries) else "partial" if good else entries[-1].status
    if status == "ok" and not eval_ids:
        status = "failed"
    finished = [runs[entry.train_id, entry.attempt] for entry in good if (entry.train_id, entry.attempt) in runs]
    counts = [results.answers.get(eval_id, AnswerCounts()) for eval_id in eval_ids]
    answers = AnswerCounts(
        sum(one.answers for one in counts),
        sum(one.length_limited for one in counts),
        sum(one.truncated for one in counts),
    )
    cells = {column.name: judge.cell(arm, column) for column in judge.columns}
    spec = results.experiment.spec
    cost = cost_of([run.ledger for run in finished], (spec.get("resources") or {}).get("price_per_device_hour"))
    cost = tuned.with_tuning(cost, arm, results)
    tried = [runs[entry.train_id, entry.attempt] for entry in entries if (entry.train_id, entry.attempt) in runs]
    method = next((run.method for run in runs.values()), arm)
    apart = judge.environments.why(arm)
    missing = cells[judge.columns[0].name].missing
    notes = (*remarks.of_arm(results.experiment, finished, cost, answers, missing), *tuned.notes(arm, results))
    return Row(
        arm=arm,
        method=method,
        status=status,
        seeds=tuple(entry.seed for entry in good if entry.seed is not None),
        evaluations=eval_ids,
        cells=cells,
        cost=cost,
        answers=answers,
        looks=sum(look.eval_id in eval_ids for look in results.looks),
        to_best=None,
        notes=(f"not ranked: {apart}", *notes) if apart else notes,
        errors=_errors(entries, runs),
        budget=against_budget(spec.get("budget") or {}, cost) if cost is not None else None,
        events=tuple(event for run in tried for event in run.ledger.events),
        apart=apart,
        budget_known=method not in remarks.OUTSIDE,
    )


def _attempts(results: Results) -> tuple[RunRecord, ...]:
    """All attempts, arm by arm in the order of the experiment."""
    found = []
    for entry in results.entries:
        mine = sorted((run for run in results.runs if run.train_id == entry.train_id), key=lambda run: run.attempt)
        found += [replace(run, arm=entry.arm) for run in mine]
    return tuple(found)


def _runs_of(entries: Sequence[Entry], runs: Sequence[RunRecord]) -> dict[tuple[str, int], RunRecord]:
    mine = {entry.train_id for entry in entries}
    return {(run.train_id, run.attempt): run for run in runs if run.train_id in mine}


def _errors(entries: Sequence[Entry], runs: Mapping[tuple[str, int], RunRecord]) -> tuple[str, ...]:
    """One line for each seed that failed."""
    lines = []
    for entry in entries:
        if entry.status == "ok" and entry.eval_id is not None:
            continue
        run = runs.get((entry.train_id, entry.attempt))
        error = (run.error if run else None) or ("not scored" if entry.status == "ok" else "no reason was recorded")
        lines.append(("" if entry.seed is None else f"seed {entry.seed}: ") + f"{entry.status}: {error}")
    return tuple(lines)


def _sorted(rows: Sequence[Row], column: Column) -> list[Row]:
    sign = -1.0 if column.direction == "higher" else 1.0

    def place(row: Row) -> tuple[int, float]:
        estimate = row.cells[column.name].estimate
        if estimate is not None:
            return int(bool(row.apart)), sign * estimate.value
        return (2, 0.0) if row.evaluations else (3, 0.0)

    return sorted(rows, key=place)
