"""The leaderboard as data: what every arm scored, how surely it differs from the reference, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.records import Entry, RunRecord, ScoreColumns, digest
from harness.results.collect import AnswerCounts, Results, by_arm, scored
from harness.results.estimator import Estimator, tabulate
from harness.results.leaderboard import remarks
from harness.results.leaderboard.cells import Judge
from harness.results.leaderboard.columns import Column, columns_of
from harness.results.leaderboard.costs import OUTSIDE, against_budget, cost_of, unknown
from harness.results.leaderboard.environments import examine, notes as environment_notes
from harness.results.leaderboard.forgetting import retention_metrics
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.leaderboard.serving import serving_costs, serving_table
from harness.results.studies import tuning
from harness.results.winner.contest import question_of, verdict_of


def leaderboard(results: Results, rng: np.random.Generator | None = None) -> Leaderboard:
    """Rank the arms of an experiment.

    Without `rng` resampling has the experiment's recorded seed (older ones: a hash of its id), so that the same results
    give the same intervals.

    Raises UsageError: the task's primary metric is not a metric.
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
    unavailable = {evaluation.eval_id: evaluation.unavailable for evaluation in results.evaluations}
    environments = examine(results)
    judge = Judge(Estimator(results.groups, seed, question), columns, table, arms, reference, environments, unavailable)
    judge.prepare()
    runs: dict[str, list[RunRecord]] = {}
    for run in results.runs:
        runs.setdefault(run.train_id, []).append(run)
    looks = Counter(look.eval_id for look in results.looks)
    lookup = _Lookup(results, runs, looks, {arm.arm: arm for arm in tuning.arm_tunings(results.trials)})
    rows = [_row(arm, entries, lookup, judge) for arm, entries in judge.entries.items()]
    rows = judge.with_ranks(judge.with_distance_to_best(judge.with_holm(_sorted(rows, columns[0]))))
    served = serving_table(results, reference, [row.arm for row in rows if row.evaluations])
    if isinstance(results.scores, ScoreColumns):
        items = {item for block in results.scores.blocks if block.suite == "test" for item in block.items}
    else:
        items = {score.item for score in results.scores if score.suite == "test"}
    return Leaderboard(
        experiment=experiment,
        primary=primary,
        reference=reference,
        columns=columns,
        rows=tuple(rows),
        estimand=remarks.estimand([len(row.seeds) for row in rows if row.evaluations], question),
        question=question,
        verdict=verdict_of(results, rows, serving_costs(served), question, judge.comparisons()),
        clusters=len({results.groups.get(item, item) for item in items}),
        looks=sum(look.experiment == experiment.experiment_id for look in results.looks),
        looks_in_all=len(results.looks),
        leaks=len(experiment.leaks),
        notes=(*environment_notes(environments, experiment.file), *remarks.of_experiment(results)),
        runs=_attempts(results.entries, lookup),
        forgetting=judge.forgetting(rows, retention_metrics(results.scores)),
        environments=environments,
        serving=served,
        human=results.human,
    )


@dataclass(frozen=True, slots=True)
class _Lookup:
    """Results, and where to find what belongs to one arm."""

    results: Results
    runs: Mapping[str, Sequence[RunRecord]]
    """Training → its attempts."""
    looks: Mapping[str, int]
    """Evaluation → looks at the test split by it."""
    tunings: Mapping[str, tuning.ArmTuning]


def _row(arm: str, entries: Sequence[Entry], lookup: _Lookup, judge: Judge) -> Row:
    results = lookup.results
    train_ids = dict.fromkeys(entry.train_id for entry in entries)
    runs = {(run.train_id, run.attempt): run for train_id in train_ids for run in lookup.runs.get(train_id, ())}
    good = scored(entries)
    eval_ids = tuple(entry.eval_id for entry in good if entry.eval_id is not None)
    status = "ok" if len(good) == len(entries) else "partial" if good else entries[-1].status
    if status == "ok" and not eval_ids:
        status = "failed"
    finished = [runs[entry.train_id, entry.attempt] for entry in good if (entry.train_id, entry.attempt) in runs]
    counts = [results.answers.get(eval_id, AnswerCounts()) for eval_id in eval_ids]
    numbers = ("answers", "length_limited", "truncated", "refused", "thinking")
    answers = AnswerCounts(**{name: sum(getattr(count, name) for count in counts) for name in numbers})
    method = next((run.method for run in runs.values()), arm)
    cells = {column.name: judge.cell(arm, column) for column in judge.columns}
    spec = results.experiment.spec
    cost = cost_of([run.ledger for run in finished], (spec.get("resources") or {}).get("price_per_device_hour"))
    cost = tuning.with_tuning(cost, arm, results.experiment, lookup.tunings)
    if cost is not None and method in OUTSIDE:
        cost = unknown(cost)
    tried = [runs[entry.train_id, entry.attempt] for entry in entries if (entry.train_id, entry.attempt) in runs]
    unranked = judge.environments.why(arm)
    missing = cells[judge.columns[0].name].missing
    notes = (
        *remarks.of_arm(results.experiment, finished, cost, answers, missing),
        *remarks.beside_reference(results, arm, method, counts),
        *remarks.cut_documents(judge.table, eval_ids),
        *tuning.notes(lookup.tunings.get(arm)),
    )
    return Row(
        arm=arm,
        method=method,
        status=status,
        seeds=tuple(entry.seed for entry in good if entry.seed is not None),
        evaluations=eval_ids,
        cells=cells,
        cost=cost,
        answers=answers,
        looks=sum(lookup.looks.get(eval_id, 0) for eval_id in set(eval_ids)),
        to_best=None,
        notes=(f"not ranked: {unranked}", *notes) if unranked else notes,
        errors=_errors(entries, runs),
        budget=against_budget(spec.get("budget") or {}, cost) if cost is not None else None,
        events=tuple(event for run in tried for event in run.ledger.events),
        unranked_reason=unranked,
        budget_known=method not in OUTSIDE,
    )


def _attempts(entries: Sequence[Entry], lookup: _Lookup) -> tuple[RunRecord, ...]:
    """All attempts, arm by arm in the order of the experiment."""
    attempts = []
    for entry in entries:
        own = sorted(lookup.runs.get(entry.train_id, ()), key=lambda run: run.attempt)
        attempts += [run if run.arm == entry.arm else replace(run, arm=entry.arm) for run in own]
    return tuple(attempts)


def _errors(entries: Sequence[Entry], runs: Mapping[tuple[str, int], RunRecord]) -> tuple[str, ...]:
    """One line for each seed that failed; one for all that a race stopped."""
    lines = []
    for entry in entries:
        if entry.status == "ok" and entry.eval_id is not None:
            continue
        run = runs.get((entry.train_id, entry.attempt))
        error = (run.error if run else None) or ("not scored" if entry.status == "ok" else "no reason was recorded")
        if entry.status == "eliminated":  # all seeds at once
            return (error,)
        lines.append(("" if entry.seed is None else f"seed {entry.seed}: ") + f"{entry.status}: {error}")
    return tuple(lines)


def _sorted(rows: Sequence[Row], column: Column) -> list[Row]:
    sign = -1.0 if column.direction == "higher" else 1.0

    def place(row: Row) -> tuple[int, float]:
        estimate = row.cells[column.name].estimate
        if estimate is None:
            return (2 if row.evaluations else 3), 0.0
        return int(bool(row.unranked_reason)), sign * estimate.value

    return sorted(rows, key=place)
