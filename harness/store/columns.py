"""Scores and counts of answers column by column, for boards of many runs: no object for a row, no string for a cell.

They are read from lists (store_lists.py), and from rows where those do not fit. Of rows:

Texts come as 32 bits of the database's hash, which it computes once for each entry of a segment's dictionary. The
distinct texts of a column come beside them; where two of them share those bits, the answer is None, and the caller
reads rows. So every code stands for one text, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.records import ScoreBlock, ScoreColumns
from harness.store import lists as store_lists

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELLS = 100_000_000
"""Evaluations × metrics × items: a table that is larger is mostly empty, and is not made."""
_MINE = "eval_id IN (SELECT unnest($1::VARCHAR[]))"
_KIND = ("suite", "metric", "filter", "version")
"""Columns that say which metric a row is of."""
_HIGH = 32
"""Bits of a 64-bit hash that are dropped."""
MANY = 100_000
"""Rows from which on it is worth loading Arrow, which hands columns over three times as fast."""


def answer_counts(cursor: Any, eval_ids: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Evaluation → answers, answers cut off at their length limit, prompts that lost their left; last rows count."""
    found = store_lists.answer_counts(cursor, eval_ids)
    if found is not None:
        return found
    mine = [list(eval_ids)]
    query = (
        "SELECT eval_id, count(*), count_if(finish = 'length'), count_if(truncated) FROM {} "
        f"WHERE {_MINE} GROUP BY eval_id"
    )
    rows = cursor.execute(query.format("predictions"), mine).fetchall()
    keys = f"SELECT count(DISTINCT hash(eval_id, example)) FROM predictions WHERE {_MINE}"
    # Superseded rows are rare, and looking for the last one of every key takes ten times as long.
    [(distinct,)] = cursor.execute(keys, mine).fetchall()
    if sum(row[1] for row in rows) != distinct:
        rows = cursor.execute(query.format("current_predictions"), mine).fetchall()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def score_columns(cursor: Any, eval_ids: Sequence[str]) -> ScoreColumns | None:
    """The last Score of every key of these evaluations, as `current_scores` has them; None where columns do not fit."""
    evaluations = tuple(dict.fromkeys(eval_ids))
    listed = store_lists.score_columns(cursor, evaluations)
    return columns_of_rows(cursor, evaluations) if listed is None else listed


def columns_of_rows(cursor: Any, evaluations: tuple[str, ...]) -> ScoreColumns | None:
    """As `score_columns`, from the rows of these evaluations, each named once."""
    [(stored, count)] = cursor.execute("SELECT count(DISTINCT eval_id), count(*) FROM scores").fetchall()
    # Where (nearly) all rows are wanted, the join that picks them costs more than those that it spares.
    whole = stored <= 1.25 * len(evaluations)
    source = _Source(cursor, "true" if whole else _MINE, () if whole else (list(evaluations),), count > MANY)
    names, items = source.distinct("eval_id"), source.distinct("item")
    kinds = _kinds([source.distinct(name) for name in _KIND])
    if names is None or items is None or kinds is None:
        return None
    if not names.values:
        return ScoreColumns(())
    columns = source.rows()
    alike = _alike(columns, evaluations, (names, items, kinds), source)
    if alike is not None:
        return alike
    rows = _Rows.of(columns, evaluations, (names, items, kinds))
    if len(rows.kinds) * len(evaluations) * len(items.values) > CELLS:
        return None
    blocks = [_block(rows, number, source) for number in range(len(rows.kinds))]
    return None if None in blocks else ScoreColumns(tuple(block for block in blocks if block is not None))


