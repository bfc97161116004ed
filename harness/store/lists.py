"""Scores as one list for each metric of an evaluation, kept beside their rows: what boards of many runs are read from.

`take_in` runs in the transaction that stores rows and, once enough of them wait, brings the lists up to the last one; a
reader adds those that still wait. Counts of answers are kept likewise. Both are derived, and never the only place of
anything. What a list cannot say (some items of a metric have a value and others none) is read from the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.records import Prediction, Score, ScoreBlock, ScoreColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_KIND = "suite, metric, filter, version"
_CELLS = 100_000_000
"""Evaluations × items: a larger block is mostly empty, and is not made."""
MANY = 50_000
"""Rows that wait before they are taken in together: it costs a small batch as much as a large one."""

_LISTS = f"""
    SELECT
        eval_id, {_KIND}, {{count}} AS row_count, count(*) AS size, min(place) AS first_seq, {{last}} AS last_seq,
        md5(to_json(list(item ORDER BY place))::VARCHAR) AS items,
        CASE WHEN bool_and(status = 'ok') AND count(value) IN (0, count(*))
                AND count(numbers) = count(statistics) AND count(numbers) IN (0, count(*))
                AND coalesce(min(len(numbers)) > 0 AND min(len(numbers)) = max(len(numbers)), true)
            THEN CASE WHEN count(value) = 0 THEN [] ELSE list(value ORDER BY place) END END AS "values",
        coalesce(flatten(list(numbers ORDER BY place)), []) AS statistics
    FROM (SELECT *, TRY_CAST(statistics AS DOUBLE[]) AS numbers FROM ({{rows}}))
    GROUP BY eval_id, {_KIND} ORDER BY first_seq
"""
_COUNTS = """
    SELECT
        eval_id, {count} AS row_count, {last} AS last_seq, count(*) AS answers,
        count_if(finish = 'length') AS length_limited, count_if(truncated) AS truncated
    FROM ({rows}) GROUP BY eval_id
