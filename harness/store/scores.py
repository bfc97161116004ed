"""Scores and counts of answers for boards of many runs, read column by column: no Python object for a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.records import ScoreBlock, ScoreColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELLS = 100_000_000
"""Evaluations × items of one metric: a table that is larger is mostly empty, and is not made."""
_METRIC = ("suite", "metric", "filter", "version")
_ROWS = """
    SELECT seq, eval_id, item, coalesce(value, 0) AS value, coalesce(statistics::DOUBLE[], []) AS statistics,
        ((status = 'ok')::UTINYINT + 2 * (value IS NOT NULL)::UTINYINT + 4 * (statistics IS NOT NULL)::UTINYINT
        )::UTINYINT AS flags
    FROM scores WHERE """


def answer_counts(cursor: Any, eval_ids: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Evaluation → answers, answers cut off at their length limit, and prompts whose beginning was cut off."""
    evaluations = list(dict.fromkeys(eval_ids))
    wanted = _wanted(cursor, "predictions", evaluations)
    query = (
        "SELECT eval_id, count(*), count_if(finish = 'length'), count_if(truncated) FROM {} "
        f"WHERE {wanted} GROUP BY eval_id"
    )
    rows = cursor.execute(query.format("predictions"), [evaluations]).fetchall()
    keys = f"SELECT count(DISTINCT hash(eval_id, example)) FROM predictions WHERE {wanted}"
    # Superseded rows are rare, and looking for the last one of every key takes ten times as long.
    [(distinct,)] = cursor.execute(keys, [evaluations]).fetchall()
    if sum(row[1] for row in rows) != distinct:
        rows = cursor.execute(query.format("current_predictions"), [evaluations]).fetchall()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def score_columns(cursor: Any, eval_ids: Sequence[str]) -> ScoreColumns | None:
    """The last Score of every key of these evaluations: a block for each version of each metric, in stored order.

    None where no array can hold them: the statistics of a metric differ in number, or evaluations share few items.
    """
    evaluations = list(dict.fromkeys(eval_ids))
    wanted = _wanted(cursor, "scores", evaluations)
    metrics = cursor.execute(
        f"SELECT {', '.join(_METRIC)} FROM scores WHERE {wanted} GROUP BY ALL ORDER BY min(seq)", [evaluations]
    ).fetchall()
    of_metric = " AND ".join(f"{name} = ${number}" for number, name in enumerate(_METRIC, 2))
    blocks = []
    for metric in metrics:
        rows = cursor.sql(f"{_ROWS}{wanted} AND {of_metric}", params=[evaluations, *metric]).to_arrow_table(1 << 20)
        block = _block(rows, evaluations, dict(zip(_METRIC, metric, strict=True)))
        if block is None:
            return None
        blocks.append(block)
    return ScoreColumns(tuple(blocks))


def _wanted(cursor: Any, table: str, evaluations: list[str]) -> str:
    """SQL: whether a row of the table is of one of these evaluations, which are its parameter `$1`."""
    distinct = (
        f"SELECT coalesce(bool_and(list_contains($1, eval_id)), true) FROM (SELECT DISTINCT eval_id FROM {table})"
    )
    [(whole,)] = cursor.execute(distinct, [evaluations]).fetchall()
    # The join that picks rows takes a quarter of the time; it is left out where it would pick all of them.
    return "len($1) >= 0" if whole else "eval_id IN (SELECT unnest($1::VARCHAR[]))"


def _block(rows: Any, evaluations: Sequence[str], metric: dict[str, Any]) -> ScoreBlock | None:
    """One version of one metric as a block, from its rows as an Arrow table."""
    import numpy as np

    seq = _numbers(rows["seq"].combine_chunks())
    order: Any = slice(None) if (seq[1:] > seq[:-1]).all() else np.argsort(seq)
    evaluation_codes, scored = _coded(rows["eval_id"])
    item_codes, items = _coded(rows["item"])
    names = set(scored)
    place = {name: number for number, name in enumerate(name for name in evaluations if name in names)}
    shape = (len(place), len(items))
    if shape[0] * shape[1] > CELLS:
        return None
    row, item = np.array([place[name] for name in scored])[evaluation_codes[order]], item_codes[order]
    # The items of the first evaluation come first, in its order.
    columns = np.array(list(dict.fromkeys([*item[row == 0].tolist(), *range(len(items))])))
    cell = row * len(items) + np.argsort(columns)[item]

    def table(values: NDArray[Any]) -> Any:
        """[E, I, …]: values in their cells; of several rows of one cell the last one counts."""
        cells = np.zeros((shape[0] * shape[1], *values.shape[1:]), dtype=values.dtype)
        cells[cell] = values[order]
        return cells.reshape(*shape, *values.shape[1:])

    flags, statistics = _numbers(rows["flags"].combine_chunks()), None
    if (flags & 4).any():
        statistics = _statistics(rows["statistics"].combine_chunks(), flags & 4 > 0)
        if statistics is None:
            return None
    positions = np.zeros(shape, dtype=np.int32)  # a correction keeps the place of the row that it corrects
    positions.reshape(-1)[cell[::-1]] = np.arange(len(cell), 0, -1, dtype=np.int32)
    flags = table(flags)
    return ScoreBlock(
        **metric,
        evaluations=tuple(place),
        items=tuple(items[code] for code in columns),
        positions=positions,
        ok=flags & 1 > 0,
        values=table(_numbers(rows["value"].combine_chunks())),
        valued=flags & 2 > 0,
        statistics=None if statistics is None else table(statistics),
        counted=None if statistics is None else flags & 4 > 0,
    )


def _statistics(lists: Any, present: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """The lists of the rows where `present`, 0 elsewhere, [rows, k]; None where they are empty or differ in length."""
    import numpy as np

    lengths = _numbers(lists.value_lengths())[present]
    if not lengths.min() or lengths.min() != lengths.max():
        return None
    numbers = np.zeros((len(present), lengths[0]))
    numbers[present] = _numbers(lists.flatten()).reshape(-1, lengths[0])
    return numbers


def _numbers(array: Any) -> NDArray[Any]:
    """An Arrow array of numbers, none of them missing; Arrow's own `to_numpy` loads pandas."""
    import numpy as np

    return np.from_dlpack(array)


def _coded(column: Any) -> tuple[NDArray[np.int32], list[str]]:
    """For each text of an Arrow column its place among the distinct ones, and these."""
    coded = column.dictionary_encode().combine_chunks()
    return _numbers(coded.indices), coded.dictionary.to_pylist()
