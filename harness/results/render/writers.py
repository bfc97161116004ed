"""One writer a format: lines and tables for a terminal, a log or a notebook; tables in Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import html as markup
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from harness.results.numbers import ABSENT, printable
from harness.results.render.table import Table

if TYPE_CHECKING:  # rich is imported by what prints: a gate that writes JSON needs none of it
    from rich.console import RenderableType
    from rich.table import Table as RichTable

T = TypeVar("T")
WIDTH = 110
GAP = 2


@dataclass(frozen=True, slots=True)
class Indented:
    """Text that stands four columns to the right."""

    text: str


Part = str | Indented | Table
"""What a view is made of; an empty string is an empty line."""


# ---------------------------------------------------------------------------------------------------------- terminal


def printed(view: Callable[[T], Sequence[Part]]) -> tuple[Callable[[T], None], Callable[..., str]]:
    """Two functions of what `view` shows: one prints it on standard output, one returns plain lines of `width` columns.

    Without a terminal, lines are of a fixed width, without colour and without control codes.
    """

    def to_terminal(shown: T) -> None:
        if sys.stdout.isatty():
            from rich.console import Console

            console = Console()
            console.print(*renderables(view(shown), console.width), sep="\n")
        else:
            sys.stdout.write(to_text(shown))

    def to_text(shown: T, width: int = WIDTH) -> str:
        return plain(view(shown), width)

    return to_terminal, to_text


def plain(parts: Iterable[Part], width: int = WIDTH) -> str:
    """Parts as lines of at most `width` columns, without colour and without control codes."""
    from rich.console import Console

    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, force_terminal=False, highlight=False, emoji=False)
    for part in renderables(parts, width):
        console.print(part)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"


def renderables(parts: Iterable[Part], width: int) -> list[RenderableType]:
    """Parts as rich has them, in `width` columns; the notes of a table stand below it."""
    from rich.padding import Padding
    from rich.text import Text

    lines: list[RenderableType] = []
    for part in parts:
        if isinstance(part, str):
            lines.append(Text(printable(part)))
        elif isinstance(part, Indented):
            lines.append(Padding(Text(printable(part.text)), (0, 0, 0, 4)))
        else:
            for index, fitting in enumerate(_fitted(part, width)):
                lines += [Text(""), _rich(fitting)] if index else [_rich(fitting)]
            lines += [Text(printable(note)) for note in part.notes]
    return lines


def _widths(table: Table) -> list[int]:
    """Columns that each column of a table takes, the gap behind it included."""
    return [
        max(len(head), *(len(row[index]) for row in table.rows), 1) + GAP if table.rows else len(head) + GAP
        for index, head in enumerate(table.heads)
    ]


def _fitted(table: Table, width: int) -> list[Table]:
    """The table without what does not fit; one in which nothing may be dropped is cut into several side by side."""
    if not any(table.numeric):
        return [table]
    whole = not any(table.drop)
    while sum(_widths(table)) > width and any(table.drop):
        last = max(range(len(table.drop)), key=lambda index: table.drop[index])
        gone = table.heads[last], table.drop[last]
        table = table.select(lambda head, drop, gone=gone: (head, drop) != gone)  # type: ignore[misc]
    if not whole or sum(_widths(table)) <= width:
        return [table]
    first, *others = _widths(table)
    chunks: list[list[str]] = [[]]
    room = width - first
    for head, wide in zip(table.heads[1:], others, strict=True):
        if chunks[-1] and wide > room:
            chunks.append([])
            room = width - first
        chunks[-1].append(head)
        room -= wide
    return [table.select(lambda head, _, kept={table.heads[0], *chunk}: head in kept) for chunk in chunks]  # type: ignore[misc]


def _rich(table: Table) -> RichTable:
    """Numbers to the right; a table of words without lines, its last column wrapped."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    if not any(table.numeric) and len(table.heads) == 2:
        made = RichTable(box=None, show_header=False, padding=(0, GAP, 0, 0), pad_edge=False)
        made.add_column(no_wrap=True)
        made.add_column()
    else:
        # The box adds one column between two cells, the padding the other.
        made = RichTable(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
        made.add_column(Text(table.heads[0]), overflow="fold")
        for head, number in zip(table.heads[1:], table.numeric[1:], strict=True):
            made.add_column(Text(head), justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in table.rows:
        made.add_row(*(Text(printable(cell)) for cell in row))
    return made


# -------------------------------------------------------------------------------------------------------------- HTML


def html(parts: Iterable[Part]) -> str:
    """Parts as one HTML element for a notebook: paragraphs and whole tables, every text escaped."""
    blocks = []
    for part in parts:
        if isinstance(part, Table):
            body = "".join(_html_row("td", row) for row in part.rows)
            blocks.append(f"<table><thead>{_html_row('th', part.heads)}</thead><tbody>{body}</tbody></table>")
        lines = part.notes if isinstance(part, Table) else [part.text if isinstance(part, Indented) else part]
        blocks += [f"<p>{_escaped(line)}</p>" for line in lines if line]
    return f"<div>{''.join(blocks)}</div>"


def _html_row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells) + "</tr>"


def _escaped(text: str) -> str:
    return markup.escape(printable(text)).replace("\n", "<br>")


# ---------------------------------------------------------------------------------------------------------- Markdown


def markdown(table: Table, clean: Callable[[str], str] = lambda text: text) -> str:
    """The table with its title above and its notes as a list below; `clean` is applied to every text first."""
    lines = [f"**{safe(clean(table.title))}**", ""] if table.title else []
    lines.append("| " + " | ".join(safe(clean(head)) or " " for head in table.heads) + " |")
    lines.append("|" + "|".join("---:" if number else "---" for number in table.numeric) + "|")
    for row in table.rows:
        lines.append("| " + " | ".join(safe(clean(cell)).replace("*", "\\*") or " " for cell in row) + " |")
    notes = [f"- {safe(clean(note))}" for note in table.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def safe(text: str) -> str:
    """One line, without what would open a table cell, markup, a link or an image."""
    flat = " ".join(printable(text).split()).replace("\\", "\\\\").replace("|", "\\|")
    return re.sub(r"<(?![\d.])", "&lt;", flat).replace("`", "'").replace("](", "]\\(")


# ------------------------------------------------------------------------------------------------------------- LaTeX

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "−": "$-$",
    "…": r"\dots{}",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}
_MARKS = re.compile(r" ([▲▼?!]+)$")
SIGNS = str.maketrans({"▲": "+", "▼": "−"})
"""Marks beside an arm's name → what LaTeX prints for them, raised."""


def escape(text: str) -> str:
    """Text of one line in which nothing is a command: LaTeX's special characters written out."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return "".join(_ESCAPES.get(char, char) for char in flat)


def latex(table: Table, caption: str, size: str = "") -> str:
    r"""A `table` with booktabs rules; `caption` is LaTeX already. Needs `\usepackage{booktabs}` and a UTF-8 engine."""
    heads = [escape(head).replace(" \\%", "\\,\\%").replace("p (Holm)", "$p$ (Holm)") for head in table.heads]
    lines = [
        r"\begin{table}",
        rf"\centering{size}",
        f"\\caption{{{caption}}}",
        f"\\begin{{tabular}}{{{''.join('r' if number else 'l' for number in table.numeric)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex_cell, row, table.numeric)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cell(text: str, number: bool) -> str:
    """A number in text mode with a true minus sign, `--` where there is none; a name with its marks raised."""
    if not number:
        marks = _MARKS.search(text)
        raised = f"$^{{{marks[1].translate(SIGNS).replace('−', '-')}}}$" if marks else ""
        return escape(_MARKS.sub("", text)) + raised
    if text == ABSENT:
        return "--"
    return escape(re.sub(r"-(?=\d)", "−", text.replace("[-]", "[--]")))


# --------------------------------------------------------------------------------------------------------------- CSV


def to_rows(fields: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """CSV with a header row, all digits, lines ended by a newline; absent values are empty, text is one line."""
    target = io.StringIO()
    writer = csv.DictWriter(target, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: one_line(value) if isinstance(value, str) else value for name, value in row.items()})
    return target.getvalue()


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would compute."""


def spreadsheet_cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with an apostrophe in front; `from_spreadsheet` undoes it."""
    if isinstance(value, str) and value.lstrip("'").startswith(_FORMULA):
        return f"'{value}"
    return value


def from_spreadsheet(value: object) -> object:
    """What `spreadsheet_cell` was given."""
    if isinstance(value, str) and value.startswith("'") and value.lstrip("'").startswith(_FORMULA):
        return value[1:]
    return value


def one_line(text: str) -> str:
    """One line, and nothing that a spreadsheet would take for a formula."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return f"'{flat}" if flat[:1] in ("=", "+", "-", "@") else flat
