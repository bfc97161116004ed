"""One metric of one arm as arrays: what estimates and paired differences are computed from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from harness import stats
from harness.metrics import Metric
from harness.records import Estimate, Question, digest
from harness.results.score_table import Series, Table, name_of, series, tabulate
from harness.results.winner.rules import SEEDS_OF_A_METHOD

__all__ = ["Estimator", "Series", "Table", "name_of", "series", "tabulate"]


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates with the experiment's clusters; each one draws from a generator of its own.

    So a metric's interval does not change when another metric or arm is added.
    """

    groups: Mapping[str, str]
    seed: int
    question: Question = "checkpoints"
    remembered: dict[tuple[str, ...], stats.Clusters] = field(default_factory=dict, compare=False, repr=False)
    """Clusters of sets of items; most metrics and arms share one."""
    seen: dict[int, tuple[tuple[str, ...], stats.Clusters]] = field(default_factory=dict, compare=False, repr=False)
    """The same by the identity of the tuple, which stands beside them: to hash a thousand items takes 30 µs."""

    def _rng(self, *what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(digest(what), 16)])

    def clusters(self, items: Sequence[str]) -> list[str]:
        """The group of each item."""
        return [self.groups.get(item, item) for item in items]

    def grouping(self, items: tuple[str, ...]) -> stats.Clusters:
        """`clusters` as statistics take them."""
        known = self.seen.get(id(items))
        if known is None:
            if items not in self.remembered:
                self.remembered[items] = stats.Clusters.of(self.clusters(items), len(items))
            known = self.seen[id(items)] = (items, self.remembered[items])
        return known[1]

    def value(self, metric: Metric, values: Series, who: str) -> Estimate | str:
        """The metric's value with its interval, or why there is none; without an interval where seeds are too few."""
        clusters, data = self.grouping(values.items), values.data
        combine, bounds = metric.combine, metric.bounds
        if self.question == "method":
            few = _too_few(values, who)
            if few:
                mean = float(data.mean() if combine is None else combine(data.sum(axis=1)).mean())
                how = f"mean over seeds; no interval: {few}"
                return Estimate(mean, None, None, len(values.items), clusters.count, values.seeds, how)
            what, limits = ("corpus value", None) if combine is not None else ("mean over examples", bounds)
            return _or_reason(
                lambda: stats.arm_estimate(self._arm(metric, values, values.items), clusters, what, limits)
            )
        if combine is not None:
            rng = self._rng(metric.name, who)
            return _or_reason(lambda: stats.corpus_estimate(data, combine, clusters, rng))
        means = stats.average_seeds(data)
        return _or_reason(lambda: stats.estimate(means, clusters, seeds=values.seeds, bounds=bounds))

    def _arm(self, metric: Metric, values: Series, items: tuple[str, ...]) -> stats.Arm:
        """A series over `items` as statistics of methods take it; remembered where those are all its items."""
        own = _same(items, values.items)
        if own and metric.name in values.remembered:
            return cast(stats.Arm, values.remembered[metric.name])
        data, clusters = values.over(items), self.grouping(items)
        if metric.combine is not None:
            arm, _ = stats.corpus_method_arm(data, metric.combine, clusters, trained=values.trained)
        else:
            arm, _ = stats.method_arm(data, clusters, trained=values.trained)
        if own:
            values.remembered[metric.name] = arm
        return arm

    def difference(
        self, metric: Metric, a: Series, b: Series, who: tuple[str, str], level: float = 0.95
    ) -> Estimate | str:
        """Paired difference a - b over the items that both have, or why there is none."""
        items = _shared(a, b)
        if not items:
            return "no item in common"
        clusters, combine, bounds = self.grouping(items), metric.combine, metric.bounds
        if self.question == "method":
            few = _too_few(a, who[0]) or _too_few(b, who[1])
            if few:
                return few
            what, limits = "paired difference of corpus values", None
            if combine is None:
                what, limits = "mean of paired differences", bounds and (bounds[0] - bounds[1], bounds[1] - bounds[0])
            return _or_reason(
                lambda: stats.arm_estimate(self._less(metric, a, b, items), clusters, what, limits, level)
            )
        ours, theirs = a.over(items), b.over(items)
        if combine is not None:
            rng = self._rng(metric.name, *who)
            return _or_reason(lambda: stats.corpus_paired_difference(ours, theirs, combine, clusters, rng, level))
        means = stats.average_seeds(ours), stats.average_seeds(theirs)
        seeds = max(a.seeds, b.seeds)
        return _or_reason(lambda: stats.paired_difference(*means, clusters, seeds=seeds, bounds=bounds, level=level))

    def prepare(self, metric: Metric, arms: Sequence[Series], reference: Series | None) -> None:
        """Compute what `value`, `difference` (to the reference) and `p_value` will ask of many arms, all at once."""
        if self.question != "method" or not arms:
            return
        items = arms[0].items
        if not all(_same(values.items, items) for values in arms):
            items = max(Counter(values.items for values in arms).items(), key=lambda ready: ready[1])[0]
        mine = [values for values in arms if _same(values.items, items) and not _too_few(values, "")]
        clusters = self.grouping(items)
        if clusters.count < 2:
            return
        with suppress(ValueError):  # whoever asks for the one that is wrong is told
            kinds: dict[tuple[int, bool], list[Series]] = {}
            for values in mine:
                kinds.setdefault((values.seeds, values.trained), []).append(values)
            for (_, trained), several in kinds.items():
                tables = [values.data for values in several]
                if metric.combine is None:
                    arms_of_kind = stats.arms_of(np.stack(tables), clusters, trained=trained)
                else:
                    arms_of_kind = stats.corpus_arms_of(tables, metric.combine, clusters, trained=trained)
                for values, arm in zip(several, arms_of_kind, strict=True):
                    values.remembered[metric.name] = arm
            ready = stats.with_parts([self._arm(metric, values, items) for values in mine])
            for values, arm in zip(mine, ready, strict=True):
                values.remembered[metric.name] = arm
            if reference is not None and _same(reference.items, items) and not _too_few(reference, ""):
                less = stats.less_reference(ready, self._arm(metric, reference, items))
                for values, arm in zip(mine, less, strict=True):
                    values.remembered[f"{metric.name} less"] = (reference, arm)

    def _less(self, metric: Metric, a: Series, b: Series, items: tuple[str, ...]) -> stats.Arm:
        """a - b as statistics of methods take it."""
        reference, arm = a.remembered.get(f"{metric.name} less", (None, None))
        if reference is b and _same(items, a.items):
            return cast(stats.Arm, arm)
        return stats.subtract(self._arm(metric, a, items), self._arm(metric, b, items))

    def differences(self, metric: Metric, arms: Sequence[Series], level: float) -> stats.PairTable | None:
        """Every pair of arms as `difference` has it; None where they must be asked for one by one."""
        items, combine = arms[0].items, metric.combine
        if not all(_same(values.items, items) for values in arms) or self.grouping(items).count < 2 or len(arms) < 2:
            return None
        clusters = self.grouping(items)
        try:
            if self.question == "method":
                if any(_too_few(values, "") for values in arms):
                    return None
                several = [self._arm(metric, values, items) for values in arms]
                return stats.pair_table(several, clusters, metric.bounds if combine is None else None, level)
            if combine is not None:
                return None
            means = [stats.average_seeds(arm.data)[None] for arm in arms]
            several = [stats.method_arm(mean, clusters, trained=False)[0] for mean in means]
            values, seeds = np.concatenate(means), max(arm.seeds for arm in arms)
            table = stats.right_or_wrong(values, metric.bounds, seeds)
            return stats.pair_table(several, clusters, metric.bounds, level, table, seeds)
        except ValueError:
            return None

    def p_value(self, metric: Metric, a: Series, b: Series, who: tuple[str, str]) -> float | None:
        """P-value of no difference, of permutations or, for methods, of t; None where there is no such test."""
        items = _shared(a, b)
        if not items:
            return None
        clusters = self.grouping(items)
        if self.question == "method":
            if _too_few(a, who[0]) or _too_few(b, who[1]):
                return None
            return stats.arm_p_value(self._less(metric, a, b, items), clusters)
        ours, theirs = a.over(items), b.over(items)
        rng = self._rng("p", metric.name, *who)
        if metric.combine is None:
            return stats.sign_flip_p_value(stats.average_seeds(ours) - stats.average_seeds(theirs), clusters, rng)
        if a.seeds != b.seeds and 1 not in (a.seeds, b.seeds):
            return None
        return stats.swap_p_value(ours, theirs, metric.combine, clusters, rng)

    def spread(self, metric: Metric, a: Series, b: Series) -> stats.Spread | None:
        """How far the difference a - b spreads over clusters and seeds; None where that cannot be measured."""
        items = _shared(a, b)
        ours, theirs, clusters = a.over(items), b.over(items), self.grouping(items)
        trained = (a.trained, b.trained)
        try:
            if metric.combine is not None:
                return stats.corpus_measured_spread(ours, theirs, metric.combine, clusters, trained=trained)
            return stats.measured_spread(ours, theirs, clusters, trained=trained)
        except ValueError:
            return None

    def needed(
        self, metric: Metric, sides: tuple[Series, Series], gap: float, level: float
    ) -> tuple[int | None, int | None]:
        """More test examples (of groups like these), and more seeds of each arm, until a difference `gap` away from
        what it is held against is told from it with 80 % power; None where it cannot be said or nothing suffices."""
        spread, items = self.spread(metric, *sides), _shared(*sides)
        seeds = min((side.seeds for side in sides if side.trained), default=1)
        if spread is None:
            return None, None
        clusters = self.grouping(items).count
        if spread.cluster == spread.interaction == 0 and not spread.seed:
            # Every difference is the same so far: the interval is the exact binomial one.
            if metric.bounds is None or metric.combine is not None:
                return None, None
            wanted = stats.clusters_without_spread(gap, metric.bounds[1] - metric.bounds[0], level)
            more = None if wanted is None else max(1, math.ceil(wanted * (len(items) / clusters)) - len(items))
            return more, None
        design = stats.Design(clusters, seeds, self.question)
        try:
            examples = stats.examples_needed(spread, design, gap, level=level)
            more = stats.seeds_needed(spread, design, gap, level=level) if self.question == "method" else None
        except ValueError:
            return None, None
        return (
            None if examples is None else max(1, examples - len(items)),
            None if more is None else max(1, more - seeds),
        )

    def draws(self, metric: Metric, arms: Sequence[Series]) -> stats.Floats | None:
        """Values [resamples, arms] over the same resampled examples, seeds averaged; None without shared items.

        For methods the seeds vary too, and there are none where an arm has too few.
        """
        items = arms[0].items
        if not all(_same(values.items, items) for values in arms):
            shared = set(items).intersection(*(values.items for values in arms[1:]))
            items = tuple(item for item in items if item in shared)
        if not items or (self.question == "method" and any(_too_few(values, "") for values in arms)):
            return None
        data, clusters = [arm.over(items) for arm in arms], self.grouping(items)
        rng, combine = self._rng("ranks", metric.name), metric.combine
        try:
            if combine is not None:
                draws = stats.corpus_joint_draws(data, combine, clusters, rng)
            else:
                draws = stats.joint_draws([stats.average_seeds(table) for table in data], clusters, rng)
            if self.question != "method":
                return draws
            means = [table.mean(axis=1) if combine is None else combine(table.sum(axis=1)) for table in data]
            trained = [own if values.trained else None for own, values in zip(means, arms, strict=True)]
            return stats.with_seeds(draws, trained, rng)
        except ValueError:
            return None


def _too_few(values: Series, who: str) -> str:
    """Why a statement about the method is refused; empty where it is not."""
    if not values.trained or values.seeds >= SEEDS_OF_A_METHOD:
        return ""
    seeds = "1 seed" if values.seeds == 1 else f"{values.seeds} seeds"
    return f"{who} has {seeds}, and a statement about a method takes three"


def _same(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether items are the same; most are one tuple, which would be compared with itself item by item."""
    return a is b or a == b


def _shared(a: Series, b: Series) -> tuple[str, ...]:
    if _same(a.items, b.items):
        return a.items
    known = set(b.items)
    return tuple(item for item in a.items if item in known)


def _or_reason(compute: Callable[[], Estimate]) -> Estimate | str:
    try:
        return compute()
    except ValueError as error:
        return str(error)
