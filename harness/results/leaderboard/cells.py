"""The estimates of a board: every cell, and what takes all rows together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness import stats
from harness.metrics import Metric
from harness.records import Entry
from harness.results.collect import scored
from harness.results.estimator import Estimator, Series, Table, series
from harness.results.leaderboard.columns import Column, metric_of
from harness.results.leaderboard.environments import Environments
from harness.results.leaderboard.forgetting import Forgetting, Measured, forgetting
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
            self.known[arm, name] = self._series(arm, name)
        return self.known[arm, name]

    def _series(self, arm: str, name: str) -> Series | str:
        eval_ids = [entry.eval_id for entry in scored(self.entries.get(arm, ())) if entry.eval_id is not None]
        trained = any(entry.seed is not None for entry in self.entries.get(arm, ()))
        return series(self.table, eval_ids, name, trained)

    def prepare(self) -> None:
        """Compute the cells of every metric at once, as far as they go together."""
        for column in self.columns:
            of_arms = [self.series(arm, column.name) for arm in self.entries if arm not in self.environments.mixed]
            reference = self.series(self.reference, column.name)
            arms = [one for one in of_arms if not isinstance(one, str)]
            self.estimator.prepare(metric_of(column), arms, None if isinstance(reference, str) else reference)

    def comparisons(self) -> Comparisons:
        """Pairs of arms on the primary metric, those of one environment."""
        name = self.columns[0].name
        ranked = [arm for arm in self.entries if arm not in self.environments.unranked]
        of_arms = {arm: self.series(arm, name) for arm in ranked if arm not in self.environments.mixed}
        scored = {arm: one for arm, one in of_arms.items() if not isinstance(one, str)}
        return Comparisons(self.estimator, metric_of(self.columns[0]), scored)

    def cell(self, arm: str, column: Column) -> Cell:
        metric, values = metric_of(column), self.series(arm, column.name)
        if arm in self.environments.mixed:
            return Cell(None, reason=self.environments.why(arm))
        if isinstance(values, str):
            return Cell(None, reason=self._unavailable(arm, metric) or values)
        value = self.estimator.value(metric, values, arm)
        if isinstance(value, str):
            return Cell(None, reason=value, missing=values.missing)
        cell = Cell(value, missing=values.missing)
        if arm in self.environments.unranked:
            return replace(cell, difference_reason=self.environments.why(arm))
        return cell if arm == self.reference else self._against_reference(cell, arm, metric, values, column)

    def _unavailable(self, arm: str, metric: Metric) -> str:
        """Why no evaluation of `arm` can have this metric; empty when that is not known."""
        reasons = [self.unavailable.get(entry.eval_id or "", {}) for entry in self.entries[arm]]
        return next((reason_of[metric.source] for reason_of in reasons if metric.source in reason_of), "")

    def _against_reference(self, cell: Cell, arm: str, metric: Metric, values: Series, column: Column) -> Cell:
        other = self.series(self.reference, column.name)
        if self.reference in self.environments.unranked:
            return replace(
                cell, difference_reason=f"reference {self.reference}: {self.environments.why(self.reference)}"
            )
        if isinstance(other, str):
            return replace(cell, difference_reason=f"reference {self.reference}: {other}")
        who = (arm, self.reference)
        difference = self.estimator.difference(metric, values, other, who)
        if isinstance(difference, str):
            return replace(cell, difference_reason=difference)
        p_value = self.estimator.p_value(metric, values, other, who) if column.primary else None
        return Cell(cell.estimate, difference=difference, p_value=p_value, missing=cell.missing)

    def forgetting(self, rows: Sequence[Row], names: Sequence[str]) -> tuple[Forgetting, ...]:
        """Retention of every arm that changed the base, against the untrained arm."""
        rows = [row for row in rows if not row.unranked_reason]
        base = next((row for row in rows if row.method == "untrained" and row.evaluations), None)
        if base is None:
            return ()
        arms = [row for row in rows if row.evaluations and row.method not in ("untrained", "few_shot")]
        retention = [column.name for column in self.columns if column.name in names]
        return forgetting(
            retention,
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
        ranks = self.comparisons().ranks()
        return [
            replace(row, ranks=ranks[row.arm][0], best_probability=ranks[row.arm][1]) if row.arm in ranks else row
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
            if row.unranked_reason or rows[0].unranked_reason:
                done.append(row)
                continue
            values = self.series(row.arm, column.name)
            difference = (
                values
                if isinstance(values, str)
                else self.estimator.difference(metric_of(column), values, best, (row.arm, rows[0].arm))
            )
            done.append(row if isinstance(difference, str) else replace(row, to_best=difference))
        return done
