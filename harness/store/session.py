"""Read, decide and write under one lock: what two people at two machines must not both be told.

Everything a session writes is committed together when its block ends; votes and the records of review rounds are in the
journal, flushed to the disk, before that. A block that raises has written nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

from harness.records import Judgment
from harness.store import journal
from harness.store.lease import Kept
from harness.store.tables import TABLES, Row, Table, encode

R = TypeVar("R")
V = TypeVar("V")


class Session:
    """What `Store.session` hands out; good until its block ends.

    `reader` and `writer` are the store's own ways to select and insert over the open cursor; `kept` is what a server
    remembers between sessions.
    """

    def __init__(
        self,
        reader: Callable[[Table, str, Sequence[Any], str], list[Any]],
        writer: Callable[[Table, list[Row]], int],
        kept: Kept | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._kept = kept
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
        return cast(list[R], self._reader(table, where, values, table.name if all_rows else ""))

    def remember(self, key: Hashable, read: Callable[[], V]) -> V:
        """What `read` reads, which must be of records that are never changed: a server reads it once.

        Nothing that was found empty is kept, nor what was read after this session had written, as that may come to
        nothing yet.
        """
        found: V | None = None if self._kept is None else self._kept.get(key)
        if found is None:
            found = read()
            if self._kept is not None and found and not self._wrote:
                self._kept.put(key, found)
        return found

    def write(self, *records: Any) -> int:
        """Store records; returns how many rows were new. A vote is not stored twice, by its id or its revision."""
        self._wrote, added = True, 0
        for kind in dict.fromkeys(type(record) for record in records):
            table = TABLES[kind]
            rows = [record for record in records if type(record) is kind]
            new = self._writer(table, encode(table, rows))
            added += new
            if new and (kind is Judgment or kind.__name__ in journal.KINDS):
                self.journaled += rows
        return added
