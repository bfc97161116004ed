"""One table for every form: heads, rows of text, which columns hold numbers, and what a narrow form leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

Head = str | tuple[str, int]
"""The head of a column, alone or with its drop number."""
T = TypeVar("T")
Columns = Mapping[Head, Callable[[T], str]]
"""What a table shows of a record: heads, and the cell below each."""
_NUMBER = re.compile(r"[-+<>]?\d|-( \(.*\))?$|$|\(reference\)$")


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first column names the row; no cell holds markup."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    """Whether a column holds numbers, which stand to the right and are not broken across lines."""
    drop: tuple[int, ...]
    """Of columns that do not fit a terminal the one with the largest number goes first, 0 never."""
    notes: tuple[str, ...] = ()
    title: str = ""

    def select(self, keep: Callable[[str, int], bool]) -> Table:
        """The columns for whose head and drop number `keep` says yes."""
        kept = [index for index, pair in enumerate(zip(self.heads, self.drop, strict=True)) if keep(*pair)]
        return replace(
            self,
            heads=tuple(self.heads[index] for index in kept),
            rows=tuple(tuple(row[index] for index in kept) for row in self.rows),
            numeric=tuple(self.numeric[index] for index in kept),
            drop=tuple(self.drop[index] for index in kept),
        )

    def with_column(self, head: str, cells: Sequence[str]) -> Table:
        """The same with one column of numbers more, a cell for each row."""
        rows = tuple((*row, cell) for row, cell in zip(self.rows, cells, strict=True))
        return replace(self, heads=(*self.heads, head), rows=rows, numeric=(*self.numeric, True), drop=(*self.drop, 0))


def table(
    heads: Sequence[Head],
    rows: Iterable[Sequence[str]],
    notes: Sequence[str] = (),
    title: str = "",
    *,
    words: bool = False,
) -> Table:
    """A table of lists; a head may come with its drop number.

    A column is numeric when each of its cells starts like a number or says that there is none; with `words` none is.
    """
    names = tuple(head if isinstance(head, str) else head[0] for head in heads)
    drop = tuple(0 if isinstance(head, str) else head[1] for head in heads)
    cells = tuple(tuple(row) for row in rows)
    numeric = [bool(cells) and all(_NUMBER.match(row[index]) for row in cells) for index in range(len(names))]
    return Table(names, cells, (False,) * len(names) if words else tuple(numeric), drop, tuple(notes), title)


def table_of(records: Iterable[T], columns: Columns[T], notes: Sequence[str] = (), title: str = "") -> Table:
    """A row for each record."""
    return table(list(columns), [[show(record) for show in columns.values()] for record in records], notes, title)
