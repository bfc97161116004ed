"""One metric of one arm as arrays: what estimates and paired differences are computed from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import stats
from harness.metrics import Metric, metric
from harness.records import Estimate, Question, Score, digest
from harness.winner_rules import SEEDS_OF_A_METHOD


@dataclass(frozen=True, slots=True)
class Series:
    """Values [seeds, n] of an example metric, or statistics [seeds, n, k] of a corpus metric, over scored items."""

    items: tuple[str, ...]
    data: stats.Floats
    missing: int
    """Items without a value for some seed."""
    trained: bool = False
    """Whether the seeds are those of trainings; an arm without training counts once."""

    @property
    def seeds(self) -> int:
        """Evaluations that were averaged."""
        return int(self.data.shape[0])

    def over(self, items: Sequence[str]) -> stats.Floats:
        """The data of these items, in this order."""
        place = {item: index for index, item in enumerate(self.items)}
        return self.data[:, [place[item] for item in items]]


Table = Mapping[str, Mapping[str, Mapping[str, Score]]]
"""Evaluation → metric → item → Score."""


def name_of(score: Score) -> str:
    """The metric's name on a board: lm-eval's are `TASK/METRIC`, with `,FILTER` where the filter is not `none`.

    lm-eval's tasks have suites `lm_eval:TASK`, those that measure forgetting `retention:TASK`.
    """
    name = score.metric
    kind, _, task = score.suite.partition(":")
    if kind in ("lm_eval", "retention") and task and not name.startswith(f"{task}/"):
        name = f"{task}/{name}"
    return name if score.filter in ("", "none") else f"{name},{score.filter}"


def tabulate(scores: Sequence[Score]) -> Table:
    """Scores by evaluation, metric and item; only the newest version of a metric counts."""
    newest: dict[str, int] = {}
    named = [(name_of(score), score) for score in scores]
    for name, score in named:
        newest[name] = max(newest.get(name, 0), score.version)
    table: dict[str, dict[str, dict[str, Score]]] = {}
    for name, score in named:
        if score.version == newest[name]:
            table.setdefault(score.eval_id, {}).setdefault(name, {})[score.item] = score
    return table


def series(table: Table, eval_ids: Sequence[str], name: str, trained: bool = False) -> Series | str:
    """The metric `name` over several seeds' evaluations, or why there is none."""
    columns = [table.get(eval_id, {}).get(name, {}) for eval_id in eval_ids]
    if not columns or not all(columns):
        return "not scored" if columns else "no evaluation"
    corpus = metric(name).kind == "corpus"
    seen = dict.fromkeys(item for column in columns for item in column)
    good = [item for item in seen if all(_usable(column.get(item), corpus) for column in columns)]
    if not good:
        return "no item has a value"
    rows = [[_datum(column[item], corpus) for item in good] for column in columns]
    return Series(tuple(good), np.asarray(rows, dtype=np.float64), len(seen) - len(good), trained)


def _usable(score: Score | None, corpus: bool) -> bool:
    if score is None or score.status != "ok":
        return False
    return (score.statistics if corpus else score.value) is not None


