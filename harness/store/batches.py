"""Rows on their way into the database: a few as parameters, many as one Arrow table. Opens no database.

Making an Arrow table of Python values loads pandas, which takes 0.3 s of a processor: more than all the rest of a short
command. Many rows are much faster that way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import StoreError
from harness.store.tables import Kind, Row, Table

FEW = 4
"""Rows that are inserted as parameters."""
_TYPES: dict[Kind, str] = {
    "text": "VARCHAR", "integer": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "json": "VARCHAR"
}  # fmt: skip


def source(table: Table, kinds: dict[str, Kind], rows: list[Row]) -> tuple[str, list[Any], Any]:
    """What to select `rows` from: SQL (or the name `batch`), its parameters, and the Arrow table of that name, if any.

    Its columns are those of `kinds` and `batch_row`, 1 for the first row; no record has a field of that name. Raises
    StoreError for a value that the store cannot hold.
    """
    if len(rows) <= FEW and all(
        _fits(kind, value) for row in rows for kind, value in zip(kinds.values(), row, strict=True)
    ):
        marks = ", ".join(f"CAST(? AS {_TYPES[kind]})" for kind in kinds.values())
        lines = ", ".join(f"({place}, {marks})" for place in range(1, len(rows) + 1))
        names = ", ".join(f'"{name}"' for name in kinds)
        return f"(SELECT * FROM (VALUES {lines}) v(batch_row, {names}))", [value for row in rows for value in row], None
    return "batch", [], _arrow(table, kinds, rows)


def _fits(kind: Kind, value: Any) -> bool:
    """Whether `value` can be a parameter as it is; what cannot goes through Arrow, which says what is wrong."""
    if value is None:
        return True
    if kind in ("text", "json"):
        return type(value) is str and not any("\ud800" <= character <= "\udfff" for character in value)
    if kind == "integer":
        return type(value) is int and -(2**63) <= value < 2**63
    return type(value) is (float if kind == "double" else bool)


def _arrow(table: Table, kinds: dict[str, Kind], rows: list[Row]) -> Any:
    """Rows as an Arrow table with exact types."""
    import pyarrow as pa

    arrow: dict[Kind, Callable[[], Any]] = {
        "text": pa.string, "integer": pa.int64, "double": pa.float64, "boolean": pa.bool_, "json": pa.string
    }  # fmt: skip
    arrays = {"batch_row": pa.array(range(1, len(rows) + 1), pa.int64())}
    for (name, kind), values in zip(kinds.items(), zip(*rows, strict=True), strict=True):
        try:
            arrays[name] = pa.array(values, arrow[kind]())
        except (pa.ArrowException, UnicodeEncodeError, TypeError, OverflowError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"{table.record.__name__}.{name} holds what the store cannot: {reason}") from error
    return pa.table(arrays)