"""


@dataclass(frozen=True, slots=True)
class Derived:
    """A table that sums up the rows of another."""

    rows: str
    lists: str
    select: str
    """What sums up `{rows}`, each with its `{count}` of rows and its `{last}` number."""
    key: str
    """One row of the lists for each."""
    item: str
    """What a key has one current row of."""

    def waiting(self, cursor: Any) -> tuple[int, int] | None:
        """The last row that is taken in, and how many came after it; None where rows before it are not in the lists."""
        done = f"(SELECT coalesce(max(last_seq), 0) FROM {self.lists})"
        [(last, known, late, count)] = cursor.execute(
            f"SELECT {done}, (SELECT coalesce(sum(row_count), 0) FROM {self.lists}), "
            f"(SELECT count(*) FROM {self.rows} WHERE seq > {done}), (SELECT count(*) FROM {self.rows})"
        ).fetchall()
        return (last, late) if known + late == count else None

    def newest(self, mine: str) -> str:
        """SQL: the number of the last row whose evaluation is in the column `mine`, from few rows."""
        taken_in = f"SELECT max(last_seq) FROM {self.lists} WHERE eval_id IN ({mine})"
        late = f"seq > (SELECT coalesce(max(last_seq), 0) FROM {self.lists})"
        return f"greatest(({taken_in}), (SELECT max(seq) FROM {self.rows} WHERE {late} AND eval_id IN ({mine})))"

    def late(self, cursor: Any, done: int) -> list[tuple[str, list[Any]]]:
        """SQL that sums up the rows after `done`, in order, each with its parameters."""
        superseded = self._superseding(cursor, done)
        mine, others = "list_contains($2, eval_id)", "NOT list_contains($2, eval_id)"
        fresh = f"SELECT *, seq AS place FROM {self.rows} WHERE seq > $1 AND {others}"
        found = [(self.select.format(count="count(*)", last="max(seq)", rows=fresh), [done, superseded])]
        if superseded:
            touched = (
                f"SELECT {self.key}, count(*) AS new_rows, max(seq) AS new_last FROM {self.rows} "
                f"WHERE seq > $1 AND {mine} GROUP BY {self.key}"
            )
            current = f"SELECT *, first_seq AS place FROM current_{self.rows}"
            whole = f"{current} JOIN ({touched}) USING ({self.key}) WHERE {mine}"
            select = self.select.format(count="any_value(new_rows)", last="any_value(new_last)", rows=whole)
            found.append((select, [done, superseded]))
        return found

    def _superseding(self, cursor: Any, done: int) -> list[str]:
        """Evaluations whose rows after `done` supersede others: rows of a list, or of one another."""
        late = f"FROM {self.rows} WHERE seq > $1"
        again = f"SELECT {self.key} {late} GROUP BY {self.key}"
        found = cursor.execute(
            f"SELECT DISTINCT eval_id FROM ({again}) SEMI JOIN {self.lists} USING ({self.key})", [done]
        ).fetchall()
        # One hash for a row takes a quarter of the time that distinct items of every key do.
        [(distinct, count)] = cursor.execute(
            f"SELECT count(DISTINCT hash({self.key}, {self.item})), count(*) {late}", [done]
        ).fetchall()
        if distinct < count:
            twice = f"{again} HAVING count(*) > count(DISTINCT {self.item})"
            found += cursor.execute(f"SELECT DISTINCT eval_id FROM ({twice})", [done]).fetchall()
        return list(dict.fromkeys(row[0] for row in found))


SCORES = Derived("scores", "score_lists", _LISTS, f"eval_id, {_KIND}", "item")
ANSWERS = Derived("predictions", "answer_lists", _COUNTS, "eval_id", "example")
_DERIVED = {Score: SCORES, Prediction: ANSWERS}

# ----------------------------------------------------------------------------------------------------------- writing


def take_in(cursor: Any, record: type[Any]) -> None:
    """Bring lists up to the last row, once enough rows wait; to be called in the transaction that stored some."""
    known = _DERIVED.get(record)
    if known is None:
        return
    [(done, last)] = cursor.execute(
        f"SELECT (SELECT coalesce(max(last_seq), 0) FROM {known.lists}), (SELECT max(seq) FROM {known.rows})"
    ).fetchall()
    if last - done < MANY:
        return
    for select, parameters in known.late(cursor, done):
        cursor.execute(f"INSERT INTO {known.lists} {select}", parameters)
    if known is SCORES:
        named = _items(cursor, "SELECT * FROM score_lists WHERE last_seq > $1", [done])
        for name, items in named.items():
            cursor.execute("INSERT INTO item_lists VALUES ($1, $2)", [name, items])


def _items(cursor: Any, lists: str, parameters: list[Any]) -> dict[str, list[str]]:
    """The items of `lists` (SQL) that have no row in `item_lists`, by their name."""
    examples = cursor.execute(
        f"SELECT items, any_value(struct_pack(eval_id, {_KIND})) FROM ({lists}) "
        "WHERE items NOT IN (SELECT id FROM item_lists) GROUP BY items",
        parameters,
    ).fetchall()
    rows = (
        "SELECT list(item ORDER BY first_seq) FROM current_scores "
        "WHERE eval_id = $1 AND suite = $2 AND metric = $3 AND filter = $4 AND version = $5"
    )
    return {name: cursor.execute(rows, list(example.values())).fetchone()[0] for name, example in examples}


# ----------------------------------------------------------------------------------------------------------- reading


def answer_counts(cursor: Any, eval_ids: Sequence[str]) -> dict[str, tuple[int, int, int]] | None:
    """Evaluation → answers, answers cut off, prompts that lost their left; None where the rows must be asked."""
    waiting = ANSWERS.waiting(cursor)
    if waiting is None or not waiting[0]:
        return None
    done, late = waiting
    names = "eval_id, answers, length_limited, truncated"
    rows = cursor.execute(f"SELECT {names} FROM answer_lists ORDER BY last_seq").fetchall()
    for select, parameters in ANSWERS.late(cursor, done) if late else ():
        rows += cursor.execute(f"SELECT {names} FROM ({select})", parameters).fetchall()
    wanted = set(eval_ids)
    return {row[0]: (row[1], row[2], row[3]) for row in rows if row[0] in wanted}


class _List(NamedTuple):
    """A row of `score_lists`."""

    eval_id: str
    suite: str
    metric: str
    filter: str
    version: int
    row_count: int
    size: int
    first_seq: int
    last_seq: int
    items: str
    """Name of them."""
    values: Floats | None
    """[size]; empty where no item has one, None where the rows must be asked."""
    statistics: Floats
    """[size · k]; empty where no item has any."""


def score_columns(cursor: Any, evaluations: Sequence[str]) -> ScoreColumns | None:
    """The Scores of these evaluations, each named once, as columns; None where the rows must be asked."""
    waiting = SCORES.waiting(cursor)
    if waiting is None or not waiting[0]:
        return None
    done, late = waiting
    wanted = set(evaluations)
    [(stored,)] = cursor.execute("SELECT count(DISTINCT eval_id) FROM score_lists").fetchall()
    # Where (nearly) all lists are wanted, to pick them costs more than to read the others.
    pick = "" if stored <= 1.25 * len(wanted) else "WHERE eval_id IN (SELECT unnest($1::VARCHAR[]))"
    stored_lists = _lists(cursor, f"SELECT * FROM score_lists {pick}", [list(wanted)] if pick else [])
    # Ordered here: the database would move the lists about.
    lists = sorted((one for one in stored_lists if one.eval_id in wanted), key=lambda one: one.last_seq)
    items = {name: tuple(own) for name, own in cursor.execute("SELECT id, items FROM item_lists").fetchall()}
    for select, parameters in SCORES.late(cursor, done) if late else ():
        lists += [one for one in _lists(cursor, select, parameters) if one.eval_id in wanted]
        items.update((name, tuple(own)) for name, own in _items(cursor, select, parameters).items())
    kinds: dict[tuple[Any, ...], dict[str, _List]] = {}
    for one in lists:  # a later one takes the place of an earlier one
        kinds.setdefault((one.suite, one.metric, one.filter, one.version), {})[one.eval_id] = one
    blocks = []
    for found in sorted(kinds.values(), key=lambda found: min(one.first_seq for one in found.values())):
        block = _block([found[evaluation] for evaluation in evaluations if evaluation in found], items)
        if block is None:
            return None
        blocks.append(block)
    return ScoreColumns(tuple(blocks))


def _lists(cursor: Any, query: str, parameters: list[Any]) -> list[_List]:
    columns = cursor.execute(query, parameters).fetchnumpy()
    return list(map(_List._make, zip(*(column.tolist() for column in columns.values()), strict=True)))


def _block(lists: Sequence[_List], items: Mapping[str, tuple[str, ...]]) -> ScoreBlock | None:
    """One version of one metric as a block; None where its lists do not say all that the rows say."""
    import numpy as np

    values = [one.values for one in lists if one.values is not None and one.size == len(items[one.items])]
    widths = {len(one.statistics) // one.size for one in lists if len(one.statistics)}
    used = list(dict.fromkeys(one.items for one in lists))
    columns = items[used[0]] if len(used) == 1 else tuple(dict.fromkeys(item for name in used for item in items[name]))
    shape = (len(lists), len(columns))
    if len(values) < len(lists) or len(widths) > 1 or shape[0] * shape[1] > _CELLS:
        return None
    places: list[NDArray[np.intp]] = []
    if len(used) > 1:
        place = {item: number for number, item in enumerate(columns)}
        of_name = {name: np.array([place[item] for item in items[name]]) for name in used}
        places = [of_name[one.items] for one in lists]
    where, statistics = _Places(shape, places), [one.statistics for one in lists]
    present = where.mask([True] * len(lists))
    return ScoreBlock(
        suite=lists[0].suite,
        metric=lists[0].metric,
        filter=lists[0].filter,
        version=lists[0].version,
        evaluations=tuple(one.eval_id for one in lists),
        items=columns,
        present=present,
        ok=present,
        values=where.table(values),
        valued=where.mask([len(one) > 0 for one in values]),
        statistics=where.table(statistics, max(widths)) if widths else None,
        counted=where.mask([len(one) > 0 for one in statistics]) if widths else None,
        orders=where.orders(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the items of each list stand in a block."""

    shape: tuple[int, int]
    of: list[NDArray[np.intp]]
    """Of the items of each evaluation; none where all have all items in the block's order."""

    def table(self, lists: Sequence[Floats], width: int = 0) -> Floats:
        """Lists as [E, I], or with a width as [E, I, width]; 0 where there is nothing."""
        import numpy as np

        shape = (*self.shape, width) if width else self.shape
        if not self.of and all(map(len, lists)):
            return np.asarray(np.stack(lists).reshape(shape))
        made = np.zeros(shape)
        for row, numbers in enumerate(lists):
            if len(numbers):
                where = self.of[row] if self.of else slice(None)
                made[row, where] = numbers.reshape(-1, *shape[2:])
        return made

    def mask(self, rows: Sequence[bool]) -> NDArray[np.bool_]:
        """[E, I]: whether an item is in the list of an evaluation for which `rows` says yes."""
        import numpy as np

        if not self.of:
            return np.repeat(np.array(rows)[:, None], self.shape[1], axis=1)
        made = np.zeros(self.shape, dtype=bool)
        for row, places in enumerate(self.of):
            made[row, places] = rows[row]
        return made

    def orders(self) -> dict[int, NDArray[np.intp]]:
        """Rows whose items are not in the block's order, and their own order."""
        return {row: places for row, places in enumerate(self.of) if not (places[1:] > places[:-1]).all()}
