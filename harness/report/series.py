"""One metric of one arm as arrays: what estimates and paired differences are computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import stats
from harness.metrics import Metric, metric
from harness.records import Estimate, Score, digest


@dataclass(frozen=True, slots=True)
class Series:
    """Values [seeds, n] of an example metric, or statistics [seeds, n, k] of a corpus metric, over scored items."""

    items: tuple[str, ...]
    data: stats.Floats
    missing: int
    """Items without a value for some seed."""

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


def series(table: Table, eval_ids: Sequence[str], name: str) -> Series | str:
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
    return Series(tuple(good), np.asarray(rows, dtype=np.float64), len(seen) - len(good))


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

    def _rng(self, *what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(digest(what), 16)])

    def clusters(self, items: Sequence[str]) -> list[str]:
        """The group of each item."""
        return [self.groups.get(item, item) for item in items]

    def value(self, known: Metric, one: Series, who: str) -> Estimate | str:
        """The metric's value with its interval, or why there is none."""
        clusters = self.clusters(one.items)
        combine = known.combine
        if combine is not None:
            rng = self._rng(known.name, who)
            return _or_reason(lambda: stats.corpus_estimate(one.data, combine, clusters, rng))
        return _or_reason(
            lambda: stats.estimate(stats.average_seeds(one.data), clusters, seeds=one.seeds, bounds=known.bounds)
        )

    def difference(self, known: Metric, a: Series, b: Series, who: tuple[str, str]) -> Estimate | str:
        """Paired difference a - b over the items that both have, or why there is none."""
        items = _shared(a, b)
        if not items:
            return "no item in common"
        ours, theirs, clusters = a.over(items), b.over(items), self.clusters(items)
        combine = known.combine
        if combine is not None:
            rng = self._rng(known.name, *who)
            return _or_reason(lambda: stats.corpus_paired_difference(ours, theirs, combine, clusters, rng))
        means = stats.average_seeds(ours), stats.average_seeds(theirs)
        seeds = max(a.seeds, b.seeds)
        return _or_reason(lambda: stats.paired_difference(*means, clusters, seeds=seeds, bounds=known.bounds))

    def p_value(self, known: Metric, a: Series, b: Series, who: tuple[str, str]) -> float | None:
        """Permutation p-value of no difference; None where there is no such test (seeds that do not pair)."""
        items = _shared(a, b)
        if not items:
            return None
        ours, theirs, clusters = a.over(items), b.over(items), self.clusters(items)
        rng = self._rng("p", known.name, *who)
        if known.combine is None:
            return stats.sign_flip_p_value(stats.average_seeds(ours) - stats.average_seeds(theirs), clusters, rng)
        if a.seeds != b.seeds and 1 not in (a.seeds, b.seeds):
            return None
        return stats.swap_p_value(ours, theirs, known.combine, clusters, rng)


def _shared(a: Series, b: Series) -> list[str]:
    known = set(b.items)
    return [item for item in a.items if item in known]


def _or_reason(compute: Callable[[], Estimate]) -> Estimate | str:
    try:
        return compute()
    except ValueError as error:
        return str(error)
