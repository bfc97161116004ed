"""Scores and counts of answers for boards of many runs, read column by column: no Python object for a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.records import ScoreBlock, ScoreColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

CELLS = 100_000_000
"""Evaluations × (metrics and their items): a table that is larger is mostly empty, and is not made."""
_BATCH = 1 << 17
"""Rows that are taken from the database at a time."""
_COLUMN = "suite, metric, filter, version, item"
_ROWS = f"""
    SELECT seq, hash(eval_id) AS evaluation, hash({_COLUMN}) AS "column",
        coalesce(value, 0) AS value, coalesce(statistics::DOUBLE[], []) AS statistics,
        ((status = 'ok')::UTINYINT + 2 * (value IS NOT NULL)::UTINYINT + 4 * (statistics IS NOT NULL)::UTINYINT
        )::UTINYINT AS flags
    FROM scores WHERE """
"""Texts come as hashes, which the database computes once for each entry of a segment's dictionary."""


def answer_counts(cursor: Any, eval_ids: Sequence[str]) -> dict[str, tuple[int, int, int, int, str, str, int]]:
    """Evaluation → answers, answers cut off at their length limit, prompts whose beginning was cut off, answers refused
    by a server, hashes of all answers and of all prompts, whatever their order, and answers with reasoning inside."""
    ids = list(dict.fromkeys(eval_ids))
    wanted = _wanted(cursor, "predictions", ids)
    query = (
        "SELECT eval_id, count(*), count_if(finish = 'length'), count_if(truncated), count_if(finish = 'refused'), "
        "sum(hash(concat(example, chr(31), text))::HUGEINT)::VARCHAR, "
        "sum(hash(concat(example, chr(31), prompt_hash))::HUGEINT)::VARCHAR, "
        "count_if(contains(text, '</think>')) FROM {} "
        f"WHERE {wanted} GROUP BY eval_id"
    )
    rows = cursor.execute(query.format("predictions"), [ids]).fetchall()
    keys = f"SELECT count(DISTINCT hash(eval_id, example)) FROM predictions WHERE {wanted}"
    # Superseded rows are rare, and looking for the last one of every key takes ten times as long.
    [(distinct,)] = cursor.execute(keys, [ids]).fetchall()
    if sum(row[1] for row in rows) != distinct:
        rows = cursor.execute(query.format("current_predictions"), [ids]).fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}


def score_columns(cursor: Any, eval_ids: Sequence[str]) -> ScoreColumns | None:
    """The last Score of every key of these evaluations: a block for each version of each metric, in stored order.

    None where no array can hold them: the statistics of a metric differ in number, or evaluations share few items.
    """
    ids = list(dict.fromkeys(eval_ids))
    wanted = _wanted(cursor, "scores", ids)
    evaluations, columns = (_by_hash(cursor, names, wanted, ids) for names in ("eval_id", _COLUMN))
    if evaluations is None or columns is None or len(evaluations) * len(columns) > CELLS:
        return None
    place = {name: number for number, name in enumerate(ids)}
    evaluations = dict(sorted(evaluations.items(), key=lambda pair: place[pair[1][0]]))
    metrics = {metric: number for number, metric in enumerate(dict.fromkeys(name[:4] for name in columns.values()))}
    columns = dict(sorted(columns.items(), key=lambda pair: metrics[pair[1][:4]]))
    cells = _Cells(evaluations, columns)
    if not cells.fill(cursor.sql(_ROWS + wanted, params=[ids])):  # some rows correct others
        cells = _Cells(evaluations, columns)
        cells.fill(cursor.sql(f"{_ROWS}{wanted} ORDER BY seq", params=[ids]))
    return None if cells.uneven else ScoreColumns(tuple(map(cells.block, metrics.values())))


def _wanted(cursor: Any, table: str, ids: list[str]) -> str:
    """SQL: whether a row of the table is of one of the evaluations `ids`, which are its parameter `$1`."""
    [(whole,)] = cursor.execute(
        f"SELECT coalesce(bool_and(list_contains($1, eval_id)), true) FROM (SELECT DISTINCT eval_id FROM {table})",
        [ids],
    ).fetchall()
    # The join that picks rows takes a quarter of the time; it is spared where it would pick all of them.
    return "len($1) >= 0" if whole else "eval_id IN (SELECT unnest($1::VARCHAR[]))"


def _by_hash(cursor: Any, names: str, wanted: str, ids: list[str]) -> dict[int, tuple[Any, ...]] | None:
    """Hash → values of these columns of `scores`, in stored order; None where two of them share a hash."""
    query = f"SELECT hash({names}), {names} FROM scores WHERE {wanted} GROUP BY ALL ORDER BY min(seq)"
    rows = cursor.execute(query, [ids]).fetchall()
    values = {row[0]: row[1:] for row in rows}
    return values if len(values) == len(rows) else None


