"""The estimates of a board: every cell, and what takes all rows together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness import stats
from harness.metrics import Metric
from harness.records import Entry, Estimate
from harness.results.collect import scored
from harness.results.estimator import Estimator, Series, Table, series
from harness.results.leaderboard.columns import Column, metric_of
from harness.results.leaderboard.environments import Environments
from harness.results.leaderboard.forgetting import Forgetting, forgetting
from harness.results.leaderboard.rows import Cell, Row
from harness.results.winner.contest import Comparisons


@dataclass(frozen=True, slots=True)
class Judge:
    """Estimates of one board: cells, and what takes all rows together."""

    estimator: Estimator
    columns: Sequence[Column]
    table: Table
    entries: Mapping[str, Sequence[Entry]]
    reference: str
    environments: Environments
    unavailable: Mapping[str, Mapping[str, str]]
    """Evaluation → source of a metric → why it has no value."""
    known: dict[tuple[str, str], Series | str] = field(default_factory=dict, compare=False, repr=False)
    """Series that were asked for, by arm and metric."""

    def series(self, arm: str, name: str) -> Series | str:
        """A metric of an arm over its seeds, or why there is none."""
        if (arm, name) not in self.known:
            entries = self.entries.get(arm, ())
            eval_ids = [entry.eval_id for entry in scored(entries) if entry.eval_id is not None]
            trained = any(entry.seed is not None for entry in entries)
            self.known[arm, name] = series(self.table, eval_ids, name, trained)
        return self.known[arm, name]

    def prepare(self) -> None:
        """Compute the cells of every metric at once, as far as they go together."""
        for column in self.columns:
            of_arms = [self.series(arm, column.name) for arm in self.entries if arm not in self.environments.mixed]
            reference = self.series(self.reference, column.name)
            arms = [values for values in of_arms if not isinstance(values, str)]
            self.estimator.prepare(metric_of(column), arms, None if isinstance(reference, str) else reference)

    def comparisons(self) -> Comparisons:
        """Pairs of arms on the primary metric, those of one environment."""
        out = self.environments.mixed.union(self.environments.unranked)
        of_arms = {arm: self.series(arm, self.columns[0].name) for arm in self.entries if arm not in out}
        scored = {arm: values for arm, values in of_arms.items() if not isinstance(values, str)}
        return Comparisons(self.estimator, metric_of(self.columns[0]), scored)

    def cell(self, arm: str, column: Column) -> Cell:
        metric, values = metric_of(column), self.series(arm, column.name)
        if arm in self.environments.mixed:
            return Cell(None, reason=self.environments.why(arm))
        if isinstance(values, str):
            # Why no evaluation can have this metric, where that is known.
            said = [self.unavailable.get(entry.eval_id or "", {}) for entry in self.entries[arm]]
            reasons = [why.get(column.name) or why.get(metric.source) for why in said]
            return Cell(None, reason=next((reason for reason in reasons if reason is not None), "") or values)
        value = self.estimator.value(metric, values, arm)
        if isinstance(value, str):
            return Cell(None, reason=value, missing=values.missing)
        cell = Cell(value, missing=values.missing)
        if arm in self.environments.unranked:
            return replace(cell, difference_reason=self.environments.why(arm))
        return cell if arm == self.reference else self._against_reference(cell, arm, metric, values, column)

    def _against_reference(self, cell: Cell, arm: str, metric: Metric, values: Series, column: Column) -> Cell:
        other: Series | str = self.environments.why(self.reference) or self.series(self.reference, column.name)
        if isinstance(other, str):
            return replace(cell, difference_reason=f"reference {self.reference}: {other}")
        who = (arm, self.reference)
        difference = self.estimator.difference(metric, values, other, who)
        if isinstance(difference, str):
            return replace(cell, difference_reason=difference)
        p_value = self.estimator.p_value(metric, values, other, who) if column.primary else None
        return replace(cell, difference=difference, p_value=p_value)

    def forgetting(self, rows: Sequence[Row], names: Sequence[str]) -> tuple[Forgetting, ...]:
        """Retention of every arm that changed the base, against the untrained arm."""
        rows = [row for row in rows if row.evaluations and not row.unranked_reason]
        base = next((row.arm for row in rows if row.method == "untrained"), None)
        if base is None:
            return ()
        unchanged = ("untrained", "few_shot")
        evaluations = {row.arm: row.evaluations for row in rows if row.arm == base or row.method not in unchanged}
        retention = [column.name for column in self.columns if column.name in names]
        return forgetting(retention, base, evaluations, self.table, self.estimator)

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
        ranks = self.comparisons().ranks()
        return [
            replace(row, ranks=ranks[row.arm][0], best_probability=ranks[row.arm][1]) if row.arm in ranks else row
            for row in rows
        ]

    def with_distance_to_best(self, rows: Sequence[Row]) -> list[Row]:
        """Add the paired difference of every arm to the first."""
        column = self.columns[0]
        best = self.series(rows[0].arm, column.name) if rows else "no rows"
        if isinstance(best, str) or rows[0].unranked_reason:
            return list(rows)
        done = [rows[0]]
        for row in rows[1:]:
            values = self.series(row.arm, column.name)
            difference: Estimate | str = ""
            if not isinstance(values, str) and not row.unranked_reason:
                difference = self.estimator.difference(metric_of(column), values, best, (row.arm, rows[0].arm))
            done.append(replace(row, to_best=difference) if isinstance(difference, Estimate) else row)
        return done
