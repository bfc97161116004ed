"""Read, decide and write under one lock: what two people at two machines must not both be told.

Everything a session writes is committed together when its block ends; votes and the records of review rounds are in the
journal, flushed to the disk, before that. A block that raises has written nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from harness.records import Judgment
from harness.store import journal
from harness.store.lease import Kept
from harness.store.tables import TABLES, encode

if TYPE_CHECKING:
    from harness.store.store import Store

R = TypeVar("R")
V = TypeVar("V")


class Session:
    """What `Store.session` hands out; good until its block ends. `kept` is what a server remembers between sessions."""

    def __init__(self, store: Store, cursor: Any, kept: Kept | None = None) -> None:
        self._store, self._cursor, self._kept = store, cursor, kept
        self._wrote = False
        self.journaled: list[Any] = []
        """Records to be flushed to the journal before the commit."""

    def read(
        self, kind: type[R], where: str = "true", values: Sequence[Any] = (), *, all_rows: bool = False
    ) -> list[R]:
        """Current records of `kind` (with `all_rows` superseded ones too), what this session wrote included.

        `where` is SQL over the record's fields with `$1`, `$2`, … for `values`.
        """
        table = TABLES[kind]
        return self._store.select(self._cursor, table, (where, table.name if all_rows else "", ""), values)

    def remember(self, key: Hashable, read: Callable[[], V]) -> V:
        """What `read` reads, which must be of records that are never changed: a server reads it once.

        Nothing that was found empty is kept, nor what was read after this session had written, as that may come to
        nothing yet.
        """
        value: V | None = None if self._kept is None else self._kept.get(key)
        if value is None:
            value = read()
            if self._kept is not None and value and not self._wrote:
                self._kept.put(key, value)
        return value

    def write(self, *records: Any) -> int:
        """Store records; returns how many rows were new. A vote is not stored twice, by its id or its revision."""
        self._wrote, added = True, 0
        for kind in dict.fromkeys(type(record) for record in records):
            table = TABLES[kind]
            rows = [record for record in records if type(record) is kind]
            new = self._store.insert(self._cursor, table, encode(table, rows))
            added += new
            if new and (kind is Judgment or kind.__name__ in journal.KINDS):
                self.journaled += rows
        return added