class _Cells:
    """A cell for each of E evaluations and C columns, which are given by their hashes.

    A column is an item of one version of one metric; those of a metric lie together.
    """

    def __init__(self, evaluations: dict[int, tuple[Any, ...]], columns: dict[int, tuple[Any, ...]]) -> None:
        import numpy as np

        self.evaluations = [name for (name,) in evaluations.values()]
        self.columns = list(columns.values())
        self.places = [{code: place for place, code in enumerate(axis)} for axis in (evaluations, columns)]
        sizes = list(Counter(name[:4] for name in self.columns).values())
        self.metric = np.repeat(np.arange(len(sizes)), sizes)
        """Of each column."""
        self.starts = np.cumsum([0, *sizes])
        """First column of each metric."""
        shape = (len(self.evaluations), len(self.columns))
        self.positions, self.values = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        self.flags = np.zeros(shape, dtype=np.uint8)
        """Bit 0: the status is `ok`, bit 1: there is a value, bit 2: there are statistics."""
        self.statistics: dict[int, NDArray[np.float64]] = {}
        """Metric → [E, I, k]."""
        self.uneven = False
        """Whether the statistics of some metric differ in number, or are none."""

    def fill(self, rows: Any) -> bool:
        """Take in the rows of a query, the later over the earlier; whether no two were of one cell."""
        import numpy as np

        count = 0
        positions, values, flags = (table.reshape(-1) for table in (self.positions, self.values, self.flags))
        for batch in rows.to_arrow_reader(_BATCH):
            evaluation, column = map(_coded, (batch["evaluation"], batch["column"]), self.places)
            cell = evaluation * len(self.columns) + column
            new = positions[cell] == 0  # a correction keeps the place of the row that it corrects
            positions[cell[new][::-1]] = _numbers(batch["seq"])[new][::-1]
            values[cell], flags[cell] = _numbers(batch["value"]), _numbers(batch["flags"])
            counted = (_numbers(batch["flags"]) & 4 > 0).nonzero()[0]
            metrics = self.metric[column[counted]]
            for metric in np.bincount(metrics).nonzero()[0].tolist():
                self._add(metric, counted[metrics == metric], evaluation, column, batch)
            count += len(batch)
        return count == np.count_nonzero(self.positions)

    def _add(self, metric: int, mine: Places, evaluation: Places, column: Places, batch: Any) -> None:
        """Take in the statistics of one metric, those of the rows `mine` of a batch."""
        import numpy as np

        lengths, numbers = (
            _numbers(part) for part in (batch["statistics"].value_lengths(), batch["statistics"].flatten())
        )
        width, items = int(lengths[mine[0]]), int(self.starts[metric + 1] - self.starts[metric])
        table = self.statistics.setdefault(metric, np.zeros((len(self.evaluations), items, width)))
        if not width or table.shape[-1] != width or (lengths[mine] != width).any():
            self.uneven = True
        else:
            begin = (np.cumsum(lengths) - lengths)[mine]
            cell = evaluation[mine] * items + column[mine] - self.starts[metric]
            table.reshape(-1, width)[cell] = numbers[begin[:, None] + np.arange(width)]

    def block(self, metric: int) -> ScoreBlock:
        """The cells of one metric."""
        import numpy as np

        start, end = self.starts[metric : metric + 2].tolist()
        positions = self.positions[:, start:end]
        rows = np.flatnonzero(positions.any(axis=1))
        # The items of the first evaluation come first, in its order.
        first = positions[rows[0]]
        order = np.where(first > 0, first, np.iinfo(np.int64).max).argsort(kind="stable")
        whole = len(rows) == len(positions) and bool((order[1:] > order[:-1]).all())

        def picked(table: NDArray[Any]) -> NDArray[Any]:
            return table if whole else table[rows][:, order]

        flags, statistics = picked(self.flags[:, start:end]), self.statistics.get(metric)
        suite, name, chosen, version, _ = self.columns[start]
        return ScoreBlock(
            suite=suite,
            metric=name,
            filter=chosen,
            version=version,
            evaluations=tuple(self.evaluations[row] for row in rows),
            items=tuple(self.columns[start + column][4] for column in order),
            positions=picked(positions),
            ok=flags & 1 > 0,
            values=picked(self.values[:, start:end]),
            valued=flags & 2 > 0,
            statistics=None if statistics is None else picked(statistics),
            counted=None if statistics is None else flags & 4 > 0,
        )


def _numbers(array: Any) -> NDArray[Any]:
    """An Arrow array of numbers, none of them missing; Arrow's own `to_numpy` loads pandas."""
    import numpy as np

    return np.from_dlpack(array)


def _coded(column: Any, places: dict[int, int]) -> NDArray[np.int64]:
    """The place of each hash of an Arrow array."""
    import numpy as np

    coded = column.dictionary_encode()
    return np.array([places[code] for code in coded.dictionary.to_pylist()]).take(_numbers(coded.indices))
