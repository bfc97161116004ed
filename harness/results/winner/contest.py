"""From a board's rows to the winner rule's verdict: costs in the rule's name, comparisons at the rule's level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness import stats
from harness.metrics import Metric
from harness.records import Entry, Estimate, Question, WinnerRule, WinnerVerdict
from harness.results.collect import Results
from harness.results.estimator import Estimator, Series
from harness.results.leaderboard import raced
from harness.results.leaderboard.costs import Cost
from harness.results.leaderboard.rows import Row
from harness.results.winner import rules
from harness.results.winner.verdict import Contender, Contest, judge

COSTS: Mapping[str, Callable[[Cost], float | None]] = {
    "train_seconds": lambda cost: cost.all_train_seconds,
    "total_seconds": lambda cost: cost.all_seconds,
    "peak_memory_bytes": lambda cost: cost.peak_memory_bytes,
    "trainable_parameters": lambda cost: cost.trainable_parameters,
    "adapter_bytes": lambda cost: cost.artefact_bytes,
}


def price(name: str, cost: Cost | None, serving: Mapping[str, float | None]) -> float | None:
    """The cost `name` of the winner rule, of an arm's cost and costs of serving; None where it is not known."""
    if name in COSTS:
        return COSTS[name](cost) if cost is not None else None
    return serving.get(name)


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Pairs of arms on the primary metric; answers what the verdict asks."""

    estimator: Estimator
    known: Metric
    series: Mapping[str, Series]

    def difference(self, a: str, b: str, level: float) -> Estimate | str:
        """Paired difference a - b at `level`, or why there is none."""
        return self.estimator.difference(self.known, self.series[a], self.series[b], (a, b), level)

    def differences(self, arms: Sequence[str], level: float) -> stats.PairTable | None:
        """Every pair of `arms` at `level`; None where they must be asked for one by one."""
        return self.estimator.differences(self.known, [self.series[arm] for arm in arms], level)

    def needed(self, a: str, b: str, gap: float, level: float) -> tuple[int | None, int | None]:
        """More examples, and more seeds, that would settle a difference `gap` away from the margin."""
        return self.estimator.needed(self.known, (self.series[a], self.series[b]), gap, level)

    def ranks(self) -> dict[str, tuple[tuple[int, int], float]]:
        """Arm → its rank interval, and how often it is the best one, over resamples of the test examples."""
        arms = list(self.series)
        draws = self.estimator.draws(self.known, list(self.series.values())) if len(arms) > 1 else None
        if draws is None:
            return {}
        higher = self.known.direction == "higher"
        intervals, best = stats.rank_intervals(draws, higher), stats.best_probabilities(draws, higher)
        return dict(zip(arms, zip(intervals, best, strict=True), strict=True))


def rule_of(results: Results) -> WinnerRule:
    """The rule in force: the one declared last, else the default."""
    return (rules.declared_rules(results.experiment) or (WinnerRule(),))[-1]


def question_of(results: Results, entries: Mapping[str, Sequence[Entry]]) -> Question:
    """What the board's estimates are about."""
    seeds = [sum(entry.seed is not None and entry.eval_id is not None for entry in own) for own in entries.values()]
    return rules.question(rule_of(results), seeds)


def verdict_of(
    results: Results,
    rows: Sequence[Row],
    serving: Mapping[str, Mapping[str, float | None]],
    question: Question,
    comparisons: Comparisons,
) -> WinnerVerdict:
    """The verdict on the arms that are ranked together; `serving` has an arm's costs of serving by name."""
    rule, primary = rule_of(results), comparisons.known
    ranked = {row.arm: row.cells[primary.name].estimate for row in rows if not row.unranked_reason}
    prices = {row.arm: price(rule.cost, row.cost, serving.get(row.arm, {})) for row in rows}
    contenders = [
        Contender(row.arm, value.value, prices[row.arm], len(row.seeds))
        for row in rows
        if (value := ranked.get(row.arm)) is not None
    ]
    stopped = raced.left_out(results.experiment)
    missing = [arm for arm, value in ranked.items() if value is None]
    eval_ids = [entry.eval_id for entry in results.entries if entry.eval_id is not None]
    contest = Contest(
        contenders=tuple(contenders),
        without_result=tuple(arm for arm in missing if arm not in stopped),
        stopped=tuple(arm for arm in missing if arm in stopped),
        reference=str(results.experiment.spec.get("reference", "untrained")),
        metric=primary.name,
        higher_is_better=primary.direction == "higher",
        rule=rule,
        estimand=question,
        declaration=rules.declaration(results.experiment, results.looks, eval_ids),
    )
    return judge(contest, comparisons)
