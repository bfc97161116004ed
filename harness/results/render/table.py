"""Tables of a given width, and where they are printed: a terminal, or plain lines without colour or control codes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH = 110
GAP = 2


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column of a table; of those that do not fit, the one with the largest `drop` goes first, 0 never."""

    name: str
    cells: Sequence[str]
    drop: int = 0

    @property
    def width(self) -> int:
        """Characters, with the gap behind it."""
        return max(len(self.name), *map(len, self.cells), 1) + GAP


def fitted(columns: Sequence[TextColumn], width: int) -> Table:
    """A table of the columns that fit."""
    kept = list(columns)
    while sum(column.width for column in kept) > width and any(column.drop for column in kept):
        kept.remove(max(kept, key=lambda column: column.drop))
    made = table(*(column.name for column in kept))
    for cells in zip(*(column.cells for column in kept), strict=True):
        made.add_row(*map(Text, cells))
    return made


def table(first: str, *others: str) -> Table:
    """An empty table: the first column to the left, the others to the right."""
    # The box adds one column between two cells, the padding the other.
    made = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    made.add_column(Text(first), overflow="fold")
    for name in others:
        made.add_column(Text(name), justify="right", no_wrap=True)
    return made


def chunks(names: Sequence[str], widths: Mapping[str, int], room: int) -> Iterable[list[str]]:
    """`names` in order, cut into lists whose widths fit into `room`."""
    chunk: list[str] = []
    for name in names:
        if chunk and sum(widths[one] for one in [*chunk, name]) > room:
            yield chunk
            chunk = []
        chunk.append(name)
    yield chunk


def terminal_width() -> int:
    """Columns of the terminal; WIDTH without one."""
    return Console().width if sys.stdout.isatty() else WIDTH


def emit(parts: Sequence[RenderableType]) -> None:
    """Print on standard output."""
    if sys.stdout.isatty():
        Console().print(*parts, sep="\n")
    else:
        sys.stdout.write(plain(parts, WIDTH))


def plain(parts: Sequence[RenderableType], width: int) -> str:
    """Plain lines of at most `width` columns."""
    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, force_terminal=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"
