"""Scores by evaluation, metric and item, and one metric of one arm as arrays.

A table of Scores one by one and a table over the columns that the store hands over say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness import stats
from harness.metrics import is_corpus
from harness.records import Score, ScoreBlock, ScoreColumns


@dataclass(frozen=True, slots=True)
class Series:
    """Values [seeds, n] of an example metric, or statistics [seeds, n, k] of a corpus metric, over scored items."""

    items: tuple[str, ...]
    data: stats.Floats
    missing: int
    """Items without a value for some seed."""
    trained: bool = False
    """Whether the seeds are those of trainings; an arm without training counts once."""
    remembered: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was computed of it, and will be asked for again."""

    @property
    def seeds(self) -> int:
        """Evaluations that were averaged."""
        return int(self.data.shape[0])

    def over(self, items: Sequence[str]) -> stats.Floats:
        """The data of these items, in this order."""
        if items is self.items or items == self.items:
            return self.data
        index_of = {item: index for index, item in enumerate(self.items)}
        return self.data[:, [index_of[item] for item in items]]


Table = Mapping[str, Mapping[str, Mapping[str, Score]]]
"""Evaluation → metric → item → Score."""


def name_of(score: Score) -> str:
    """The metric's name on a board: lm-eval's are `TASK/METRIC`, with `,FILTER` where the filter is not `none`.

    lm-eval's tasks have suites `lm_eval:TASK`, those that measure forgetting `retention:TASK`.
    """
    return named(score.suite, score.metric, score.filter)


def named(suite: str, name: str, chosen: str) -> str:
    """`name_of` a metric over a suite with a filter."""
    kind, _, task = suite.partition(":")
    if kind in ("lm_eval", "retention") and task and not name.startswith(f"{task}/"):
        name = f"{task}/{name}"
    return name if chosen in ("", "none") else f"{name},{chosen}"


def tabulate(scores: Sequence[Score]) -> Table:
    """Scores by evaluation, metric and item; only the newest version of a metric counts."""
    if isinstance(scores, ScoreColumns):
        columns = ColumnTable.of(scores)
        if columns is not None:
            return columns
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
    if isinstance(table, ColumnTable):
        return table.series(eval_ids, name, trained)
    columns = [table.get(eval_id, {}).get(name, {}) for eval_id in eval_ids]
    if not columns or not all(columns):
        return "not scored" if columns else "no evaluation"
    corpus = is_corpus(name)
    seen = dict.fromkeys(item for column in columns for item in column)
    good = [item for item in seen if all(_datum(column.get(item), corpus) is not None for column in columns)]
    if not good:
        return "no item has a value"
    rows = [[_datum(column[item], corpus) for item in good] for column in columns]
    return Series(tuple(good), np.asarray(rows, dtype=np.float64), len(seen) - len(good), trained)


def _datum(score: Score | None, corpus: bool) -> object:
    """The value or the statistics of a score; None where it has none that is usable."""
    return None if score is None or score.status != "ok" else score.statistics if corpus else score.value


@dataclass(frozen=True, slots=True, eq=False)
class ColumnTable(Mapping[str, Mapping[str, Mapping[str, Score]]]):
    """A table over columns: the newest version of each metric."""

    blocks: Mapping[str, ScoreBlock]
    """By the metric's name."""
    rows: Mapping[str, Mapping[str, int]]
    """Metric's name → evaluation → its row."""
    evaluations: tuple[str, ...]
    wholes: dict[tuple[str, bool], bool] = field(default_factory=dict)
    """What `whole` found."""

    def whole(self, name: str, corpus: bool) -> bool:
        """Whether every evaluation of a block has something usable of every item, in the block's order."""
        if (name, corpus) not in self.wholes:
            block = self.blocks[name]
            has = block.counted if corpus else block.valued
            self.wholes[name, corpus] = has is not None and block.ordered and bool((has & block.ok).all())
        return self.wholes[name, corpus]

    @classmethod
    def of(cls, scores: ScoreColumns) -> ColumnTable | None:
        """None where two suites or filters have metrics of one name, which only a table of Scores can merge."""
        newest: dict[str, ScoreBlock] = {}
        for block in scores.blocks:
            name = named(block.suite, block.metric, block.filter)
            known = newest.get(name)
            if known is not None and known.version == block.version:
                return None
            if known is None or known.version < block.version:
                newest[name] = block
        rows = {name: {eval_id: row for row, eval_id in enumerate(block.evaluations)} for name, block in newest.items()}
        evaluations = dict.fromkeys(eval_id for block in newest.values() for eval_id in block.evaluations)
        return cls(newest, rows, tuple(evaluations))

    def __getitem__(self, evaluation: str) -> Mapping[str, Mapping[str, Score]]:
        found = {name: rows[evaluation] for name, rows in self.rows.items() if evaluation in rows}
        if not found:
            raise KeyError(evaluation)
        return _Evaluation(self, found)

    def __iter__(self) -> Iterator[str]:
        return iter(self.evaluations)

    def __len__(self) -> int:
        return len(self.evaluations)

    def series(self, eval_ids: Sequence[str], name: str, trained: bool) -> Series | str:
        """As the function `series`."""
        known = self.rows.get(name, {})
        if not eval_ids or not all(eval_id in known for eval_id in eval_ids):
            return "not scored" if eval_ids else "no evaluation"
        block, rows = self.blocks[name], [known[eval_id] for eval_id in eval_ids]
        corpus = is_corpus(name)
        has, data = (block.counted, block.statistics) if corpus else (block.valued, block.values)
        if has is None or data is None:
            return "no item has a value"
        if self.whole(name, corpus):
            return Series(block.items, data[rows], 0, trained)
        usable = np.asarray((has[rows] & block.ok[rows]).all(axis=0))
        order = block.order(rows[0])
        good = order[usable[order]]
        if not len(good):
            return "no item has a value"
        whole = len(good) == len(block.items) and bool((good[1:] > good[:-1]).all())
        items = block.items if whole else tuple(block.items[place] for place in good)
        picked = data[rows] if whole else np.ascontiguousarray(data[rows][:, good])
        return Series(items, picked, int((block.positions[rows] > 0).any(axis=0).sum()) - len(good), trained)


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluation(Mapping[str, Mapping[str, Score]]):
    """One evaluation of a table over columns: metric → item → Score."""

    table: ColumnTable
    rows: Mapping[str, int]

    def __getitem__(self, name: str) -> Mapping[str, Score]:
        return {score.item: score for score in self.table.blocks[name].scores(self.rows[name])}

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