class _Kind(NamedTuple):
    """What a block is of."""

    suite: str
    metric: str
    filter: str
    version: int

    def block(self, **columns: Any) -> ScoreBlock:
        """The block with these columns."""
        return ScoreBlock(suite=self.suite, metric=self.metric, filter=self.filter, version=self.version, **columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """The distinct values of one column, and the bits of their hashes."""

    values: tuple[Any, ...]
    hashes: NDArray[Any]
    """Whole hashes (64 bits)."""
    bits: NDArray[np.uint32]
    """What is kept of them; no two alike."""

    @classmethod
    def of(cls, values: Sequence[Any], hashes: NDArray[Any], bits: NDArray[Any] | None = None) -> _Texts | None:
        import numpy as np

        kept = (hashes if bits is None else bits).astype(np.uint32)
        return cls(tuple(values), hashes, kept) if len(np.unique(kept)) == len(kept) else None

    def codes(self, bits: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Place of each value in `values`."""
        import numpy as np

        if len(self.values) < 2:
            return np.zeros(len(bits), dtype=np.int32)
        size = 2 * len(self.values).bit_length()
        for multiplier in (1, 2654435769, 2246822519, 3266489917, 668265263, 374761393) if size <= 24 else ():
            # A table that no two of the values share a place of is several times as fast as a search.
            places = self.bits * np.uint32(multiplier) >> np.uint32(32 - size)
            if len(np.unique(places)) == len(places):
                table = np.zeros(1 << size, dtype=np.int32)
                table[places] = np.arange(len(places), dtype=np.int32)
                return np.asarray(table[bits * np.uint32(multiplier) >> np.uint32(32 - size)])
        order = np.argsort(self.bits).astype(np.int32)
        return np.asarray(order[np.searchsorted(self.bits, bits, sorter=order)])


def _kinds(columns: Sequence[_Texts | None]) -> _Texts | None:
    """What (suite, metric, filter, version) may be, with the bits that `_Source.rows` mixes of their hashes."""
    import numpy as np

    values: list[tuple[Any, ...]] = [()]
    mixed = np.zeros(1, dtype=np.uint64)
    for shift, column in enumerate(columns):
        if column is None:
            return None
        values = [(*before, value) for before in values for value in column.values]
        mixed = (mixed[:, None] ^ (column.hashes >> np.uint64(_HIGH + shift))).reshape(-1)
    return _Texts.of(values, mixed.astype(np.uint32))


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows of `scores` that are wanted."""

    cursor: Any
    where: str
    parameters: tuple[Any, ...]
    many: bool

    def distinct(self, name: str) -> _Texts | None:
        """The distinct values of a column with their whole hashes; None where two share the bits that are kept."""
        import numpy as np

        query = f"SELECT x, hash(x) FROM (SELECT DISTINCT {name} AS x FROM scores WHERE {self.where})"
        found = self.cursor.execute(query, list(self.parameters)).fetchall()
        hashes = np.array([row[1] for row in found], dtype=np.uint64)
        return _Texts.of([row[0] for row in found], hashes, hashes >> np.uint64(_HIGH))

    def rows(self) -> dict[str, Any]:
        """Columns of all rows in the order of `seq`."""
        mixed = f"hash({_KIND[0]}) >> {_HIGH}"
        for shift, name in enumerate(_KIND[1:], _HIGH + 1):
            mixed = f"xor({mixed}, hash({name}) >> {shift})"
        found = self._ordered(
            f"SELECT seq, xor(hash(item) >> {_HIGH} << {_HIGH}, hash(eval_id) >> {_HIGH}) AS packed, "
            f"({mixed})::UINTEGER AS kind, coalesce(value, 0.0) AS value, (value IS NOT NULL)::UTINYINT AS valued, "
            "(status = 'ok')::UTINYINT AS ok, (statistics IS NOT NULL)::UTINYINT AS counted "
            f"FROM scores WHERE {self.where}",
            self.parameters,
        )
        return {**found, **{name: found[name].view(bool) for name in ("valued", "ok", "counted")}}

    def statistics(self, kind: tuple[Any, ...]) -> NDArray[np.float64] | None:
        """Statistics [rows, k] of one metric's rows that have some, in the order of `seq`; None where k differs."""
        import numpy as np

        named = " AND ".join(f"{name} = ${len(self.parameters) + place}" for place, name in enumerate(_KIND, 1))
        found = self.cursor.sql(
            f"SELECT seq, statistics::DOUBLE[] AS statistics FROM scores WHERE {self.where} AND {named} "
            "AND statistics IS NOT NULL",
            params=[*self.parameters, *kind],
        ).to_arrow_table(1 << 20)
        lists = found.column("statistics").chunks
        lengths = np.concatenate([np.from_dlpack(chunk.value_lengths()) for chunk in lists])
        if lengths.min() != lengths.max() or not lengths.min():
            return None
        rows = np.concatenate([np.from_dlpack(chunk.flatten()) for chunk in lists]).reshape(-1, lengths[0])
        seq = np.concatenate([np.from_dlpack(chunk) for chunk in found.column("seq").chunks])
        return rows if (seq[1:] > seq[:-1]).all() else rows[np.argsort(seq)]

    def _ordered(self, query: str, parameters: Sequence[Any]) -> dict[str, Any]:
        import numpy as np

        found = self._fetch(query, parameters)
        if not (found["seq"][1:] >= found["seq"][:-1]).all():
            order = np.argsort(found["seq"], kind="stable")
            found = {name: column[order] for name, column in found.items()}
        return found

    def _fetch(self, query: str, parameters: Sequence[Any]) -> dict[str, Any]:
        """Columns of numbers, none of them NULL, as arrays."""
        import numpy as np

        if not self.many:
            return dict(self.cursor.execute(query, list(parameters)).fetchnumpy())
        table = self.cursor.sql(query, params=list(parameters)).to_arrow_table(1 << 20)
        # Arrow's own way to numpy loads pandas.
        parts = {name: list(map(np.from_dlpack, table.column(name).chunks)) for name in table.column_names}
        return {name: np.concatenate(found) for name, found in parts.items()}


def _halves(packed: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Bits of evaluation and item, [rows, 2]."""
    import numpy as np

    return packed.astype("<u8", copy=False).view(np.uint32).reshape(-1, 2)


def _alike(
    rows: dict[str, Any], evaluations: tuple[str, ...], texts: tuple[_Texts, _Texts, _Texts], source: _Source
) -> ScoreColumns | None:
    """The columns where every evaluation has the same rows in the same order, as it mostly is; else None."""
    import numpy as np

    names, items, kinds = texts
    count = len(evaluations)
    if count < 2 or len(names.values) != count or len(rows["kind"]) % count or not len(rows["kind"]):
        return None
    halves = _halves(rows["packed"]).reshape(count, -1, 2)
    kind = rows["kind"].reshape(count, -1)
    first = halves[:, 0, 0]
    if (halves[:, :, 0] != first[:, None]).any() or len(np.unique(first)) != count:
        return None
    if (halves[:, :, 1] != halves[0, :, 1]).any() or (kind != kind[0]).any():
        return None
    item, of_kind = items.codes(np.ascontiguousarray(halves[0, :, 1])), kinds.codes(kind[0])
    if len(np.unique(of_kind.astype(np.int64) * len(items.values) + item)) != len(item):
        return None  # some rows supersede others
    places = {text: place for place, text in enumerate(evaluations)}
    if any(text not in places for text in names.values):
        return None
    stored = [places[names.values[code]] for code in names.codes(np.ascontiguousarray(first))]
    back = np.argsort(stored)
    used, starts = _firsts(of_kind, len(kinds.values))
    blocks = []
    for one in used[np.argsort(starts)]:
        mine = (of_kind == one).nonzero()[0]
        picked = {name: rows[name].reshape(count, -1)[:, mine][back] for name in ("value", "valued", "ok", "counted")}
        statistics = None
        if picked["counted"].any():
            found = source.statistics(kinds.values[one])
            if found is None or not picked["counted"].all():
                return None
            statistics = found.reshape(count, len(mine), -1)[back]
        blocks.append(
            _Kind(*kinds.values[one]).block(
                evaluations=evaluations,
                items=tuple(items.values[place] for place in item[mine]),
                present=np.ones((count, len(mine)), dtype=bool),
                ok=picked["ok"],
                values=picked["value"],
                valued=picked["valued"],
                statistics=statistics,
                counted=None if statistics is None else picked["counted"],
            )
        )
    return ScoreColumns(tuple(blocks))


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows as places in a table [metrics, evaluations, items]."""

    evaluations: tuple[str, ...]
    items: tuple[Any, ...]
    kinds: tuple[tuple[Any, ...], ...]
    """(suite, metric, filter, version), in stored order."""
    kind: NDArray[np.int32]
    """Of each row, its place in `kinds`."""
    cell: NDArray[np.int32]
    """Of each row: evaluation · items + item."""
    columns: dict[str, Any]

    @classmethod
    def of(cls, rows: dict[str, Any], evaluations: tuple[str, ...], texts: tuple[_Texts, _Texts, _Texts]) -> _Rows:
        import numpy as np

        names, items, kinds = texts
        packed = _halves(rows["packed"])
        places = {text: place for place, text in enumerate(evaluations)}
        spots = np.array([places.get(text, -1) for text in names.values] or [0], dtype=np.int32)
        evaluation = spots[names.codes(packed[:, 0])]
        item, kind = items.codes(packed[:, 1]), kinds.codes(rows["kind"])
        if len(evaluation) and evaluation.min() < 0:
            wanted = evaluation >= 0
            evaluation, item, kind = evaluation[wanted], item[wanted], kind[wanted]
            rows = {name: column[wanted] for name, column in rows.items()}
        used, first = _firsts(kind, len(kinds.values))
        order = used[np.argsort(first)]
        rank = np.zeros(len(kinds.values), dtype=np.int32)
        rank[order] = np.arange(len(order))
        cell = evaluation * len(items.values) + item
        return cls(evaluations, items.values, tuple(kinds.values[one] for one in order), rank[kind], cell, rows)


def _block(rows: _Rows, number: int, source: _Source) -> ScoreBlock | None:
    """One metric's rows as a block; None where their statistics differ in number."""
    import numpy as np

    mine = (rows.kind == number).nonzero()[0] if len(rows.kinds) > 1 else slice(None)
    cell, shape = rows.cell[mine], (len(rows.evaluations), len(rows.items))
    first = _table(shape, cell[::-1], np.arange(len(cell), dtype=np.int32)[::-1])
    present = _table(shape, cell, np.ones(len(cell), dtype=bool))
    used, columns = np.flatnonzero(present.any(axis=1)), _columns(present, first)
    whole = len(used) == shape[0] and len(columns) == shape[1] and bool((columns[1:] > columns[:-1]).all())

    def picked(table: Any) -> Any:
        return table if whole else table[np.ix_(used, columns)]

    values, valued, has = (rows.columns[name][mine] for name in ("value", "valued", "counted"))
    statistics, counted = None, None
    if has.any():
        found = source.statistics(rows.kinds[number])
        if found is None or len(found) != int(has.sum()):
            return None
        counted = picked(_table(shape, cell, has))
        statistics = np.stack([picked(_table(shape, cell[has], column)) for column in found.T], axis=-1)
    present, first = picked(present), picked(first)
    return _Kind(*rows.kinds[number]).block(
        evaluations=tuple(rows.evaluations[row] for row in used),
        items=tuple(rows.items[column] for column in columns),
        present=present,
        ok=picked(_table(shape, cell, rows.columns["ok"][mine])),
        values=picked(_table(shape, cell, values)),
        valued=picked(_table(shape, cell, valued)),
        statistics=statistics,
        counted=counted,
        orders=dict(_orders(present, first)),
    )


def _table(shape: tuple[int, int], cell: NDArray[np.int32], values: NDArray[Any]) -> Any:
    """Values in their cells; of several rows of one cell the last one stays."""
    import numpy as np

    made = np.zeros(shape, dtype=values.dtype)
    made.reshape(-1)[cell] = values
    return made


def _firsts(codes: NDArray[np.int32], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Codes below `count` that occur, and where each occurs first."""
    import numpy as np

    first = np.full(count, len(codes), dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    used = np.flatnonzero(first < len(codes))
    return used, first[used]


def _columns(present: NDArray[np.bool_], first: NDArray[np.int32]) -> NDArray[np.intp]:
    """Items that have a row, those of the first evaluation in its order before all others."""
    import numpy as np

    leader = int(present.any(axis=1).argmax())
    used = np.flatnonzero(present.any(axis=0))
    rank = np.where(present[leader, used], first[leader, used], present.size + used)
    return np.asarray(used[np.argsort(rank, kind="stable")])


def _orders(present: NDArray[np.bool_], first: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Rows whose items are not in the order of the columns, and their own order."""
    import numpy as np

    suspects = (first[:, 1:] <= first[:, :-1]).any(axis=1) | ~present.all(axis=1)
    for row in np.flatnonzero(suspects).tolist():
        places = np.flatnonzero(present[row])
        if not (first[row, places][1:] > first[row, places][:-1]).all():
            yield row, places[first[row, places].argsort()]