def _datum(score: Score, corpus: bool) -> object:
    return score.statistics if corpus else score.value


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates with the experiment's clusters; each one draws from a generator of its own.

    So a metric's interval does not change when another metric or arm is added.
    """

    groups: Mapping[str, str]
    seed: int
    question: Question = "checkpoints"

    def _rng(self, *what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(digest(what), 16)])

    def clusters(self, items: Sequence[str]) -> list[str]:
        """The group of each item."""
        return [self.groups.get(item, item) for item in items]

    def value(self, known: Metric, one: Series, who: str) -> Estimate | str:
        """The metric's value with its interval, or why there is none; without an interval where seeds are too few."""
        clusters, data = self.clusters(one.items), one.data
        combine, bounds = known.combine, known.bounds
        if self.question == "method":
            few = _too_few(one, who)
            if few:
                return _or_reason(lambda: _value_alone(one, combine, len(set(clusters)), few))
            trained = one.trained
            if combine is not None:
                return _or_reason(lambda: stats.corpus_method_estimate(data, combine, clusters, trained=trained))
            return _or_reason(lambda: stats.method_estimate(data, clusters, trained=trained, bounds=bounds))
        if combine is not None:
            rng = self._rng(known.name, who)
            return _or_reason(lambda: stats.corpus_estimate(data, combine, clusters, rng))
        means = stats.average_seeds(data)
        return _or_reason(lambda: stats.estimate(means, clusters, seeds=one.seeds, bounds=bounds))

    def difference(
        self, known: Metric, a: Series, b: Series, who: tuple[str, str], level: float = 0.95
    ) -> Estimate | str:
        """Paired difference a - b over the items that both have, or why there is none."""
        items = _shared(a, b)
        if not items:
            return "no item in common"
        ours, theirs, clusters = a.over(items), b.over(items), self.clusters(items)
        combine, bounds = known.combine, known.bounds
        if self.question == "method":
            few = _too_few(a, who[0]) or _too_few(b, who[1])
            if few:
                return few
            trained = (a.trained, b.trained)
            if combine is not None:
                return _or_reason(
                    lambda: stats.corpus_method_difference(
                        ours, theirs, combine, clusters, trained=trained, level=level
                    )
                )
            return _or_reason(
                lambda: stats.method_difference(ours, theirs, clusters, trained=trained, bounds=bounds, level=level)
            )
        if combine is not None:
            rng = self._rng(known.name, *who)
            return _or_reason(lambda: stats.corpus_paired_difference(ours, theirs, combine, clusters, rng, level))
        means = stats.average_seeds(ours), stats.average_seeds(theirs)
        seeds = max(a.seeds, b.seeds)
        return _or_reason(lambda: stats.paired_difference(*means, clusters, seeds=seeds, bounds=bounds, level=level))

    def p_value(self, known: Metric, a: Series, b: Series, who: tuple[str, str]) -> float | None:
        """P-value of no difference, of permutations or, for methods, of t; None where there is no such test."""
        items = _shared(a, b)
        if not items:
            return None
        ours, theirs, clusters = a.over(items), b.over(items), self.clusters(items)
        if self.question == "method":
            if _too_few(a, who[0]) or _too_few(b, who[1]):
                return None
            trained = (a.trained, b.trained)
            if known.combine is not None:
                return stats.corpus_method_p_value(ours, theirs, known.combine, clusters, trained=trained)
            return stats.method_p_value(ours, theirs, clusters, trained=trained)
        rng = self._rng("p", known.name, *who)
        if known.combine is None:
            return stats.sign_flip_p_value(stats.average_seeds(ours) - stats.average_seeds(theirs), clusters, rng)
        if a.seeds != b.seeds and 1 not in (a.seeds, b.seeds):
            return None
        return stats.swap_p_value(ours, theirs, known.combine, clusters, rng)

    def spread(self, known: Metric, a: Series, b: Series) -> stats.Spread | None:
        """How far the difference a - b spreads over clusters and seeds; None where that cannot be measured."""
        items = _shared(a, b)
        ours, theirs, clusters = a.over(items), b.over(items), self.clusters(items)
        trained = (a.trained, b.trained)
        try:
            if known.combine is not None:
                return stats.corpus_measured_spread(ours, theirs, known.combine, clusters, trained=trained)
            return stats.measured_spread(ours, theirs, clusters, trained=trained)
        except ValueError:
            return None

    def needed(
        self, known: Metric, sides: tuple[Series, Series], gap: float, level: float
    ) -> tuple[int | None, int | None]:
        """More test examples (of groups like these), and more seeds of each arm, until a difference `gap` away from
        what it is held against is told from it with 80 % power; None where it cannot be said or nothing suffices."""
        spread, items = self.spread(known, *sides), _shared(*sides)
        seeds = min((side.seeds for side in sides if side.trained), default=1)
        if spread is None:
            return None, None
        clusters = len(set(self.clusters(items)))
        if spread.cluster == spread.interaction == 0 and not spread.seed:
            return self._without_spread(known, gap, level, len(items) / clusters, len(items)), None
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

    @staticmethod
    def _without_spread(known: Metric, gap: float, level: float, per_cluster: float, have: int) -> int | None:
        """More examples where every difference is the same so far: the interval is the exact binomial one."""
        if known.bounds is None or known.combine is not None:
            return None
        wanted = stats.clusters_without_spread(gap, known.bounds[1] - known.bounds[0], level)
        return None if wanted is None else max(1, math.ceil(wanted * per_cluster) - have)

    def draws(self, known: Metric, arms: Sequence[Series]) -> stats.Floats | None:
        """Values [resamples, arms] over the same resampled examples, seeds averaged; None without shared items.

        For methods the seeds vary too, and there are none where an arm has too few.
        """
        shared = set(arms[0].items).intersection(*(one.items for one in arms[1:]))
        items = [item for item in arms[0].items if item in shared]
        if not items or (self.question == "method" and any(_too_few(one, "") for one in arms)):
            return None
        data, clusters = [one.over(items) for one in arms], self.clusters(items)
        rng, combine = self._rng("ranks", known.name), known.combine
        try:
            if combine is not None:
                draws = stats.corpus_joint_draws(data, combine, clusters, rng)
            else:
                draws = stats.joint_draws([stats.average_seeds(one) for one in data], clusters, rng)
            if self.question != "method":
                return draws
            values = [one.mean(axis=1) if combine is None else combine(one.sum(axis=1)) for one in data]
            trained = [own if one.trained else None for own, one in zip(values, arms, strict=True)]
            return stats.with_seeds(draws, trained, rng)
        except ValueError:
            return None


def _too_few(one: Series, who: str) -> str:
    """Why a statement about the method is refused; empty where it is not."""
    if not one.trained or one.seeds >= SEEDS_OF_A_METHOD:
        return ""
    seeds = "1 seed" if one.seeds == 1 else f"{one.seeds} seeds"
    return f"{who} has {seeds}, and a statement about a method takes three"


def _value_alone(one: Series, combine: stats.Combine | None, clusters: int, why: str) -> Estimate:
    data = one.data
    value = float(data.mean() if combine is None else combine(data.sum(axis=1)).mean())
    return Estimate(value, None, None, len(one.items), clusters, one.seeds, f"mean over seeds; no interval: {why}")


def _shared(a: Series, b: Series) -> list[str]:
    known = set(b.items)
    return [item for item in a.items if item in known]


def _or_reason(compute: Callable[[], Estimate]) -> Estimate | str:
    try:
        return compute()
    except ValueError as error:
        return str(error)
